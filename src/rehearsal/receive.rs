//! Bodies of requests.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;

use super::reply::RequestError;
use crate::oci::Digest;

/// Reads and discards a body.
pub(super) async fn drain(body: &mut Incoming, came: &AtomicU64) -> Result<u64, RequestError> {
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            came.fetch_add(data.len() as u64, Ordering::Relaxed);
            len += data.len() as u64;
        }
    }
    Ok(len)
}

/// Appends a body to an upload or replaces it; flips a bit of the byte at
/// `garble`.
pub(super) async fn take(
    path: &Path,
    body: &mut Incoming,
    came: &AtomicU64,
    afresh: bool,
    garble: Option<usize>,
) -> Result<u64, RequestError> {
    let mut file = tokio::fs::OpenOptions::new()
        .append(!afresh)
        .write(true)
        .truncate(afresh)
        .open(path)
        .await?;
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        came.fetch_add(data.len() as u64, Ordering::Relaxed);
        let data = match garble {
            Some(at) if len == 0 && at < data.len() => {
                let mut turned = data.to_vec();
                turned[at] ^= 1;
                Bytes::from(turned)
            }
            _ => data,
        };
        len += data.len() as u64;
        file.write_all(&data).await?;
    }
    file.flush().await?;
    Ok(len)
}

pub(super) fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = crate::oci::Hasher::default();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
