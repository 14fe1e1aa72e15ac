//! Reads a package in one pass: digests of all files, bytes of the documents.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::oci::{Digest, Hasher};
use crate::package::Dialect;
use crate::verify::Evidence;

/// Largest definition or `checksums.txt` held in memory, in bytes: 64 MiB.
/// A list of half a million files is smaller.
pub const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// Most files of a package: a million. Their paths are held in memory.
const MAX_FILES: usize = 1_000_000;

/// Largest window that a decoder grants, as a power of two: 512 MiB, as
/// package.md 3.5 asks of readers.
const MAX_WINDOW_LOG: u32 = 29;

/// Bytes that Zstandard frames begin with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a package cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The disk refused, or the stream is damaged.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The package, or the file in it.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file name that is not relative, or leads out of the package.
    #[error("`{path}` holds an entry named `{entry}`, which leads out of the package")]
    Unsafe {
        /// The package.
        path: PathBuf,
        /// The entry's name.
        entry: String,
    },
    /// A name is there twice, so that readers could see different packages.
    #[error("`{path}` holds `{entry}` twice")]
    Twice {
        /// The package.
        path: PathBuf,
        /// The entry's name.
        entry: String,
    },
    /// More than a limit allows.
    #[error("`{path}`: {what}")]
    TooLarge {
        /// The package.
        path: PathBuf,
        /// Which limit.
        what: String,
    },
}

/// Reads the package at `path`: a folder, a tar, or a Zstandard tar, told apart
/// by what they are and not by their names.
///
/// Memory is bounded by [`MAX_DOCUMENT_BYTES`] and the paths of the files.
///
/// # Errors
///
/// [`LayoutError`]; what is merely wrong in the package is left to `verify`.
pub fn read(path: &Path) -> Result<Evidence, LayoutError> {
    let mut gatherer = Gatherer {
        package: path,
        evidence: Evidence::default(),
    };
    let io = |source| LayoutError::Io {
        path: path.to_owned(),
        source,
    };
    if path.is_dir() {
        gatherer.folder(path, "", 0)?;
        return Ok(gatherer.evidence);
    }
    let mut file = File::open(path).map_err(io)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic).map_err(io)?;
    let start = io::Cursor::new(magic.clone());
    let whole = BufReader::with_capacity(1 << 20, start.chain(file));
    if magic == ZSTD_MAGIC {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(io)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(io)?;
        gatherer.tar(decoder)?;
    } else {
        gatherer.tar(whole)?;
    }
    Ok(gatherer.evidence)
}

struct Gatherer<'p> {
    package: &'p Path,
    evidence: Evidence,
}

impl Gatherer<'_> {
    fn io(&self, source: io::Error) -> LayoutError {
        LayoutError::Io {
            path: self.package.to_owned(),
            source,
        }
    }

    fn tar(&mut self, stream: impl Read) -> Result<(), LayoutError> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(|error| self.io(error))? {
            let mut entry = entry.map_err(|error| self.io(error))?;
            // Readers take regular files by name and skip the rest (package.md 3.5).
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            let inside = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !inside {
                return Err(LayoutError::Unsafe {
                    path: self.package.to_owned(),
                    entry: name,
                });
            }
            self.file(name, &mut entry)?;
        }
        // What follows the end of the tar must still be a sound stream.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| self.io(error))?;
        Ok(())
    }

    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), LayoutError> {
        let io = |path: &Path, source| LayoutError::Io {
            path: path.to_owned(),
            source,
        };
        if depth > 32 {
            return Err(LayoutError::TooLarge {
                path: self.package.to_owned(),
                what: "folders are nested deeper than 32 levels".to_owned(),
            });
        }
        for entry in std::fs::read_dir(folder).map_err(|error| io(folder, error))? {
            let entry = entry.map_err(|error| io(folder, error))?;
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(|error| io(&path, error))?;
            if kind.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else if kind.is_file() {
                let mut file = File::open(&path).map_err(|error| io(&path, error))?;
                self.file(name, &mut file)?;
            } else {
                return Err(LayoutError::Unsafe {
                    path: self.package.to_owned(),
                    entry: name,
                });
            }
        }
        Ok(())
    }

    fn file(&mut self, name: String, content: &mut impl Read) -> Result<(), LayoutError> {
        if self.evidence.files.len() >= MAX_FILES {
            return Err(LayoutError::TooLarge {
                path: self.package.to_owned(),
                what: format!("more than {MAX_FILES} files"),
            });
        }
        let dialect = Dialect::of_definition_file(&name);
        let (digest, size) = if dialect.is_some() || name == Dialect::CHECKSUMS {
            let mut bytes = Vec::new();
            content
                .take(MAX_DOCUMENT_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| self.io(error))?;
            if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
                return Err(LayoutError::TooLarge {
                    path: self.package.to_owned(),
                    what: format!("`{name}` is larger than {MAX_DOCUMENT_BYTES} bytes"),
                });
            }
            let found = (Digest::of(&bytes), bytes.len() as u64);
            match dialect {
                Some(_) if self.evidence.definition.is_some() => {
                    return Err(LayoutError::Twice {
                        path: self.package.to_owned(),
                        entry: "definition (jackal.yaml or zarf.yaml)".to_owned(),
                    });
                }
                Some(dialect) => self.evidence.definition = Some((dialect, bytes)),
                None => self.evidence.checksums = Some(bytes),
            }
            found
        } else {
            let mut hasher = Hasher::default();
            let mut size = 0;
            let mut buffer = vec![0; 128 << 10];
            loop {
                match content.read(&mut buffer).map_err(|error| self.io(error))? {
                    0 => break,
                    count => {
                        hasher.update(&buffer[..count]);
                        size += count as u64;
                    }
                }
            }
            (hasher.finish(), size)
        };
        match self.evidence.files.insert(name.clone(), (digest, size)) {
            None => Ok(()),
            Some(_) => Err(LayoutError::Twice {
                path: self.package.to_owned(),
                entry: name,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Evidence, LayoutError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    #[test]
    fn a_tar_and_its_compressed_form_read_the_same() {
        let tar = tar_of(&[("checksums.txt", b"\n"), ("jackal.yaml", b"kind: x\n")]);
        let plain = read_bytes(&tar).unwrap();
        let packed = read_bytes(&zstd::encode_all(&tar[..], 3).unwrap()).unwrap();
        assert_eq!(plain.files, packed.files);
        assert_eq!(plain.files["checksums.txt"], (Digest::of(b"\n"), 1));
        assert!(plain.definition.is_some() && plain.checksums.is_some());
    }

    #[test]
    fn entries_that_lead_out_or_come_twice_are_refused() {
        let escaping = read_bytes(&tar_of(&[("../x", b"")]));
        assert!(matches!(escaping, Err(LayoutError::Unsafe { .. })));
        let absolute = read_bytes(&tar_of(&[("/etc/x", b"")]));
        assert!(matches!(absolute, Err(LayoutError::Unsafe { .. })));
        let twice = read_bytes(&tar_of(&[("a", b"1"), ("a", b"2")]));
        assert!(matches!(twice, Err(LayoutError::Twice { .. })));
    }

    #[test]
    fn a_truncated_archive_is_an_error() {
        let tar = tar_of(&[("a", &[7; 5000])]);
        assert!(read_bytes(&tar[..3000]).is_err());
        let packed = zstd::encode_all(&tar[..], 3).unwrap();
        assert!(read_bytes(&packed[..packed.len() - 4]).is_err());
    }
}
