//! Packages from before v0.25.0, put into today's form.
//!
//! They have folders where packages have tars today, and one `images.tar` of `docker
//! save`. Their files are written to a temporary folder as the tars and the image layout
//! of today, so that everything else reads one form only. Names inside of components stay
//! as they are, and so does the definition.
//!
//! Nothing that an archive names is made outside of that folder: components and SBOMs are
//! kept in a file without a name until their tars are written.
//!
//! Source: docs/spec/package.md, "Earlier forms".

mod images;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::members::{Member, Members};
use super::{Form, MAX_PATH_BYTES, PackageFile, Packing};
use crate::archive::{SafePath, Skip, Stream, TarEntry, TarKind, TarReader};
use crate::disk::{self, Enclosure, Rights, TemporaryFolder};
use crate::layout::LayoutError;
use crate::layout::bytes::Joined;
use crate::layout::tars::{Node, Tars, TarsFault};
use crate::package::{Dialect, MAX_FILES};

/// The archive of all images, in the format of `docker save`.
const IMAGES: &str = "images.tar";

/// The folder of SBOM documents.
const SBOMS: &str = "sboms";

/// The folder of components.
const COMPONENTS: &str = "components";

/// Deepest folder of an unpacked package, as for the entries of a tar.
const MAX_DEPTH: usize = crate::archive::MAX_DEPTH;

/// The files of a package in today's form, removed when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    _around: TemporaryFolder,
    files: PathBuf,
}

impl Staged {
    pub(super) fn path(&self) -> &Path {
        &self.files
    }
}

impl PackageFile {
    /// The same package; one from before v0.25.0 is read in today's form.
    ///
    /// # Errors
    ///
    /// [`LayoutError`]: it is one, and is damaged, unsafe or ambiguous.
    pub fn in_todays_form(self) -> Result<Self, LayoutError> {
        match self.is_older() {
            true => {
                let staged = Staging::begin(&self)?.finish()?;
                Ok(Self {
                    staged: Some(staged),
                    ..self
                })
            }
            false => Ok(self),
        }
    }

    /// Whether it is from before v0.25.0, and read in today's form.
    #[must_use]
    pub fn was_folders(&self) -> bool {
        self.staged.is_some()
    }

    /// Whether it has a definition, what only older packages have, and no checksums.
    /// Reads up to the checksums, which are near the start of an archive.
    fn is_older(&self) -> bool {
        let mut found = Found::default();
        match &self.form {
            Form::Folder => {
                found.has_checksums = self.path.join(Dialect::CHECKSUMS).exists();
                let mut definitions = Dialect::ALL.map(Dialect::definition_file).into_iter();
                found.has_definition = definitions.any(|name| self.path.join(name).is_file());
                let is_folder = |entry: &std::fs::DirEntry| entry.path().is_dir();
                let components = std::fs::read_dir(self.path.join(COMPONENTS));
                found.has_older = self.path.join(IMAGES).is_file()
                    || self.path.join(SBOMS).is_dir()
                    || components
                        .is_ok_and(|mut all| all.any(|entry| entry.as_ref().is_ok_and(is_folder)));
            }
            Form::Archive(archive) => {
                // What cannot be read is reported by whoever reads it next.
                let _ = match &archive.packing {
                    Packing::Plain => {
                        let bytes = Joined::new(Arc::clone(&archive.files));
                        found.look(TarReader::skipping(bytes))
                    }
                    _ => match self.stream(archive) {
                        Ok(stream) => found.look(TarReader::new(stream)),
                        Err(_) => return false,
                    },
                };
            }
        }
        found.has_definition && found.has_older && !found.has_checksums
    }
}

/// What a first look at a package shows.
#[derive(Default)]
struct Found {
    has_definition: bool,
    has_older: bool,
    has_checksums: bool,
}

impl Found {
    fn look<F: Skip>(&mut self, mut tar: TarReader<F>) -> io::Result<()> {
        while let Some(entry) = tar.next()? {
            let name = entry.name_lossy();
            let Ok(name) = SafePath::parse(&name) else {
                continue;
            };
            let name = name.as_str();
            match name.split_once('/') {
                None if name == Dialect::CHECKSUMS => {
                    self.has_checksums = true;
                    return Ok(());
                }
                None if name == IMAGES => self.has_older = true,
                None if Dialect::of_definition_file(name).is_some() => self.has_definition = true,
                Some((SBOMS, _)) => self.has_older = true,
                Some((COMPONENTS, below)) => self.has_older |= below.contains('/'),
                _ => {}
            }
        }
        Ok(())
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> LayoutError + '_ {
    move |error| LayoutError::write(path, error)
}

/// A package that is being put into today's form.
struct Staging<'p> {
    package: &'p PackageFile,
    around: TemporaryFolder,
    files: PathBuf,
    inside: Enclosure,
    tars: Tars,
    images: Option<File>,
    /// The names of files that are kept and of those that are made.
    members: Members,
    /// Bytes of all files.
    total: u64,
}

