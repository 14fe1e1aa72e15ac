//! Where packages are: the definitions in the workspace, and those that are named.
//!
//! Source: docs/spec/pipeline.md, "Workspace".

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::options::Place;
use crate::disk::{self, DiskError, look};
use crate::ground::folders::lexical;
use crate::ground::source::WORKSPACE_FILE;
use crate::package::{Dialect, MAX_DEFINITION_BYTES};
use crate::pipeline::WorkspaceSettings;
use crate::plan::{Chosen, Named, Selection};
use crate::workspace::{Globs, Kind, Walked};
use crate::yaml::{Node, SourceText, parse_first};
use crate::{plan, workspace};

/// The text of a definition or pipeline, within its limit.
pub(super) fn read_text(path: &Path) -> Result<String, BuildError> {
    disk::read_text(path, MAX_DEFINITION_BYTES).map_err(unreadable)
}

/// Texts of files: those that an editor has open, else those on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(pub(super) BTreeMap<PathBuf, Arc<str>>);

impl Texts {
    /// # Errors
    ///
    /// The file cannot be read, or is too large.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<str>, BuildError> {
        match self.0.get(path) {
            Some(text) => Ok(Arc::clone(text)),
            None => read_text(path).map(Arc::from),
        }
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path) || look::is_file(path)
    }
}

/// `path` as seen from `here`, for messages.
pub(super) fn shown<'a>(here: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(here).unwrap_or(path)
}

fn resolved(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    let path = place.here.join(path);
    let real = look::canonicalize(&path);
    real.map_err(|error| unreadable(disk::at(&path)(error)))
}

fn unreadable(error: DiskError) -> BuildError {
    match error.source.kind() {
        std::io::ErrorKind::NotFound => BuildError::Absent(error.path),
        _ => error.into(),
    }
}

/// The definition that `path` names: a file, or the one in a folder.
pub(super) fn definition(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    let full = place.here.join(path);
    if look::is_file(&full) {
        return named(place, path);
    }
    let folder = resolved(place, path)?;
    let found = plan::definition_in(&folder);
    let (_, path) = found.ok_or(BuildError::NoPackage(folder))?;
    Ok(path)
}

