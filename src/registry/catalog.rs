//! What is asked of a registry as a whole: whether a login works, and which repositories it
//! has. Source: distribution-spec 1.1, "Determining Support"; the catalogue is no part of
//! it, and many registries have none.

use bytes::Bytes;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::RegistryError;
use super::auth::Access;
use super::client::{Call, Registry, header, whole};
use super::referrers::{Pages, next_page};
use super::retry::Failure;
use crate::oci::Reference;

/// Maximum number of pages, against endless listings.
const MAX_PAGES: usize = 1_000;

#[derive(Deserialize)]
struct Page {
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// Checks that the registry of `at` accepts the login for it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: refused, unreachable, or no registry.
    pub async fn check_login(&self, at: &Reference) -> Result<(), RegistryError> {
        let url = self.top(at, "/v2/")?;
        let once = || async {
            let mut call = Call::new(Method::GET, at, url.clone());
            call.access = Access::Nothing;
            self.send(&call).await.map(drop)
        };
        self.retries().run(once).await
    }

    /// The repositories of the registry of `at`, in its order.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: it lists none, refused, unreachable.
    pub async fn repositories(&self, at: &Reference) -> Result<Vec<String>, RegistryError> {
        let mut url = self.top(at, "/v2/_catalog")?;
        let mut found = Vec::new();
        let mut pages = Pages::from(&url);
        for _ in 0..MAX_PAGES {
            let once = || self.catalogue_page(at, &url);
            let (bytes, next) = self.retries().run(once).await?;
            let odd = |found: String| {
                RegistryError::content(at, found, "names of repositories".to_owned())
            };
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| odd(format!("an unreadable list ({error})")))?;
            let named = page.repositories.unwrap_or_default();
            // Other characters could be terminal commands or line breaks.
            let plain = |name: &String| name.bytes().all(|b| b.is_ascii_graphic());
            if let Some(name) = named.iter().find(|name| !plain(name)) {
                return Err(odd(format!("the repository {name:?}")));
            }
            let count = named.len();
            found.extend(named);
            match pages.after(at, &url, next, (count, bytes.len()))? {
                Some(next) => url = next,
                None => return Ok(found),
            }
        }
        let expected = format!("at most {MAX_PAGES} pages of repositories");
        Err(RegistryError::content(at, "more".to_owned(), expected))
    }

    fn top(&self, at: &Reference, path: &str) -> Result<Url, RegistryError> {
        let mut url = self.url(at, "")?;
        url.set_path(path);
        Ok(url)
    }

    async fn catalogue_page(
        &self,
        at: &Reference,
        url: &Url,
    ) -> Result<(Bytes, Option<String>), Failure> {
        let mut call = Call::new(Method::GET, at, url.clone());
        call.access = Access::Catalogue;
        let response = self.send(&call).await?;
        let next = next_page(header(&response, "link"));
        let bytes = whole(at, response, "listing").await?;
        Ok((bytes.into(), next))
    }
}
