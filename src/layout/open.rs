//! Opens a package of any form, lists its files and reads single ones.

mod folder;
mod members;
mod noted;
mod older;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use self::members::Members;
use self::noted::Noted;
use super::LayoutError;
use super::bytes::{Framed, Joined};
use super::parts::{self, Parts};
use super::walk::{Walk, WalkError};
use crate::archive::{Compression, Growth, SeekTable, SeekableReader, Skip, Stream, Unzstd};
use crate::package::MAX_FILES;

pub use self::members::Member;

/// Maximum length of all paths, in bytes: 32 MiB.
const MAX_PATH_BYTES: usize = 32 << 20;

/// Largest file that is read whole, in bytes: 1 MiB.
const IN_MEMORY_BYTES: u64 = 1 << 20;

/// Magic number of skippable Zstandard frames, without the four variable bits; a stream
/// may begin with one.
const SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];

/// A package of a known form, unverified.
#[derive(Debug)]
pub struct PackageFile {
    path: PathBuf,
    form: Form,
    members: OnceLock<BTreeMap<String, Member>>,
    /// Its files in today's form, if it is from before v0.25.0.
    staged: Option<older::Staged>,
    /// The user's limit on the bytes of its files.
    limit: Option<u64>,
}

#[derive(Debug)]
enum Form {
    Folder,
    Archive(Archive),
}

#[derive(Debug)]
struct Archive {
    files: Arc<[(PathBuf, u64)]>,
    split: Option<Parts>,
    packing: Packing,
}

/// The compression of an archive.
#[derive(Debug)]
pub(super) enum Packing {
    /// Uncompressed.
    Plain,
    /// A single stream.
    Zstd,
    /// Frames with a seek table.
    Seekable(SeekTable),
}

