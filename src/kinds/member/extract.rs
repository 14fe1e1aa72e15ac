//! Extracts one file or folder from an archive: `extractPath` of a file.
//!
//! The first bytes identify the format of the archive. Nothing is unpacked to disk: the
//! member is streamed from one archive to another. Source: docs/spec/package.md, "Parts
//! of a component", "Limits".
//!
//! The author of the archive is not trusted. The size of the archive limits what it
//! unpacks to, and a name that occurs twice, or is below a file or a link, is
//! refused.

mod zipped;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::action::Output;
use crate::archive::{
    Bounded, Compression, Growth, SafePath, TarError, TarKind, TarReader, TarWriter, is_tar,
};
use crate::cas::{Cas, CasError};
use crate::ground::{failures, of_cas, of_io};
use crate::kinds::TREE;

/// The name of an output that is a single file.
const FILE: &str = "file";

/// Prefix of the entries in the tar of a folder.
const TOP: &str = "folder";

/// Maximum number of extracted entries: two hundred thousand. Each is a separate blob.
const MAX_TAKEN: usize = 200_000;

/// Maximum size of the names and link targets held in memory, with [`ENTRY_COST`] for each.
const MAX_NAME_BYTES: usize = 64 << 20;

/// Memory that an entry takes in addition to its texts, in bytes.
const ENTRY_COST: usize = 200;

/// Why nothing was extracted.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The archive format is unknown.
    #[error(
        "`{0}` is not a supported archive: expected tar, tar.gz, tar.xz, tar.bz2, tar.zst or zip"
    )]
    Form(String),
    /// The archive does not contain it.
    #[error(
        "`{archive}` does not contain `{wanted}`: correct `extractPath`; its first entries are {seen}"
    )]
    Absent {
        archive: String,
        wanted: String,
        /// The first names in the archive.
        seen: String,
    },
    /// An entry cannot be extracted.
    #[error("cannot extract `{entry}` from `{archive}`: it is {what}")]
    Foreign {
        archive: String,
        entry: String,
        what: &'static str,
    },
    /// A hard link whose file is not extracted.
    #[error(
        "cannot extract `{entry}` from `{archive}`: it is a hard link to `{first}`: name that, or a folder with both"
    )]
    SecondName {
        archive: String,
        entry: String,
        first: String,
    },
    /// Its unpacked size exceeds the limit.
    #[error(
        "`{archive}` unpacks to more than {limit} bytes, which is suspicious for its size: to accept it, pass --max-content-size"
    )]
    TooLarge {
        archive: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Too many entries, or names that are too long, to hold in memory.
    #[error("`{0}` has too many entries, or entries whose names are too long, below `extractPath`")]
    TooMany(String),
    /// The archive cannot be read.
    #[error("`{archive}` cannot be read")]
    Io { archive: String, source: io::Error },
    /// The result cannot be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// Extracts `wanted` from the archive `content`, which messages call `name`: a file as
/// a blob, or a folder as a tar of its content.
///
/// `limit` is the maximum unpacked size of the archive, in bytes; without it, the
/// limit depends on the archive's size.
///
/// # Errors
///
/// `MemberError`
pub fn extract_member(
    cas: &Cas,
    name: &str,
    mut content: impl Read + Seek,
    wanted: &str,
    limit: Option<u64>,
) -> Result<Output, MemberError> {
    let io = |source| MemberError::Io {
        archive: name.to_owned(),
        source,
    };
    let size = content.seek(SeekFrom::End(0)).map_err(io)?;
    content.rewind().map_err(io)?;
    let limit = limit.unwrap_or_else(|| Growth::EXTRACTED.of(size));
    let mut content = BufReader::with_capacity(1 << 17, content);
    let magic = content.fill_buf().map_err(io)?;
    let plain: Box<dyn Read> = if let Some(compression) = Compression::of(magic) {
        compression.decode(content).map_err(io)?
    } else if is_tar(magic) {
        Box::new(content)
    } else if magic.starts_with(b"PK\x03\x04") {
        let taking = Taking::new(cas, name, wanted, limit);
        return zipped::extract(taking, content);
    } else {
        return Err(MemberError::Form(name.to_owned()));
    };
    let mut taking = Taking::new(cas, name, wanted, limit);
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::FileTooLarge => MemberError::TooLarge {
            archive: name.to_owned(),
            limit,
        },
        _ => io(source),
    };
    let mut tar = TarReader::new(Bounded::new(plain, limit));
    while let Some(entry) = tar.next().map_err(read)? {
        match entry.kind {
            // Before a byte of it is read.
            TarKind::File => taking.fits(entry.offset.saturating_add(entry.size))?,
            TarKind::Global => continue,
            _ => {}
        }
        let Some(below) = taking.below(&entry.name)? else {
            continue;
        };
        match entry.kind {
            TarKind::Directory => taking.folder(below)?,
            TarKind::File => {
                taking.file(below, entry.is_executable(), entry.size, &mut tar, &read)?;
            }
            TarKind::Symlink => taking.link(below, &entry.link)?,
            TarKind::Hardlink => taking.again(below, &entry.link, entry.is_executable())?,
            _ => {
                let what = "neither a file, a folder nor a symbolic link";
                return Err(taking.foreign(&entry.name, what));
            }
        }
    }
    taking.finish()
}

