//! Encodes layer scans, so that the result of a scan can be cached.
//!
//! Compact and versioned; decoding refuses anything else and never panics.

use std::io::{self, Read, Write};
use std::sync::Arc;

use zstd::stream::read::Decoder;

use super::binary::{Facts, Go, Resources};
use super::layer::{Content, Entry, LayerScan, NodeKind, Text};
use super::media::Media;
use super::programs::Signature;
use crate::archive::MAX_PATH_BYTES;
use crate::codec::{CodecError, Reader, Writer};
use crate::oci::Digest;

const MAGIC: &[u8; 8] = b"jkscan\x05\n";

/// Longest path or link target of a stored scan, in bytes. More than this is damage.
const MAX_PATH: u64 = MAX_PATH_BYTES as u64;

/// Longest kept file, and longest fact, in bytes: the most that a scan keeps.
const MAX_PIECE: u64 = 64 << 20;

/// The bytes are not a stored scan.
#[derive(Debug, thiserror::Error)]
#[error("a stored layer scan is damaged; run the build with --force")]
pub struct StoredError(#[from] CodecError);

/// A stored scan, read entry by entry: an image has many layers.
pub struct StoredScan<R: Read> {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Sum of the sizes of regular files.
    pub file_bytes: u64,
    /// Paths of lower layers to delete.
    pub(super) whiteouts: Vec<String>,
    /// Directories of lower layers to empty.
    pub(super) opaque: Vec<String>,
    left: u64,
    reader: Reader<io::BufReader<Decoder<'static, io::BufReader<R>>>>,
}

impl<R: Read> StoredScan<R> {
    /// Begins to read what [`LayerScan::store`] wrote.
    ///
    /// # Errors
    ///
    /// [`StoredError`]: anything else, or a failing `input`.
    pub fn open(input: R) -> Result<Self, StoredError> {
        let decoder = Decoder::new(input).map_err(CodecError::from)?;
        let mut reader = Reader::new(io::BufReader::with_capacity(128 << 10, decoder));
        reader.magic(MAGIC, "the first bytes of a layer scan, `jkscan`")?;
        let path = |reader: &mut Reader<_>| reader.text(MAX_PATH, "a path");
        Ok(Self {
            diff_id: reader.digest()?,
            file_bytes: reader.u64("a size")?,
            whiteouts: reader.list(path)?,
            opaque: reader.list(path)?,
            left: reader.u64("a number of entries")?,
            reader,
        })
    }

    /// The next entry, in tar order.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, StoredError> {
        let Some(left) = self.left.checked_sub(1) else {
            self.reader.end()?;
            return Ok(None);
        };
        self.left = left;
        Ok(Some(read_entry(&mut self.reader)?))
    }
}

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
        for list in [&self.whiteouts, &self.opaque] {
            writer.u64(list.len() as u64);
            list.iter().for_each(|path| writer.text(path));
        }
        writer.u64(self.entries.len() as u64);
        for entry in self.entries {
            write_entry(&mut writer, &entry);
            out.write_all(writer.drain().as_ref())?;
        }
        out.write_all(writer.drain().as_ref())?;
        out.finish()
    }
}

pub(super) fn write_entry(out: &mut Writer, entry: &Entry) {
    out.text(&entry.path);
    out.u64(entry.size);
    for number in [entry.mode, entry.owner.0, entry.owner.1] {
        out.u64(u64::from(number));
    }
    out.byte(entry.media.0);
    out.flag(entry.digest.is_some());
    if let Some(digest) = &entry.digest {
        out.digest(digest);
    }
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
    write_content(out, entry.content.as_deref());
}

pub(super) fn write_content(out: &mut Writer, content: Option<&Content>) {
    match content {
        None => out.byte(0),
        Some(Content::Text(text)) => {
            out.byte(1);
            out.bytes(&text.bytes());
        }
        Some(Content::Executable(facts)) => {
            out.byte(2);
            write_facts(out, facts);
        }
        Some(Content::Extract(bytes)) => {
            out.byte(3);
            out.bytes(bytes);
        }
        Some(Content::Unreadable(reason)) => {
            out.byte(4);
            out.text(reason);
        }
    }
}

fn write_facts(out: &mut Writer, facts: &Facts) {
    out.flag(facts.go.is_some());
    if let Some(go) = &facts.go {
        out.text(&go.compiler);
        out.text(&go.modules);
        out.text(&go.machine);
    }
    out.flag(facts.audit.is_some());
    if let Some(audit) = &facts.audit {
        out.bytes(audit);
    }
    out.flag(facts.note.is_some());
    if let Some(note) = &facts.note {
        out.bytes(note);
    }
    out.flag(facts.resources.is_some());
    if let Some(resources) = &facts.resources {
        out.flag(resources.managed);
        out.u64(resources.texts.len() as u64);
        for (key, value) in &resources.texts {
            out.text(key);
            out.text(value);
        }
    }
    out.u64(facts.signatures.len() as u64);
    for signature in &facts.signatures {
        out.text(&signature.program);
        out.text(&signature.version);
        out.flag(signature.in_library);
    }
}

