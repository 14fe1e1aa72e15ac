//! A folder or an archive as a set of files that are opened by name.
//!
//! A compressed archive is decompressed once to an unnamed file, which disappears with
//! the process, because its files are read in any order.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::action::InputNode;
use crate::archive::SafePath;
use crate::ground::inputs::{Inputs, Seekable};
use crate::kinds::image::import::ImportError;
use crate::kinds::image::import::tar_index::{Place, TarIndex};

/// Maximum decompressed size of an archive: 256 GiB.
///
/// Larger images exist, but not as single compressed files to build from. The limit
/// prevents a malicious file from filling a large disk.
const MAX_UNPACKED_BYTES: u64 = 256 << 30;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// Maximum number of links to follow.
const MAX_LINKS: usize = 16;

/// Number of bytes that identify the compression of a file.
const MAGIC_BYTES: usize = 6;

/// An OCI layout or a docker-archive among the inputs of an action.
pub(crate) struct Source<'a> {
    inputs: &'a Inputs,
    path: &'a str,
    files: Files,
}

enum Files {
    Folder,
    Tar(Seekable, TarIndex),
}

impl<'a> Source<'a> {
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
            what: error.to_string(),
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
                self.inputs.open(&full).map_err(|source| ImportError::Io {
                    path: full.into(),
                    source,
                })
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
        file.settle().map_err(|source| ImportError::Io {
            path: self.path.into(),
            source,
        })
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
    let failed = |source| ImportError::Io {
        path: path.into(),
        source,
    };
    let mut magic = Vec::new();
    let begin = inputs.open(path).map_err(failed)?;
    let mut begin = begin.take(MAGIC_BYTES as u64);
    begin.read_to_end(&mut magic).map_err(failed)?;
    drop(begin);
    let buffered = || -> Result<_, ImportError> {
        let content = inputs.open(path).map_err(failed)?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, content))
    };
    let decoder: Box<dyn Read> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(buffered()?)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(buffered()?);
            Box::new(decoder.map_err(failed)?)
        }
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            return Err(ImportError::Malformed {
                path: path.into(),
                what: "compressed with bzip2 or xz, expected gzip, zstd or none".to_owned(),
            });
        }
        _ => return inputs.seekable(path).map_err(failed),
    };
    let mut plain = tempfile::tempfile_in(scratch).map_err(|source| ImportError::Io {
        path: scratch.to_owned(),
        source,
    })?;
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
        plain
            .write_all(&buffer[..count])
            .map_err(|source| ImportError::Io {
                path: scratch.to_owned(),
                source,
            })?;
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