/// The place of an entry that is extracted.
enum Below {
    /// It is the wanted entry itself.
    Itself,
    /// It has this path in the wanted folder.
    At(String),
}

/// What is being extracted: a folder, written as a tar, or a single file.
struct Taking<'t> {
    cas: &'t Cas,
    archive: &'t str,
    wanted: &'t str,
    limit: u64,
    seen: Vec<String>,
    single: Option<Output>,
    /// Entries of a folder by path: archives may hold them in any order.
    entries: BTreeMap<String, Piece>,
    /// Memory for their names and targets, overhead included.
    name_bytes: usize,
    taken: usize,
}

enum Piece {
    Folder,
    Link(String),
    File { executable: bool, content: Output },
}

impl<'t> Taking<'t> {
    fn new(cas: &'t Cas, archive: &'t str, wanted: &'t str, limit: u64) -> Self {
        Self {
            cas,
            archive,
            wanted: wanted.trim_start_matches("./").trim_matches('/'),
            limit,
            seen: Vec::new(),
            single: None,
            entries: BTreeMap::new(),
            name_bytes: 0,
            taken: 0,
        }
    }

    /// Refuses an archive that unpacks to more `bytes` than the limit.
    fn fits(&self, bytes: u64) -> Result<(), MemberError> {
        match bytes > self.limit {
            true => Err(MemberError::TooLarge {
                archive: self.archive.to_owned(),
                limit: self.limit,
            }),
            false => Ok(()),
        }
    }

    fn foreign(&self, entry: &[u8], what: &'static str) -> MemberError {
        let entry: String = String::from_utf8_lossy(entry).chars().take(200).collect();
        MemberError::Foreign {
            archive: self.archive.to_owned(),
            entry: entry.escape_debug().to_string(),
            what,
        }
    }

    /// The place of the entry `name`; `None`: it is not extracted.
    fn below(&mut self, name: &[u8]) -> Result<Option<Below>, MemberError> {
        let text = String::from_utf8_lossy(name);
        let bare = text.trim_start_matches("./").trim_end_matches('/');
        if self.seen.len() < 5 && !bare.is_empty() {
            let shown: String = bare.chars().take(80).collect();
            self.seen.push(format!("`{}`", shown.escape_debug()));
        }
        // Every spelling of a path counts as that path.
        let path = match std::str::from_utf8(name).map(SafePath::parse) {
            Ok(Ok(path)) => path,
            _ if bare
                .strip_prefix(self.wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) =>
            {
                return Err(self.foreign(name, "outside its folder, or not a path"));
            }
            _ => return Ok(None),
        };
        let below = match path.as_str().strip_prefix(self.wanted) {
            Some("") => Below::Itself,
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) => Below::At(rest.to_owned()),
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        self.taken += 1;
        if self.taken > MAX_TAKEN {
            return Err(MemberError::TooMany(self.archive.to_owned()));
        }
        Ok(Some(below))
    }

    fn insert(&mut self, below: String, piece: Piece) -> Result<(), MemberError> {
        let target = match &piece {
            Piece::Link(target) => target.len(),
            Piece::Folder | Piece::File { .. } => 0,
        };
        self.hold(below.len() + target)?;
        let folder = matches!(piece, Piece::Folder);
        let name = format!("{}/{below}", self.wanted);
        match self.entries.insert(below, piece) {
            None => Ok(()),
            Some(Piece::Folder) if folder => Ok(()),
            Some(_) => Err(self.foreign(name.as_bytes(), "in the archive twice")),
        }
    }

    /// Counts an entry that is held.
    fn hold(&mut self, bytes: usize) -> Result<(), MemberError> {
        self.name_bytes += bytes + ENTRY_COST;
        match self.name_bytes > MAX_NAME_BYTES {
            true => Err(MemberError::TooMany(self.archive.to_owned())),
            false => Ok(()),
        }
    }

    fn folder(&mut self, below: Below) -> Result<(), MemberError> {
        match below {
            Below::Itself => Ok(()),
            Below::At(below) => self.insert(below, Piece::Folder),
        }
    }

