//! Packages on web servers: `https://HOST/PATH[@sha256:HEX]`, downloaded into the
//! cache and verified against their checksum.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::error::OpenError;
use super::file;
use super::opening::Opening;
use super::package::Package;
use crate::cas::Cas;
use crate::package::address_and_sum;
use crate::registry::{self, runtime};

/// Downloads and opens the archive that the URL `name` names.
pub(super) fn open(name: &str, opening: &Opening<'_>) -> Result<Box<dyn Package>, OpenError> {
    let options = opening.options;
    let (address, inside) = address_and_sum(name);
    let sum = options.shasum.or(inside);
    // A query may hold a secret.
    let shown = || name.split('?').next().unwrap_or(name).to_owned();
    let sum = sum.ok_or_else(|| OpenError::NoSum(shown()))?;
    let cache = options.cache.as_ref().ok_or(OpenError::NoCache)?;
    let registry = opening.registry()?;
    let cas = Arc::new(Cas::open(cache)?);
    let permits = Semaphore::new(1);
    // Content that does not compress is slightly larger in an archive.
    let most = options.content_limit;
    let most = most.map(|bytes| bytes.saturating_add(bytes / 64).saturating_add(1 << 20));
    let download = registry::download(&registry, address, Some(sum), most, &cas, &permits);
    let runtime = runtime::shared().map_err(OpenError::Threads)?;
    let stored = runtime.block_on(download)?;
    file::at(&cas.path_of(&stored.digest), None, opening)
}
