//! Compressed streams, recognized by their first bytes: media types and file
//! names are often wrong.

use std::io::{self, BufRead, Read};

use lzma_rust2::XzReader;

/// Number of bytes that [`Compression::of`] needs.
pub const COMPRESSION_MAGIC: usize = 6;

/// The first bytes of a Zstandard frame.
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Maximum memory that a block of an xz archive may require: 128 MiB. `xz -9` writes
/// dictionaries of 64 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format 1.2.
    Xz,
    /// The format of bzip2.
    Bzip2,
}

impl Compression {
    /// The compression of a stream that begins with `head`.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            head => head.starts_with(&ZSTD_MAGIC).then_some(Self::Zstd),
        }
    }

    /// Decompresses `input`.
    ///
    /// # Errors
    ///
    /// No memory for a decoder.
    pub fn decode<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
            Self::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        })
    }
}

/// Whether `head`, of 512 bytes, begins a tar of the POSIX.1-1988 format or later.
#[must_use]
pub fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}
