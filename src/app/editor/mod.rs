//! What an editor asks about files of a workspace while they are written: mistakes, keys
//! and names to insert, explanations, and where things are declared.
//!
//! Never writes, runs nothing and uses no network. Positions are lines and columns in
//! characters, from 0. Source: adr/0080, "A language server".

mod context;
mod cursor;
mod follow;
mod kept;
mod offers;
mod places;
mod schemas;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::{self, Texts};
use super::lint::Linter;
use super::options::{Place, Variant};
use super::survey;
use crate::codes::Code;
use crate::ground::folders::lexical;
use crate::ground::source::{WORKSPACE_FILE, workspace_root};
use crate::package::{Dialect, Finding, MAX_DEFINITION_BYTES, Severity};

use kept::Kept;
pub use offers::{Offer, OfferKind};
pub use schemas::FileKind;
use schemas::Schemas;

/// Files that are open, and what is around them.
pub struct Editor {
    place: Place,
    texts: Texts,
    schemas: Schemas,
    /// By their roots.
    kept: RefCell<BTreeMap<PathBuf, Kept>>,
}

impl Editor {
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            place,
            texts: Texts::default(),
            schemas: Schemas::new(),
            kept: RefCell::default(),
        }
    }

    /// A file is open with this text, which counts more than the one on disk.
    pub fn open(&mut self, path: PathBuf, text: String) {
        for kept in self.kept.get_mut().values_mut() {
            kept.note_changed(&path);
        }
        self.texts.0.insert(path, Arc::from(text));
    }

    pub fn close(&mut self, path: &Path) {
        self.texts.0.remove(path);
        self.forget();
    }

    /// Files on disk may have changed: reads them again for the next question.
    pub fn forget(&mut self) {
        self.kept.get_mut().clear();
    }

    /// The text of an open file.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<Arc<str>> {
        self.texts.0.get(path).cloned()
    }

    /// The text of any file, within the limit of definitions.
    #[must_use]
    pub fn text_of(&self, path: &Path) -> Option<Arc<str>> {
        self.texts.read(path).ok()
    }

    /// The findings in each open file.
    #[must_use]
    pub fn findings(&self) -> BTreeMap<PathBuf, Vec<Finding>> {
        let mut all: BTreeMap<PathBuf, Vec<Finding>> = BTreeMap::new();
        let mut by_root: BTreeMap<PathBuf, Vec<(&PathBuf, FileKind)>> = BTreeMap::new();
        for (path, text) in &self.texts.0 {
            all.insert(path.clone(), Vec::new());
            if too_large(text) {
                let mut found = survey::of_file(
                    &path.to_string_lossy(),
                    Code::UnreadableFile,
                    format!(
                        "the file is larger than {MAX_DEFINITION_BYTES} bytes, and is not checked"
                    ),
                    "",
                );
                found.severity = Severity::Warning;
                all.insert(path.clone(), vec![found]);
            } else if let Some(kind) = kind_of(path, text) {
                by_root
                    .entry(self.root(path))
                    .or_default()
                    .push((path, kind));
            }
        }
        for (root, files) in by_root {
            let place = self.place_of(&root);
            let survey = self.survey(&place);
            let variant = Variant::default();
            let mut linter = Linter {
                place: &place,
                variant: &variant,
                texts: &self.texts,
                survey: &survey,
                skeletons: None,
                trial: None,
            };
            let mut found: Vec<Finding> = Vec::new();
            found.extend(survey.findings.iter().map(|(_, finding)| finding.clone()));
            for (path, kind) in files {
                if kind == FileKind::Package {
                    found.extend(linter.definition(path));
                }
            }
            // Without the network they cannot be read here.
            found.retain(|one| one.code != Code::UnreadSkeleton);
            for finding in found {
                let path = lexical(&root.join(&finding.file));
                if let Some(list) = all.get_mut(&path) {
                    list.push(finding);
                }
            }
        }
        for list in all.values_mut() {
            list.sort();
            list.dedup();
        }
        all
    }

    /// The text and kind of a file that is not too large.
    fn readable(&self, path: &Path) -> Option<(Arc<str>, FileKind)> {
        let text = self.texts.0.get(path).filter(|text| !too_large(text))?;
        Some((Arc::clone(text), kind_of(path, text)?))
    }

    fn root(&self, path: &Path) -> PathBuf {
        let folder = path.parent().unwrap_or(Path::new("/"));
        workspace_root(folder).unwrap_or(folder).to_owned()
    }

    /// This root as the current folder.
    fn place_of(&self, root: &Path) -> Place {
        Place {
            here: root.to_owned(),
            ..self.place.clone()
        }
    }
}

fn too_large(text: &str) -> bool {
    u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_DEFINITION_BYTES
}

/// What kind of file it is, by its name, else by its first lines.
fn kind_of(path: &Path, text: &str) -> Option<FileKind> {
    let name = path.file_name()?.to_str()?;
    if name == WORKSPACE_FILE {
        return Some(FileKind::Workspace);
    }
    if name == find::PIPELINE_FILE {
        return Some(FileKind::Pipeline);
    }
    if Dialect::of_definition_file(name).is_some() {
        return Some(FileKind::Package);
    }
    let kind = text
        .lines()
        .take(50)
        .find_map(|line| line.strip_prefix("kind:"))?;
    match kind.trim().trim_matches(['"', '\'']) {
        "JackalPipeline" => Some(FileKind::Pipeline),
        "JackalPackageConfig" | "ZarfPackageConfig" => Some(FileKind::Package),
        "JackalWorkspace" => Some(FileKind::Workspace),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
