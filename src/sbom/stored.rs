//! Layer scans as bytes, so that a layer is scanned once and remembered.
//!
//! Compact and versioned; decoding refuses anything else and never panics.

use std::io::Read as _;
use std::sync::Arc;

use super::binary::Facts;
use super::layer::{Content, Entry, LayerScan, NodeKind};
use crate::oci::Digest;

/// Version of what cataloguers find; raised whenever an SBOM could differ.
pub const CATALOGUE_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"jkscan\x01\n";

/// Longest decoded scan, in bytes: 1 GiB. The kept files of one layer are
/// bounded when it is scanned; more than this is damage.
const MAX_BYTES: u64 = 1 << 30;

/// Why bytes are not a stored scan.
#[derive(Debug, thiserror::Error)]
#[error("a stored layer scan is damaged: run the build with --force")]
pub struct StoredError;

impl LayerScan {
    /// Encodes the scan, compressed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.0.extend_from_slice(self.diff_id.as_bytes());
        out.number(self.file_bytes);
        out.number(self.entries.len() as u64);
        for entry in &self.entries {
            out.entry(entry);
        }
        for list in [&self.whiteouts, &self.opaque] {
            out.number(list.len() as u64);
            list.iter().for_each(|path| out.bytes(path.as_bytes()));
        }
        // Compressing memory into memory does not fail; kept plain if it did.
        zstd::bulk::compress(&out.0, 1).unwrap_or(out.0)
    }

    /// Decodes what [`encode`](Self::encode) made.
    ///
    /// # Errors
    ///
    /// [`StoredError`]: anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut plain = Vec::new();
        if bytes.starts_with(MAGIC) {
            plain.extend_from_slice(bytes);
        } else {
            zstd::stream::read::Decoder::new(bytes)
                .and_then(|decoder| decoder.take(MAX_BYTES).read_to_end(&mut plain))
                .map_err(|_| StoredError)?;
        }
        let rest = plain.strip_prefix(MAGIC).ok_or(StoredError)?;
        Reader(rest).scan().ok_or(StoredError)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn entry(&mut self, entry: &Entry) {
        self.bytes(entry.path.as_bytes());
        self.number(entry.size);
        self.number(u64::from(entry.mode));
        match &entry.kind {
            NodeKind::Directory => self.0.push(0),
            NodeKind::File => self.0.push(1),
            NodeKind::Symlink(target) => {
                self.0.push(2);
                self.bytes(target.as_bytes());
            }
            NodeKind::Hardlink(target) => {
                self.0.push(3);
                self.bytes(target.as_bytes());
            }
            NodeKind::Other => self.0.push(4),
        }
        match entry.content.as_deref() {
            None => self.0.push(0),
            Some(Content::Bytes(bytes)) => {
                self.0.push(1);
                self.bytes(bytes);
            }
            Some(Content::Executable(facts)) => {
                self.0.push(2);
                let (version, text) = facts.go.clone().unwrap_or_default();
                self.0.push(u8::from(facts.go.is_some()));
                self.bytes(version.as_bytes());
                self.bytes(text.as_bytes());
                self.0.push(u8::from(facts.audit.is_some()));
                self.bytes(facts.audit.as_deref().unwrap_or_default());
            }
        }
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let count = self.number()?;
        self.take(usize::try_from(count).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // No more items than bytes: a damaged count must not reserve memory.
        (0..count.min(self.0.len() as u64 + 1))
            .map(|_| item(self))
            .collect()
    }

    fn scan(mut self) -> Option<LayerScan> {
        let diff_id = Digest::from_bytes(self.take(32)?.try_into().ok()?);
        let file_bytes = self.number()?;
        let entries = self.list(Self::entry)?;
        let whiteouts = self.list(Self::text)?;
        let opaque = self.list(Self::text)?;
        self.0.is_empty().then_some(LayerScan {
            diff_id,
            entries,
            whiteouts,
            opaque,
            file_bytes,
        })
    }

    fn entry(&mut self) -> Option<Entry> {
        Some(Entry {
            path: self.text()?,
            size: self.number()?,
            mode: u32::try_from(self.number()?).ok()?,
            kind: match self.byte()? {
                0 => NodeKind::Directory,
                1 => NodeKind::File,
                2 => NodeKind::Symlink(self.text()?),
                3 => NodeKind::Hardlink(self.text()?),
                4 => NodeKind::Other,
                _ => return None,
            },
            content: match self.byte()? {
                0 => None,
                1 => Some(Arc::new(Content::Bytes(self.bytes()?.to_vec()))),
                2 => Some(Arc::new(Content::Executable(self.facts()?))),
                _ => return None,
            },
        })
    }

    fn facts(&mut self) -> Option<Facts> {
        let go = self.byte()? == 1;
        let (version, text) = (self.text()?, self.text()?);
        let audited = self.byte()? == 1;
        let audit = self.bytes()?.to_vec();
        Some(Facts {
            go: go.then_some((version, text)),
            audit: audited.then_some(audit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::layer::{scan, tar_of};

    #[test]
    fn a_scan_survives_a_round_trip() {
        let tar = tar_of(&[
            ("var/lib/dpkg/status", b"Package: a\n"),
            ("l -> var", b""),
            ("h == var/lib/dpkg/status", b""),
            ("d/.wh.gone", b""),
        ]);
        let found = scan(&tar[..]).unwrap();
        let again = LayerScan::decode(&found.encode()).unwrap();
        assert_eq!(format!("{found:?}"), format!("{again:?}"));
    }

    #[test]
    fn cut_and_altered_scans_are_refused() {
        let tar = tar_of(&[("var/lib/dpkg/status", b"Package: a\n")]);
        let plain = {
            let bytes = scan(&tar[..]).unwrap().encode();
            zstd::decode_all(&bytes[..]).unwrap()
        };
        assert!(LayerScan::decode(&plain).is_ok());
        for end in 0..plain.len() {
            assert!(LayerScan::decode(&plain[..end]).is_err(), "{end}");
        }
        assert!(LayerScan::decode(b"").is_err());
    }
}
