//! The component tar, as in docs/spec/package.md, "Parts of a component", "Component
//! tar".
//!
//! Streams source files, downloaded blobs and the results of other steps (charts,
//! repositories, members of archives, kustomizations). Holds no file in memory and does
//! not use the network.

mod entries;
mod parts;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::action::InputNode;
use crate::archive::TarError;
use crate::cas::CasError;
use crate::disk;
use crate::ground::inputs::Inputs;
use crate::ground::{failures, of_cas};
use crate::kinds::chart::package::ChartError;
use crate::kinds::component::files::is_remote;
use crate::kinds::component::settings::{ComponentSettings, FileSettings, ManifestSettings};
use crate::oci::Digest;
use crate::package::{self, RepoUrlError, address_and_sum, shasum};

pub use crate::package::{chart_file, kustomized};
pub(crate) use entries::{Entries, Modes};
use entries::{unread, without_pointer};
pub use parts::is_archive;

/// Modes of the folders of the component's layout.
const OWN_FOLDER: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

/// Why a component tar could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// A part was not made.
    #[error("internal error: no step made `{place}` of component `{component}`")]
    NotMade {
        component: String,
        /// Its path in the component.
        place: String,
    },
    /// A source that is not among the inputs.
    #[error("internal error: `{0}` is not an input of the action")]
    NoInput(String),
    /// A target has no file name.
    #[error("target `{0}` has no file name: write the full path of the file")]
    Target(String),
    /// A name is not a valid file name, or occurs twice in the component.
    #[error(
        "invalid manifest name `{0}`: expected a name without `/` that is unique in the component"
    )]
    Name(String),
    /// Not the URL of a repository.
    #[error(transparent)]
    Repo(#[from] RepoUrlError),
    /// What is in its place in the checkout is not its content.
    #[error(
        "`{0}` is a Git LFS pointer, not the file itself: run `git lfs pull`, or name a source that has the content"
    )]
    Pointer(String),
    /// The archive is not a chart.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// As [`Name`](Self::Name), of a chart or repository.
    #[error("invalid file name `{0}`: expected a name without `/` that is unique in the component")]
    Place(String),
    /// A manifest's source is a folder or a link.
    #[error("manifest file `{0}` is {1}, expected a file: name the file itself")]
    NoFile(String, &'static str),
    #[error("`{file}`: {error}")]
    Sum { file: String, error: String },
    /// A checksum for something that is not a file.
    #[error("`{file}` has shasum `{shasum}`, expected {expected}")]
    Shasum {
        file: String,
        shasum: String,
        expected: &'static str,
    },
    /// The file does not match its checksum.
    #[error(
        "`{file}` has SHA-256 {found}, but its `shasum` is {expected}: correct the `shasum`, or restore the file"
    )]
    Mismatch {
        file: String,
        /// Sum of its bytes, in hex.
        found: String,
        /// As the definition has it.
        expected: String,
    },
    /// A URL of another kind.
    #[error(
        "cannot download `{0}`: expected an http:// or https:// URL, or a file in the package folder"
    )]
    Scheme(String),
    /// A URL that was not downloaded.
    #[error(
        "component `{component}` needs `{url}`, which was not downloaded: \
         copy the file into the package folder and refer to it there"
    )]
    NotFetched { component: String, url: String },
    /// The disk refused, or a blob is damaged.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Cas(#[from] CasError),
}

disk::from_disk_error!(ComponentError);

