//! `jackal dev sha256sum`: the checksum for a definition's `shasum`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::cas::Cas;
use crate::disk;
use crate::ground::Failure;
use crate::oci::{Digest, Hasher};
use crate::registry::{self, Options, Registry};

/// The SHA-256 checksum of a file, or of the content of an http or https URL.
///
/// # Errors
///
/// The file cannot be read, or the URL cannot be fetched.
pub async fn sha256sum(source: &str) -> Result<Digest, Failure> {
    if source.starts_with("http://") || source.starts_with("https://") {
        // A temporary cache: the download is needed only for its checksum.
        let folder = disk::scratch_folder().map_err(std::io::Error::from)?;
        let cas = Arc::new(Cas::open(folder.path())?);
        let client = Registry::new(Options::default());
        let found =
            registry::download(&client, source, None, None, &cas, &Semaphore::new(1)).await?;
        return Ok(found.digest);
    }
    let named = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot read `{source}`: {error}"))
    };
    let mut file = std::fs::File::open(Path::new(source)).map_err(named)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer).map_err(named)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
