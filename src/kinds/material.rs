//! What results are made from that comes from outside of the checkout.

use crate::oci::Digest;

/// Something from outside that a result was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// An image of a registry.
    Image {
        reference: String,
        digest: Digest,
    },
    /// A file from the web, or a chart from where it is published.
    File {
        url: String,
        digest: Digest,
    },
    Commit {
        address: String,
        commit: String,
    },
    /// A package that this one is a differential of.
    Package {
        name: String,
        /// SHA-256 of its `checksums.txt`, in hex.
        checksum: String,
    },
}
