//! Decompresses streams, recognized by their first bytes.
//!
//! Works on streams only: never opens files or keeps content.

use std::io::{self, BufRead as _, BufReader, Read};

use crate::archive::Compression;

/// Size of the first header of a tar, in bytes.
pub(super) const TAR_HEAD: usize = 512;

/// Whether `head` begins a gzip or Zstandard stream.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    matches!(
        Compression::of(head),
        Some(Compression::Gzip | Compression::Zstd)
    )
}

/// Decompresses a stream that may be gzip or Zstandard. Recognizes it by its first
/// bytes, because media types and file names are often wrong.
///
/// # Errors
///
/// `input` fails.
pub fn unpacked<'a>(input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let head = input.fill_buf()?;
    match Compression::of(head) {
        Some(found) if is_compressed(head) => found.decode(input),
        _ => Ok(Box::new(input)),
    }
}