/// The definition file `path`. Its folder has no link in its path.
fn named(place: &Place, path: &Path) -> Result<PathBuf, BuildError> {
    if is_pipeline(&place.here.join(path)) {
        return Err(BuildError::IsPipeline(path.to_owned()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => resolved(place, folder)?,
        _ => resolved(place, Path::new("."))?,
    };
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

/// Whether the file at `path` is a pipeline, by its `kind`.
#[must_use]
pub fn is_pipeline(path: &Path) -> bool {
    let text = look::is_file(path).then(|| read_text(path).ok()).flatten();
    let node = text.and_then(|text| parse_first(&SourceText::new("", text)).ok().flatten());
    let kind = node.as_ref().and_then(|node| node.get("kind"));
    kind.and_then(Node::scalar) == Some("JackalPipeline")
}

/// The settings of the workspace at `root`; without a file, the defaults.
pub(super) fn settings(root: &Path, here: &Path) -> Result<WorkspaceSettings, BuildError> {
    let path = root.join(WORKSPACE_FILE);
    if !look::is_file(&path) {
        return Ok(WorkspaceSettings::default());
    }
    let name = shown(here, &path).to_string_lossy();
    let text = SourceText::new(name, read_text(&path)?);
    Ok(WorkspaceSettings::read(&text)?.at(&root.to_string_lossy()))
}

/// The tasks of an implied pipeline that others may name.
pub(super) const IMPLIED_NAMES: [&str; 2] = ["package", "images"];

/// The usual name of a pipeline file.
pub(super) const PIPELINE_FILE: &str = "jackal.pipeline.yaml";

/// A name that other programs use too: it counts beside a definition.
const LONE_PIPELINE: &str = "pipeline.yaml";

/// The pipeline files and definitions of a workspace.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) pipelines: Vec<PathBuf>,
    pub(super) definitions: Vec<PathBuf>,
    /// All YAML files: what `include` selects among.
    yaml: Vec<PathBuf>,
    /// The root, and all that was found there, for the run.
    pub(super) walked: Option<(PathBuf, Walked)>,
}

impl Files {
    /// A definition, and nothing else.
    pub(super) fn of_definition(path: PathBuf) -> Self {
        Self {
            definitions: vec![path],
            ..Self::default()
        }
    }

    /// These, each a definition or a pipeline.
    pub(super) fn named(files: impl Iterator<Item = PathBuf>) -> Self {
        let is_definition = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| Dialect::of_definition_file(name).is_some())
        };
        let (definitions, pipelines) = files.partition(is_definition);
        Self {
            definitions,
            pipelines,
            ..Self::default()
        }
    }

    /// The definition and the pipeline of one folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        let pipeline = folder.join(PIPELINE_FILE);
        Self {
            pipelines: look::is_file(&pipeline)
                .then_some(pipeline)
                .into_iter()
                .collect(),
            definitions: plan::definition_in(folder)
                .map(|(_, path)| path)
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }

    /// Looks below `root` for what the settings do not exclude.
    pub(super) fn below(root: &Path, settings: &WorkspaceSettings) -> Result<Self, BuildError> {
        let excluded = Globs::new(&settings.exclude)?;
        let included = Globs::new(&settings.include)?;
        let mut files = Self::default();
        let (mut folders, mut lone) = (BTreeSet::new(), Vec::new());
        let walked = workspace::walk(root);
        for entry in &walked.0 {
            let path = entry.path.as_str();
            let yaml = path.ends_with(".yaml") || path.ends_with(".yml");
            if !yaml || entry.kind == Kind::Directory || is_within(&excluded, path) {
                continue;
            }
            let full = root.join(path);
            let name = path.rsplit('/').next().unwrap_or(path);
            if name == PIPELINE_FILE || included.matches(path) {
                files.pipelines.push(full.clone());
            } else if name == LONE_PIPELINE {
                lone.push(full.clone());
            } else if Dialect::of_definition_file(name).is_some() {
                folders.extend(full.parent().map(Path::to_owned));
            }
            files.yaml.push(full);
        }
        for path in lone {
            let folder = path.parent().unwrap_or(root);
            let own = folder.join(PIPELINE_FILE);
            if folders.contains(folder) && !files.pipelines.contains(&own) && is_pipeline(&path) {
                files.pipelines.push(path);
            }
        }
        let found = folders
            .iter()
            .filter_map(|folder| plan::definition_in(folder));
        files.definitions = found.map(|(_, path)| path).collect();
        files.definitions.sort();
        files.pipelines.sort();
        files.pipelines.dedup();
        files.walked = Some((root.to_owned(), walked));
        Ok(files)
    }

    /// The definitions, each with what begins the names of its tasks. A lone one has
    /// nothing before them.
    pub(super) fn packages(&self, root: &Path, has_pipelines: bool) -> Vec<(String, PathBuf)> {
        let lone = self.definitions.len() == 1 && !has_pipelines;
        let all = self.definitions.iter();
        all.map(|path| match lone {
            true => (String::new(), path.clone()),
            false => (prefix_of_definition(root, path), path.clone()),
        })
        .collect()
    }

    /// What `read` makes of each of these pipeline files, and of those that they include.
    /// `read` asks for each pattern of `include`, and learns whether it matches a file. One
    /// that is planned alone does not have the exclusions of the workspace.
    pub(super) fn with_included<R>(
        &self,
        pipelines: &[PathBuf],
        alone: bool,
        mut read: impl FnMut(PathBuf, &mut dyn FnMut(&str) -> bool) -> R,
    ) -> Vec<R> {
        let mut open: Vec<PathBuf> = pipelines.iter().rev().cloned().collect();
        let mut seen: BTreeSet<PathBuf> = open.iter().cloned().collect();
        let mut all = Vec::new();
        while let Some(file) = open.pop() {
            let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
            let mut include = |pattern: &str| {
                let found = self.included(&folder, pattern, alone);
                let any = !found.is_empty();
                open.extend(found.into_iter().filter(|file| seen.insert(file.clone())));
                any
            };
            all.push(read(file, &mut include));
        }
        all
    }

    /// The files that a pipeline in `folder` includes by a pattern.
    fn included(&self, folder: &Path, pattern: &str, alone: bool) -> Vec<PathBuf> {
        let (up, rest) = workspace::climbed(pattern);
        let Some(base) = folder.ancestors().nth(up) else {
            return Vec::new();
        };
        let Ok(globs) = Globs::new(&[rest]) else {
            return Vec::new();
        };
        let below = match alone {
            true => Self::below(base, &WorkspaceSettings::default()).unwrap_or_default(),
            false => Self::default(),
        };
        let all = self.yaml.iter().chain(&below.yaml).filter(|file| {
            let below = file.strip_prefix(base).ok().and_then(Path::to_str);
            below.is_some_and(|below| globs.matches(below))
        });
        all.cloned().collect()
    }
}

/// The same as [`prefix`], for the package of a definition. One that is not found by default
/// is named by its file.
pub(super) fn prefix_of_definition(root: &Path, path: &Path) -> String {
    let folder = path.parent().unwrap_or(root);
    let usual = plan::definition_in(folder).is_some_and(|(_, usual)| usual == path);
    prefix(root, if usual { folder } else { path })
}

