//! A stream of limited length.

use std::io::{self, Read};

/// Fails with [`io::ErrorKind::FileTooLarge`] once more bytes arrive than are
/// allowed: for untrusted compressed data, which may unpack to a thousand times its
/// size.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// Reads at most `most` bytes of `inner`.
    pub fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| {
            let what = "it unpacks to more bytes than its size suggests";
            io::Error::new(io::ErrorKind::FileTooLarge, what)
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_bytes_as_allowed_come_and_no_more() {
        let read = |most| {
            let mut text = Vec::new();
            let read = Bounded::new(&b"12345"[..], most).read_to_end(&mut text);
            read.map_err(|error| error.kind())
        };
        assert_eq!(read(5), Ok(5));
        assert_eq!(read(4), Err(io::ErrorKind::FileTooLarge));
    }
}
