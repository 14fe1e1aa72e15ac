//! What to publish, and a package that is ready for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::options::{Place, SkeletonOptions};
use crate::release::Artifact;
use crate::signers::{Seal, Signer};
use crate::verify::{Policy, Signature};

/// Packages, destinations, and how to publish.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// Where.
    pub place: Place,
    /// Packages, folders with a definition, `oci://` references.
    pub sources: Vec<String>,
    /// `oci://HOST/PATH` or `oci-layout:FOLDER`; each gets all packages.
    pub destinations: Vec<String>,
    /// Instead of version and flavor.
    pub tag: Option<String>,
    /// Whether tags that name something else may be moved.
    pub move_tag: bool,
    /// Whether files too large for a layer are put into several.
    pub split_layers: bool,
    /// Transfers at the same time.
    pub concurrency: usize,
    /// Which package of an index is meant.
    pub architecture: String,
    /// Which signatures the packages must have.
    pub policy: Arc<Policy>,
    /// Signs the packages, inside and beside them.
    pub signer: Option<Arc<Signer>>,
    /// Where the signature is written in the packages; `None`: only beside them.
    pub seal: Option<Seal>,
    /// The folder for journals.
    pub state: PathBuf,
    /// How folders with a definition become skeletons.
    pub skeletons: SkeletonOptions,
}

/// A package that is ready to be published.
pub(super) struct Ready {
    pub(super) artifact: Arc<Artifact>,
    /// The last part of its repository.
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) signature: Signature,
    /// What speaks about it, and goes with it.
    pub(super) bundles: Vec<Vec<u8>>,
}
