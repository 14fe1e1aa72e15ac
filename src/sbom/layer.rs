//! One layer: an uncompressed tar read once, front to back.
//!
//! Sits between the stores, which bring the bytes, and `squash`, which stacks
//! layers. Keeps the paths, deletions, the files that cataloguers read, and facts
//! of executables. Never keeps any other content.

use std::io::{self, Read};
use std::sync::Arc;

use super::binary::{self, Facts};
use super::body::{Body, PutAside};
pub use super::budget::LayerError;
use super::budget::{HELD_BYTES, Memory};
use super::media::{self, Media};
use super::programs;
use crate::archive::{TarKind, TarReader};
use crate::oci::{Digest, Hasher};

/// Longest executable held in memory, in bytes: 16 MiB, because several layers are
/// scanned at the same time. Larger ones are put aside.
const WHOLE_BINARY: u64 = 16 << 20;

/// Memory for an entry in addition to its texts, in bytes.
const ENTRY_COST: usize = 168;

/// Shortest text that is held compressed, in bytes.
const PACKED_FROM: usize = 512;

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
    Text(Text),
    Executable(Facts),
    /// What a cataloguer took out of a file that is too large to keep.
    Extract(Vec<u8>),
    /// Why a file that a cataloguer wants could not be read.
    Unreadable(String),
}

impl Content {
    /// Approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.held.len(),
            Self::Executable(facts) => facts.size(),
            Self::Extract(bytes) => bytes.len(),
            Self::Unreadable(reason) => reason.len(),
        }
    }
}

/// A file that is held, compressed if that is worth it: lists of packages compress
/// several times, and an image has thousands.
#[derive(Clone, Debug)]
pub struct Text {
    held: Vec<u8>,
    packed: bool,
}

impl Text {
    /// Holds `bytes`.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        if bytes.len() >= PACKED_FROM
            && let Ok(packed) = zstd::bulk::compress(&bytes, 1)
            && packed.len() < bytes.len()
        {
            let (held, packed) = (packed, true);
            return Self { held, packed };
        }
        let (held, packed) = (bytes, false);
        Self { held, packed }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        if !self.packed {
            return self.held.clone();
        }
        // It was packed by this process.
        zstd::stream::decode_all(&self.held[..]).unwrap_or_default()
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
    /// The owner and its group, by number.
    pub owner: (u32, u32),
    /// What kind of content it has; only of regular files.
    pub media: Media,
    /// Digest of its content; absent if it is not a regular file, or is sparse.
    pub digest: Option<Digest>,
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
    /// Absent if the digest of the whole is of no use.
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

/// A file that is being read: its digest, and its first bytes, are taken from what
/// passes, so that it is read once.
struct Whole<R> {
    inner: R,
    hasher: Hasher,
    head: Vec<u8>,
}

impl<R: Read> Whole<R> {
    /// `head` is a buffer that is used again.
    fn new(inner: R, mut head: Vec<u8>) -> Self {
        head.clear();
        let hasher = Hasher::default();
        Self {
            inner,
            hasher,
            head,
        }
    }

    /// Reads what is left. `buffer` is one that is used again: most files are shorter than
    /// it, and would take longer to clear it than to read.
    fn finish(mut self, buffer: &mut [u8]) -> io::Result<(Media, Option<Digest>, Vec<u8>)> {
        while self.read(buffer)? > 0 {}
        let media = Media::of(&self.head);
        Ok((media, Some(self.hasher.finish()), self.head))
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let passed = &buffer[..count];
        self.hasher.update(passed);
        let missing = media::HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&passed[..count.min(missing)]);
        Ok(count)
    }
}

/// A file that is read front to back.
pub(super) trait Source: Read {
    /// The digest of what was read so far.
    fn digest(&self) -> Digest;
}

impl<R: Read> Source for Whole<R> {
    fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

#[cfg(test)]
impl Source for &[u8] {
    fn digest(&self) -> Digest {
        Digest::of(b"")
    }
}

/// What is kept of the file at a path; `None`: what executables carry, if it is one.
pub(super) type Wanted = fn(&str) -> Option<Keep>;

/// What is kept of a file.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// All of it.
    Whole(Most),
    /// What `extract` takes out of it.
    Extract { most: Most, extract: Extractor },
}

/// Takes what a cataloguer needs out of the file called `name`. Never fails: what is
/// damaged is [`Extracted::Unreadable`].
pub(super) type Extractor = fn(name: &str, body: &mut Body) -> Extracted;

/// The result of an [`Extractor`].
pub(super) enum Extracted {
    /// What to keep, in a form of the cataloguer's own.
    Facts(Vec<u8>),
    /// It is not a file of this kind.
    Nothing,
    /// It is one, and cannot be read for this reason.
    Unreadable(String),
}

/// The largest file that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Most {
    /// A larger one is an error: without it, nothing would be found.
    Refuse(u64),
    /// A larger one is skipped.
    Skip(u64),
}

