//! `jackal internal action`: one action carried out alone.

use std::path::Path;
use std::sync::Arc;

use super::errors::Failure;
use crate::cas::Cas;
use crate::kinds::alone;

/// Makes the outputs of the action in `folder` from that folder alone; their bytes
/// are put into the cache at `cache`. Returns names, digests and sizes.
///
/// # Errors
///
/// [`Failure`]: it is no action without effects, a blob is missing or damaged, or
/// what the kind of work says.
pub async fn carry_out(folder: &Path, cache: &Path) -> Result<Vec<(String, String, u64)>, Failure> {
    let cas = Arc::new(Cas::open(cache)?);
    let outputs = alone::carry_out(folder, &cas).await?.into_iter();
    Ok(outputs
        .map(|output| (output.name, output.digest.to_string(), output.size))
        .collect())
}
