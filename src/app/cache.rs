//! `jackal cache`: how large it is, make room, check every byte.

use std::path::Path;

use crate::cas::{Cas, CasError, Checked, Limits, Usage};

/// How much the cache in `folder` holds.
///
/// # Errors
///
/// The cache cannot be read.
pub fn cache_usage(folder: &Path) -> Result<Usage, CasError> {
    Cas::open(folder)?.usage()
}

/// Removes the least recently used data until `limits` hold.
///
/// # Errors
///
/// The cache cannot be read or changed.
pub fn cache_prune(folder: &Path, limits: Limits) -> Result<Usage, CasError> {
    Cas::open(folder)?.prune(limits)
}

/// Verifies every blob and removes damaged ones.
///
/// # Errors
///
/// The cache cannot be read.
pub fn cache_verify(folder: &Path) -> Result<Checked, CasError> {
    Cas::open(folder)?.check()
}
