//! A folder or an archive as a set of files that are opened by name.
//!
//! A compressed archive is decompressed once to an unnamed file, which disappears with
//! the process, because its files are read in any order.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::action::InputNode;
use crate::archive::{COMPRESSION_MAGIC, Compression, SafePath};
use crate::disk::at;
use crate::ground::inputs::{Inputs, Seekable};
use crate::kinds::image::import::ImportError;
use crate::kinds::image::import::tar_index::{Place, TarIndex};
use crate::text::with_causes;

/// Maximum decompressed size of an archive: 256 GiB.
///
/// Larger images exist, but not as single compressed files to build from. The limit
/// prevents a malicious file from filling a large disk.
const MAX_UNPACKED_BYTES: u64 = 256 << 30;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// Maximum number of links to follow.
const MAX_LINKS: usize = 16;

/// An OCI layout or a docker-archive among the inputs of an action.
pub(crate) struct ImageFiles<'a> {
    inputs: &'a Inputs,
    path: &'a str,
    files: Files,
}

enum Files {
    Folder,
    Tar(Seekable, TarIndex),
}

impl<'a> ImageFiles<'a> {
    /// Opens the input at `path`; decompresses it into `scratch` if necessary.
    pub(crate) fn open(
        inputs: &'a Inputs,
        path: &'a str,
        scratch: &Path,
    ) -> Result<Self, ImportError> {
        let files = match inputs.tree.get(path) {
            Some(InputNode::Directory(_)) => Files::Folder,
            Some(InputNode::File(_)) => {
                let file = unpacked(inputs, path, scratch)?;
                let index = TarIndex::read(&file.file, Path::new(path))?;
                Files::Tar(file, index)
            }
            _ => return Err(ImportError::NoImage(path.into())),
        };
        Ok(Self {
            inputs,
            path,
            files,
        })
    }

    /// Its path among the inputs.
    pub(crate) fn name(&self) -> &str {
        self.path
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Folder => self.followed(name).is_some(),
            Files::Tar(_, index) => index.has(name),
        }
    }

    /// The file in the folder that `name` leads to after following links.
    fn followed(&self, name: &str) -> Option<String> {
        let mut name = name.to_owned();
        for _ in 0..MAX_LINKS {
            let full = format!("{}/{name}", self.path);
            match self.inputs.tree.get(&full)? {
                InputNode::File(_) => return Some(full),
                InputNode::Directory(_) => return None,
                InputNode::Link(target) => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    name = joined(folder, target)?;
                }
            }
        }
        None
    }

    /// The file in the archive that `name` leads to after following links.
    pub(crate) fn resolve(&self, name: &str) -> Result<String, ImportError> {
        let safe = SafePath::parse(name).map_err(|error| ImportError::Malformed {
            path: self.path.into(),
            what: with_causes(&error),
        })?;
        match &self.files {
            Files::Folder => Ok(safe.as_str().to_owned()),
            Files::Tar(_, index) => {
                let path = Path::new(self.path);
                Ok(index.follow(path, safe.as_str())?.0.to_owned())
            }
        }
    }

    /// Opens the file called `name`.
    pub(crate) fn read(&self, name: &str) -> Result<Box<dyn Read + Send + '_>, ImportError> {
        let name = self.resolve(name)?;
        match &self.files {
            Files::Folder => {
                let full = self.followed(&name).ok_or_else(|| ImportError::Missing {
                    path: self.path.into(),
                    entry: name.clone(),
                })?;
                Ok(self.inputs.open(&full).map_err(at(Path::new(&full)))?)
            }
            Files::Tar(file, index) => {
                let (_, place) = index.follow(Path::new(self.path), &name)?;
                let file = &file.file;
                let window = Window { file, place };
                Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, window)))
            }
        }
    }

    /// Fails if the archive changed while it was read.
    pub(crate) fn settle(&self) -> Result<(), ImportError> {
        let Files::Tar(file, _) = &self.files else {
            return Ok(());
        };
        Ok(file.settle().map_err(at(Path::new(self.path)))?)
    }
}

/// The target of a link in `folder`, relative to the same root; `None`: it leaves the
/// root.
fn joined(folder: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    if target.starts_with('/') {
        return None;
    }
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// The input at `path` as an uncompressed tar.
fn unpacked(inputs: &Inputs, path: &str, scratch: &Path) -> Result<Seekable, ImportError> {
    let failed = at(Path::new(path));
    let mut magic = Vec::new();
    let begin = inputs.open(path).map_err(failed)?;
    let mut begin = begin.take(COMPRESSION_MAGIC as u64);
    begin.read_to_end(&mut magic).map_err(failed)?;
    drop(begin);
    let compression = match Compression::of(&magic) {
        Some(Compression::Bzip2 | Compression::Xz) => {
            return Err(ImportError::Malformed {
                path: path.into(),
                what: "compressed with bzip2 or xz, expected gzip, zstd or none".to_owned(),
            });
        }
        Some(compression) => compression,
        None => return Ok(inputs.seekable(path).map_err(failed)?),
    };
    let content = inputs.open(path).map_err(failed)?;
    let content = BufReader::with_capacity(BUFFER_BYTES, content);
    let decoder = compression.decode(content).map_err(failed)?;
    let mut plain = tempfile::tempfile_in(scratch).map_err(at(scratch))?;
    let mut decoder = decoder.take(MAX_UNPACKED_BYTES + 1);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let count = decoder.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(Seekable::scratch(plain));
        }
        total += count as u64;
        if total > MAX_UNPACKED_BYTES {
            return Err(ImportError::Malformed {
                path: path.into(),
                what: format!("unpacks to more than {MAX_UNPACKED_BYTES} bytes"),
            });
        }
        plain.write_all(&buffer[..count]).map_err(at(scratch))?;
    }
}

/// The bytes of an entry, read without a shared cursor.
struct Window<'a> {
    file: &'a File,
    place: Place,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.place.size).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        let count = self
            .file
            .read_at(&mut buffer[..wanted], self.place.offset)?;
        self.place.offset += count as u64;
        self.place.size -= count as u64;
        Ok(count)
    }
}
