//! The component tar: what one component holds, as docs/spec/package.md, "Parts
//! of a component", "Component tar" describe it.
//!
//! Streams from the source files, from downloaded blobs and from what other
//! steps made (charts, repositories, members of archives, kustomizations);
//! holds no file in memory and asks no network.

mod parts;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::action::Output;
use crate::archive::{TarError, TarWriter};
use crate::cas::{Cas, CasError};
use crate::ground::folders::Folders;
use crate::ground::source::{SourceError, Tree};
use crate::ground::{failures, of_cas};
use crate::oci::{Digest, Hasher};
use crate::package::{Component, File, Manifest, RepoUrlError};
use crate::workspace::{Kind, WalkError};

pub use parts::{chart_file, is_archive};

/// Modes of what the component's own layout is made of.
const OWN_FOLDER: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

/// Why a component tar could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Nobody made what the component holds.
    #[error("internal error: component `{component}` lacks `{place}`, which no step made")]
    NotMade {
        /// The component.
        component: String,
        /// Where it stands in the component.
        place: String,
    },
    /// A source leads out of the package folder.
    #[error("`{0}` leads out of the package folder: copy what it names into the folder")]
    Outside(String),
    /// A source was written to meanwhile.
    #[error("`{0}` changed while it was read: wait until nothing writes to it, then build again")]
    Changed(PathBuf),
    /// A target has no last name to store the file under.
    #[error("target `{0}` ends in no file name: write the full path of the file")]
    Target(String),
    /// A name that cannot be one file's name in the package, or is there twice.
    #[error("manifest name `{0}` cannot be used: expected one without `/`, once in the component")]
    Name(String),
    /// Not the URL of a repository.
    #[error(transparent)]
    Repo(#[from] RepoUrlError),
    /// As [`Name`](Self::Name), of a chart or repository.
    #[error(
        "`{0}` cannot be a file in the package: expected a name without `/`, once in the component"
    )]
    Place(String),
    /// A manifest's source is a folder or a link.
    #[error("manifest file `{0}` is {1}, expected a file: name the file itself")]
    NoFile(String, &'static str),
    /// A checksum that is none, or for what has none.
    #[error("`{file}` has shasum `{shasum}`, expected {expected}")]
    Shasum {
        /// The source.
        file: String,
        /// As written.
        shasum: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file is not the expected one.
    #[error(
        "`{file}` has the SHA-256 sum {found}, expected {expected} by its `shasum`: \
         correct the one or restore the other"
    )]
    Mismatch {
        /// The source.
        file: String,
        /// Sum of its bytes, in hex.
        found: String,
        /// As the definition has it.
        expected: String,
    },
    /// A URL of another kind.
    #[error("`{0}` cannot be downloaded: expected http or https, or a file in the package folder")]
    Scheme(String),
    /// A URL that nobody has downloaded.
    #[error(
        "component `{component}` needs `{url}`, which was not downloaded: \
         put the file into the package folder and name it there"
    )]
    NotFetched {
        /// The component.
        component: String,
        /// The URL.
        url: String,
    },
    /// The disk refused, or a blob is damaged.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The file or URL.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Something that cannot be packed.
    #[error(transparent)]
    Walk(WalkError),
    /// The archive could not be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The cache refused.
    #[error(transparent)]
    Cas(#[from] CasError),
}

impl From<SourceError> for ComponentError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Outside(source) => Self::Outside(source),
            SourceError::Changed(path) => Self::Changed(path),
            SourceError::Io { path, source } => Self::Io { path, source },
            SourceError::Walk(error) => Self::Walk(error),
        }
    }
}

/// Blobs that a component is made from.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// Downloaded files, by their URL.
    pub files: BTreeMap<String, Output>,
    /// What other steps made, by its place in the component. One with the name
    /// [`TREE`](super::TREE) is a tar of what stands there.
    pub parts: BTreeMap<String, Output>,
}

