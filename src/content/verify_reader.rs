//! A reader that fails at the end unless the content matches its descriptor.

use std::io::{self, Read};

use crate::oci::{Descriptor, Digest, Hasher};

/// Passes content through and verifies its size and digest.
///
/// Never reports the end of unverified content: if the digest does not match,
/// the read that would return 0 fails with [`io::ErrorKind::InvalidData`].
/// Content that exceeds its size fails at the first byte too many.
pub struct VerifyReader<R> {
    inner: R,
    expected: Digest,
    remaining: u64,
    size: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> VerifyReader<R> {
    /// Verifies `inner` against `descriptor`.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        Self {
            inner,
            expected: descriptor.digest,
            remaining: descriptor.size,
            size: descriptor.size,
            hasher: Some(Hasher::default()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let found = hasher.finish();
        if found == self.expected {
            return Ok(());
        }
        // Reading again after this error must not report the end.
        self.hasher = Some(Hasher::default());
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("content has digest {found}, expected {}", self.expected),
        ))
    }
}

impl<R: Read> Read for VerifyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count as u64 > self.remaining {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("content exceeds its {} bytes", self.size),
            ));
        }
        if count == 0 {
            if self.remaining > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "content ended after {} of {} bytes",
                        self.size - self.remaining,
                        self.size
                    ),
                ));
            }
            self.finish()?;
            return Ok(0);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.remaining -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], expected: &[u8]) -> io::Result<Vec<u8>> {
        let descriptor = Descriptor::of("text/plain", expected);
        let mut bytes = Vec::new();
        VerifyReader::new(content, &descriptor)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    }

    #[test]
    fn the_expected_bytes_pass() {
        assert_eq!(read(b"abc", b"abc").unwrap(), b"abc");
        assert_eq!(read(b"", b"").unwrap(), b"");
    }

    #[test]
    fn short_long_and_altered_content_is_refused() {
        let kind = |content: &[u8]| read(content, b"abc").unwrap_err().kind();
        assert_eq!(kind(b"ab"), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(b"abcd"), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"abd"), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_refused_reader_stays_refused() {
        let descriptor = Descriptor::of("text/plain", b"abc");
        let mut reader = VerifyReader::new(&b"abd"[..], &descriptor);
        let mut bytes = Vec::new();
        assert!(reader.read_to_end(&mut bytes).is_err());
        assert!(reader.read_to_end(&mut bytes).is_err());
    }
}