impl<'p> Staging<'p> {
    fn begin(package: &'p PackageFile) -> Result<Self, LayoutError> {
        let around = disk::scratch_folder()
            .map_err(|error| LayoutError::write(&error.path, error.source))?;
        let files = around.path().join("package");
        let failed = |error| LayoutError::write(&files, error);
        std::fs::create_dir(&files).map_err(failed)?;
        let inside = Enclosure::open(&files).map_err(failed)?;
        let tars = Tars::new().map_err(failed)?;
        Ok(Self {
            package,
            around,
            inside,
            tars,
            files,
            images: None,
            members: Members::default(),
            total: 0,
        })
    }

    fn finish(mut self) -> Result<Staged, LayoutError> {
        let package = self.package;
        match &package.form {
            Form::Folder => self.folder(&package.path, "", 0)?,
            Form::Archive(archive) => {
                package.check_parts()?;
                let io = |error| LayoutError::io(&package.path, error);
                let mut tar = TarReader::skipping(Stream(package.stream(archive)?));
                while let Some(entry) = tar.next().map_err(io)? {
                    self.entry(&entry, &mut tar)?;
                }
                if tar.lacks_padding() {
                    return Err(io(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it ends within a block",
                    )));
                }
                package.nothing_follows(tar.into_inner().0)?;
            }
        }
        self.write_tars()?;
        if let Some(images) = self.images.take() {
            let made = images::convert(&images, &package.path, &self.inside, &self.files)?;
            for (name, size) in made {
                self.name(&name, size)?;
            }
        }
        Ok(Staged {
            _around: self.around,
            files: self.files,
        })
    }

    fn write_tars(&mut self) -> Result<(), LayoutError> {
        let tars = std::mem::replace(&mut self.tars, Tars::new().map_err(io_at(&self.files))?);
        for name in tars.names() {
            let path = self.files.join(name);
            let at = SafePath::parse(name).map_err(io::Error::other);
            let at = at.map_err(io_at(&path))?;
            let file = self.inside.file(&at, Rights::Plain);
            let file = file.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => TarsFault::Twice.at(&self.package.path, name),
                _ => LayoutError::write(&path, error),
            })?;
            tars.write(name, &file).map_err(io_at(&path))?;
            let size = file.metadata().map_err(io_at(&path))?.len();
            self.name(name, size)?;
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), LayoutError> {
        if depth > MAX_DEPTH {
            let what = format!("folders are nested deeper than {MAX_DEPTH} levels");
            return Err(LayoutError::too_large(&self.package.path, what));
        }
        let io = |error| LayoutError::io(folder, error);
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let io = |error| LayoutError::io(&path, error);
            let facts = std::fs::symlink_metadata(&path).map_err(io)?;
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let name = [prefix.as_bytes(), name].concat();
            let mut entry = TarEntry {
                name,
                kind: TarKind::Directory,
                link: Vec::new(),
                size: 0,
                stated: 0,
                mode: facts.permissions().mode(),
                owner: (0, 0),
                offset: 0,
            };
            if facts.is_dir() {
                self.entry(&entry, &mut io::empty())?;
                let below = format!("{}/", entry.name_lossy());
                self.folder(&path, &below, depth + 1)?;
            } else if facts.is_symlink() {
                let target = std::fs::read_link(&path).map_err(io)?;
                entry.kind = TarKind::Symlink;
                entry.link = target.into_os_string().into_encoded_bytes();
                self.entry(&entry, &mut io::empty())?;
            } else if facts.is_file() {
                (entry.kind, entry.size) = (TarKind::File, facts.len());
                let mut file = File::open(&path).map_err(io)?;
                self.entry(&entry, &mut file)?;
            } else {
                entry.kind = TarKind::Special;
                self.entry(&entry, &mut io::empty())?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &TarEntry, content: &mut dyn Read) -> Result<(), LayoutError> {
        let package = self.package;
        let shown = || -> String {
            let text: String = entry.name_lossy().chars().take(200).collect();
            text.escape_debug().to_string()
        };
        let foreign = |what| LayoutError::Foreign {
            path: package.path.clone(),
            entry: shown(),
            what,
        };
        let unsafe_name = || LayoutError::Unsafe {
            path: package.path.clone(),
            entry: shown(),
        };
        if entry.kind == TarKind::Global {
            return Ok(());
        }
        let text = std::str::from_utf8(&entry.name).map_err(|_| unsafe_name())?;
        // The folder itself, as other programs write it.
        if entry.kind == TarKind::Directory && matches!(text, "." | "./") {
            return Ok(());
        }
        let at = SafePath::parse(text).map_err(|_| unsafe_name())?;
        let top = at.as_str().split('/').take(2);
        if top.flat_map(str::chars).any(char::is_control) {
            return Err(unsafe_name());
        }
        package.bounded(&mut self.total, entry.size)?;
        let link = std::str::from_utf8(&entry.link).map_err(|_| unsafe_name())?;
        let node = match entry.kind {
            TarKind::File => None,
            TarKind::Directory if entry.stated == 0 => Some(Node::Folder(entry.mode & 0o777)),
            TarKind::Symlink => Some(Node::Link(link.to_owned())),
            TarKind::Directory => return Err(foreign("a folder with content")),
            TarKind::Hardlink => return Err(foreign("a hard link")),
            TarKind::Sparse => return Err(foreign("a sparse file")),
            TarKind::Special | TarKind::Global | TarKind::Unknown => {
                return Err(foreign("neither a file, a folder nor a link"));
            }
        };
        let component = at.as_str().strip_prefix("components/");
        let component = component.and_then(|below| match below.split_once('/') {
            Some((name, below)) => Some((name, below)),
            // A file here is a tar already, or nothing known.
            None => matches!(node, Some(Node::Folder(_))).then_some((below, "")),
        });
        let document = at.as_str().strip_prefix("sboms/");
        let tar = match (component, document) {
            (Some((name, below)), _) => Some((Dialect::component_tar(name), below)),
            (None, Some(below)) => Some((Dialect::SBOMS.to_owned(), below)),
            (None, None) => None,
        };
        if let Some((tar, below)) = tar {
            let failed = |error| LayoutError::io(&package.path, error);
            let node = match node {
                Some(node) => node,
                None => {
                    let kept = self.tars.keep(entry.mode & 0o777, entry.size, content);
                    kept.map_err(failed)?
                }
            };
            let added = self.tars.add(&tar, below, node);
            return added.map_err(|fault| fault.at(&package.path, at.as_str()));
        }
        match node {
            None if at.as_str() == IMAGES => {
                let twice = self.images.is_some();
                if twice {
                    return Err(self.twice(IMAGES));
                }
                let mut file =
                    tempfile::tempfile().map_err(|error| LayoutError::write(&self.files, error))?;
                let copied = io::copy(&mut content.take(entry.size), &mut file);
                copied.map_err(|error| LayoutError::io(&package.path, error))?;
                self.images = Some(file);
                Ok(())
            }
            None => self.file(&at, entry.size, content),
            Some(Node::Link(_)) => Err(foreign("a link outside of a component")),
            Some(_) => Ok(()),
        }
    }

    /// Keeps a file as it is.
    fn file(
        &mut self,
        at: &SafePath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), LayoutError> {
        if at.as_str().contains(char::is_control) {
            return Err(LayoutError::Unsafe {
                path: self.package.path.clone(),
                entry: at.as_str().escape_debug().to_string(),
            });
        }
        self.name(at.as_str(), size)?;
        let failed = |error| LayoutError::write(&self.files.join(at.as_str()), error);
        let made = self.inside.file(at, Rights::Plain);
        let mut file = made.map_err(|error| match error.kind() {
            // Something is below a file, or in the place of a folder.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => self.twice(at.as_str()),
            _ => failed(error),
        })?;
        let copied = io::copy(&mut content.take(size), &mut file);
        copied.map(drop).map_err(failed)
    }

    /// Notes a file of the package.
    fn name(&mut self, name: &str, size: u64) -> Result<(), LayoutError> {
        let path = &self.package.path;
        if self.members.by_name.len() >= MAX_FILES {
            return Err(LayoutError::too_large(
                path,
                format!("more than {MAX_FILES} files"),
            ));
        }
        if self.members.bytes + name.len() > MAX_PATH_BYTES {
            let what = format!("its paths take more than {} MiB", MAX_PATH_BYTES >> 20);
            return Err(LayoutError::too_large(path, what));
        }
        let member = Member { size, offset: 0 };
        match self.members.insert(name, member) {
            true => Ok(()),
            false => Err(self.twice(name)),
        }
    }

    fn twice(&self, entry: &str) -> LayoutError {
        LayoutError::Twice {
            path: self.package.path.clone(),
            entry: entry.to_owned(),
        }
    }
}