/// Writes the tar of `component`, whose sources are in `folders`, or are
/// `brought` to `cas`.
///
/// `None`: all its files together have no byte, and packages leave such a tar
/// out.
///
/// # Errors
///
/// [`ComponentError`]; what was written to `out` is then of no use.
pub fn write_component<W: Write>(
    folders: &Folders,
    component: &Component,
    brought: &Brought,
    cas: &Cas,
    out: W,
) -> Result<Option<W>, ComponentError> {
    let name = &component.name;
    let mut writer = Writer {
        folders,
        component: name,
        brought,
        cas,
        tar: TarWriter::new(out),
        bytes: 0,
    };
    writer.tar.directory(name, OWN_FOLDER)?;
    // Each folder, and what is in it, in bytewise order: `charts` is the first.
    writer.charts(&component.charts)?;
    if !component.data_injections.is_empty() {
        writer.tar.directory(&format!("{name}/data"), OWN_FOLDER)?;
    }
    for index in by_name(component.data_injections.len()) {
        let data = &component.data_injections[index];
        let path = writer.numbered("data", index, &data.target.path)?;
        writer.item(&Item::new(path, &data.source))?;
    }
    if !component.files.is_empty() {
        writer.tar.directory(&format!("{name}/files"), OWN_FOLDER)?;
    }
    for index in by_name(component.files.len()) {
        let file = &component.files[index];
        let path = writer.numbered("files", index, &file.target)?;
        if !file.extract_path.is_empty() {
            writer.part(&extracted(index), &path, Some(file.executable))?;
            continue;
        }
        writer.item(&Item {
            file_mode: Some(if file.executable {
                OWN_FOLDER
            } else {
                OWN_FILE
            }),
            folder_mode: OWN_FOLDER,
            sums: sums(file)?,
            ..Item::new(path, &file.source)
        })?;
    }
    if !component.manifests.is_empty() {
        writer
            .tar
            .directory(&format!("{name}/manifests"), OWN_FOLDER)?;
    }
    for (file, source) in manifests(&component.manifests)? {
        let path = format!("{name}/manifests/{file}");
        match source {
            Some(source) => writer.item(&Item {
                only_file: true,
                ..Item::new(path, source)
            })?,
            None => writer.part(&format!("manifests/{file}"), &path, Some(false))?,
        }
    }
    writer.repos(&component.repos)?;
    writer.values(&component.charts)?;
    let Writer { tar, bytes, .. } = writer;
    let out = tar.finish()?;
    Ok((bytes > 0).then_some(out))
}

/// Indexes in the order of their names in a folder: `10` before `2`.
fn by_name(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(ToString::to_string);
    order
}

/// The place of a file that is a member of an archive.
#[must_use]
pub fn extracted(index: usize) -> String {
    format!("files/{index}")
}

/// The file name of a built kustomization.
#[must_use]
pub fn kustomized(manifest: &str, index: usize) -> String {
    format!("kustomization-{manifest}-{index}.yaml")
}

/// Every manifest file as it is named in the package, sorted, and its source;
/// `None`: a step builds it.
pub(crate) fn manifests(
    list: &[Manifest],
) -> Result<BTreeMap<String, Option<&str>>, ComponentError> {
    let mut named = BTreeMap::new();
    for manifest in list {
        if manifest.name.is_empty() || manifest.name.contains('/') {
            return Err(ComponentError::Name(manifest.name.clone()));
        }
        let files = manifest.files.iter().enumerate();
        let files = files.map(|(index, source)| {
            let file = format!("{}-{index}.yaml", manifest.name);
            (file, Some(source.as_str()))
        });
        let built = 0..manifest.kustomizations.len();
        let built = built.map(|index| (kustomized(&manifest.name, index), None));
        for (file, source) in files.chain(built) {
            if named.insert(file, source).is_some() {
                return Err(ComponentError::Name(manifest.name.clone()));
            }
        }
    }
    Ok(named)
}

/// What the file must digest to: its `shasum`, and the one at its URL's end.
fn sums(file: &File) -> Result<Vec<Digest>, ComponentError> {
    let mut sums = Vec::new();
    if !file.shasum.is_empty() {
        let digest = Digest::from_hex(&file.shasum.to_ascii_lowercase());
        sums.push(digest.map_err(|_| ComponentError::Shasum {
            file: file.source.clone(),
            shasum: file.shasum.chars().take(100).collect(),
            expected: "64 hex digits",
        })?);
    }
    if is_url(&file.source)
        && let Some((_, end)) = file.source.rsplit_once('@')
        && let Ok(digest) = Digest::from_hex(&end.to_ascii_lowercase())
    {
        sums.push(digest);
    }
    Ok(sums)
}

fn is_url(source: &str) -> bool {
    source.contains("://")
}

/// One source and its place in the tar.
struct Item<'a> {
    path: String,
    source: &'a str,
    /// Mode if the source is a file; `None`: by its executable bit.
    file_mode: Option<u32>,
    /// Mode if it is a folder; what is below keeps a mode of its own.
    folder_mode: u32,
    /// Whether it must be a file.
    only_file: bool,
    sums: Vec<Digest>,
}

impl<'a> Item<'a> {
    fn new(path: String, source: &'a str) -> Self {
        Self {
            path,
            source,
            file_mode: None,
            folder_mode: 0o755,
            only_file: false,
            sums: Vec::new(),
        }
    }

    fn compare(&self, found: Digest) -> Result<(), ComponentError> {
        match self.sums.iter().find(|expected| **expected != found) {
            None => Ok(()),
            Some(expected) => Err(ComponentError::Mismatch {
                file: self.source.to_owned(),
                found: found.hex(),
                expected: expected.hex(),
            }),
        }
    }
}

