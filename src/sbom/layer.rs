//! One layer: an uncompressed tar read once, front to back.
//!
//! Sits between the stores, which bring the bytes, and `squash`, which stacks
//! layers. Keeps the paths, deletions, the files that cataloguers read, and facts
//! of executables. Never keeps any other content.

use std::io::{self, Read};
use std::sync::Arc;

use super::binary::{self, Facts};
use super::search;
use crate::archive::{TarKind, TarReader};
use crate::oci::{Digest, Hasher};

/// Longest database or manifest kept, in bytes: 64 MiB. Status files of full desktop
/// systems have 10 MB.
const TEXT_LIMIT: u64 = 64 << 20;
/// Longest executable held in memory, in bytes: 16 MiB, because several layers are
/// scanned at the same time. Larger ones are searched as streams.
const WHOLE_BINARY: u64 = 16 << 20;
/// Most bytes kept of one layer: 256 MiB, five times as much as in the largest
/// known images.
const KEPT_LIMIT: u64 = 256 << 20;
/// Most entries in one layer; the largest known images have under a million.
const ENTRY_LIMIT: usize = 4_000_000;

/// Why a layer cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The tar is damaged or its source failed.
    #[error("cannot read the layer's tar archive")]
    Read(#[from] io::Error),
    /// More entries than the limit.
    #[error("the layer has more than {ENTRY_LIMIT} entries")]
    TooMany,
    /// More kept bytes than the limit.
    #[error("the layer has more than {} MiB of package databases and manifests", KEPT_LIMIT >> 20)]
    TooMuch,
}

/// Type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Directory,
    File,
    /// A symbolic link with its target as written.
    Symlink(String),
    /// A hard link with its target, cleaned.
    Hardlink(String),
    /// A device, pipe or socket.
    Other,
}

/// The part of a regular file that is kept.
#[derive(Clone, Debug)]
pub enum Content {
    /// All bytes.
    Bytes(Vec<u8>),
    /// Facts of an executable.
    Executable(Facts),
}

impl Content {
    /// Approximate size in memory, in bytes.
    fn size(&self) -> u64 {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Executable(facts) => {
                let go = facts.go.as_ref().map_or(0, |(_, text)| text.len());
                go + facts.audit.as_ref().map_or(0, Vec::len)
            }
        };
        bytes as u64
    }
}

/// One entry of a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Cleaned path, no leading slash.
    pub path: String,
    /// Type of the entry.
    pub kind: NodeKind,
    /// Size in bytes.
    pub size: u64,
    pub mode: u32,
    /// Content, if a cataloguer wants it.
    pub content: Option<Arc<Content>>,
}

/// The result of reading one layer.
#[derive(Clone, Debug)]
pub struct LayerScan {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Entries in tar order.
    pub entries: Vec<Entry>,
    /// Paths of lower layers to delete.
    pub whiteouts: Vec<String>,
    /// Directories of lower layers to empty.
    pub opaque: Vec<String>,
    /// Sum of the sizes of regular files.
    pub file_bytes: u64,
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Scans the uncompressed layer tar `input` to its end. Keeps the whole content of
/// files whose path `is_wanted`.
pub(super) fn scan(input: impl Read, is_wanted: fn(&str) -> bool) -> Result<LayerScan, LayerError> {
    let mut keeper = Keeper::new(is_wanted);
    walk(input, |path, size, input| keeper.keep(path, size, input))
}

/// As [`scan`]; `keep` returns the content to keep of a regular file.
pub(super) fn walk(
    input: impl Read,
    mut keep: impl FnMut(&str, u64, &mut dyn Read) -> io::Result<Option<Content>>,
) -> Result<LayerScan, LayerError> {
    let mut tar = TarReader::new(Hashing {
        inner: input,
        hasher: Hasher::default(),
    });
    let mut entries = Vec::new();
    let mut kept = 0;
    let (mut whiteouts, mut opaque, mut file_bytes) = (Vec::new(), Vec::new(), 0_u64);
    while let Some(found) = tar.next()? {
        if entries.len() >= ENTRY_LIMIT {
            return Err(LayerError::TooMany);
        }
        let Some(path) = clean(&found.name_lossy()) else {
            continue;
        };
        let (parent, base) = path.rsplit_once('/').unwrap_or(("", &path));
        if base == ".wh..wh..opq" {
            opaque.push(parent.to_owned());
            continue;
        }
        if base.starts_with(".wh..wh.") {
            continue;
        }
        if let Some(gone) = base.strip_prefix(".wh.") {
            whiteouts.push(join(parent, gone));
            continue;
        }
        let kind = match found.kind {
            TarKind::Directory => NodeKind::Directory,
            TarKind::Symlink => NodeKind::Symlink(found.link_lossy()),
            TarKind::Hardlink => match clean(&found.link_lossy()) {
                Some(target) => NodeKind::Hardlink(target),
                None => continue,
            },
            TarKind::File | TarKind::Sparse => NodeKind::File,
            TarKind::Global => continue,
            TarKind::Special | TarKind::Unknown => NodeKind::Other,
        };
        let (size, mode) = (found.size, found.mode);
        let mut content = None;
        if kind == NodeKind::File {
            file_bytes = file_bytes.saturating_add(size);
            if found.kind == TarKind::File {
                content = keep(&path, size, &mut tar)?.map(Arc::new);
            }
            kept += content.as_deref().map_or(0, Content::size);
            if kept > KEPT_LIMIT {
                return Err(LayerError::TooMuch);
            }
        }
        entries.push(Entry {
            path,
            kind,
            size,
            mode,
            content,
        });
    }
    let mut rest = tar.into_inner().0;
    io::copy(&mut rest, &mut io::sink())?;
    Ok(LayerScan {
        diff_id: rest.hasher.finish(),
        entries,
        whiteouts,
        opaque,
        file_bytes,
    })
}

/// Extracts the content that cataloguers want from one file after the other.
pub(super) struct Keeper {
    /// Whether the whole file at a path is kept.
    is_wanted: fn(&str) -> bool,
    /// Buffer for one executable, reused for the next.
    scratch: Vec<u8>,
}

impl Keeper {
    pub(super) fn new(is_wanted: fn(&str) -> bool) -> Self {
        Self {
            is_wanted,
            scratch: Vec::new(),
        }
    }