/// Opens the package at `path`: a folder, a tar, a Zstandard tar, or any part of a
/// split one. The form is detected by content, and only parts by name.
///
/// Reads only a few bytes and the seek table.
///
/// # Errors
///
/// [`LayoutError`]: no such path, or a part is missing.
pub fn open(path: &Path) -> Result<PackageFile, LayoutError> {
    let opened = |form| PackageFile {
        path: path.to_owned(),
        form,
        members: OnceLock::new(),
        staged: None,
        limit: None,
    };
    let io = |error| LayoutError::io(path, error);
    let base = match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() => return Ok(opened(Form::Folder)),
        Ok(facts) if facts.is_file() => match parts::stem(path) {
            Some(base) => base,
            None => {
                let files = vec![(path.to_owned(), facts.len())].into();
                return Ok(opened(Form::Archive(archive(path, files, None)?)));
            }
        },
        Ok(_) => return Err(io(io::Error::other("expected a file or a folder"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match parts::stem(path) {
            Some(base) => base,
            None if parts::part(path, 0).is_file() => path.to_owned(),
            None => return Err(LayoutError::Absent(path.to_owned())),
        },
        Err(error) => return Err(io(error)),
    };
    let parts = parts::find(&base)?;
    let files = parts.files.clone().into();
    let archive = archive(path, files, Some(parts))?;
    Ok(opened(Form::Archive(archive)))
}

fn archive(
    path: &Path,
    files: Arc<[(PathBuf, u64)]>,
    split: Option<Parts>,
) -> Result<Archive, LayoutError> {
    let io = |error| LayoutError::io(path, error);
    let mut bytes = Joined::new(Arc::clone(&files));
    let mut magic = Vec::new();
    (&mut bytes).take(4).read_to_end(&mut magic).map_err(io)?;
    let skippable = magic.len() == 4 && magic[0] >> 4 == 5 && magic[1..] == SKIPPABLE_MAGIC;
    let packing = if Compression::of(&magic) != Some(Compression::Zstd) && !skippable {
        Packing::Plain
    } else {
        // Without a sound table the stream is read from its start.
        match SeekTable::read(&mut bytes) {
            Ok(table) if table.frame_count() > 0 => Packing::Seekable(table),
            _ => Packing::Zstd,
        }
    };
    Ok(Archive {
        files,
        split,
        packing,
    })
}

/// Where the files of a package are read.
enum Place<'p> {
    Folder(&'p Path),
    Archive(&'p Archive),
}

impl PackageFile {
    fn place(&self) -> Place<'_> {
        match (&self.staged, &self.form) {
            (Some(_), _) | (None, Form::Folder) => Place::Folder(self.root()),
            (None, Form::Archive(archive)) => Place::Archive(archive),
        }
    }

    /// The folder with its files, if they are in one.
    fn root(&self) -> &Path {
        self.staged.as_ref().map_or(&self.path, older::Staged::path)
    }

    /// The same package with a limit of `limit` bytes for all of its files, instead of
    /// the one derived from the archive's size.
    #[must_use]
    pub fn with_limit(self, limit: Option<u64>) -> Self {
        Self { limit, ..self }
    }

    /// Maximum total size of its files, in bytes. Uncompressed content is limited by
    /// the size of the archive.
    fn most(&self) -> u64 {
        let Form::Archive(archive) = &self.form else {
            return u64::MAX;
        };
        let bytes: u64 = archive.files.iter().map(|(_, len)| len).sum();
        let allowed = Growth::PACKAGE.of(bytes);
        self.limit.unwrap_or(match archive.packing {
            Packing::Plain => u64::MAX,
            _ => allowed,
        })
    }

    fn bounded(&self, total: &mut u64, size: u64) -> Result<(), LayoutError> {
        *total = total.saturating_add(size);
        let most = self.most();
        if *total <= most {
            return Ok(());
        }
        let what = format!(
            "its files have more than {most} bytes, which is suspicious for its size: to accept it, pass --max-content-size"
        );
        Err(LayoutError::too_large(&self.path, what))
    }

    /// The mode for a file that is made of it: for those who may read it whole, less the
    /// user's umask.
    #[must_use]
    pub fn mode(&self) -> u32 {
        let read = |path: &Path| fs::metadata(path).map_or(0, |facts| facts.mode());
        let all = match &self.form {
            Form::Archive(archive) => {
                let modes = archive.files.iter().map(|(path, _)| read(path));
                modes.fold(0o644, |all, mode| all & mode)
            }
            Form::Folder => read(&self.path),
        };
        0o600 | all & 0o044
    }

    /// Its path, as given to [`open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file can be read without reading those before it.
    #[must_use]
    pub fn is_seekable(&self) -> bool {
        !matches!(
            self.place(),
            Place::Archive(Archive {
                packing: Packing::Zstd,
                ..
            })
        )
    }

    /// Whether it is an archive, not a folder.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        matches!(self.form, Form::Archive(_))
    }

    /// Whether it was split into parts.
    #[must_use]
    pub fn is_split(&self) -> bool {
        matches!(&self.form, Form::Archive(archive) if archive.split.is_some())
    }

    /// Whether it is a compressed archive.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.packing()
            .is_some_and(|packing| !matches!(packing, Packing::Plain))
    }

    /// The compression of the archive; `None` for a folder.
    pub(super) fn packing(&self) -> Option<&Packing> {
        match &self.form {
            Form::Folder => None,
            Form::Archive(archive) => Some(&archive.packing),
        }
    }

    /// The bytes of the whole archive; `None` for a folder.
    pub(super) fn bytes(&self) -> Option<Joined> {
        match &self.form {
            Form::Folder => None,
            Form::Archive(archive) => Some(Joined::new(Arc::clone(&archive.files))),
        }
    }

    /// Writes the archive unchanged as a single file.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: it cannot be read, or `out` failed; or it is a folder.
    pub fn copy_to(&self, out: &mut impl Write) -> Result<(), LayoutError> {
        let io = |error| LayoutError::io(&self.path, error);
        let folder = || io::Error::other("expected an archive, found a folder");
        let mut bytes = self.bytes().ok_or_else(folder).map_err(io)?;
        io::copy(&mut bytes, out).map(drop).map_err(io)
    }

    /// Lengths of the stretches of the archive, in order: frames, or files and the gaps
    /// between them, without the bytes after the last one. `None` for a folder or a
    /// single stream.
    pub(super) fn stretches(&self) -> Result<Option<Vec<u64>>, LayoutError> {
        let Form::Archive(archive) = &self.form else {
            return Ok(None);
        };
        match &archive.packing {
            Packing::Zstd => Ok(None),
            Packing::Seekable(table) => Ok(Some(table.frame_lens().collect())),
            Packing::Plain => {
                let mut members: Vec<Member> = self.members()?.values().copied().collect();
                members.sort_by_key(|member| (member.offset, member.size));
                let (mut lens, mut at) = (Vec::new(), 0);
                for member in members {
                    lens.extend([member.offset.saturating_sub(at), member.size]);
                    at = member.offset + member.size;
                }
                Ok(Some(lens))
            }
        }
    }

    /// Every regular file by its path.
    ///
    /// Reads only the headers if the tar is uncompressed or has a seek table; a plain
    /// Zstandard stream is decoded once.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: the package is damaged, unsafe or ambiguous.
    pub fn members(&self) -> Result<&BTreeMap<String, Member>, LayoutError> {
        if let Some(members) = self.members.get() {
            return Ok(members);
        }
        let found = self.list()?;
        Ok(self.members.get_or_init(|| found))
    }

    /// Writes the content of `name` to `out`; decodes nothing else if the package is
    /// seekable.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: no such file, damaged, or `out` failed.
    pub fn read_member(&self, name: &str, out: &mut impl Write) -> Result<(), LayoutError> {
        self.read_member_from(name, 0, out)
    }

    /// The same, starting at byte `from`.
    ///
    /// # Errors
    ///
    /// As [`read_member`](Self::read_member).
    pub fn read_member_from(
        &self,
        name: &str,
        from: u64,
        out: &mut impl Write,
    ) -> Result<(), LayoutError> {
        let no_member = || LayoutError::NoMember {
            path: self.path.clone(),
            entry: name.to_owned(),
        };
        let member = *self.members()?.get(name).ok_or_else(no_member)?;
        let from = from.min(member.size);
        let member = Member {
            size: member.size - from,
            offset: member.offset + from,
        };
        let mut out = Noted { out, failed: None };
        let read = self.copy_member(name, member, &mut out);
        match out.failed {
            Some(source) => Err(LayoutError::Output {
                path: self.path.clone(),
                entry: name.to_owned(),
                source,
            }),
            None => read,
        }
    }

    /// The content of `name` from byte `from`, if the file is small enough to be in memory;
    /// else it has to be read through a pipe, by two threads.
    ///
    /// # Errors
    ///
    /// As [`read_member`](Self::read_member).
    pub fn small_member(&self, name: &str, from: u64) -> Result<Option<Vec<u8>>, LayoutError> {
        let size = self.members()?.get(name).map_or(0, |member| member.size);
        if size > IN_MEMORY_BYTES {
            return Ok(None);
        }
        let mut content = Vec::new();
        self.read_member_from(name, from, &mut content)?;
        Ok(Some(content))
    }

    /// Verifies the parts of a split package against the checksum in its header; does
    /// nothing for other packages.
    ///
    /// # Errors
    ///
    /// [`LayoutError::PartsSum`], or a part cannot be read.
    pub fn check_parts(&self) -> Result<(), LayoutError> {
        match &self.form {
            Form::Archive(Archive {
                split: Some(parts), ..
            }) => parts::check_sum(&self.path, parts),
            _ => Ok(()),
        }
    }

    /// Passes every file and its content to `visit`, in the order of the archive.
    ///
    /// # Errors
    ///
    /// [`LayoutError`], and whatever `visit` returns.
    pub(super) fn visit(
        &self,
        mut visit: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), LayoutError>,
    ) -> Result<(), LayoutError> {
        let Place::Archive(archive) = self.place() else {
            let members = self.members()?;
            for (name, member) in members {
                let path = self.root().join(name);
                let mut file = File::open(&path).map_err(|error| LayoutError::io(&path, error))?;
                visit(name, member.size, &mut file)?;
            }
            return Ok(());
        };
        let mut walk = Walk::new(Stream(self.stream(archive)?));
        let mut members = Members::default();
        let mut total = 0;
        while let Some(entry) = walk.next().map_err(|error| self.walk_error(error))? {
            let name = entry.name.as_str();
            self.bounded(&mut total, entry.size)?;
            visit(name, entry.size, &mut walk)?;
            let member = Member {
                size: entry.size,
                offset: entry.offset,
            };
            self.enter(&mut members, name, member)?;
        }
        // The data after the end of the tar must be valid and must not hide anything.
        self.nothing_follows(walk.into_inner().0)?;
        let _ = self.members.set(members.by_name);
        Ok(())
    }

    fn nothing_follows(&self, mut stream: impl Read) -> Result<(), LayoutError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer[..count].iter().all(|byte| *byte == 0) => {}
                Ok(_) => {
                    let what = "there is data after the end of the tar, which no checksum covers";
                    let error = io::Error::new(io::ErrorKind::InvalidData, what);
                    return Err(LayoutError::io(&self.path, error));
                }
                Err(error) => return Err(LayoutError::io(&self.path, error)),
            }
        }
    }

    fn stream(&self, archive: &Archive) -> Result<Box<dyn Read>, LayoutError> {
        let bytes = Joined::new(Arc::clone(&archive.files));
        let bytes = BufReader::with_capacity(1 << 20, bytes);
        if matches!(archive.packing, Packing::Plain) {
            return Ok(Box::new(bytes));
        }
        let io = |error| LayoutError::io(&self.path, error);
        let decoder = Unzstd::new(bytes).map_err(io)?;
        Ok(Box::new(BufReader::with_capacity(1 << 17, decoder)))
    }

    fn list(&self) -> Result<BTreeMap<String, Member>, LayoutError> {
        let archive = match self.place() {
            Place::Archive(archive) => archive,
            Place::Folder(folder) => return self.list_folder(folder),
        };
        let bytes = Joined::new(Arc::clone(&archive.files));
        match &archive.packing {
            Packing::Plain => self.list_tar(&mut Walk::new(bytes)),
            Packing::Zstd => self.list_tar(&mut Walk::new(Stream(self.stream(archive)?))),
            Packing::Seekable(table) => {
                let reader = SeekableReader::with_table(bytes, table.clone());
                let mut walk = Walk::new(Framed::new(reader));
                let listed = self.list_tar(&mut walk);
                if listed.is_err() && walk.into_inner().is_exhausted() {
                    return self.list_tar(&mut Walk::new(Stream(self.stream(archive)?)));
                }
                listed
            }
        }
    }

    fn list_tar<F: Skip>(
        &self,
        walk: &mut Walk<F>,
    ) -> Result<BTreeMap<String, Member>, LayoutError> {
        let mut members = Members::default();
        let mut total = 0;
        while let Some(entry) = walk.next().map_err(|error| self.walk_error(error))? {
            self.bounded(&mut total, entry.size)?;
            let member = Member {
                size: entry.size,
                offset: entry.offset,
            };
            self.enter(&mut members, entry.name.as_str(), member)?;
        }
        Ok(members.by_name)
    }

    fn enter(&self, members: &mut Members, name: &str, member: Member) -> Result<(), LayoutError> {
        if members.by_name.len() >= MAX_FILES {
            let what = format!("more than {MAX_FILES} files");
            return Err(LayoutError::too_large(&self.path, what));
        }
        if members.bytes + name.len() > MAX_PATH_BYTES {
            let what = format!("its paths take more than {} MiB", MAX_PATH_BYTES >> 20);
            return Err(LayoutError::too_large(&self.path, what));
        }
        match members.insert(name, member) {
            true => Ok(()),
            false => Err(LayoutError::Twice {
                path: self.path.clone(),
                entry: name.to_owned(),
            }),
        }
    }

    fn copy_member(
        &self,
        name: &str,
        member: Member,
        out: &mut impl Write,
    ) -> Result<(), LayoutError> {
        let io = |error| LayoutError::io(&self.path, error);
        let exactly = |content: &mut dyn Read, out: &mut dyn Write| {
            let copied = io::copy(&mut content.take(member.size), out).map_err(io)?;
            if copied == member.size {
                return Ok(());
            }
            let message = format!("`{name}` was truncated while it was read");
            Err(io(io::Error::new(io::ErrorKind::UnexpectedEof, message)))
        };
        let Place::Archive(archive) = self.place() else {
            let path = self.root().join(name);
            let at = |error| LayoutError::io(&path, error);
            let mut file = File::open(&path).map_err(at)?;
            file.seek(SeekFrom::Start(member.offset)).map_err(at)?;
            return exactly(&mut file, out);
        };
        let mut bytes = Joined::new(Arc::clone(&archive.files));
        match &archive.packing {
            Packing::Plain => {
                bytes.seek(SeekFrom::Start(member.offset)).map_err(io)?;
                exactly(&mut BufReader::with_capacity(1 << 17, bytes), out)
            }
            Packing::Seekable(table) => SeekableReader::with_table(bytes, table.clone())
                .copy_range(member.offset, member.size, out)
                .map_err(|error| LayoutError::frames(&self.path, error)),
            Packing::Zstd => {
                let mut stream = Stream(self.stream(archive)?);
                stream.skip(member.offset).map_err(io)?;
                exactly(&mut stream, out)
            }
        }
    }

    fn walk_error(&self, error: WalkError) -> LayoutError {
        match error {
            WalkError::Io(error) => LayoutError::io(&self.path, error),
            WalkError::Unsafe(name) => LayoutError::Unsafe {
                path: self.path.clone(),
                entry: name.chars().take(200).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