struct Writer<'a, W> {
    folders: &'a Folders,
    component: &'a str,
    brought: &'a Brought,
    cas: &'a Cas,
    tar: TarWriter<W>,
    /// Of all files, and targets of links.
    bytes: u64,
}

impl<W: Write> Writer<'_, W> {
    /// Begins the folder of one listed item; its content has the last name of `target`.
    fn numbered(
        &mut self,
        kind: &str,
        index: usize,
        target: &str,
    ) -> Result<String, ComponentError> {
        let base = target.trim_end_matches('/').rsplit('/').next();
        let base = base.filter(|base| !matches!(*base, "" | "." | ".."));
        let base = base.ok_or_else(|| ComponentError::Target(target.to_owned()))?;
        let folder = format!("{}/{kind}/{index}", self.component);
        self.tar.directory(&folder, OWN_FOLDER)?;
        Ok(format!("{folder}/{base}"))
    }

    fn item(&mut self, item: &Item<'_>) -> Result<(), ComponentError> {
        if is_url(item.source) {
            return self.downloaded(item);
        }
        let found = self.folders.find(item.source);
        let tree = Tree::list(found.root, found.below).map_err(|error| match error {
            SourceError::Outside(_) => ComponentError::Outside(item.source.to_owned()),
            other => other.into(),
        })?;
        let kind = match tree.top().kind {
            Kind::File { .. } => None,
            Kind::Directory => Some("a folder"),
            Kind::Link { .. } => Some("a symbolic link"),
        };
        if let Some(kind) = kind.filter(|_| item.only_file) {
            return Err(ComponentError::NoFile(item.source.to_owned(), kind));
        }
        if let Some(sum) = item.sums.first().filter(|_| kind.is_some()) {
            return Err(ComponentError::Shasum {
                file: item.source.to_owned(),
                shasum: sum.hex(),
                expected: "none, because it is no file",
            });
        }
        for (below, entry) in tree.entries() {
            let (top, path) = match below {
                "" => (true, item.path.clone()),
                below => (false, format!("{}/{below}", item.path)),
            };
            match &entry.kind {
                Kind::Link { target } => {
                    self.bytes += target.len() as u64;
                    self.tar.symlink(&path, target)?;
                }
                Kind::Directory => {
                    let mode = if top { item.folder_mode } else { 0o755 };
                    self.tar.directory(&path, mode)?;
                }
                Kind::File { executable } => {
                    // A umask must not change the bytes.
                    let normal = if *executable { 0o755 } else { 0o644 };
                    let mode = item.file_mode.filter(|_| top).unwrap_or(normal);
                    let file = tree.open(entry)?;
                    let found = self
                        .file(&path, mode, entry.stat.size, file, &item.sums)
                        .map_err(|error| at_source(error, &tree.path(entry)))?;
                    found.map_or(Ok(()), |found| item.compare(found))?;
                }
            }
        }
        Ok(tree.settle()?)
    }

    fn downloaded(&mut self, item: &Item<'_>) -> Result<(), ComponentError> {
        let url = item.source;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(ComponentError::Scheme(url.to_owned()));
        }
        let Some(output) = self.brought.files.get(url) else {
            return Err(ComponentError::NotFetched {
                component: self.component.to_owned(),
                url: url.to_owned(),
            });
        };
        item.compare(output.digest)?;
        let blob = self.cas.open_blob(&output.digest)?;
        let mode = item.file_mode.unwrap_or(0o644);
        self.file(&item.path, mode, output.size, blob, &[])
            .map_err(|error| match error {
                TarError::Read { source, .. } => ComponentError::Io {
                    path: url.into(),
                    source,
                },
                other => other.into(),
            })?;
        Ok(())
    }

    /// Adds a file; digests it if there is something to compare with.
    fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        content: impl Read,
        sums: &[Digest],
    ) -> Result<Option<Digest>, TarError> {
        let hasher = (!sums.is_empty()).then(Hasher::default);
        let mut content = Summed { content, hasher };
        self.tar.file(path, mode, size, &mut content)?;
        self.bytes = self.bytes.saturating_add(size);
        Ok(content.hasher.map(Hasher::finish))
    }
}

/// Names the source, not the entry, where the source is at fault.
fn at_source(error: TarError, path: &Path) -> ComponentError {
    match error {
        TarError::Short { .. } | TarError::Long { .. } => ComponentError::Changed(path.to_owned()),
        TarError::Read { source, .. } => ComponentError::Io {
            path: path.to_owned(),
            source,
        },
        other => other.into(),
    }
}

/// Digests what is read, if asked to.
struct Summed<R> {
    content: R,
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

failures! {
    ComponentError: |error| match error {
        ComponentError::Io { .. } => Class::Environment,
        ComponentError::Cas(error) => of_cas(error),
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
