//! Decompresses streams, recognized by their first bytes.
//!
//! Works on streams only: never opens files or keeps content.

use std::io::{self, BufRead as _, BufReader, Read};

/// Size of the first header of a tar, in bytes.
pub(super) const TAR_HEAD: usize = 512;

/// Whether `head` begins a gzip or Zstandard stream.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// Whether `head` begins a tar of the POSIX.1-1988 format or later.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
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
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(input))
    } else if is_compressed(head) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
    } else {
        Box::new(input)
    })
}
