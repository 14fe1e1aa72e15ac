//! The only reader of tars from untrusted sources.
//!
//! Reads front to back in linear time. Memory is bounded by [`MAX_EXTENDED_BYTES`],
//! whatever a header declares: content is never held, and names have limits. It
//! reads headers itself because the `tar` crate holds a PAX or long-name header of
//! any length in memory.
//!
//! It reports names and link targets and checks neither: code that joins a name to a
//! folder parses it as a [`SafePath`](super::SafePath) first, and code that follows a
//! link decides where it may lead.
//!
//! Formats: POSIX.1-2017 pax and ustar, and GNU long names and links.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use super::path::MAX_PATH_BYTES;

/// Size of a tar block, in bytes.
const BLOCK: u64 = 512;

/// Largest PAX or GNU long-name header, in bytes: 1 MiB. A name of 4096 bytes and
/// the extended attributes of a file, 64 KiB on Linux, fit several times.
pub const MAX_EXTENDED_BYTES: u64 = 1 << 20;

/// Maximum number of such headers before an entry. Tools write up to three, for a link
/// target, a name and PAX records; Git adds a global one.
const MAX_EXTENDED_HEADERS: u32 = 8;

/// Maximum number of headers of any kind: two million. Images of whole distributions
/// have a few hundred thousand entries, most of them with an extended header.
const MAX_HEADERS: u32 = 2_000_000;

/// Maximum nesting of an entry: 255 folders, as for the trees of commands. Code that
/// walks up from every entry must not take quadratic time.
pub const MAX_DEPTH: usize = 255;

/// Maximum number of blocks of a GNU sparse map: 4096, enough for 86,000 holes in a
/// file.
const MAX_SPARSE_BLOCKS: u32 = 4096;

/// Why bytes are not a supported tar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarFault {
    /// A block is not a header.
    #[error("no tar header at byte {0}: not a tar archive, or a damaged one")]
    NoHeader(u64),
    #[error("the tar archive ends within {0}")]
    Cut(&'static str),
    #[error("malformed tar header at byte {at}: expected {expected}")]
    Malformed {
        /// Offset of the header or of its content.
        at: u64,
        expected: &'static str,
    },
    /// One of the limits above is exceeded.
    #[error("tar entry at byte {at}: {what}")]
    Limit {
        /// Offset of its header.
        at: u64,
        what: &'static str,
    },
}

impl From<TarFault> for io::Error {
    fn from(fault: TarFault) -> Self {
        let kind = match fault {
            TarFault::Cut(_) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, fault)
    }
}

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    /// A device or pipe.
    Special,
    /// A sparse file in the GNU or PAX format; its content cannot be read.
    Sparse,
    /// Records about all following entries, without names or sizes.
    Global,
    /// Any other type.
    Unknown,
}

/// One entry of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// The name, as written; at most 4096 bytes.
    pub name: Vec<u8>,
    pub kind: TarKind,
    /// The target of a link, as written; empty for other entries.
    pub link: Vec<u8>,
    /// Length of the content in bytes, including the holes of a sparse file. 0 for
    /// entries without content, whatever their header states.
    pub size: u64,
    /// The length in the header.
    pub stated: u64,
    pub mode: u32,
    /// The owner and its group, by number; 0 if they are not numbers.
    pub owner: (u32, u32),
    /// Offset of the content in the tar.
    pub offset: u64,
}

impl TarEntry {
    /// The name as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The target of a link as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn link_lossy(&self) -> String {
        String::from_utf8_lossy(&self.link).into_owned()
    }

    /// Whether the owner may execute it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// A reader that can skip bytes, and does so cheaply if it can seek.
pub trait Skip: Read {
    /// Skips `bytes`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`]: fewer bytes are left.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// A stream: skipped bytes must be read.
pub struct Stream<R>(pub R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Stream<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())? == bytes {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Skip for &File {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.metadata()?.len();
        let at = self.stream_position()?.checked_add(bytes);
        let at = at.filter(|at| *at <= end);
        let at = at.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.seek(SeekFrom::Start(at)).map(drop)
    }
}

/// The entries of a tar in order. Reading it yields the content of the entry that
/// [`next`](Self::next) returned last.
pub struct TarReader<R> {
    inner: R,
    at: u64,
    /// Unread content of the last entry, in bytes.
    left: u64,
    /// Padding after it, in bytes.
    padding: u64,
    headers: u32,
    ended: bool,
    lacks_padding: bool,
}

/// The values of extended headers for the next entry.
#[derive(Default)]
struct Extended {
    headers: u32,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
}

impl<R: Read> TarReader<Stream<R>> {
    /// Reads the tar `inner` as a stream.
    pub fn new(inner: R) -> Self {
        Self::skipping(Stream(inner))
    }
}

impl<R: Skip> TarReader<R> {
    /// Reads the tar `inner`, and skips content that is not read.
    pub fn skipping(inner: R) -> Self {
        Self {
            inner,
            at: 0,
            left: 0,
            padding: 0,
            headers: 0,
            ended: false,
            lacks_padding: false,
        }
    }