/// Writes the tar of a component using only its inputs.
///
/// `None`: it holds nothing, and packages leave such a tar out. One that holds only
/// empty files and folders is written.
///
/// # Errors
///
/// [`ComponentError`]; the output in `out` is then incomplete.
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
        out: Entries::new(out),
    };
    writer.out.tar.directory(name, OWN_FOLDER)?;
    // Folders and their content in bytewise order: `charts` comes first.
    writer.charts(&component.charts)?;
    if !component.data_injections.is_empty() {
        writer.folder("data")?;
    }
    for index in by_name(component.data_injections.len()) {
        let data = &component.data_injections[index];
        let path = writer.numbered("data", index, &data.target)?;
        writer.item(&Item::new(path, &data.source))?;
    }
    if !component.files.is_empty() {
        writer.folder("files")?;
    }
    for index in by_name(component.files.len()) {
        let file = &component.files[index];
        let path = writer.numbered("files", index, &file.target)?;
        if !file.extract_path.is_empty() {
            writer.part(&extracted(index), &path, Some(file.executable))?;
            continue;
        }
        writer.item(&Item {
            modes: own(file.executable),
            sums: sums(file)?,
            ..Item::new(path, &file.source)
        })?;
    }
    if !component.manifests.is_empty() {
        writer.folder("manifests")?;
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
    let out = writer.out.finish()?;
    Ok((!component.is_empty()).then_some(out))
}

/// The modes of a file or folder that the definition names by itself.
fn own(executable: bool) -> Modes {
    Modes {
        top_file: Some(if executable { OWN_FOLDER } else { OWN_FILE }),
        top_folder: Some(OWN_FOLDER),
        ..Modes::KEPT
    }
}

/// Indexes in the order of their names: `10` before `2`.
fn by_name(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(ToString::to_string);
    order
}

/// The path of a file that is a member of an archive.
#[must_use]
pub fn extracted(index: usize) -> String {
    format!("files/{index}")
}

/// The name in the package and the source of every manifest file, sorted; `None`: a
/// step builds it.
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

/// The expected digests of a file: its `shasum`, and the checksum at the end of its
/// URL.
fn sums(file: &FileSettings) -> Result<Vec<Digest>, ComponentError> {
    let declared = shasum(&file.shasum).map_err(|error| ComponentError::Sum {
        file: file.source.clone(),
        error,
    })?;
    let (_, at_end) = address_and_sum(&file.source);
    let at_end = at_end.filter(|_| is_url(&file.source));
    Ok(declared.into_iter().chain(at_end).collect())
}

pub(crate) fn is_url(source: &str) -> bool {
    source.contains("://")
}

/// One source and its path in the tar.
struct Item<'a> {
    path: String,
    source: &'a str,
    modes: Modes,
    /// Whether it must be a file.
    only_file: bool,
    sums: Vec<Digest>,
}

impl<'a> Item<'a> {
    fn new(path: String, source: &'a str) -> Self {
        Self {
            path,
            source,
            modes: Modes::KEPT,
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
    /// The parts that are tars of the content at their path.
    trees: &'a [String],
    out: Entries<W>,
}

impl<W: Write> Writer<'_, W> {
    /// Starts the folder of one listed item; its content is named by the last part of
    /// `target`.
    fn numbered(
        &mut self,
        kind: &str,
        index: usize,
        target: &str,
    ) -> Result<String, ComponentError> {
        let base = last_name(target)?;
        let folder = self.folder(&format!("{kind}/{index}"))?;
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
                expected: "none, because it is not a file",
            });
        }
        let check = |found| item.compare(found);
        self.out
            .source(self.inputs, source, &item.path, item.modes, check)
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
        let content = self.inputs.open_blob(url).map_err(unread(url))?;
        let mode = item.modes.top_file.unwrap_or(0o644);
        let content = without_pointer((file.size, content), url)?;
        self.out.file(&item.path, mode, (file.size, content), url)
    }
}

/// The last name of a path, under which a file is stored.
pub(crate) fn last_name(target: &str) -> Result<&str, ComponentError> {
    package::last_name(target).ok_or_else(|| ComponentError::Target(target.to_owned()))
}

/// Refuses URLs that cannot be downloaded.
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

failures! {
    ComponentError: |error| match error {
        ComponentError::Io { .. } => Class::Environment,
        ComponentError::Cas(error) => of_cas(error),
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
