//! The byte format of files that only jackal reads: results, trees, scans, logs.
//!
//! Numbers are little-endian and of fixed width; bytes and texts follow their length, a
//! `u64`. So no value can be mistaken for another, and each has one encoding. The
//! modules that use this define the order of values, and a magic number that changes
//! with their layout.
//!
//! Reading never trusts a length: memory grows only with the bytes read. Any error is
//! [`CodecError::Malformed`] with the offset of the value; caches treat it as a miss.

use std::io::{self, Read};
use std::vec::Drain;

use crate::oci::Digest;

/// Why bytes could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("byte {at}: expected {expected}")]
    Malformed {
        /// Offset of the value.
        at: u64,
        expected: &'static str,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CodecError {
    /// The value at byte `at` is not `expected`.
    #[must_use]
    pub fn malformed(at: u64, expected: &'static str) -> Self {
        Self::Malformed { at, expected }
    }
}

/// Appends values to bytes in memory.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins with `magic`.
    #[must_use]
    pub fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    /// Appends bytes whose length the reader knows.
    pub fn array(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Appends 0 or 1.
    pub fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    pub fn u32(&mut self, number: u32) {
        self.array(&number.to_le_bytes());
    }

    pub fn u64(&mut self, number: u64) {
        self.array(&number.to_le_bytes());
    }

    pub fn i64(&mut self, number: i64) {
        self.array(&number.to_le_bytes());
    }

    /// Appends the 32 bytes of a digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.array(digest.as_bytes());
    }

    /// Appends the length of `bytes`, then `bytes`.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.array(bytes);
    }

    /// Appends the length of a string in bytes, then the string.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The encoded bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The bytes encoded since the last call.
    pub fn drain(&mut self) -> Drain<'_, u8> {
        self.0.drain(..)
    }
}

/// Reads the values of a [`Writer`] in the same order.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from the current position of `inner`, which counts as byte 0.
    pub fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }

    /// Offset of the next value.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads bytes of a known length.
    ///
    /// # Errors
    ///
    /// [`CodecError`], here and below.
    pub fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], CodecError> {
        let mut bytes = [0; N];
        match self.inner.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(CodecError::malformed(self.at, expected));
            }
            Err(error) => return Err(error.into()),
        }
        self.at += N as u64;
        Ok(bytes)
    }

    /// Reads the magic number of a format.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn magic<const N: usize>(
        &mut self,
        magic: &[u8; N],
        expected: &'static str,
    ) -> Result<(), CodecError> {
        let at = self.at;
        match self.array(expected)? == *magic {
            true => Ok(()),
            false => Err(CodecError::malformed(at, expected)),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn byte(&mut self, expected: &'static str) -> Result<u8, CodecError> {
        self.array(expected).map(|[byte]| byte)
    }

    /// Reads 0 or 1.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn flag(&mut self) -> Result<bool, CodecError> {
        let at = self.at;
        match self.byte("0 or 1")? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::malformed(at, "0 or 1")),
        }
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn u32(&mut self, expected: &'static str) -> Result<u32, CodecError> {
        self.array(expected).map(u32::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn u64(&mut self, expected: &'static str) -> Result<u64, CodecError> {
        self.array(expected).map(u64::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn i64(&mut self, expected: &'static str) -> Result<i64, CodecError> {
        self.array(expected).map(i64::from_le_bytes)
    }

    /// Reads a digest.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn digest(&mut self) -> Result<Digest, CodecError> {
        self.array("a digest").map(Digest::from_bytes)
    }

    /// Reads a length of at most `most`, then as many bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn bytes(&mut self, most: u64, expected: &'static str) -> Result<Vec<u8>, CodecError> {
        let at = self.at;
        let length = self.u64(expected)?;
        let mut bytes = Vec::new();
        if length <= most {
            (&mut self.inner).take(length).read_to_end(&mut bytes)?;
        }
        if bytes.len() as u64 != length {
            return Err(CodecError::malformed(at, expected));
        }
        self.at += length;
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// Reads a length of at most `most`, then a string of as many bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn text(&mut self, most: u64, expected: &'static str) -> Result<String, CodecError> {
        let at = self.at;
        let text = String::from_utf8(self.bytes(most, expected)?);
        text.map_err(|_| CodecError::malformed(at, expected))
    }

    /// Reads a count, then as many items.
    ///
    /// # Errors
    ///
    /// [`CodecError`], and those of `item`.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.u64("a count")?;
        // Pushed one by one: a wrong count must not reserve memory.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn end(&mut self) -> Result<(), CodecError> {
        match self.inner.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(CodecError::malformed(self.at, "the end")),
        }
    }
}

impl<'a> Reader<&'a [u8]> {
    /// Reads a length of at most `most`, then as many bytes, which are not copied.
    ///
    /// # Errors
    ///
    /// [`CodecError`]
    pub fn slice(&mut self, most: u64, expected: &'static str) -> Result<&'a [u8], CodecError> {
        let at = self.at;
        let length = self.u64(expected)?;
        let fits = usize::try_from(length).ok().filter(|_| length <= most);
        let split = fits.and_then(|length| self.inner.split_at_checked(length));
        let (bytes, rest) = split.ok_or_else(|| CodecError::malformed(at, expected))?;
        self.inner = rest;
        self.at += length;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_their_order() {
        let mut writer = Writer::new(b"jkx\x01");
        writer.flag(true);
        writer.u32(7);
        writer.i64(-1);
        writer.text("abc");
        writer.digest(&Digest::of(b"x"));
        writer.u64(2);
        writer.bytes(b"1");
        writer.bytes(b"");
        let bytes = writer.into_bytes();
        let read = |bytes: &[u8]| -> Result<_, CodecError> {
            let mut reader = Reader::new(bytes);
            reader.magic(b"jkx\x01", "`jkx`")?;
            let read = (
                reader.flag()?,
                reader.u32("a number")?,
                reader.i64("a time")?,
                reader.text(9, "a name")?,
                reader.digest()?,
                reader.list(|reader| reader.bytes(9, "bytes"))?,
            );
            reader.end()?;
            Ok(read)
        };
        let (flag, number, time, name, digest, list) = read(&bytes).unwrap();
        assert_eq!((flag, number, time, name.as_str()), (true, 7, -1, "abc"));
        assert_eq!(
            (digest, list),
            (Digest::of(b"x"), vec![b"1".to_vec(), Vec::new()])
        );
        for end in 0..bytes.len() {
            let error = read(&bytes[..end]).unwrap_err();
            assert!(matches!(error, CodecError::Malformed { .. }), "{end}");
        }
        let error = read(&[&bytes[..], b"x"].concat()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("byte {}: expected the end", bytes.len())
        );
        let error = read(&[&bytes[..28], b"abc"].concat()).unwrap_err();
        assert_eq!(error.to_string(), "byte 28: expected a digest");
    }

    #[test]
    fn a_length_reserves_no_memory_and_has_its_limit() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend(b"abc");
        assert!(Reader::new(&bytes[..]).bytes(u64::MAX, "bytes").is_err());
        assert!(
            Reader::new(&bytes[..])
                .list(|reader| reader.u64("one"))
                .is_err()
        );
        let mut writer = Writer::default();
        writer.text("abcd");
        let bytes = writer.into_bytes();
        assert!(Reader::new(&bytes[..]).text(3, "a name").is_err());
    }
}
