//! Encodes layer scans, so that the result of a scan can be cached.
//!
//! Compact and versioned; decoding refuses anything else and never panics.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::binary::Facts;
use super::layer::{Content, Entry, LayerScan, NodeKind};
use crate::codec::{CodecError, Reader, Writer};

const MAGIC: &[u8; 8] = b"jkscan\x01\n";

/// Longest path, link target or kept file of a stored scan, in bytes: 64 MiB,
/// the most that a scan keeps of one file. More than this is damage.
const MAX_PIECE: u64 = 64 << 20;

/// The bytes are not a stored scan.
#[derive(Debug, thiserror::Error)]
#[error("a stored layer scan is damaged; run the build with --force")]
pub struct StoredError(#[from] CodecError);

impl LayerScan {
    /// Writes the scan, compressed, and frees it piece by piece.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn store<W: Write>(self, out: W) -> io::Result<W> {
        let mut out = zstd::stream::write::Encoder::new(out, 1)?;
        let mut writer = Writer::new(MAGIC);
        writer.digest(&self.diff_id);
        writer.u64(self.file_bytes);
        writer.u64(self.entries.len() as u64);
        for entry in self.entries {
            write_entry(&mut writer, &entry);
            out.write_all(writer.drain().as_ref())?;
        }
        for list in [&self.whiteouts, &self.opaque] {
            writer.u64(list.len() as u64);
            list.iter().for_each(|path| writer.text(path));
        }
        out.write_all(writer.drain().as_ref())?;
        out.finish()
    }

    /// Reads what [`store`](Self::store) wrote.
    ///
    /// # Errors
    ///
    /// [`StoredError`]: anything else, or a failing `input`.
    pub fn load(input: impl Read) -> Result<Self, StoredError> {
        let decoder = zstd::stream::read::Decoder::new(input).map_err(CodecError::from)?;
        let input = io::BufReader::with_capacity(128 << 10, decoder);
        Ok(read_scan(&mut Reader::new(input))?)
    }
}

fn write_entry(out: &mut Writer, entry: &Entry) {
    out.text(&entry.path);
    out.u64(entry.size);
    out.u64(u64::from(entry.mode));
    match &entry.kind {
        NodeKind::Directory => out.byte(0),
        NodeKind::File => out.byte(1),
        NodeKind::Symlink(target) => {
            out.byte(2);
            out.text(target);
        }
        NodeKind::Hardlink(target) => {
            out.byte(3);
            out.text(target);
        }
        NodeKind::Other => out.byte(4),
    }
    match entry.content.as_deref() {
        None => out.byte(0),
        Some(Content::Bytes(bytes)) => {
            out.byte(1);
            out.bytes(bytes);
        }
        Some(Content::Executable(facts)) => {
            let (version, text) = facts.go.clone().unwrap_or_default();
            out.byte(2);
            out.flag(facts.go.is_some());
            out.text(&version);
            out.text(&text);
            out.flag(facts.audit.is_some());
            out.bytes(facts.audit.as_deref().unwrap_or_default());
        }
    }
}

fn read_scan<R: Read>(reader: &mut Reader<R>) -> Result<LayerScan, CodecError> {
    reader.magic(MAGIC, "the first bytes of a layer scan, `jkscan`")?;
    let path = |reader: &mut Reader<R>| reader.text(MAX_PIECE, "a path");
    let scan = LayerScan {
        diff_id: reader.digest()?,
        file_bytes: reader.u64("a size")?,
        entries: reader.list(read_entry)?,
        whiteouts: reader.list(path)?,
        opaque: reader.list(path)?,
    };
    reader.end()?;
    Ok(scan)
}

fn read_entry<R: Read>(reader: &mut Reader<R>) -> Result<Entry, CodecError> {
    let path = reader.text(MAX_PIECE, "a path")?;
    let size = reader.u64("a size")?;
    let at = reader.at();
    let mode = u32::try_from(reader.u64("a mode")?);
    let mode = mode.map_err(|_| CodecError::malformed(at, "a mode"))?;
    let at = reader.at();
    let kind = match reader.byte("the kind of an entry")? {
        0 => NodeKind::Directory,
        1 => NodeKind::File,
        2 => NodeKind::Symlink(reader.text(MAX_PIECE, "a link target")?),
        3 => NodeKind::Hardlink(reader.text(MAX_PIECE, "a link target")?),
        4 => NodeKind::Other,
        _ => return Err(CodecError::malformed(at, "a kind from 0 to 4")),
    };
    let at = reader.at();
    let content = match reader.byte("the kind of a content")? {
        0 => None,
        1 => Some(Content::Bytes(reader.bytes(MAX_PIECE, "a content")?)),
        2 => Some(Content::Executable(read_facts(reader)?)),
        _ => return Err(CodecError::malformed(at, "a kind from 0 to 2")),
    };
    Ok(Entry {
        path,
        size,
        mode,
        kind,
        content: content.map(Arc::new),
    })
}

fn read_facts<R: Read>(reader: &mut Reader<R>) -> Result<Facts, CodecError> {
    let go = reader.flag()?;
    let version = reader.text(MAX_PIECE, "a version of Go")?;
    let text = reader.text(MAX_PIECE, "build information of Go")?;
    let audited = reader.flag()?;
    let audit = reader.bytes(MAX_PIECE, "audit data of Rust")?;
    Ok(Facts {
        go: go.then_some((version, text)),
        audit: audited.then_some(audit),
    })
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
