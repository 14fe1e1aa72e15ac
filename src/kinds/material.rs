//! Inputs of results from outside the checkout.

use crate::oci::Digest;

/// An external input of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// An image in a registry.
    Image {
        reference: String,
        digest: Digest,
    },
    /// A file from the web, or a published chart.
    File {
        url: String,
        digest: Digest,
    },
    Commit {
        address: String,
        commit: String,
    },
    /// The base of a differential package.
    Package {
        name: String,
        /// SHA-256 of its `checksums.txt`, in hex.
        checksum: String,
    },
}
