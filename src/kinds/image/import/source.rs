//! A folder or an archive as a set of files that are opened by name.
//!
//! A compressed archive is unpacked once into a file without a name, which
//! disappears with the process: files in it are wanted in any order.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::archive::SafePath;
use crate::kinds::image::import::ImportError;
use crate::kinds::image::import::tar_index::{Place, TarIndex};

/// Longest archive that a compressed one may unpack to: 256 GiB.
///
/// Larger images exist, but not as one compressed file that people build from;
/// it keeps a crafted file from filling a large disk.
const MAX_UNPACKED_BYTES: u64 = 256 << 30;

/// How much is read from an archive at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes that tell how a file is compressed.
const MAGIC_BYTES: usize = 6;

pub(crate) struct Source {
    path: PathBuf,
    files: Files,
}

enum Files {
    Folder,
    Tar(File, TarIndex),
}

impl Source {
    /// Opens `path`; unpacks into `scratch` if it is compressed.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Io {
            path: path.to_owned(),
            source,
        };
        let kind = fs::metadata(path).map_err(failed)?;
        let files = if kind.is_dir() {
            Files::Folder
        } else if kind.is_file() {
            let file = unpacked(path, scratch)?;
            let index = TarIndex::read(&file, path)?;
            Files::Tar(file, index)
        } else {
            return Err(ImportError::NoImage(path.to_owned()));
        };
        let path = path.to_owned();
        Ok(Self { path, files })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Folder => self.path.join(name).is_file(),
            Files::Tar(_, index) => index.has(name),
        }
    }

    /// The file that `name` means once links in the archive are followed.
    pub(crate) fn resolve(&self, name: &str) -> Result<String, ImportError> {
        let safe = SafePath::parse(name).map_err(|error| ImportError::Malformed {
            path: self.path.clone(),
            what: error.to_string(),
        })?;
        match &self.files {
            Files::Folder => Ok(safe.as_str().to_owned()),
            Files::Tar(_, index) => Ok(index.follow(&self.path, safe.as_str())?.0.to_owned()),
        }
    }

    /// Opens the file called `name`.
    pub(crate) fn read(&self, name: &str) -> Result<Box<dyn Read + '_>, ImportError> {
        let name = self.resolve(name)?;
        match &self.files {
            Files::Folder => {
                let path = self.path.join(&name);
                let failed = |source: io::Error| match source.kind() {
                    io::ErrorKind::NotFound => ImportError::Missing {
                        path: self.path.clone(),
                        entry: name.clone(),
                    },
                    _ => ImportError::Io {
                        path: path.clone(),
                        source,
                    },
                };
                // A pipe in a folder would block for ever.
                if !fs::metadata(&path).map_err(failed)?.is_file() {
                    return Err(ImportError::Malformed {
                        path: self.path.clone(),
                        what: format!("`{name}` is no regular file"),
                    });
                }
                Ok(Box::new(File::open(&path).map_err(failed)?))
            }
            Files::Tar(file, index) => {
                let (_, place) = index.follow(&self.path, &name)?;
                let window = Window { file, place };
                Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, window)))
            }
        }
    }
}

/// The tar at `path`, or the one that it unpacks to.
fn unpacked(path: &Path, scratch: &Path) -> Result<File, ImportError> {
    let failed = |source| ImportError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut magic = [0; MAGIC_BYTES];
    let count = file.read_at(&mut magic, 0).map_err(failed)?;
    let buffered = |file| BufReader::with_capacity(BUFFER_BYTES, file);
    let decoder: Box<dyn Read> = match &magic[..count] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(buffered(file));
            Box::new(decoder.map_err(failed)?)
        }
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            return Err(ImportError::Malformed {
                path: path.to_owned(),
                what: "compressed with bzip2 or xz, expected gzip, zstd or none".to_owned(),
            });
        }
        _ => return Ok(file),
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
            return Ok(plain);
        }
        total += count as u64;
        if total > MAX_UNPACKED_BYTES {
            return Err(ImportError::Malformed {
                path: path.to_owned(),
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

/// One entry's bytes, read without a cursor that others share.
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