    /// The content to keep of one file. Reads no more than necessary.
    pub(super) fn keep(
        &mut self,
        path: &str,
        size: u64,
        input: &mut dyn Read,
    ) -> io::Result<Option<Content>> {
        if (self.is_wanted)(path) {
            if size > TEXT_LIMIT {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            input.take(TEXT_LIMIT).read_to_end(&mut bytes)?;
            return Ok(Some(Content::Bytes(bytes)));
        }
        if size < 64 {
            return Ok(None);
        }
        let mut head = [0; binary::HEAD_BYTES];
        input.read_exact(&mut head)?;
        if !binary::is_executable(&head) {
            return Ok(None);
        }
        let mut whole = head.chain(input);
        if size > WHOLE_BINARY {
            return Ok(search::search(&mut whole)?.map(Content::Executable));
        }
        self.scratch.clear();
        whole.take(WHOLE_BINARY).read_to_end(&mut self.scratch)?;
        Ok(binary::facts(&self.scratch).map(Content::Executable))
    }
}

/// `path` without empty and `.` parts; `None` for the root and for any `..`.
pub(super) fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return None;
    }
    Some(parts.join("/"))
}

fn join(parent: &str, base: &str) -> String {
    if parent.is_empty() {
        base.to_owned()
    } else {
        format!("{parent}/{base}")
    }
}

/// Builds a tar for tests: a trailing slash is a directory, `-> ` a link.
#[cfg(test)]
pub(super) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        if let Some((path, target)) = path.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, path, target).unwrap();
        } else if let Some((path, target)) = path.split_once(" == ") {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, path, *data).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[cfg(test)]
mod tests {
    use super::super::catalog::is_wanted;
    use super::*;

    #[test]
    fn a_layer_is_read_once_and_named_by_its_bytes() {
        let tar = tar_of(&[
            ("var/lib/dpkg/status", b"Package: a\n"),
            ("etc/.wh.gone", b""),
            ("opt/.wh..wh..opq", b""),
            (".wh..wh.plnk", b""),
            ("other", b"zzz"),
        ]);
        let scan = scan(&tar[..], is_wanted).unwrap();
        assert_eq!(scan.diff_id, Digest::of(&tar));
        assert_eq!(scan.whiteouts, ["etc/gone"]);
        assert_eq!(scan.opaque, ["opt"]);
        assert_eq!(scan.entries.len(), 2);
        assert_eq!(scan.file_bytes, 14);
        assert!(scan.entries[0].content.is_some() && scan.entries[1].content.is_none());
    }

    #[test]
    fn a_tar_without_its_last_padding_and_end_is_whole_and_a_cut_one_is_not() {
        let whole = tar_of(&[("a", &[1; 5000])]);
        let cut = &whole[..512 + 5000];
        let scan = scan(cut, is_wanted).unwrap();
        assert_eq!((scan.entries.len(), scan.file_bytes), (1, 5000));
        assert_eq!(scan.diff_id, Digest::of(cut));
        assert!(super::scan(&whole[..3000], is_wanted).is_err());
    }

    #[test]
    fn a_broken_tar_is_an_error() {
        assert!(scan(&[7_u8; 600][..], is_wanted).is_err());
    }
}
