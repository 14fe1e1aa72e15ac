//! Extracts one file or folder from an archive: `extractPath` of a file.
//!
//! The first bytes identify the format of the archive. Nothing is unpacked to disk: the
//! member is streamed from one archive to another. Source: docs/spec/package.md, "Parts
//! of a component".

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::action::Output;
use crate::archive::{Compression, SafePath, TarError, TarKind, TarReader, TarWriter, is_tar};
use crate::cas::{Cas, CasError};
use crate::ground::{failures, of_cas, of_io};
use crate::kinds::TREE;

/// The name of an output that is a single file.
const FILE: &str = "file";

/// Prefix of the entries in the tar of a folder.
const TOP: &str = "folder";

/// Maximum number of entries to read; each costs a header.
const MAX_ENTRIES: usize = 2_000_000;

/// Maximum size of an extracted file or folder, in bytes: 64 GiB, against decompression
/// bombs.
const MAX_BYTES: u64 = 64 << 30;

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
    #[error("`{0}` exceeds the limit for extraction")]
    TooLarge(String),
    /// The archive cannot be read.
    #[error("`{archive}` cannot be read: {source}")]
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
/// # Errors
///
/// [`MemberError`]
pub fn extract_member(
    cas: &Cas,
    name: &str,
    content: impl Read + Seek,
    wanted: &str,
) -> Result<Output, MemberError> {
    let io = |source| MemberError::Io {
        archive: name.to_owned(),
        source,
    };
    let mut content = BufReader::with_capacity(1 << 17, content);
    let magic = content.fill_buf().map_err(io)?;
    let plain: Box<dyn Read> = if let Some(compression) = Compression::of(magic) {
        compression.decode(content).map_err(io)?
    } else if is_tar(magic) {
        Box::new(content)
    } else if magic.starts_with(b"PK\x03\x04") {
        content.seek(SeekFrom::Start(0)).map_err(io)?;
        return zip_member(cas, name, content, wanted);
    } else {
        return Err(MemberError::Form(name.to_owned()));
    };
    let wanted = wanted.trim_start_matches("./").trim_matches('/');
    let mut taking = Taking::new(cas, name, wanted);
    let mut tar = TarReader::new(plain);
    while let Some(entry) = tar.next().map_err(io)? {
        let path = entry.name_lossy();
        let Some(below) = taking.below(&path) else {
            continue;
        };
        match entry.kind {
            TarKind::Directory => taking.folder(&below)?,
            TarKind::File => taking.file(&below, entry.is_executable(), entry.size, &mut tar)?,
            TarKind::Symlink => taking.link(&below, &entry.link_lossy())?,
            _ => {
                return Err(MemberError::Foreign {
                    archive: name.to_owned(),
                    entry: path,
                    what: "neither a file, a folder nor a symbolic link",
                });
            }
        }
    }
    taking.finish()
}

/// The extraction in progress: a tar of entries, or a single file.
struct Taking<'t> {
    cas: &'t Cas,
    archive: &'t str,
    wanted: &'t str,
    seen: Vec<String>,
    single: Option<Output>,
    /// Entries of a folder by path, because archives may have them in any order.
    entries: std::collections::BTreeMap<String, Piece>,
    bytes: u64,
}

enum Piece {
    Folder,
    Link(String),
    File { executable: bool, content: Output },
}

impl<'t> Taking<'t> {
    fn new(cas: &'t Cas, archive: &'t str, wanted: &'t str) -> Self {
        Self {
            cas,
            archive,
            wanted,
            seen: Vec::new(),
            single: None,
            entries: Default::default(),
            bytes: 0,
        }
    }

    /// The path relative to the requested one, empty for itself; `None`: it is
    /// elsewhere.
    fn below(&mut self, path: &str) -> Option<String> {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        if self.seen.len() < 5 && !path.is_empty() {
            self.seen
                .push(format!("`{}`", path.chars().take(80).collect::<String>()));
        }
        let below = path.strip_prefix(self.wanted)?;
        match below.strip_prefix('/') {
            Some(below) => Some(below.to_owned()),
            None if below.is_empty() => Some(String::new()),
            None => None,
        }
    }

    fn insert(&mut self, below: &str, piece: Piece) -> Result<(), MemberError> {
        let foreign = |what| MemberError::Foreign {
            archive: self.archive.to_owned(),
            entry: format!("{}/{below}", self.wanted),
            what,
        };
        SafePath::parse(below).map_err(|_| foreign("outside its folder"))?;
        let folder = matches!(piece, Piece::Folder);
        match self.entries.insert(below.to_owned(), piece) {
            None => Ok(()),
            Some(Piece::Folder) if folder => Ok(()),
            Some(_) => Err(foreign("in the archive twice")),
        }
    }

    fn folder(&mut self, below: &str) -> Result<(), MemberError> {
        if below.is_empty() {
            return Ok(());
        }
        self.insert(below, Piece::Folder)
    }

