//! `jackal dev lint`: checks definitions, pipelines and the workspace without building.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::build_options::{BuildOptions, Target};
use super::compose::{Composer, Disk};
use super::find::{Texts, shown};
use super::options::{Pins, Place, Variant};
use super::skeletons::Skeletons;
use super::survey::{Given, READABLE, Survey, of_file};
use super::units;
use crate::cas::Cas;
use crate::codes::Code;
use crate::ground::Class;
use crate::ground::folders::Folders;
use crate::ground::source::{OwnFiles, WORKSPACE_FILE};
use crate::oci::host_architecture;
use crate::package::{Choice, Finding, Severity, lint as lint_definition};
use crate::plan::Chosen;
use crate::text::with_causes;
use crate::yaml::SourceText;

#[derive(Clone, Debug)]
pub struct LintOptions {
    pub place: Place,
    /// Checks only components of this variant.
    pub variant: Variant,
    /// Folders, with all below them, and files; none: the current folder.
    pub named: Vec<PathBuf>,
    pub offline: bool,
}

#[derive(Clone, Debug)]
pub struct Linted {
    /// The root of the workspace.
    pub root: PathBuf,
    /// By file and place.
    pub findings: Vec<Finding>,
}

/// All findings in the files of a workspace that `options` names, and in those that
/// they import.
///
/// Writes only to the cache.
///
/// # Errors
///
/// [`BuildError`]: nothing there can be checked, or the cache cannot be used.
pub fn lint(options: &LintOptions) -> Result<Linted, BuildError> {
    let (place, variant) = (&options.place, &options.variant);
    let mut words = Vec::new();
    for path in &options.named {
        let full = place.here.join(path);
        if !full.exists() {
            return Err(BuildError::Absent(full));
        }
        words.push(path.to_string_lossy().into_owned());
    }
    let target = Target::Words {
        words: words.clone(),
        params: BTreeMap::new(),
    };
    let root = target.workspace(place);
    let texts = Texts::default();
    let survey = Survey::of(place, &root, &words, &texts)?;
    let selected = |file: &Path| {
        let folder = file.parent().unwrap_or(Path::new("/"));
        survey.selection.may_be_in(folder, file)
    };
    let definitions: Vec<&PathBuf> = (survey.definitions.iter())
        .filter(|file| selected(file))
        .collect();
    let of_workspace = |file: &Path| file.file_name().is_some_and(|name| name == WORKSPACE_FILE);
    let mut findings: Vec<Finding> = (survey.findings.iter())
        .filter(|(file, _)| selected(file) || of_workspace(file))
        .map(|(_, finding)| finding.clone())
        .collect();
    let has_pipelines = survey.pipelines.iter().any(|read| selected(&read.file));
    if definitions.is_empty() && !has_pipelines && findings.is_empty() {
        return nothing(&survey, place);
    }
    let registry = place.connection.client()?;
    let cas = Arc::new(Cas::open(&place.cache)?);
    let pins = match options.offline {
        true => Pins::Offline,
        false => Pins::Read,
    };
    let mut linter = Linter {
        place,
        variant,
        texts: &texts,
        survey: &survey,
        skeletons: Some(Skeletons::new(&cas, &registry, pins)),
        trial: Some(Arc::clone(&cas)),
    };
    for path in definitions {
        findings.extend(linter.definition(path));
    }
    // Each file is right: do their tasks fit together?
    let stops =
        |found: &Finding| found.severity == Severity::Error || found.code == Code::UnsetTemplate;
    if has_pipelines && survey.complete && !findings.iter().any(stops) {
        let options = BuildOptions {
            unnamed: true,
            pins,
            variant: variant.clone(),
            ..BuildOptions::new(place.clone(), target)
        };
        let skeletons = Skeletons::new(&cas, &registry, pins);
        let ask = &mut |_: &str| None;
        let mut composer = Composer::new(place, variant, skeletons, ask);
        let planned = units::plan(&options, &mut composer, &root);
        findings.extend(
            planned
                .err()
                .and_then(|error| of_plan(&error, place, &root)),
        );
    }
    findings.sort();
    findings.dedup_by(|b, a| {
        // An imported file may be read for several packages.
        (&a.file, a.line, a.column, a.code) == (&b.file, b.line, b.column, b.code)
    });
    Ok(Linted { root, findings })
}

/// Nothing was found to check.
fn nothing(survey: &Survey, place: &Place) -> Result<Linted, BuildError> {
    if survey.workspace {
        return Ok(Linted {
            root: survey.root.clone(),
            findings: Vec::new(),
        });
    }
    let mut chosen = survey.selection.chosen.iter();
    let folder = chosen.find_map(|named| match &named.chosen {
        Chosen::Below(folder) => Some(folder.clone()),
        _ => None,
    });
    Err(BuildError::NoPackage(
        folder.unwrap_or_else(|| place.here.clone()),
    ))
}

/// What the tasks of several files do not agree in.
fn of_plan(error: &BuildError, place: &Place, root: &Path) -> Option<Finding> {
    if error.class() != Class::Configuration {
        return None;
    }
    let mut help = String::new();
    let (code, at, message) = match error {
        BuildError::Plan { at, also, source } => {
            help.extend(
                also.iter()
                    .map(|also| format!("The other place is {also}.")),
            );
            (source.code(), Some(at), with_causes(&**source))
        }
        error => (Code::InvalidPlan, None, with_causes(error)),
    };
    let file = at.map_or_else(
        || shown(&place.here, root).display().to_string(),
        |at| at.file.clone(),
    );
    let mut found = of_file(&file, code, message, &help);
    if let Some(span) = at.and_then(|at| at.span) {
        (found.line, found.column, found.length) = (span.line, span.column, span.length);
    }
    Some(found)
}

/// Checks definitions of a workspace.
pub(super) struct Linter<'l, 'r> {
    pub(super) place: &'l Place,
    pub(super) variant: &'l Variant,
    pub(super) texts: &'l Texts,
    pub(super) survey: &'l Survey,
    /// `None`: imports of skeletons are not checked.
    pub(super) skeletons: Option<Skeletons<'r>>,
    /// Where to try what a build would do with sources.
    pub(super) trial: Option<Arc<Cas>>,
}

impl Linter<'_, '_> {
    /// The findings in the definition at `path`, and in those that it imports.
    pub(super) fn definition(&mut self, path: &Path) -> Vec<Finding> {
        let place = self.place;
        let name = shown(&place.here, path).to_string_lossy().into_owned();
        let source = match self.texts.read(path) {
            Ok(text) => SourceText::new(name, text),
            Err(error) => {
                let message = with_causes(&error);
                return vec![of_file(&name, Code::UnreadableFile, message, READABLE)];
            }
        };
        // What package tasks set has a value.
        let none = Given::default();
        let given = self.survey.given.get(path).unwrap_or(&none);
        let mut set = given.set.clone();
        set.extend(self.variant.set.clone());
        let choice = Choice {
            architecture: self.variant.architecture.as_deref(),
            host: host_architecture(),
            flavor: &self.variant.flavor,
            set: &set,
            metadata: &given.metadata,
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut disk = Disk {
            here: &place.here,
            folders: Folders::from(folder.to_owned()),
            own: OwnFiles {
                cache: place.cache.path.clone(),
                ..OwnFiles::default()
            },
            skeletons: self.skeletons.as_mut(),
            trial: self.trial.clone(),
            ask: &mut |_| None,
            answers: &mut BTreeMap::new(),
            trusted: &self.variant.trusted_imports,
            texts: self.texts,
            made: Some(&self.survey.made),
        };
        lint_definition(source, &mut disk, &choice)
    }
}
