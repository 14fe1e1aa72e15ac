//! `jackal dev sha256sum`: the checksum for a definition's `shasum`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::cas::Cas;
use crate::disk;
use crate::ground::{Class, Failure};
use crate::kinds::TREE;
use crate::kinds::member::extract::extract_member;
use crate::oci::{Digest, Hasher};
use crate::registry::{self, Options, Registry};

/// The SHA-256 checksum of a file, or of the content of an http or https URL; or of the
/// file `member` in that archive.
///
/// # Errors
///
/// The file cannot be read, or the URL cannot be fetched.
pub async fn sha256sum(source: &str, member: Option<&str>) -> Result<Digest, Failure> {
    let is_remote = source.starts_with("http://") || source.starts_with("https://");
    let named = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot read `{source}`: {error}"))
    };
    if !is_remote && member.is_none() {
        return Ok(sum_of(std::fs::File::open(Path::new(source)).map_err(named)?).map_err(named)?);
    }
    // A temporary cache: the content is needed only for its checksum.
    let folder = disk::scratch_folder().map_err(std::io::Error::from)?;
    let cas = Arc::new(Cas::open(folder.path())?);
    let archive = match is_remote {
        true => {
            let client = Registry::new(Options::default());
            let found =
                registry::download(&client, source, None, None, &cas, &Semaphore::new(1)).await?;
            if member.is_none() {
                return Ok(found.digest);
            }
            std::fs::File::open(cas.path_of(&found.digest)).map_err(named)?
        }
        false => std::fs::File::open(Path::new(source)).map_err(named)?,
    };
    let member = member.unwrap_or_default();
    let taken = extract_member(&cas, source, &archive, member, None)?;
    if taken.name == TREE {
        let message = format!("`{member}` of `{source}` is a folder, which has no checksum");
        return Err(Failure::new(Class::Configuration, message));
    }
    Ok(taken.digest)
}

fn sum_of(mut file: std::fs::File) -> std::io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