    fn link(&mut self, below: &str, target: &str) -> Result<(), MemberError> {
        if below.is_empty() {
            return Err(MemberError::Foreign {
                archive: self.archive.to_owned(),
                entry: self.wanted.to_owned(),
                what: "a symbolic link; name its target instead",
            });
        }
        self.insert(below, Piece::Link(target.to_owned()))
    }

    fn file(
        &mut self,
        below: &str,
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), MemberError> {
        let io = |source| MemberError::Io {
            archive: self.archive.to_owned(),
            source,
        };
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            return Err(MemberError::TooLarge(self.archive.to_owned()));
        }
        let mut ingest = self.cas.ingest()?;
        let copied = io::copy(&mut content.take(size), &mut ingest).map_err(io)?;
        if copied != size {
            return Err(io(io::ErrorKind::UnexpectedEof.into()));
        }
        let content = ingest.output(FILE)?;
        if below.is_empty() {
            self.single = Some(content);
            return Ok(());
        }
        self.insert(
            below,
            Piece::File {
                executable,
                content,
            },
        )
    }

    fn finish(mut self) -> Result<Output, MemberError> {
        if let Some(single) = self.single {
            return Ok(single);
        }
        if self.entries.is_empty() {
            return Err(MemberError::Absent {
                archive: self.archive.to_owned(),
                wanted: self.wanted.to_owned(),
                seen: self.seen.join(", "),
            });
        }
        // Archives may omit folders.
        let paths: Vec<String> = self.entries.keys().cloned().collect();
        for path in paths {
            for (at, _) in path.match_indices('/') {
                let above = self.entries.entry(path[..at].to_owned());
                above.or_insert(Piece::Folder);
            }
        }
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
}

fn zip_member(
    cas: &Cas,
    name: &str,
    content: impl Read + Seek,
    wanted: &str,
) -> Result<Output, MemberError> {
    let io = |source: io::Error| MemberError::Io {
        archive: name.to_owned(),
        source,
    };
    let mut archive = zip::ZipArchive::new(content).map_err(|error| io(io::Error::other(error)))?;
    if archive.len() > MAX_ENTRIES {
        return Err(MemberError::TooLarge(name.to_owned()));
    }
    let wanted = wanted.trim_start_matches("./").trim_matches('/');
    let mut taking = Taking::new(cas, name, wanted);
    for index in 0..archive.len() {
        let mut entry = archive
            .by_index(index)
            .map_err(|error| io(io::Error::other(error)))?;
        let path = entry
            .name()
            .map_err(|error| io(io::Error::other(error)))?
            .into_owned();
        let Some(below) = taking.below(&path) else {
            continue;
        };
        let mode = entry.unix_mode().unwrap_or(0o644);
        let size = entry.size();
        if entry.is_dir() {
            taking.folder(&below)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry)
                .take(4096)
                .read_to_string(&mut target)
                .map_err(io)?;
            taking.link(&below, &target)?;
        } else {
            taking.file(&below, mode & 0o100 != 0, size, &mut entry)?;
        }
    }
    taking.finish()
}

failures! {
    MemberError: |error| match error {
        MemberError::Cas(error) => of_cas(error),
        MemberError::Io { source, .. } => of_io(source),
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn bzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, text) in entries {
            let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
            writer.start_file(*name, options).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    const ENTRIES: &[(&str, &str)] = &[("./d/b/tool", "tool"), ("d/a", "a"), ("dx", "no")];

    #[test]
    fn a_file_or_a_folder_is_extracted_from_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let tar = tar_of(ENTRIES);
        let zst = zstd::encode_all(&tar[..], 1).unwrap();
        let mut folders = Vec::new();
        for bytes in [gzip(&tar), xz(&tar), bzip(&tar), zst, zip(ENTRIES), tar] {
            let take = |wanted| extract_member(&cas, "x", io::Cursor::new(&bytes), wanted);
            let one = take("d/b/tool").unwrap();
            assert_eq!((one.name.as_str(), one.size), (FILE, 4));
            let folder = take("d/").unwrap();
            assert_eq!(folder.name, TREE);
            folders.push(folder.digest);
            let absent = take("e").unwrap_err().to_string();
            assert!(absent.contains("`d/b/tool`"), "{absent}");
        }
        folders.dedup();
        assert_eq!(folders.len(), 1, "the same folder, whatever held it");
        let odd = extract_member(&cas, "x", io::Cursor::new(b"text"), "d");
        assert!(matches!(odd, Err(MemberError::Form(_))));
    }

    #[test]
    fn entries_that_lead_out_or_are_duplicated_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        for entries in [&[("d/../../x", "")][..], &[("d/a", "1"), ("d/a", "2")]] {
            let bytes = tar_of(entries);
            let taken = extract_member(&cas, "x", io::Cursor::new(&bytes), "d");
            assert!(
                matches!(taken, Err(MemberError::Foreign { .. })),
                "{entries:?}"
            );
        }
    }
}
