//! Where something was found, and what it is evidence for.

use serde::Serialize;

use crate::oci::Digest;

/// A file in the scanned tree that is evidence for a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// Real path, links resolved, from the root of the scan.
    pub path: String,
    /// Diff id of the layer that holds the file; absent outside images.
    #[serde(rename = "layerID", skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The path before links were resolved.
    #[serde(rename = "accessPath")]
    pub access_path: String,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Annotations of a [`Location`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Annotations {
    pub evidence: Evidence,
}

impl Annotations {
    fn is_empty(&self) -> bool {
        self.evidence == Evidence::Beside
    }
}

/// Kind of evidence for a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// It proves the package.
    Primary,
    /// It has further facts.
    Supporting,
    /// It belongs to those that have facts, and is not read. Documents say so in no
    /// annotation, and relate it like one that is.
    #[serde(rename = "supporting")]
    Beside,
}
