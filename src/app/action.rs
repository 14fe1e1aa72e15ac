//! `jackal internal action`: runs one action on its own.

use std::path::Path;
use std::sync::Arc;

use super::errors::Failure;
use crate::cas::Cas;
use crate::kinds::alone;

/// Makes the outputs of the action in `folder` from that folder alone, and stores their
/// bytes in the cache at `cache`. Returns names, digests and sizes.
///
/// # Errors
///
/// [`Failure`]: the action has effects, a blob is missing or damaged, or the work
/// failed.
pub async fn carry_out(folder: &Path, cache: &Path) -> Result<Vec<(String, String, u64)>, Failure> {
    let cas = Arc::new(Cas::open(cache)?);
    let outputs = alone::carry_out(folder, &cas).await?.into_iter();
    Ok(outputs
        .map(|output| (output.name, output.digest.to_string(), output.size))
        .collect())
}
