//! Layer scans as bytes, so that a layer is scanned once and remembered.
//!
//! Compact and versioned; decoding refuses anything else and never panics.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::binary::Facts;
use super::layer::{Content, Entry, LayerScan, NodeKind};
use crate::oci::Digest;

const MAGIC: &[u8; 8] = b"jkscan\x01\n";

/// Longest path, link target or kept file of a stored scan, in bytes: 64 MiB,
/// the most that a scan keeps of one file. More than this is damage.
const MAX_PIECE: u64 = 64 << 20;

/// Why bytes are not a stored scan.
#[derive(Debug, thiserror::Error)]
#[error("a stored layer scan is damaged: {0}; run the build with --force")]
pub struct StoredError(#[from] io::Error);

impl LayerScan {
    /// Writes the scan, compressed, giving it up piece by piece.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn store<W: Write>(self, out: W) -> io::Result<W> {
        let mut out = Writer(zstd::stream::write::Encoder::new(out, 1)?);
        out.0.write_all(MAGIC)?;
        out.0.write_all(self.diff_id.as_bytes())?;
        out.number(self.file_bytes)?;
        out.number(self.entries.len() as u64)?;
        for entry in self.entries {
            out.entry(&entry)?;
        }
        for list in [&self.whiteouts, &self.opaque] {
            out.number(list.len() as u64)?;
            list.iter()
                .try_for_each(|path| out.bytes(path.as_bytes()))?;
        }
        out.0.finish()
    }

    /// Reads what [`store`](Self::store) wrote.
    ///
    /// # Errors
    ///
    /// [`StoredError`]: anything else, or a failing `input`.
    pub fn load(input: impl Read) -> Result<Self, StoredError> {
        let decoder = zstd::stream::read::Decoder::new(input)?;
        let mut reader = Reader(io::BufReader::with_capacity(128 << 10, decoder));
        let scan = reader.scan()?;
        if reader.0.read(&mut [0])? != 0 {
            return Err(damaged().into());
        }
        Ok(scan)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not of the expected form")
}

struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    fn number(&mut self, number: u64) -> io::Result<()> {
        self.0.write_all(&number.to_le_bytes())
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        self.0.write_all(&[byte])
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.number(bytes.len() as u64)?;
        self.0.write_all(bytes)
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.bytes(entry.path.as_bytes())?;
        self.number(entry.size)?;
        self.number(u64::from(entry.mode))?;
        match &entry.kind {
            NodeKind::Directory => self.byte(0)?,
            NodeKind::File => self.byte(1)?,
            NodeKind::Symlink(target) => {
                self.byte(2)?;
                self.bytes(target.as_bytes())?;
            }
            NodeKind::Hardlink(target) => {
                self.byte(3)?;
                self.bytes(target.as_bytes())?;
            }
            NodeKind::Other => self.byte(4)?,
        }
        match entry.content.as_deref() {
            None => self.byte(0),
            Some(Content::Bytes(bytes)) => {
                self.byte(1)?;
                self.bytes(bytes)
            }
            Some(Content::Executable(facts)) => {
                let (version, text) = facts.go.clone().unwrap_or_default();
                self.byte(2)?;
                self.byte(u8::from(facts.go.is_some()))?;
                self.bytes(version.as_bytes())?;
                self.bytes(text.as_bytes())?;
                self.byte(u8::from(facts.audit.is_some()))?;
                self.bytes(facts.audit.as_deref().unwrap_or_default())
            }
        }
    }
}

struct Reader<R>(R);

impl<R: Read> Reader<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let count = self.number()?;
        if count > MAX_PIECE {
            return Err(damaged());
        }
        // Grows with what really comes: a damaged count reserves nothing.
        let mut bytes = Vec::new();
        (&mut self.0).take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != count {
            return Err(damaged());
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| damaged())
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        let count = self.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }

    fn scan(&mut self) -> io::Result<LayerScan> {
        if self.array()? != *MAGIC {
            return Err(damaged());
        }
        Ok(LayerScan {
            diff_id: Digest::from_bytes(self.array()?),
            file_bytes: self.number()?,
            entries: self.list(Self::entry)?,
            whiteouts: self.list(Self::text)?,
            opaque: self.list(Self::text)?,
        })
    }

    fn entry(&mut self) -> io::Result<Entry> {
        Ok(Entry {
            path: self.text()?,
            size: self.number()?,
            mode: u32::try_from(self.number()?).map_err(|_| damaged())?,
            kind: match self.byte()? {
                0 => NodeKind::Directory,
                1 => NodeKind::File,
                2 => NodeKind::Symlink(self.text()?),
                3 => NodeKind::Hardlink(self.text()?),
                4 => NodeKind::Other,
                _ => return Err(damaged()),
            },
            content: match self.byte()? {
                0 => None,
                1 => Some(Arc::new(Content::Bytes(self.bytes()?))),
                2 => Some(Arc::new(Content::Executable(self.facts()?))),
                _ => return Err(damaged()),
            },
        })
    }

    fn facts(&mut self) -> io::Result<Facts> {
        let go = self.byte()? == 1;
        let (version, text) = (self.text()?, self.text()?);
        let audited = self.byte()? == 1;
        let audit = self.bytes()?;
        Ok(Facts {
            go: go.then_some((version, text)),
            audit: audited.then_some(audit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::catalog::is_wanted;
    use crate::sbom::layer::{scan, tar_of};

    #[test]
    fn a_scan_survives_a_round_trip() {
        let tar = tar_of(&[
            ("var/lib/dpkg/status", b"Package: a\n"),
            ("l -> var", b""),
            ("h == var/lib/dpkg/status", b""),
            ("d/.wh.gone", b""),
        ]);
        let found = scan(&tar[..], is_wanted).unwrap();
        let told = format!("{found:?}");
        let stored = found.store(Vec::new()).unwrap();
        let again = LayerScan::load(&stored[..]).unwrap();
        assert_eq!(told, format!("{again:?}"));
    }

    #[test]
    fn cut_and_altered_scans_are_refused() {
        let tar = tar_of(&[("var/lib/dpkg/status", b"Package: a\n")]);
        let stored = scan(&tar[..], is_wanted)
            .unwrap()
            .store(Vec::new())
            .unwrap();
        let plain = zstd::decode_all(&stored[..]).unwrap();
        let load = |plain: &[u8]| LayerScan::load(&zstd::encode_all(plain, 1).unwrap()[..]);
        assert!(load(&plain).is_ok());
        for end in 0..plain.len() {
            assert!(load(&plain[..end]).is_err(), "{end}");
        }
        assert!(load(&[&plain[..], b"x"].concat()).is_err());
        assert!(LayerScan::load(&stored[..stored.len() - 1]).is_err());
    }
}
