//! Compressed streams, recognized by their first bytes: media types and file
//! names are often wrong.

use std::io::{self, BufRead, Read};

use lzma_rust2::XzReader;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge;

use crate::oci::media_type;

/// The media type of a layer of an image that begins with `head`.
#[must_use]
pub fn layer_type(head: &[u8]) -> &'static str {
    match Compression::of(head) {
        Some(Compression::Gzip) => media_type::LAYER_GZIP,
        Some(Compression::Zstd) => media_type::LAYER_ZSTD,
        _ => media_type::LAYER,
    }
}

/// Number of bytes that [`Compression::of`] needs.
pub const COMPRESSION_MAGIC: usize = 6;

/// The first bytes of a Zstandard frame.
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How much memory a decoder may take for what it has decoded last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 128 MiB: as much as programs write. `xz -9` takes 64 MiB.
    Large,
    /// 32 MiB, for archives inside archives, which are open at the same time. `xz -8`
    /// takes that, and packages of distributions 8 MiB.
    Small,
}

impl Window {
    /// As a power of two, for Zstandard.
    fn log(self) -> u32 {
        match self {
            Self::Large => ZSTD_WINDOW_LOG,
            Self::Small => 25,
        }
    }

    /// Of a block of xz, whose decoder takes a little more than the dictionary.
    fn xz_kib(self) -> u32 {
        match self {
            Self::Large => 128 << 10,
            Self::Small => 33 << 10,
        }
    }
}

/// Largest window that a Zstandard frame may require, as a power of two: 128 MiB. `zstd
/// -d` accepts as much by default, and `zstd --ultra -22` and Zarf write no more.
const ZSTD_WINDOW_LOG: u32 = 27;

const LARGE_WINDOW: &str = "its Zstandard window is larger than 128 MiB, the limit: compress it again \
     without --long, or with --long=27";

/// Decompresses Zstandard frames from a stranger.
pub struct Unzstd<'d, R>(zstd::stream::read::Decoder<'d, R>);

impl<R: BufRead> Unzstd<'_, R> {
    /// Decompresses `input`.
    ///
    /// # Errors
    ///
    /// No memory for a decoder.
    pub fn new(input: R) -> io::Result<Self> {
        Self::within(input, Window::Large)
    }

    fn within(input: R, window: Window) -> io::Result<Self> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
        decoder.window_log_max(window.log())?;
        Ok(Self(decoder))
    }
}

impl<R: BufRead> Read for Unzstd<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let known = error
                .get_ref()
                .and_then(|e| e.downcast_ref::<zstd::Error>());
            match known.is_some_and(|e| e.is(ZSTD_error_frameParameter_windowTooLarge)) {
                true => io::Error::new(io::ErrorKind::FileTooLarge, LARGE_WINDOW),
                false => error,
            }
        })
    }
}

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
        self.decode_within(input, Window::Large)
    }

    /// Decompresses `input` within a `window`.
    ///
    /// # Errors
    ///
    /// No memory for a decoder.
    pub fn decode_within<'a>(
        self,
        input: impl BufRead + 'a,
        window: Window,
    ) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(Unzstd::within(input, window)?),
            Self::Xz => Box::new(XzReader::new_mem_limit(input, true, window.xz_kib())),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        })
    }
}

/// Whether `head`, of 512 bytes, begins a tar of the POSIX.1-1988 format or later.
#[must_use]
pub fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_beyond_the_limit_is_refused_by_name() {
        let frame = |window_log: u8| {
            // RFC 8878, section 3.1.1: no content size, a window of 2^window_log bytes,
            // one raw block of one byte.
            let mut bytes = ZSTD_MAGIC.to_vec();
            bytes.extend([0, (window_log - 10) << 3, 0b1001, 0, 0, b'x']);
            bytes
        };
        let read = |bytes: &[u8]| {
            let mut found = Vec::new();
            let decoder = Compression::Zstd.decode(bytes);
            let read = decoder.unwrap().read_to_end(&mut found);
            read.map(|_| found).map_err(|error| error.to_string())
        };
        assert_eq!(read(&frame(27)).unwrap(), b"x");
        for log in [28, 29, 31] {
            let error = read(&frame(log)).unwrap_err();
            assert!(error.contains("larger than 128 MiB"), "{error}");
        }
    }

    #[test]
    fn the_largest_window_that_zstd_writes_by_itself_is_read() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 22).unwrap();
        io::Write::write_all(&mut encoder, b"x").unwrap();
        let bytes = encoder.finish().unwrap();
        // The window descriptor follows the magic number and the frame header.
        assert_eq!(10 + (bytes[5] >> 3), 27);
        assert!(Unzstd::new(&bytes[..]).unwrap().read(&mut [0]).is_ok());
    }
}