    fn link(&mut self, below: Below, target: &[u8]) -> Result<(), MemberError> {
        let Below::At(below) = below else {
            let what = "a symbolic link; name its target instead";
            return Err(self.foreign(self.wanted.as_bytes(), what));
        };
        let text = String::from_utf8(target.to_vec()).ok();
        match text.filter(|text| !text.is_empty() && !text.contains('\0')) {
            Some(target) => self.insert(below, Piece::Link(target)),
            None => Err(self.foreign(below.as_bytes(), "a link without a valid target")),
        }
    }

    /// A second name of a file that came before it, as tars hold it.
    fn again(&mut self, below: Below, target: &[u8], executable: bool) -> Result<(), MemberError> {
        let first = std::str::from_utf8(target).map(SafePath::parse);
        let first = first.ok().and_then(Result::ok);
        let inside = first.as_ref().and_then(|first| {
            let rest = first.as_str().strip_prefix(self.wanted)?;
            rest.strip_prefix('/')
        });
        let found = inside.and_then(|inside| self.entries.get(inside));
        let (below, content) = match (below, found) {
            (Below::At(below), Some(Piece::File { content, .. })) => (below, content.clone()),
            (below, _) => {
                let first = String::from_utf8_lossy(target);
                let first: String = first.chars().take(200).collect();
                return Err(MemberError::SecondName {
                    archive: self.archive.to_owned(),
                    entry: match &below {
                        Below::Itself => self.wanted.to_owned(),
                        Below::At(below) => format!("{}/{below}", self.wanted),
                    },
                    first: first.escape_debug().to_string(),
                });
            }
        };
        let piece = Piece::File {
            executable,
            content,
        };
        self.insert(below, piece)
    }

    /// Extracts a file of exactly `size` bytes.
    fn file(
        &mut self,
        below: Below,
        executable: bool,
        size: u64,
        content: &mut dyn Read,
        failed: &dyn Fn(io::Error) -> MemberError,
    ) -> Result<(), MemberError> {
        let mut ingest = self.cas.ingest()?;
        let most = size.saturating_add(1);
        let copied = io::copy(&mut content.take(most), &mut ingest).map_err(failed)?;
        if copied < size {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        if copied > size {
            let name = match &below {
                Below::Itself => self.wanted.to_owned(),
                Below::At(below) => format!("{}/{below}", self.wanted),
            };
            return Err(self.foreign(name.as_bytes(), "longer than the archive says"));
        }
        let content = ingest.output(FILE)?;
        let Below::At(below) = below else {
            return match self.single.replace(content) {
                None => Ok(()),
                Some(_) => Err(self.foreign(self.wanted.as_bytes(), "in the archive twice")),
            };
        };
        self.insert(
            below,
            Piece::File {
                executable,
                content,
            },
        )
    }

    fn finish(mut self) -> Result<Output, MemberError> {
        if let Some(single) = self.single.take() {
            return match self.entries.keys().next() {
                None => Ok(single),
                Some(other) => Err(self.foreign(other.as_bytes(), "below a file")),
            };
        }
        if self.entries.is_empty() {
            return Err(MemberError::Absent {
                archive: self.archive.to_owned(),
                wanted: self.wanted.to_owned(),
                seen: self.seen.join(", "),
            });
        }
        self.add_folders()?;
        let mut tar = TarWriter::new(self.cas.ingest()?);
        tar.directory(TOP, 0o755)?;
        for (path, piece) in &self.entries {
            let path = format!("{TOP}/{path}");
            match piece {
                Piece::Folder => tar.directory(&path, 0o755)?,
                Piece::Link(target) => tar.symlink(&path, target)?,
                Piece::File {
                    executable,
                    content,
                } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let mut blob = self.cas.open_blob(&content.digest)?;
                    tar.file(&path, mode, content.size, &mut blob)?;
                }
            }
        }
        Ok(tar.finish()?.output(TREE)?)
    }

    /// Adds the folders that the archive omits, and refuses entries below anything
    /// else.
    fn add_folders(&mut self) -> Result<(), MemberError> {
        let paths: Vec<String> = self.entries.keys().cloned().collect();
        for path in paths {
            // From the bottom up, as far as a folder is known already.
            for (at, _) in path.rmatch_indices('/') {
                match self.entries.get(&path[..at]) {
                    Some(Piece::Folder) => break,
                    Some(_) => {
                        return Err(self.foreign(path.as_bytes(), "below a file or a link"));
                    }
                    None => {
                        self.hold(at)?;
                        self.entries.insert(path[..at].to_owned(), Piece::Folder);
                    }
                }
            }
        }
        Ok(())
    }
}

failures! {
    MemberError: |error| match error {
        MemberError::Cas(error) => of_cas(error),
        MemberError::Io { source, .. } => of_io(source),
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