/// Scans the uncompressed layer tar `input` to its end. Keeps of its files what is
/// `wanted`.
pub(super) fn scan(
    input: impl Read,
    wanted: Wanted,
    aside: PutAside<'_>,
) -> Result<LayerScan, LayerError> {
    scan_within(input, Keeper::new(wanted, aside), HELD_BYTES)
}

fn scan_within(
    input: impl Read,
    mut keeper: Keeper<'_>,
    bytes: usize,
) -> Result<LayerScan, LayerError> {
    let mut memory = Memory::new(bytes, "the layer has too many files or links");
    let mut entries = Vec::new();
    let mut scan = walk(
        input,
        |path, size, input| keeper.keep(path, size, input),
        |entry| {
            memory.take(entry.cost())?;
            entries.push(entry);
            Ok(())
        },
    )?;
    scan.entries = entries;
    Ok(scan)
}

/// As [`scan`]; `keep` returns the content to keep of a regular file, and `take` gets
/// every entry. The scan that is returned has none.
fn walk(
    input: impl Read,
    keep: impl FnMut(&str, u64, &mut dyn Source) -> Result<Option<Content>, LayerError>,
    take: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<LayerScan, LayerError> {
    walk_hashed(input, Some(Hasher::default()), keep, take)
}

/// Calls `take` with every entry of a tar that is no layer, with what `keep` returned.
pub(super) fn entries(
    input: impl Read,
    keep: impl FnMut(&str, u64, &mut dyn Source) -> Result<Option<Content>, LayerError>,
    take: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    walk_hashed(input, None, keep, take).map(drop)
}

fn walk_hashed(
    input: impl Read,
    hasher: Option<Hasher>,
    mut keep: impl FnMut(&str, u64, &mut dyn Source) -> Result<Option<Content>, LayerError>,
    mut take: impl FnMut(Entry) -> Result<(), LayerError>,
) -> Result<LayerScan, LayerError> {
    let mut tar = TarReader::new(Hashing {
        inner: input,
        hasher,
    });
    let mut deleted = Memory::new(DELETED_BYTES, "the layer deletes too many files");
    let (mut whiteouts, mut opaque, mut file_bytes) = (Vec::new(), Vec::new(), 0_u64);
    let (mut head, mut buffer) = (Vec::new(), vec![0; 32 << 10]);
    while let Some(found) = tar.next()? {
        let Some(path) = clean(&found.name_lossy()) else {
            continue;
        };
        let (parent, base) = path.rsplit_once('/').unwrap_or(("", &path));
        if base.starts_with(".wh.") {
            deleted.take(path.len() + ENTRY_COST)?;
        }
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
        let (size, mode, owner) = (found.size, found.mode, found.owner);
        let (mut content, mut media, mut digest) = (None, Media::default(), None);
        if kind == NodeKind::File {
            file_bytes = file_bytes.saturating_add(size);
            if found.kind == TarKind::File {
                let mut body = Whole::new(&mut tar, std::mem::take(&mut head));
                content = keep(&path, size, &mut body)?.map(Arc::new);
                (media, digest, head) = body.finish(&mut buffer)?;
            }
        }
        take(Entry {
            path,
            kind,
            size,
            mode,
            owner,
            media,
            digest,
            content,
        })?;
    }
    let mut rest = tar.into_inner().0;
    io::copy(&mut rest, &mut io::sink())?;
    Ok(LayerScan {
        diff_id: rest.hasher.unwrap_or_default().finish(),
        entries: Vec::new(),
        whiteouts,
        opaque,
        file_bytes,
    })
}

/// Maximum memory for the names of deleted files, in bytes: 16 MiB.
const DELETED_BYTES: usize = 16 << 20;

impl Entry {
    /// What holding it takes, in bytes.
    fn cost(&self) -> usize {
        let target = match &self.kind {
            NodeKind::Symlink(target) | NodeKind::Hardlink(target) => target.len(),
            NodeKind::Directory | NodeKind::File | NodeKind::Other => 0,
        };
        ENTRY_COST + self.path.len() + target + self.kept()
    }

    /// What holding its content takes, in bytes.
    pub(super) fn kept(&self) -> usize {
        self.content.as_deref().map_or(0, Content::size)
    }
}

/// Extracts the content that cataloguers want from one file after the other.
pub(super) struct Keeper<'a> {
    wanted: Wanted,
    aside: PutAside<'a>,
    /// Buffer for one executable, reused for the next.
    scratch: Vec<u8>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(wanted: Wanted, aside: PutAside<'a>) -> Self {
        Self {
            wanted,
            aside,
            scratch: Vec::new(),
        }
    }

    /// Whether to learn what to keep of a file that begins with `head` takes more than to
    /// read it.
    pub(super) fn is_costly(&self, path: &str, size: u64, head: &[u8]) -> bool {
        match (self.wanted)(path) {
            Some(Keep::Whole(_)) => false,
            Some(Keep::Extract {
                most: Most::Refuse(longest) | Most::Skip(longest),
                ..
            }) => size <= longest,
            None => {
                let name = path.rsplit('/').next().unwrap_or(path);
                size >= 64 && binary::is_executable(head) || !programs::named(name).is_empty()
            }
        }
    }

    /// The content to keep of one file. Reads no more than necessary.
    pub(super) fn keep(
        &mut self,
        path: &str,
        size: u64,
        input: &mut dyn Read,
    ) -> Result<Option<Content>, LayerError> {
        if let Some(keep) = (self.wanted)(path) {
            let (Keep::Whole(most) | Keep::Extract { most, .. }) = keep;
            let longest = match most {
                Most::Refuse(longest) if size > longest => {
                    return Err(LayerError::TooLarge("a database of packages is too large"));
                }
                Most::Skip(longest) if size > longest => {
                    let reason = format!("it is longer than {longest} bytes");
                    return Ok(Some(Content::Unreadable(reason)));
                }
                Most::Refuse(longest) | Most::Skip(longest) => longest,
            };
            let mut input = input.take(longest);
            return match keep {
                Keep::Whole(_) => {
                    let mut bytes = Vec::new();
                    input.read_to_end(&mut bytes)?;
                    Ok(Some(Content::Text(Text::new(bytes))))
                }
                Keep::Extract { extract, .. } => {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    Ok(
                        match extract(name, &mut Body::read(&mut input, size, self.aside)?) {
                            Extracted::Facts(facts) => Some(Content::Extract(facts)),
                            Extracted::Nothing => None,
                            Extracted::Unreadable(reason) => Some(Content::Unreadable(reason)),
                        },
                    )
                }
            };
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let programs = programs::named(name);
        if size < 64 && programs.is_empty() {
            return Ok(None);
        }
        let mut head = Vec::with_capacity(binary::HEAD_BYTES);
        input
            .take(binary::HEAD_BYTES as u64)
            .read_to_end(&mut head)?;
        let executable = binary::is_executable(&head);
        if !executable && programs.is_empty() {
            return Ok(None);
        }
        let mut search = programs::Search::new(name, programs);
        let mut whole = (&head[..]).chain(input);
        let mut facts = Facts::default();
        if size > WHOLE_BINARY {
            let mut body = Body::read(&mut whole, size, self.aside)?;
            if executable {
                facts = binary::facts_aside(&mut body)?;
            }
            search.look_in(&mut body)?;
        } else {
            self.scratch.clear();
            whole.take(WHOLE_BINARY).read_to_end(&mut self.scratch)?;
            if executable {
                facts = binary::facts(&self.scratch);
            }
            search.look(&self.scratch);
        }
        facts.signatures = search.finish();
        Ok((!facts.is_empty()).then_some(Content::Executable(facts)))
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
    use super::super::body::in_memory;
    use super::super::catalog::wanted_of_images as wanted;
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
        let scan = scan(&tar[..], wanted, &in_memory).unwrap();
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
        let scan = scan(cut, wanted, &in_memory).unwrap();
        assert_eq!((scan.entries.len(), scan.file_bytes), (1, 5000));
        assert_eq!(scan.diff_id, Digest::of(cut));
        assert!(super::scan(&whole[..3000], wanted, &in_memory).is_err());
    }

    #[test]
    fn a_broken_tar_is_an_error() {
        assert!(scan(&[7_u8; 600][..], wanted, &in_memory).is_err());
    }

    #[test]
    fn what_is_held_of_a_layer_is_bounded() {
        // Each list is small, and does not compress.
        let mut noise = 1_u32;
        let mut list = || {
            let mut next = || {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            };
            (0..100_000).map(|_| next()).collect::<Vec<u8>>()
        };
        let one = list();
        let entry = tar_of(&[("a/package.json", &one)]);
        let entry = &entry[..512 + one.len().next_multiple_of(512)];
        let many = entry.repeat(10);
        assert!(scan_within(&many[..], Keeper::new(wanted, &in_memory), 2 << 20).is_ok());
        let refused = scan_within(&many[..], Keeper::new(wanted, &in_memory), 999_000).unwrap_err();
        assert!(matches!(refused, LayerError::TooLarge(_)), "{refused}");
        let zeros = vec![b' '; (33 << 20) + 1];
        for (path, refused) in [("var/lib/dpkg/status", true), ("a/package.json", false)] {
            let scanned = scan(&tar_of(&[(path, &zeros)])[..], wanted, &in_memory);
            assert_eq!(scanned.is_err(), refused, "{path}");
        }
    }

    #[test]
    fn held_texts_come_back() {
        for text in [&b""[..], b"short", &b"long ".repeat(1000), &[255; 600]] {
            assert_eq!(Text::new(text.to_vec()).bytes(), text);
        }
        assert!(Text::new(vec![7; 100_000]).held.len() < 1000);
    }
}