/// What the names of the tasks of a unit begin with.
pub(super) fn prefix(root: &Path, named: &Path) -> String {
    match named.strip_prefix(root).unwrap_or(named) {
        relative if relative.as_os_str().is_empty() => String::new(),
        relative => format!("{}:", relative.display()),
    }
}

/// Whether `globs` match a path or a folder that it is in.
fn is_within(globs: &Globs, path: &str) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    above.chain([path]).any(|path| globs.matches(path))
}

/// `path` without links, if it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    look::canonicalize(path).unwrap_or_else(|_| lexical(path))
}

/// What names the pipeline `file`, and the files of the workspace.
pub(super) fn pipeline(
    place: &Place,
    root: &Path,
    file: &Path,
    settings: &WorkspaceSettings,
) -> Result<(Selection, Files), BuildError> {
    let full = resolved(place, file)?;
    let around = match place.is_marked(root) {
        true => root,
        false => full.parent().unwrap_or(root),
    };
    let files = Files::below(around, settings)?;
    Ok((Selection::one(Chosen::File(full)), files))
}

/// What words name, and the files of the workspace.
pub(super) fn words(
    place: &Place,
    root: &Path,
    words: &[String],
    settings: &WorkspaceSettings,
) -> Result<(Selection, Files), BuildError> {
    let selection = selection(place, root, words)?;
    // Without a root the current folder may be anything, and hold anything.
    let places = selection.places();
    let files = match (place.is_marked(root), places.as_slice()) {
        (true, _) | (false, []) => Files::below(root, settings)?,
        (false, places) => {
            let mut files = Files::default();
            for place in places {
                let found = Files::below(place, settings)?;
                files.pipelines.extend(found.pipelines);
                files.definitions.extend(found.definitions);
                files.yaml.extend(found.yaml);
            }
            files
        }
    };
    let mut files = files;
    for named in &selection.chosen {
        if let Chosen::File(file) = &named.chosen {
            let list = match is_pipeline(file) {
                true => &mut files.pipelines,
                false => &mut files.definitions,
            };
            list.push(file.clone());
        }
    }
    for list in [&mut files.pipelines, &mut files.definitions] {
        list.sort();
        list.dedup();
    }
    Ok((selection, files))
}

/// What words name.
pub(super) fn selection(
    place: &Place,
    root: &Path,
    words: &[String],
) -> Result<Selection, BuildError> {
    let mut selection = Selection::default();
    for word in words {
        let (out, word) = match word.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, word.as_str()),
        };
        let bare = word.strip_prefix('^').unwrap_or(word);
        let chosen = chosen(place, root, bare)?;
        match out {
            true => selection.left_out.push(chosen),
            false => selection.chosen.push(Named {
                word: bare.to_owned(),
                chosen,
                needs: bare.len() < word.len(),
            }),
        }
    }
    if selection.chosen.is_empty() {
        let all = Chosen::Below(real(&place.here));
        selection.chosen = Selection::one(all).chosen;
    }
    Ok(selection)
}

/// What one word names: `FOLDER`, `FILE`, `FOLDER:TASK`, `:TASK`, `tag:NAME`, or the name
/// of a task.
fn chosen(place: &Place, root: &Path, word: &str) -> Result<Chosen, BuildError> {
    let full = place.here.join(word);
    if look::is_dir(&full) {
        return Ok(Chosen::Below(resolved(place, Path::new(word))?));
    }
    if look::is_file(&full) {
        let folder = resolved(place, full.parent().unwrap_or(root))?;
        let name = full.file_name().unwrap_or_default();
        return Ok(Chosen::File(folder.join(name)));
    }
    let task = |folder: Option<PathBuf>, name: &str| Chosen::Task {
        folder,
        name: name.to_owned(),
    };
    if let Some(tag) = word.strip_prefix("tag:") {
        return Ok(Chosen::Tag(tag.to_owned()));
    }
    if let Some(name) = word.strip_prefix(':') {
        return Ok(task(None, name));
    }
    // A value of a matrix may contain a colon, and so may the name of a task.
    let name = word.split('[').next().unwrap_or(word);
    for (at, _) in name.match_indices(':') {
        let folder = [&place.here, root].map(|base| base.join(&word[..at]));
        if let Some(folder) = folder.into_iter().find(|folder| look::is_dir(folder)) {
            return Ok(task(Some(real(&folder)), &word[at + 1..]));
        }
    }
    if word.contains('/') && !name.contains(':') {
        return Err(BuildError::Absent(full));
    }
    Ok(task(None, word))
}
