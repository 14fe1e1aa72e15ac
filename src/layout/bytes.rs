//! The bytes of an archive in one file or several parts, with random access.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::{SeekTable, SeekableError, SeekableReader, Skip};
use crate::text::with_causes;

/// The overhead that seeking may have over reading everything once, in bytes: 1 MiB.
const SLACK: u64 = 1 << 20;

/// A contiguous sequence of bytes in one or more files.
///
/// At most one of them is open, so that 999 parts do not need 999 handles.
pub(super) struct Joined {
    files: Arc<[(PathBuf, u64)]>,
    len: u64,
    at: u64,
    /// The open file: its index in `files`, and its position.
    open: Option<(usize, u64, File)>,
}

impl Joined {
    /// Joins `files`, each with its length.
    pub(super) fn new(files: Arc<[(PathBuf, u64)]>) -> Self {
        let len = files.iter().map(|(_, len)| len).sum();
        Self {
            files,
            len,
            at: 0,
            open: None,
        }
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len || buffer.is_empty() {
            return Ok(0);
        }
        let mut start = 0;
        let mut place = 0;
        for (index, (_, len)) in self.files.iter().enumerate() {
            place = index;
            if self.at < start + len {
                break;
            }
            start += len;
        }
        let (path, len) = &self.files[place];
        let (stands, mut file) = match self.open.take() {
            Some((open, stands, file)) if open == place => (stands, file),
            _ => (0, File::open(path)?),
        };
        let inside = self.at - start;
        if stands != inside {
            file.seek(SeekFrom::Start(inside))?;
        }
        let most = usize::try_from(len - inside).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = file.read(&mut buffer[..most])?;
        if count == 0 {
            let message = format!("`{}` was truncated while it was read", path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.at += count as u64;
        self.open = Some((place, inside + count as u64, file));
        Ok(count)
    }
}

impl Seek for Joined {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Skip for Joined {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let to = self.at.checked_add(bytes).filter(|to| *to <= self.len);
        self.at = to.ok_or_else(short)?;
        Ok(())
    }
}

/// Content behind a seek table.
pub(super) struct Framed<R> {
    inner: SeekableReader<R>,
    at: u64,
    /// How many bytes may still be decoded; `None` once the limit was exceeded.
    budget: Option<u64>,
}

impl<R: Read + Seek> Framed<R> {
    /// Reads from the start of `inner`, and decodes at most as many bytes as reading
    /// everything once would.
    pub(super) fn new(inner: SeekableReader<R>) -> Self {
        let budget = Some(inner.table().decompressed_len().saturating_add(SLACK));
        Self {
            inner,
            at: 0,
            budget,
        }
    }

    /// Whether the last error was caused by that limit: frames are so large that
    /// reading from the start is faster.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget.is_none()
    }

    fn table(&self) -> &SeekTable {
        self.inner.table()
    }
}

impl<R: Read + Seek> Read for Framed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.table().decompressed_len().saturating_sub(self.at);
        let len = left.min(buffer.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let cost = self.at - self.table().frame_start(self.at) + len;
        self.budget = self.budget.and_then(|budget| budget.checked_sub(cost));
        if self.budget.is_none() {
            return Err(io::Error::other("frames are too large to seek in"));
        }
        let mut rest = &mut buffer[..];
        let copied = self.inner.copy_range(self.at, len, &mut rest);
        copied.map_err(|error| match error {
            SeekableError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, with_causes(&error)),
        })?;
        self.at += len;
        Ok(usize::try_from(len).unwrap_or(0))
    }
}

impl<R: Read + Seek> Skip for Framed<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let len = self.table().decompressed_len();
        let to = self.at.checked_add(bytes).filter(|to| *to <= len);
        self.at = to.ok_or_else(short)?;
        Ok(())
    }
}

fn short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the archive ends within a file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_files_read_as_one_from_any_place() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<(PathBuf, u64)> = ["abc", "", "de"]
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let path = dir.path().join(index.to_string());
                std::fs::write(&path, text).unwrap();
                (path, text.len() as u64)
            })
            .collect();
        let mut joined = Joined::new(files.into());
        let mut text = String::new();
        joined.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
        for at in (0..=5).rev() {
            joined.seek(SeekFrom::Start(at)).unwrap();
            let mut rest = String::new();
            joined.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, &text[at as usize..]);
        }
        std::fs::write(dir.path().join("2"), "d").unwrap();
        joined.seek(SeekFrom::Start(4)).unwrap();
        assert!(joined.read(&mut [0; 4]).is_err());
        assert!(joined.seek(SeekFrom::Current(-9)).is_err());
        joined.seek(SeekFrom::Start(0)).unwrap();
        assert!(joined.skip(6).is_err());
    }
}