    /// The rest of `inner`.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Reads the bytes after the last entry to the end, where a reader that verifies a
    /// digest reports a mismatch. Returns the length of the whole tar.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub fn drain(mut self) -> io::Result<u64> {
        let rest = io::copy(&mut self.inner, &mut io::sink())?;
        Ok(self.at.saturating_add(rest))
    }

    /// The number of headers that were read.
    #[must_use]
    pub fn headers(&self) -> u32 {
        self.headers
    }

    /// Whether the tar ended without padding the last content to a whole block, as in
    /// layers by umoci. Some programs cannot read such a tar.
    #[must_use]
    pub fn lacks_padding(&self) -> bool {
        self.lacks_padding
    }

    /// The next entry. The zero blocks at the end are optional.
    ///
    /// # Errors
    ///
    /// An error that wraps a [`TarFault`], or an error of the reader.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and the reader yields the content"
    )]
    pub fn next(&mut self) -> io::Result<Option<TarEntry>> {
        let mut extended = Extended::default();
        while let Some((at, header)) = self.header()? {
            let limit = |what| io::Error::from(TarFault::Limit { at, what });
            let malformed = |expected| io::Error::from(TarFault::Malformed { at, expected });
            let stated = header.entry_size().map_err(|_| malformed("a size"))?;
            let kind = header.entry_type().as_byte();
            if matches!(kind, b'x' | b'g' | b'L' | b'K') {
                extended.headers += 1;
                if extended.headers > MAX_EXTENDED_HEADERS {
                    return Err(limit("it has more than 8 extended headers"));
                }
                let bytes = self.extended(at, stated)?;
                match kind {
                    b'L' => extended.name = Some(up_to_nul(bytes)),
                    b'K' => extended.link = Some(up_to_nul(bytes)),
                    b'x' => extended.take(&bytes).map_err(malformed)?,
                    _ => {
                        let mut global = Extended::default();
                        global.take(&bytes).map_err(malformed)?;
                        if global.names_or_resizes() {
                            return Err(malformed("no names or sizes in a global header"));
                        }
                    }
                }
                continue;
            }
            let gnu_sparse = kind == b'S';
            let kind = match kind {
                _ if gnu_sparse || extended.sparse => TarKind::Sparse,
                b'0' | b'\0' | b'7' => TarKind::File,
                b'1' => TarKind::Hardlink,
                b'2' => TarKind::Symlink,
                b'3' | b'4' | b'6' => TarKind::Special,
                b'5' => TarKind::Directory,
                _ => TarKind::Unknown,
            };
            let name = match extended.sparse_name.or(extended.name) {
                Some(name) => name,
                None => header.path_bytes().into_owned(),
            };
            let link = match (kind, extended.link) {
                (TarKind::Hardlink | TarKind::Symlink, Some(link)) => link,
                (TarKind::Hardlink | TarKind::Symlink, None) => {
                    header.link_name_bytes().unwrap_or_default().into_owned()
                }
                _ => Vec::new(),
            };
            if name.len() > MAX_PATH_BYTES || link.len() > MAX_PATH_BYTES {
                return Err(limit("its path or link target is longer than 4096 bytes"));
            }
            if name
                .split(|byte| *byte == b'/')
                .filter(|part| !part.is_empty())
                .count()
                > MAX_DEPTH
            {
                return Err(limit("it is nested deeper than 255 folders"));
            }
            let stated = extended.size.unwrap_or(stated);
            let stored = match kind {
                // POSIX allows content in a hard link, and old tars state a size for
                // folders. Ignore both, like Go, Docker and containerd.
                TarKind::Hardlink | TarKind::Symlink | TarKind::Special | TarKind::Directory => 0,
                _ => stated,
            };
            if gnu_sparse {
                self.sparse_map(at, &header)?;
            }
            self.begin(at, stored)?;
            let real = header.as_gnu().filter(|_| gnu_sparse);
            let size = match (real, extended.sparse_size) {
                (Some(gnu), _) => gnu.real_size().map_err(|_| malformed("a size"))?,
                (None, Some(size)) => size,
                (None, None) => stored,
            };
            let number = |id: io::Result<u64>| u32::try_from(id.unwrap_or(0)).unwrap_or(0);
            let owner = (number(header.uid()), number(header.gid()));
            let offset = self.at;
            if kind == TarKind::Sparse {
                (self.left, self.padding) = (0, self.left + self.padding);
            }
            return Ok(Some(TarEntry {
                name,
                kind,
                link,
                size,
                stated,
                mode: header.mode().unwrap_or(0) & 0o7777,
                owner,
                offset,
            }));
        }
        if extended.headers > 0 && extended.names_or_resizes() {
            return Err(TarFault::Cut("an entry, after its extended header").into());
        }
        Ok(None)
    }

    /// Starts content of `size` bytes.
    fn begin(&mut self, at: u64, size: u64) -> io::Result<()> {
        let whole = size
            .checked_next_multiple_of(BLOCK)
            .filter(|whole| self.at.checked_add(*whole).is_some());
        let what = "its size is impossible";
        let whole = whole.ok_or(TarFault::Limit { at, what })?;
        (self.left, self.padding) = (size, whole - size);
        Ok(())
    }

    /// Skips the rest of the last entry.
    fn finish(&mut self) -> io::Result<()> {
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarFault::Cut("the content of an entry").into(),
            _ => error,
        };
        if self.left > 0 {
            self.inner.skip(self.left).map_err(cut)?;
        }
        self.at += self.left + self.padding;
        // Sparse content counts as padding, and may be longer than a block.
        if self.padding >= BLOCK {
            self.inner.skip(self.padding).map_err(cut)?;
        } else if self.padding > 0 {
            let mut block = [0; BLOCK as usize];
            let padding = usize::try_from(self.padding).unwrap_or(block.len());
            if self.fill(&mut block[..padding])? < padding {
                (self.ended, self.lacks_padding) = (true, true);
            }
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads until `block` is full or the reader is at its end.
    fn fill(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < block.len() {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn header(&mut self) -> io::Result<Option<(u64, tar::Header)>> {
        self.finish()?;
        if self.ended {
            return Ok(None);
        }
        let at = self.at;
        let mut block = [0; BLOCK as usize];
        let filled = self.fill(&mut block)?;
        if filled == 0 || block == [0; BLOCK as usize] && filled == block.len() {
            self.ended = true;
            return Ok(None);
        }
        if filled < block.len() {
            return Err(match at {
                0 => TarFault::NoHeader(at).into(),
                _ => TarFault::Cut("a header").into(),
            });
        }
        self.at += BLOCK;
        let header = tar::Header::from_byte_slice(&block).clone();
        // The checksum counts its own field as spaces.
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
        if header.cksum().ok() != Some(expected) {
            return Err(TarFault::NoHeader(at).into());
        }
        self.headers += 1;
        if self.headers > MAX_HEADERS {
            let what = "the tar has more than two million entries";
            return Err(TarFault::Limit { at, what }.into());
        }
        Ok(Some((at, header)))
    }

    /// The content of an extended header.
    fn extended(&mut self, at: u64, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENDED_BYTES {
            let what = "its extended header is larger than 1 MiB";
            return Err(TarFault::Limit { at, what }.into());
        }
        self.begin(at, size)?;
        let mut bytes = Vec::new();
        (&mut *self).take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Skips the blocks that continue the map of a GNU sparse file.
    fn sparse_map(&mut self, at: u64, header: &tar::Header) -> io::Result<()> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        let mut blocks = 0;
        while more {
            blocks += 1;
            if blocks > MAX_SPARSE_BLOCKS {
                let what = "its map of holes is too long";
                return Err(TarFault::Limit { at, what }.into());
            }
            let mut block = [0; BLOCK as usize];
            if self.fill(&mut block)? < block.len() {
                return Err(TarFault::Cut("a sparse map").into());
            }
            self.at += BLOCK;
            more = block[504] == 1;
        }
        Ok(())
    }
}

impl<R: Skip> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(TarFault::Cut("the content of an entry").into());
        }
        self.left -= count as u64;
        self.at += count as u64;
        Ok(count)
    }
}

impl Extended {
    /// Whether it overrides values of the next header.
    fn names_or_resizes(&self) -> bool {
        self.name.is_some() || self.link.is_some() || self.size.is_some() || self.sparse
    }

    /// Parses PAX records: `length key=value\n`, where the length is that of the whole
    /// record.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        const SOUND: &str = "PAX records";
        let number = |value: &[u8]| {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| text.parse().ok())
                .ok_or("a decimal size in a PAX record")
        };
        // Some writers pad with zeros.
        while bytes.iter().any(|byte| *byte != 0) {
            // A valid length has at most seven digits.
            let head = &bytes[..bytes.len().min(8)];
            let space = head.iter().position(|byte| *byte == b' ').ok_or(SOUND)?;
            let length: usize = std::str::from_utf8(&head[..space])
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(SOUND)?;
            let record = bytes.get(space + 1..length).ok_or(SOUND)?;
            let record = record.strip_suffix(b"\n").ok_or(SOUND)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(SOUND)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value)?),
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                    self.sparse_size = Some(number(value)?);
                }
                _ => {}
            }
            self.sparse |= key.starts_with(b"GNU.sparse.");
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

fn up_to_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

#[cfg(test)]
mod tests;
