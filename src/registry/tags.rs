//! The tags of a repository. Source: distribution-spec 1.1, "Listing Tags".

use reqwest::Method;
use serde::Deserialize;

use super::RegistryError;
use super::client::{Call, Registry, header, whole};
use super::referrers::{Pages, next_page};
use super::retry::Failure;
use crate::oci::{Reference, is_tag};

/// Maximum number of pages, against endless listings.
const MAX_PAGES: usize = 1_000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Every tag of the repository of `reference`, in the registry's order.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: no such repository, refused, unreachable.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, RegistryError> {
        let mut url = self.url(reference, "tags/list")?;
        let mut tags = Vec::new();
        let mut pages = Pages::from(&url);
        for _ in 0..MAX_PAGES {
            let once = || self.tags_page(reference, &url);
            let (page, next, length) = self.retries().run(once).await?;
            // Other characters could be terminal commands or line breaks.
            let named = page.tags.unwrap_or_default();
            if let Some(odd) = named.iter().find(|tag| !is_tag(tag)) {
                let found = format!("the tag {odd:?}");
                return Err(RegistryError::content(
                    reference,
                    found,
                    "names of tags".to_owned(),
                ));
            }
            let count = named.len();
            tags.extend(named);
            match pages.after(reference, &url, next, (count, length))? {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
        let expected = format!("at most {MAX_PAGES} pages of tags");
        Err(RegistryError::content(
            reference,
            "more".to_owned(),
            expected,
        ))
    }

    /// Deletes a manifest. Many registries do not allow it; it is tried once.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), RegistryError> {
        let digest = reference.digest().map(|digest| digest.to_string());
        let url = self.url(
            reference,
            &format!("manifests/{}", digest.unwrap_or_default()),
        )?;
        let call = Call::new(Method::DELETE, reference, url);
        match self.send(&call).await {
            Ok(_) => Ok(()),
            Err(Failure::Final(error) | Failure::Transient(error, _)) => Err(error),
        }
    }

    async fn tags_page(
        &self,
        reference: &Reference,
        url: &reqwest::Url,
    ) -> Result<(Page, Option<String>, usize), Failure> {
        let call = Call::new(Method::GET, reference, url.clone());
        let response = self.send(&call).await?;
        let next = next_page(header(&response, "link"));
        let bytes = whole(reference, response, "listing").await?;
        let page = serde_json::from_slice(&bytes).map_err(|error| {
            let found = format!("an unreadable list of tags ({error})");
            RegistryError::content(reference, found, "JSON with `tags`".to_owned())
        })?;
        Ok((page, next, bytes.len()))
    }
}
