//! Files from the web: pinned by the digest of what an address holds.

use std::sync::Arc;

use crate::action::{Action, Output};
use crate::ground::lockfile::{FilePin, Lockfile};
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::material::Material;
use crate::kinds::pins::Question;
use crate::oci::Digest;
use crate::package::Component;
use crate::registry;

/// Whether a source is downloaded.
pub(crate) fn is_remote(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}

/// What does an address hold?
#[derive(Clone, Debug)]
pub(crate) struct FileQuestion {
    pub(crate) url: String,
    /// What the definition says it must hold.
    pub(crate) sum: Option<Digest>,
}

impl FileQuestion {
    /// The question for a source of `component`, which may have a `shasum`.
    pub(crate) fn of_component(component: &Component, url: &str) -> Result<Self, Failure> {
        let mut files = component.files.iter();
        let sum = files
            .find(|file| file.source == url && !file.shasum.is_empty())
            .map(|file| Digest::from_hex(&file.shasum.to_ascii_lowercase()))
            .transpose()
            .map_err(|error| {
                Failure::new(Class::Configuration, format!("shasum of `{url}`: {error}"))
            })?;
        Ok(Self {
            url: url.to_owned(),
            sum,
        })
    }
}

impl Question for FileQuestion {
    type Answer = FilePin;

    fn name(&self) -> String {
        self.url.clone()
    }

    fn sort(&self) -> String {
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
        let found = download(site, &self.url, self.sum).await?;
        Ok(FilePin {
            digest: found.digest,
            size: found.size,
        })
    }
}

/// Downloads every address among the inputs of `action` that the cache lacks.
pub(crate) async fn fetch(site: &Arc<Site>, action: &Action) -> Result<u64, Failure> {
    let mut fetched = 0;
    for (url, file) in action.inputs.blobs().filter(|(name, _)| is_remote(name)) {
        let (digest, size) = (file.digest, file.size);
        let cas = Arc::clone(&site.cas);
        if !blocking(move || Ok(cas.contains(&digest, size)?)).await? {
            site.online(&format!("`{url}`"))?;
            fetched += download(site, &url, Some(digest)).await?.size;
        }
    }
    Ok(fetched)
}

async fn download(site: &Arc<Site>, url: &str, sum: Option<Digest>) -> Result<Output, Failure> {
    Ok(registry::download(&site.registry, url, sum, &site.cas, &site.transfers).await?)
}

/// The addresses among the inputs of `action`.
pub(crate) fn materials(action: &Action) -> Vec<Material> {
    let blobs = action.inputs.blobs().filter(|(name, _)| is_remote(name));
    blobs
        .map(|(url, file)| Material::File {
            url,
            digest: file.digest,
        })
        .collect()
}
