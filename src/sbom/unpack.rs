//! Compressed streams made plain, told by how they begin.
//!
//! Works on streams only; it neither opens files nor holds content.

use std::io::{self, BufRead as _, BufReader, Read};

/// Bytes of a tar up to the end of its first header.
pub(super) const TAR_HEAD: usize = 512;

/// Whether `head` begins a gzip or Zstandard stream.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// Whether `head` begins a tar: it has the mark that all tars since 1988 have.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// The plain bytes of a stream that may be gzip or Zstandard, told by how it
/// begins: media types and file names are often wrong.
///
/// # Errors
///
/// Those of `input`.
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
