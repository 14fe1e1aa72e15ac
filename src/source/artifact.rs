//! Evidence about an artifact to be released: its manifest is known and its
//! content is in a store.

use std::io::{self, Read as _};

use crate::content::Fetch;
use crate::layout;
use crate::oci::{Descriptor, Digest, Manifest};
use crate::package::{Dialect, layers, manifest};
use crate::verify::{self, Attached, Evidence, Policy, Query, Refusal, Scope, VerifiedPackage};

/// The evidence that an artifact is verified by.
#[derive(Clone)]
pub struct ArtifactEvidence(Evidence);

impl ArtifactEvidence {
    /// Reads the documents of the artifact with the manifest `bytes`, which
    /// `manifest` names.
    ///
    /// # Errors
    ///
    /// `content` cannot be read, or yields other content.
    pub fn read(manifest: &Descriptor, bytes: &[u8], content: &dyn Fetch) -> io::Result<Self> {
        let document: Manifest = serde_json::from_slice(bytes)?;
        let titles = document.layers.iter().filter_map(manifest::title);
        let dialect = Dialect::of_artifact(&document.config.media_type, titles);
        let dialect = dialect.unwrap_or(Dialect::Jackal);
        let mut evidence = Evidence {
            artifact: Some(manifest.digest),
            ..Evidence::default()
        };
        for file in layers::files(document.layers).map_err(io::Error::other)? {
            let (name, layer) = (file.name.as_str(), &file.whole);
            evidence
                .files
                .insert(name.to_owned(), (layer.digest, layer.size));
            let read = [
                dialect.definition_file(),
                Dialect::CHECKSUMS,
                dialect.signature_file(),
                dialect.bundle_file(),
            ];
            if !read.contains(&name) {
                continue;
            }
            let mut bytes = Vec::new();
            let content = content.fetch(layer)?;
            content.take(layout::limit(name)).read_to_end(&mut bytes)?;
            if Digest::of(&bytes) != layer.digest {
                let message = format!("`{name}` does not match its digest");
                return Err(io::Error::other(message));
            }
            match name == dialect.definition_file() {
                true => evidence.definition = Some((dialect, bytes)),
                false => layout::keep(&mut evidence, name, bytes),
            }
        }
        Ok(Self(evidence))
    }

    /// With `bundles` beside the artifact.
    #[must_use]
    pub fn with_bundles(mut self, bundles: Attached<Vec<u8>>) -> Self {
        (self.0.attached, self.0.unread) = (bundles.found, bundles.unread);
        self
    }

    /// With the request that readers will make.
    #[must_use]
    pub fn for_query(mut self, query: Option<Query>) -> Self {
        self.0.query = query;
        self
    }

    /// Without the signatures in the package.
    #[must_use]
    pub fn without_signatures(mut self) -> Self {
        (self.0.signature, self.0.bundle) = (None, None);
        self
    }

    /// The definition, with the dialect of its file name.
    #[must_use]
    pub fn definition(&self) -> Option<(Dialect, &[u8])> {
        let (dialect, bytes) = self.0.definition.as_ref()?;
        Some((*dialect, bytes))
    }

    /// Whether a bundle over the definition is in the package.
    #[must_use]
    pub fn has_bundle(&self) -> bool {
        self.0.bundle.is_some()
    }

    /// Whether a signature of any kind is in the package.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.0.signature.is_some() || self.has_bundle()
    }

    /// How the package differs from the request.
    #[must_use]
    pub fn differences(&self) -> Vec<Refusal> {
        verify::differences_from_query(&self.0)
    }

    /// Verifies the artifact.
    ///
    /// # Errors
    ///
    /// Every reason to refuse it.
    pub fn judge(self, policy: &Policy) -> Result<VerifiedPackage, Vec<Refusal>> {
        #[expect(clippy::disallowed_methods, reason = "the door for artifacts")]
        verify::verify(self.0, Scope::Whole, policy)
    }
}
