//! What to publish, and a package that is ready for it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::attest::Attested;
use super::options::{Place, SkeletonOptions};
use crate::release::Artifact;
use crate::sbom::format::Format;
use crate::signers::{Seal, Signer};
use crate::verify::{Policy, Signature};

/// Packages, destinations, and how to publish.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    pub place: Place,
    /// Packages, folders with a definition, `oci://` references.
    pub sources: Vec<String>,
    /// `oci://HOST/PATH` or `oci-layout:FOLDER`; each gets all packages.
    pub destinations: Vec<String>,
    /// Tag that overrides version and flavor.
    pub tag: Option<String>,
    /// Whether tags that name something else may be moved.
    pub move_tag: bool,
    /// Whether the indexes under the tags are signed, too.
    pub sign_indexes: bool,
    /// Whether to split files that are too large for a layer.
    pub split_layers: bool,
    /// Formats of SBOMs to attach to the packages and their images, besides those that
    /// the packages have.
    pub sbom_formats: BTreeSet<Format>,
    /// Maximum number of parallel transfers.
    pub concurrency: usize,
    /// Architecture of the package to take from an index.
    pub architecture: String,
    /// The policy that the packages must satisfy.
    pub policy: Arc<Policy>,
    /// Signs the packages, inside and beside them.
    pub signer: Option<Arc<Signer>>,
    /// Where the signature is written in the packages; `None`: only beside them.
    pub seal: Option<Seal>,
    /// SBOM documents to sign; needs a signer.
    pub attest: Vec<Attested>,
    /// The folder for journals.
    pub state: PathBuf,
    /// How to make skeletons from folders with a definition.
    pub skeletons: SkeletonOptions,
}

/// A package that is ready to be published.
pub(super) struct Ready {
    pub(super) artifact: Arc<Artifact>,
    /// The last part of its repository.
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) signature: Signature,
    /// Bundles about it, which are published with it.
    pub(super) bundles: Vec<Vec<u8>>,
}
