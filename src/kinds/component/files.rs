//! Files from the web, pinned by their digest.

use std::sync::Arc;

use crate::action::{Action, Output};
use crate::ground::lockfile::{FilePin, Lockfile};
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::Prepared;
use crate::kinds::material::Material;
use crate::kinds::pins::Question;
use crate::oci::Digest;
use crate::package::{Component, address_and_sum, shasum};
use crate::registry;
use crate::text::public_url;

/// Whether a source is downloaded.
pub(crate) fn is_remote(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}

/// The question of which content a URL has.
#[derive(Clone, Debug)]
pub(crate) struct FileQuestion {
    /// The URL as in the definition, without credentials.
    pub(crate) url: String,
    /// The URL to download, with credentials.
    address: String,
    /// The expected digest from the definition.
    sum: Option<Digest>,
}

impl FileQuestion {
    /// The question for a source, which may end with a checksum.
    pub(crate) fn of(source: &str) -> Self {
        let (address, sum) = address_and_sum(source);
        Self {
            url: public_url(source),
            address: address.to_owned(),
            sum,
        }
    }

    /// The question for a source of `component`, which may have a `shasum`.
    pub(crate) fn of_component(component: &Component, url: &str) -> Result<Self, Failure> {
        let mut question = Self::of(url);
        let mut files = component.files.iter();
        if let Some(file) = files.find(|file| file.source == url && !file.shasum.is_empty()) {
            let sum = shasum(&file.shasum).map_err(|error| {
                Failure::new(Class::Configuration, format!("`{}`: {error}", question.url))
            })?;
            question.sum = sum.or(question.sum);
        }
        Ok(question)
    }

    /// Downloads the pinned file unless it is cached. Returns the number of downloaded
    /// bytes.
    pub(crate) async fn fetch(
        &self,
        site: &Arc<Site>,
        prepared: &Prepared,
    ) -> Result<u64, Failure> {
        let Some(file) = prepared.action.inputs.blob(&self.url).copied() else {
            return Ok(0);
        };
        let cas = Arc::clone(&site.cas);
        if blocking(move || Ok(cas.contains(&file.digest, file.size)?)).await? {
            return Ok(0);
        }
        site.online(&format!("`{}`", self.url))?;
        Ok(download(site, &self.address, Some(file.digest)).await?.size)
    }
}

impl Question for FileQuestion {
    type Answer = FilePin;

    fn name(&self) -> String {
        self.url.clone()
    }

    fn platform(&self) -> String {
        "file".to_owned()
    }

    fn pinned(&self, lock: &Lockfile) -> Option<FilePin> {
        let pin = lock.file(&self.url)?;
        self.sum
            .is_none_or(|sum| sum == pin.digest)
            .then(|| pin.clone())
    }

    fn pin(&self, lock: &mut Lockfile, answer: FilePin) {
        lock.pin_file(&self.url, answer);
    }

    fn shown(answer: &FilePin) -> String {
        answer.digest.to_string()
    }

    async fn ask(&self, site: &Arc<Site>) -> Result<FilePin, Failure> {
        let found = download(site, &self.address, self.sum).await?;
        Ok(FilePin {
            digest: found.digest,
            size: found.size,
        })
    }
}

async fn download(site: &Arc<Site>, url: &str, sum: Option<Digest>) -> Result<Output, Failure> {
    let (client, most) = (&site.registry, site.options.content_limit);
    Ok(registry::download(client, url, sum, most, &site.cas, &site.transfers).await?)
}

/// The URLs among the inputs of `action`.
pub(crate) fn materials(action: &Action) -> Vec<Material> {
    let blobs = action.inputs.blobs().filter(|(name, _)| is_remote(name));
    blobs
        .map(|(url, file)| Material::File {
            url,
            digest: file.digest,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_and_a_login_are_no_part_of_the_requested_address() {
        let hex = Digest::of(b"x").hex();
        let question = FileQuestion::of(&format!("https://u:p@h.io/f@{hex}"));
        assert_eq!(question.address, "https://u:p@h.io/f");
        assert_eq!(question.sum, Some(Digest::of(b"x")));
        assert_eq!(question.url, format!("https://h.io/f@{hex}"));
        let plain = FileQuestion::of("https://u@h.io/f@1");
        assert_eq!((plain.sum, plain.url.as_str()), (None, "https://h.io/f@1"));
    }
}
