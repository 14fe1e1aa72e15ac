//! What is released, by which rules, and what became of it.

use std::sync::Arc;

use super::artifact::{Artifact, Place};
use super::journal::Known;
use super::vouching::{Vouched, Vouching};
use crate::registry::Registry;

/// One artifact on its way to one place.
#[derive(Clone)]
pub struct Item {
    /// What.
    pub artifact: Arc<Artifact>,
    /// Where to.
    pub place: Place,
    /// Bundles that speak about it, and go where it goes.
    pub bundles: Vec<Vec<u8>>,
    /// Whose signature must be there before it is visible.
    pub vouching: Option<Arc<Vouching>>,
}

impl Item {
    /// How the journal calls it.
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

/// What a release may do, and must.
#[derive(Clone)]
pub struct Rules {
    /// Whether a tag that names another package of the same architecture moves.
    pub move_tag: bool,
    /// Transfers at the same time.
    pub concurrency: usize,
}

/// What was done with one artifact.
#[derive(Clone, Debug)]
pub struct Released {
    /// Which.
    pub item: Known,
    /// How its blobs came to be there.
    pub moved: Moved,
    /// It was there, and nothing was written.
    pub unchanged: bool,
    /// Bundles that were attached just now.
    pub attached: usize,
}

/// Blobs and bytes by the way that they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blobs that were there.
    pub present: u64,
    /// Blobs that the registry took from another repository.
    pub mounted: u64,
    /// Blobs that were sent.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
}
