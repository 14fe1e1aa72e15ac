//! Decompresses streams, recognized by their first bytes.
//!
//! Works on streams only: never opens files or keeps content.

use std::io::{self, BufRead as _, BufReader, Read};

use crate::archive::{Compression, Window};

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

/// Decompresses a stream that may be compressed in any known way, within a `window`.
///
/// # Errors
///
/// `input` fails.
pub(super) fn plain<'a>(input: impl Read + 'a, window: Window) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    match Compression::of(input.fill_buf()?) {
        Some(found) => found.decode_within(input, window),
        None => Ok(Box::new(input)),
    }
}
