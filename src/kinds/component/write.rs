//! The component tar: what one component holds, as docs/spec/package.md, "Parts
//! of a component", "Component tar" describe it.
//!
//! Streams from the source files, from downloaded blobs and from what other
//! steps made (charts, repositories, members of archives, kustomizations);
//! holds no file in memory and asks no network.

mod parts;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::action::InputNode;
use crate::archive::{TarError, TarWriter};
use crate::cas::CasError;
use crate::ground::inputs::Inputs;
use crate::ground::{failures, of_cas};
use crate::kinds::component::files::{checksum_of, is_remote};
use crate::kinds::component::settings::{ComponentSettings, FileSettings, ManifestSettings};
use crate::oci::Digest;
use crate::package::{RepoUrlError, shasum};

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
        component: String,
        /// Its path in the component.
        place: String,
    },
    /// A source that is not among the inputs.
    #[error("internal error: `{0}` is not an input of the action")]
    NoInput(String),
    /// A target has no last name to store the file under.
    #[error("target `{0}` has no file name: write the full path of the file")]
    Target(String),
    /// A name that is no file name, or occurs twice in the component.
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
    #[error("`{file}`: {error}")]
    Sum { file: String, error: String },
    /// A checksum for what has none.
    #[error("`{file}` has shasum `{shasum}`, expected {expected}")]
    Shasum {
        file: String,
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
        file: String,
        /// Sum of its bytes, in hex.
        found: String,
        /// As the definition has it.
        expected: String,
    },
    /// A URL of another kind.
    #[error("`{0}` cannot be downloaded: expected http or https, or a file in the package folder")]
    Scheme(String),
    /// A URL that was not downloaded.
    #[error(
        "component `{component}` needs `{url}`, which was not downloaded: \
         put the file into the package folder and name it there"
    )]
    NotFetched { component: String, url: String },
    /// The disk refused, or a blob is damaged.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The file or URL.
        path: PathBuf,
        source: io::Error,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// Writes the tar of a component from its inputs.
///
/// `None`: all its files together have no byte, and packages leave such a tar
/// out.
///
/// # Errors
///
/// [`ComponentError`]; what was written to `out` is then of no use.
pub(crate) fn write_component<W: Write>(
    component: &ComponentSettings,
    inputs: &Inputs,
    out: W,
) -> Result<Option<W>, ComponentError> {
    let name = &component.name;
    let mut writer = Writer {
        component: name,
        inputs,
        trees: &component.trees,
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
        let path = writer.numbered("data", index, &data.target)?;
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
    list: &[ManifestSettings],
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
        let built = 0..manifest.kustomizations as usize;
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
fn sums(file: &FileSettings) -> Result<Vec<Digest>, ComponentError> {
    let declared = shasum(&file.shasum).map_err(|error| ComponentError::Sum {
        file: file.source.clone(),
        error,
    })?;
    let (_, at_end) = checksum_of(&file.source);
    let at_end = at_end.filter(|_| is_url(&file.source));
    Ok(declared.into_iter().chain(at_end).collect())
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
    component: &'a str,
    inputs: &'a Inputs,
    /// The parts that are tars of what is at their place.
    trees: &'a [String],
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
        let source = item.source.trim_end_matches('/');
        let listed = self.inputs.list(source);
        let kind = match listed.first() {
            Some((_, InputNode::File(_))) => None,
            Some((_, InputNode::Link(_))) => Some("a symbolic link"),
            Some((_, InputNode::Directory(_))) => Some("a folder"),
            None => return Err(ComponentError::NoInput(source.to_owned())),
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
        for (below, node) in listed {
            let (top, path, from) = match below.as_str() {
                "" => (true, item.path.clone(), source.to_owned()),
                below => (
                    false,
                    format!("{}/{below}", item.path),
                    format!("{source}/{below}"),
                ),
            };
            match node {
                InputNode::Link(target) => {
                    self.bytes += target.len() as u64;
                    self.tar.symlink(&path, target)?;
                }
                InputNode::Directory(_) => {
                    let mode = if top { item.folder_mode } else { 0o755 };
                    self.tar.directory(&path, mode)?;
                }
                InputNode::File(file) => {
                    item.compare(file.digest)?;
                    // A umask must not change the bytes.
                    let normal = if file.executable { 0o755 } else { 0o644 };
                    let mode = item.file_mode.filter(|_| top).unwrap_or(normal);
                    let unread = |source| ComponentError::Io {
                        path: (&from).into(),
                        source,
                    };
                    let content = self.inputs.open(&from).map_err(unread)?;
                    self.file(&path, mode, file.size, content)
                        .map_err(|error| at_source(error, &from))?;
                }
            }
        }
        Ok(())
    }

    fn downloaded(&mut self, item: &Item<'_>) -> Result<(), ComponentError> {
        let url = item.source;
        refuse_scheme(url)?;
        let Some(file) = self.inputs.tree.blob(url) else {
            return Err(ComponentError::NotFetched {
                component: self.component.to_owned(),
                url: url.to_owned(),
            });
        };
        item.compare(file.digest)?;
        let unread = |source| ComponentError::Io {
            path: url.into(),
            source,
        };
        let content = self.inputs.open_blob(url).map_err(unread)?;
        let mode = item.file_mode.unwrap_or(0o644);
        self.file(&item.path, mode, file.size, content)
            .map_err(|error| at_source(error, url))
    }

    fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        mut content: impl Read,
    ) -> Result<(), TarError> {
        self.tar.file(path, mode, size, &mut content)?;
        self.bytes = self.bytes.saturating_add(size);
        Ok(())
    }
}

/// Refuses an address that nothing here can download.
///
/// # Errors
///
/// [`ComponentError::Scheme`]
pub(crate) fn refuse_scheme(source: &str) -> Result<(), ComponentError> {
    if is_url(source) && !is_remote(source) {
        return Err(ComponentError::Scheme(source.to_owned()));
    }
    Ok(())
}

/// Names the source, not the entry, where the source is at fault.
fn at_source(error: TarError, source: &str) -> ComponentError {
    match error {
        TarError::Read { source: error, .. } => ComponentError::Io {
            path: source.into(),
            source: error,
        },
        other => other.into(),
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
