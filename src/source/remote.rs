//! A package in a registry: resolved by tag or digest and architecture.

use super::error::RemoteError;
use super::stored::StoredPackage;
use crate::oci::{Digest, Reference, media_type};
use crate::registry::Registry;

/// A package that was found in a registry. Nothing in it is trusted.
#[derive(Clone, Debug)]
pub struct RemotePackage {
    /// Its repository, with the requested tag or digest.
    pub reference: Reference,
    /// What its manifest says.
    pub stored: StoredPackage,
}

impl RemotePackage {
    /// Finds the package that `reference` names for `architecture`.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn find(
        registry: &Registry,
        reference: &Reference,
        architecture: &str,
    ) -> Result<Self, RemoteError> {
        let name = reference.to_string();
        let (mut found, mut bytes) = registry.resolve(reference).await?;
        let mut entry = None;
        if media_type::is_index(&found.media_type) {
            found = StoredPackage::entry(&name, &bytes, architecture)?;
            bytes = registry.manifest(reference, &found).await?;
            entry = Some(architecture.to_owned());
        }
        Ok(Self {
            reference: reference.clone(),
            stored: StoredPackage::read(name, entry, found, bytes)?,
        })
    }

    /// The content of a small file; `None`: no such file.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn document(
        &self,
        registry: &Registry,
        name: &str,
    ) -> Result<Option<Vec<u8>>, RemoteError> {
        match self.stored.document(name)? {
            Some(layer) => Ok(Some(registry.read_blob(&self.reference, layer).await?)),
            None => Ok(None),
        }
    }

    /// The digest of the manifest, which identifies the package.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.stored.digest()
    }
}
