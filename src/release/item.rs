//! What is released, with which options, and the outcome.

use std::path::PathBuf;
use std::sync::Arc;

use super::artifact::{Artifact, Place};
use super::documents::Documents;
use super::journal::Known;
use super::results::Results;
use super::vouching::{Vouched, Vouching};
use crate::registry::Registry;
use crate::signers::Signer;

/// An artifact with its place.
#[derive(Clone)]
pub struct Item {
    pub artifact: Arc<Artifact>,
    pub place: Place,
    /// Bundles about it, which are published with it.
    pub bundles: Vec<Vec<u8>>,
    /// The signature it needs before it becomes visible.
    pub vouching: Option<Arc<Vouching>>,
    /// What to sign when the package is published, or found to be; `None`: nothing.
    pub heartbeat: Option<Beat>,
    /// Build results, which other machines can take instead of building. Without them
    /// the release is complete as well.
    pub results: Option<Arc<Results>>,
    /// SBOM documents to attach to the package and its images.
    pub documents: Option<Arc<Documents>>,
}

impl Item {
    /// Its identity in the journal.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            place: self.place.to_string(),
            architecture: self.artifact.architecture.clone(),
            manifest: self.artifact.manifest.digest,
        }
    }

    pub(super) fn vouched<'v>(&'v self, registry: &'v Arc<Registry>) -> Vouched<'v> {
        Vouched {
            registry,
            place: &self.place,
            artifact: &self.artifact,
        }
    }
}

#[derive(Clone)]
pub struct Beat {
    pub signer: Arc<Signer>,
    /// The time of the release.
    pub now: jiff::Timestamp,
    /// The key of the action that makes the package.
    pub action_key: Option<String>,
}

/// Default number of parallel transfers.
pub const CONCURRENCY: usize = 3;

#[derive(Clone)]
pub struct Rules {
    /// Whether to move a tag that names another package of the same
    /// architecture.
    pub move_tag: bool,
    /// Whether the index under a tag is signed like the items in it.
    pub sign_indexes: bool,
    /// Maximum number of parallel transfers.
    pub concurrency: usize,
    /// Where it is remembered which repositories have which blobs; `None`: nowhere.
    pub pushed: Option<PathBuf>,
    /// Where it is remembered what was verified; `None`: nowhere. Only this user may be
    /// able to write there.
    pub proofs: Option<PathBuf>,
}

/// The outcome for one artifact.
#[derive(Clone, Debug)]
pub struct Released {
    /// The artifact at its place.
    pub item: Known,
    /// How its blobs were transferred.
    pub moved: Moved,
    /// It was published already, and nothing was written.
    pub unchanged: bool,
    /// Number of bundles that were attached.
    pub attached: usize,
    /// Why its build results or its heartbeat were not stored with it.
    pub note: Option<String>,
}

/// Numbers of blobs, by the way they were transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blobs that were present.
    pub present: u64,
    /// Blobs that were mounted from another repository.
    pub mounted: u64,
    /// Blobs that were uploaded.
    pub uploaded: u64,
    /// Bytes of the uploaded blobs.
    pub uploaded_bytes: u64,
}
