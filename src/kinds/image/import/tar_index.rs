//! An index of a tar: names, offsets and lengths of files, and links.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

use crate::archive::{PathError, SafePath, TarEntry, TarFault, TarKind, TarReader};
use crate::kinds::image::import::ImportError;

/// Maximum total length of all names, in bytes: they are held in memory.
const MAX_NAME_BYTES: usize = 32 << 20;

/// Maximum number of links in a chain; real archives have one.
const MAX_LINKS: usize = 8;

/// The position of an entry's bytes.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub offset: u64,
    pub size: u64,
}

enum Entry {
    File(Place),
    Link(String),
}

pub(crate) struct TarIndex {
    entries: HashMap<String, Entry>,
}

impl TarIndex {
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self, ImportError> {
        let mut start = file;
        start.rewind().map_err(|error| unreadable(error, path))?;
        let mut tar = TarReader::skipping(file);
        let (mut entries, mut names) = (HashMap::new(), 0);
        while let Some(found) = tar.next().map_err(|error| unreadable(error, path))? {
            let malformed = |what| ImportError::Malformed {
                path: path.to_owned(),
                what,
            };
            let Some((name, entry)) = entry(&found).map_err(malformed)? else {
                continue;
            };
            names += name.len() + size_of::<(String, Entry)>();
            if let Entry::Link(link) = &entry {
                names += link.len();
            }
            if names > MAX_NAME_BYTES {
                return Err(malformed("too many entries for an image".to_owned()));
            }
            if entries.contains_key(&name) {
                return Err(malformed(format!("it has two entries named `{name}`")));
            }
            entries.insert(name, entry);
        }
        Ok(Self { entries })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The file that `name` leads to, and its position.
    pub(crate) fn follow<'a>(
        &'a self,
        path: &Path,
        name: &'a str,
    ) -> Result<(&'a str, Place), ImportError> {
        let mut current = name;
        for _ in 0..=MAX_LINKS {
            match self.entries.get(current) {
                Some(Entry::File(place)) => return Ok((current, *place)),
                Some(Entry::Link(target)) => current = target,
                None => {
                    return Err(ImportError::Missing {
                        path: path.to_owned(),
                        entry: current.to_owned(),
                    });
                }
            }
        }
        Err(ImportError::Malformed {
            path: path.to_owned(),
            what: format!("`{name}` is a link that never reaches a file"),
        })
    }
}

/// An entry that is a file or link, with its name; `None`: it is neither.
fn entry(found: &TarEntry) -> Result<Option<(String, Entry)>, String> {
    let name = text(&found.name)?;
    let entry = match found.kind {
        TarKind::File => Entry::File(Place {
            offset: found.offset,
            size: found.size,
        }),
        TarKind::Symlink | TarKind::Hardlink => {
            Entry::Link(target(found.kind, &name, &text(&found.link)?)?)
        }
        TarKind::Sparse => return Err("a sparse file, which is not supported".to_owned()),
        _ => return Ok(None),
    };
    match SafePath::parse(&name) {
        Ok(name) => Ok(Some((name.as_str().to_owned(), entry))),
        Err(PathError::Empty) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn unreadable(error: io::Error, path: &Path) -> ImportError {
    let path = path.to_owned();
    match error.downcast::<TarFault>() {
        // A file that is not a tar fails at its first header.
        Ok(TarFault::NoHeader(0)) => ImportError::NoImage(path),
        Ok(fault) => ImportError::Malformed {
            path,
            what: fault.to_string(),
        },
        Err(source) => ImportError::Io { path, source },
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text = str::from_utf8(bytes).map_err(|_| "an entry whose name is not UTF-8")?;
    Ok(text.to_owned())
}

/// The target of a link: absolute for hard links, relative to the folder of `from` for
/// symbolic links.
fn target(kind: TarKind, from: &str, link: &str) -> Result<String, String> {
    let outside = || {
        let short = |text: &str| text.chars().take(100).collect::<String>();
        format!(
            "link `{}` to `{}`, which is not in the archive",
            short(from),
            short(link)
        )
    };
    let mut names: Vec<&str> = Vec::new();
    if kind == TarKind::Symlink {
        if link.starts_with('/') {
            return Err(outside());
        }
        let folder = from.trim_end_matches('/').rsplit_once('/');
        names.extend(folder.map_or("", |(folder, _)| folder).split('/'));
        names.retain(|name| !matches!(*name, "" | "."));
    }
    for name in link.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop().ok_or_else(outside)?;
            }
            name => names.push(name),
        }
    }
    SafePath::parse(&names.join("/"))
        .map(|path| path.as_str().to_owned())
        .map_err(|_| outside())
}