pub(super) fn read_entry<R: Read>(reader: &mut Reader<R>) -> Result<Entry, CodecError> {
    let path = reader.text(MAX_PATH, "a path")?;
    let size = reader.u64("a size")?;
    let mode = number(reader, "a mode")?;
    let owner = (number(reader, "an owner")?, number(reader, "a group")?);
    let media = Media(reader.byte("a kind of content")?);
    let digest = reader.flag()?.then(|| reader.digest()).transpose()?;
    let at = reader.at();
    let kind = match reader.byte("the kind of an entry")? {
        0 => NodeKind::Directory,
        1 => NodeKind::File,
        2 => NodeKind::Symlink(reader.text(MAX_PATH, "a link target")?),
        3 => NodeKind::Hardlink(reader.text(MAX_PATH, "a link target")?),
        4 => NodeKind::Other,
        _ => return Err(CodecError::malformed(at, "a kind from 0 to 4")),
    };
    let content = read_content(reader)?;
    Ok(Entry {
        path,
        size,
        mode,
        owner,
        media,
        digest,
        kind,
        content: content.map(Arc::new),
    })
}

pub(super) fn read_content<R: Read>(reader: &mut Reader<R>) -> Result<Option<Content>, CodecError> {
    let at = reader.at();
    Ok(match reader.byte("the kind of a content")? {
        0 => None,
        1 => Some(Content::Text(Text::new(
            reader.bytes(MAX_PIECE, "a content")?,
        ))),
        2 => Some(Content::Executable(read_facts(reader)?)),
        3 => Some(Content::Extract(reader.bytes(MAX_PIECE, "an extract")?)),
        4 => Some(Content::Unreadable(reader.text(MAX_PATH, "a reason")?)),
        _ => return Err(CodecError::malformed(at, "a kind from 0 to 4")),
    })
}

fn number<R: Read>(reader: &mut Reader<R>, what: &'static str) -> Result<u32, CodecError> {
    let at = reader.at();
    u32::try_from(reader.u64(what)?).map_err(|_| CodecError::malformed(at, what))
}

fn read_facts<R: Read>(reader: &mut Reader<R>) -> Result<Facts, CodecError> {
    let mut facts = Facts::default();
    if reader.flag()? {
        facts.go = Some(Go {
            compiler: reader.text(MAX_PIECE, "a version of Go")?,
            modules: reader.text(MAX_PIECE, "build information of Go")?,
            machine: reader.text(MAX_PATH, "a processor")?,
        });
    }
    if reader.flag()? {
        facts.audit = Some(reader.bytes(MAX_PIECE, "audit data of Rust")?);
    }
    if reader.flag()? {
        facts.note = Some(reader.bytes(MAX_PIECE, "a note about a package")?);
    }
    if reader.flag()? {
        facts.resources = Some(Resources {
            managed: reader.flag()?,
            texts: reader.list(|reader| {
                let key = reader.text(MAX_PATH, "the name of a resource")?;
                Ok((key, reader.text(MAX_PATH, "a resource")?))
            })?,
        });
    }
    facts.signatures = reader.list(|reader| {
        Ok(Signature {
            program: reader.text(MAX_PATH, "the id of a program")?,
            version: reader.text(MAX_PATH, "a version")?,
            in_library: reader.flag()?,
        })
    })?;
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::catalog::wanted_of_images as wanted;
    use crate::sbom::layer::{scan, tar_of};

    fn load(stored: &[u8]) -> Result<LayerScan, StoredError> {
        let mut stored = StoredScan::open(stored)?;
        let mut entries = Vec::new();
        while let Some(entry) = stored.next_entry()? {
            entries.push(entry);
        }
        Ok(LayerScan {
            diff_id: stored.diff_id,
            entries,
            whiteouts: stored.whiteouts,
            opaque: stored.opaque,
            file_bytes: stored.file_bytes,
        })
    }

    #[test]
    fn a_scan_survives_a_round_trip() {
        let tar = tar_of(&[
            ("var/lib/dpkg/status", b"Package: a\n"),
            ("l -> var", b""),
            ("h == var/lib/dpkg/status", b""),
            ("d/.wh.gone", b""),
        ]);
        let found = scan(&tar[..], wanted, &crate::sbom::body::in_memory).unwrap();
        let shown = format!("{found:?}");
        let stored = found.store(Vec::new()).unwrap();
        let again = load(&stored).unwrap();
        assert_eq!(shown, format!("{again:?}"));
    }

    #[test]
    fn cut_and_altered_scans_are_refused() {
        let tar = tar_of(&[("var/lib/dpkg/status", b"Package: a\n")]);
        let stored = scan(&tar[..], wanted, &crate::sbom::body::in_memory)
            .unwrap()
            .store(Vec::new())
            .unwrap();
        let plain = zstd::decode_all(&stored[..]).unwrap();
        let packed = |plain: &[u8]| load(&zstd::encode_all(plain, 1).unwrap());
        assert!(packed(&plain).is_ok());
        for end in 0..plain.len() {
            assert!(packed(&plain[..end]).is_err(), "{end}");
        }
        assert!(packed(&[&plain[..], b"x"].concat()).is_err());
        assert!(load(&stored[..stored.len() - 1]).is_err());
    }
}
