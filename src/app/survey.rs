//! All pipeline files of a workspace with every mistake, and what their tasks make: for
//! lint and editors, which go on where a build stops.
//!
//! Runs nothing and writes nothing. Values that only a build has, such as parameters, are
//! replaced by placeholders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::definitions;
use super::find::{self, Files, Texts, shown};
use super::made::Made;
use super::options::Place;
use crate::codes::Code;
use crate::ground::folders::lexical;
use crate::ground::source::WORKSPACE_FILE;
use crate::package::{Finding, Severity};
use crate::pipeline::{
    self, ExpandError, Expanded, Facts, Instance, Member, ParamType, Pipeline, Verb,
    WorkspaceSettings,
};
use crate::plan::{Outputs, PlanError, Selection};
use crate::text::with_causes;
use crate::workspace;
use crate::yaml::{Mistake, Node, SourceText, Span, parse_first};

/// A workspace as it is written.
pub(super) struct Survey {
    pub root: PathBuf,
    pub selection: Selection,
    pub pipelines: Vec<Surveyed>,
    pub definitions: Vec<PathBuf>,
    /// The names of tasks of packages without a pipeline.
    implied: Vec<String>,
    pub made: Made,
    /// In pipelines and in the workspace file, whether selected or not.
    pub findings: Vec<(PathBuf, Finding)>,
    /// What package tasks set in a definition.
    pub given: BTreeMap<PathBuf, Given>,
    /// Whether there is a workspace file.
    pub workspace: bool,
    /// Whether every parameter has a value without the user.
    pub complete: bool,
}

/// Values for a definition.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// Of templates.
    pub set: BTreeMap<String, String>,
    /// Of keys of `metadata`.
    pub metadata: BTreeMap<String, String>,
}

pub(super) struct Surveyed {
    pub file: PathBuf,
    pub folder: PathBuf,
    /// Begins the names of its tasks.
    pub prefix: String,
    pub text: SourceText,
    /// As far as it can be read.
    pub pipeline: Option<Pipeline>,
    params: BTreeMap<String, String>,
    facts: Facts,
    /// Whether placeholders may explain a mistake.
    guessed: bool,
    pub instances: Vec<Instance>,
}

/// A finding that concerns a whole file.
pub(super) fn of_file(name: &str, code: Code, message: String, help: &str) -> Finding {
    let mistake = Mistake::new(Span::START, message, help).with(code);
    finding(name, mistake)
}

/// A mistake as a finding in the file `name`.
pub(super) fn finding(name: &str, mistake: Mistake) -> Finding {
    Finding {
        file: name.to_owned(),
        line: mistake.span.line,
        column: mistake.span.column,
        length: mistake.span.length,
        severity: Severity::Error,
        code: mistake.code,
        message: mistake.message,
        help: mistake.help,
    }
}

impl Survey {
    /// Reads the workspace of what `words` name: folders and files.
    ///
    /// # Errors
    ///
    /// A word names nothing.
    pub(super) fn of(
        place: &Place,
        root: &Path,
        words: &[String],
        texts: &Texts,
    ) -> Result<Self, BuildError> {
        let mut findings = Vec::new();
        let mut settings = settings(place, root, texts, &mut findings);
        let (selection, files) = found(place, root, words, &mut settings, &mut findings)?;
        Ok(Self::read_files(
            place, root, selection, &files, &settings, texts, findings,
        ))
    }

    /// The same for all of a workspace, and these files. Without a marked root, only these.
    pub(super) fn around(place: &Place, root: &Path, mut files: Files, texts: &Texts) -> Self {
        let mut findings = Vec::new();
        let mut settings = settings(place, root, texts, &mut findings);
        if place.is_marked(root)
            && let Ok((_, mut all)) = found(place, root, &[], &mut settings, &mut findings)
        {
            all.pipelines.append(&mut files.pipelines);
            all.definitions.append(&mut files.definitions);
            files = all;
        }
        let all = Selection::default();
        Self::read_files(place, root, all, &files, &settings, texts, findings)
    }

    fn read_files(
        place: &Place,
        root: &Path,
        selection: Selection,
        files: &Files,
        settings: &WorkspaceSettings,
        texts: &Texts,
        findings: Vec<(PathBuf, Finding)>,
    ) -> Self {
        let mut survey = Self {
            root: root.to_owned(),
            selection,
            pipelines: Vec::new(),
            definitions: files.definitions.clone(),
            implied: Vec::new(),
            made: Made::default(),
            findings,
            given: BTreeMap::new(),
            workspace: texts.has(&root.join(WORKSPACE_FILE)),
            complete: true,
        };
        (survey.definitions)
            .retain(|path| path.file_name().is_none_or(|name| name != WORKSPACE_FILE));
        survey.read_all(place, files, settings, texts);
        survey.expand(files);
        survey.name_definitions();
        survey
    }

    /// Notes the definitions that tasks name, whatever they are called, and what is set in
    /// them.
    fn name_definitions(&mut self) {
        for read in &self.pipelines {
            for instance in &read.instances {
                let Some(name) = definitions::named(instance) else {
                    continue;
                };
                let path = lexical(&read.folder.join(name));
                if let Verb::Package(package) = &instance.verb {
                    let given = self.given.entry(path.clone()).or_default();
                    for (key, value) in package.set.clone() {
                        match definitions::METADATA.contains(&key.as_str()) {
                            true => given.metadata.insert(key, value),
                            false => given.set.insert(key, value),
                        };
                    }
                }
                if path.is_file() {
                    self.definitions.push(path);
                }
            }
        }
        self.definitions.sort();
        self.definitions.dedup();
    }

    /// Reads the pipelines, and those that they include.
    fn read_all(
        &mut self,
        place: &Place,
        files: &Files,
        settings: &WorkspaceSettings,
        texts: &Texts,
    ) {
        let all = files.with_included(&files.pipelines, false, |file, include| {
            let read = self.read(place, file, settings, texts)?;
            for pattern in read.pipeline.iter().flat_map(|one| &one.include) {
                if include(pattern) {
                    continue;
                }
                let message = format!("`{pattern}` in `include` matches no YAML file");
                let at = include_span(&read.text, pattern);
                let mistake = Mistake::new(at, message, "Correct it, or remove it.");
                let found = finding(&read.text.name, mistake.with(Code::UnmatchedInclude));
                self.findings.push((read.file.clone(), found));
            }
            Some(read)
        });
        self.pipelines.extend(all.into_iter().flatten());
        self.pipelines.sort_by(|a, b| a.file.cmp(&b.file));
    }

    fn read(
        &mut self,
        place: &Place,
        file: PathBuf,
        settings: &WorkspaceSettings,
        texts: &Texts,
    ) -> Option<Surveyed> {
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let name = shown(&place.here, &file).to_string_lossy().into_owned();
        let text = match texts.read(&file) {
            Ok(text) => SourceText::new(name, text),
            Err(error) => {
                let found = of_file(&name, Code::UnreadableFile, with_causes(&error), READABLE);
                self.findings.push((file, found));
                self.made.unknown.push(folder);
                return None;
            }
        };
        let (pipeline, mistakes) = pipeline::check_in(&text, settings);
        if !mistakes.is_empty() {
            self.made.unknown.push(folder.clone());
        }
        let found = mistakes.into_iter();
        let found = found.map(|mistake| (file.clone(), finding(&text.name, mistake)));
        self.findings.extend(found);
        let (params, guessed) = pipeline.as_ref().map(values).unwrap_or_default();
        self.complete &= !guessed;
        Some(Surveyed {
            prefix: find::prefix(&self.root, &folder),
            facts: Facts {
                env: place.environment.clone(),
                git: git_facts(&folder),
                platform: format!("linux/{}", crate::oci::host_architecture()),
            },
            file,
            folder,
            text,
            pipeline,
            params,
            guessed,
            instances: Vec::new(),
        })
    }

    /// Makes the tasks, as far as they can be made.
    fn expand(&mut self, files: &Files) {
        let packages = files.packages(&self.root, !self.pipelines.is_empty());
        self.implied = (packages.iter())
            .flat_map(|(prefix, _)| find::IMPLIED_NAMES.map(|task| format!("{prefix}{task}")))
            .collect();
        let expanded: Vec<Expanded> = (self.expanded(&BTreeMap::new()).into_iter())
            .map(|(_, made)| made)
            .collect();
        let with = |read: &Surveyed| read.pipeline.is_some();
        let unread: Vec<String> = (self.pipelines.iter())
            .filter(|read| !with(read))
            .map(|read| read.prefix.clone())
            .collect();
        let readable = self.pipelines.iter_mut().filter(|read| with(read));
        for (read, made) in readable.zip(expanded) {
            for error in made.mistakes {
                let excused = match &error {
                    // Checking the file has found that it has no such task.
                    ExpandError::NoTask { task, .. } if !task.contains(':') => true,
                    // One of a file that cannot be read may exist.
                    ExpandError::NoTask { task, .. } => {
                        unread.iter().any(|prefix| task.starts_with(prefix))
                    }
                    _ => read.guessed,
                };
                self.made.unknown.push(read.folder.clone());
                if !excused {
                    let found = of_expansion(&read.text, &error);
                    self.findings.push((read.file.clone(), found));
                }
            }
            read.instances = made.instances;
        }
        self.compare();
    }

    /// What each pipeline that can be read expands to, if its parameters have these values.
    pub(super) fn expanded(&self, given: &BTreeMap<String, String>) -> Vec<(&Surveyed, Expanded)> {
        let readable = self.pipelines.iter();
        let readable: Vec<_> = readable
            .filter_map(|read| {
                let mut params = read.params.clone();
                for (name, value) in &mut params {
                    given.get(name).inspect(|given| value.clone_from(given));
                }
                Some((read, read.pipeline.as_ref()?, params))
            })
            .collect();
        let members: Vec<Member<'_>> = (readable.iter())
            .map(|(read, pipeline, params)| Member {
                pipeline,
                prefix: &read.prefix,
                params,
                facts: &read.facts,
            })
            .collect();
        let expanded = pipeline::expand_all(&members, &self.implied);
        let reads = readable.iter().map(|(read, ..)| *read);
        reads.zip(expanded).collect()
    }

    /// What only all files together show.
    fn compare(&mut self) {
        let mut owners: BTreeMap<&str, &Surveyed> = BTreeMap::new();
        let mut errors = Vec::new();
        for read in &self.pipelines {
            for instance in &read.instances {
                let places = instance.outputs.iter();
                let places = places.map(|output| lexical(&read.folder.join(&output.path)));
                self.made.places.extend(places);
                if let Some(other) = owners.insert(&instance.id, read) {
                    errors.push(PlanError::SameTask {
                        task: instance.id.clone(),
                        one: other.text.name.clone().into(),
                        other: read.text.name.clone().into(),
                    });
                }
            }
        }
        let parts = self.pipelines.iter();
        let parts = parts.map(|read| (read.folder.as_path(), read.instances.as_slice()));
        let (_, overlaps) = Outputs::all(parts);
        errors.extend(overlaps.into_iter().filter(|error| match error {
            // Of one file, it has been reported.
            PlanError::OutputOverlap { task, of, .. } => {
                let file = |task: &str| owners.get(task).map(|read| &read.file);
                file(task) != file(of)
            }
            _ => true,
        }));
        let found = errors.iter().filter_map(|error| {
            let (task, key) = match error {
                PlanError::SameTask { task, .. } => (task.as_str(), ""),
                error => error.about()?,
            };
            let read = owners.get(task)?;
            let at = pipeline::span_of(&read.text, task, key).unwrap_or(Span::START);
            let mistake = Mistake::new(at, with_causes(error), String::new());
            let found = finding(&read.text.name, mistake.with(error.code()));
            Some((read.file.clone(), found))
        });
        self.findings.extend(found.collect::<Vec<_>>());
    }
}

/// What `words` name. If a pattern of the workspace is malformed, as without its patterns.
///
/// # Errors
///
/// A word names nothing.
fn found(
    place: &Place,
    root: &Path,
    words: &[String],
    settings: &mut WorkspaceSettings,
    findings: &mut Vec<(PathBuf, Finding)>,
) -> Result<(Selection, Files), BuildError> {
    let error = match find::words(place, root, words, settings) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    settings.exclude.clear();
    settings.include.clear();
    let found = find::words(place, root, words, settings)?;
    let file = root.join(WORKSPACE_FILE);
    let name = shown(&place.here, &file).to_string_lossy().into_owned();
    let (message, help) = (with_causes(&error), "Correct the pattern.");
    let finding = of_file(&name, Code::InvalidValue, message, help);
    findings.push((file, finding));
    Ok(found)
}

/// What to do about a file that cannot be read.
pub(super) const READABLE: &str = "Make it readable, or leave it out with `exclude`.";

/// The settings of the workspace, as far as they can be read.
fn settings(
    place: &Place,
    root: &Path,
    texts: &Texts,
    findings: &mut Vec<(PathBuf, Finding)>,
) -> WorkspaceSettings {
    let file = root.join(WORKSPACE_FILE);
    if !texts.has(&file) {
        return WorkspaceSettings::default();
    }
    let name = shown(&place.here, &file).to_string_lossy().into_owned();
    let text = match texts.read(&file) {
        Ok(text) => SourceText::new(name, text),
        Err(error) => {
            let found = of_file(&name, Code::UnreadableFile, with_causes(&error), READABLE);
            findings.push((file, found));
            return WorkspaceSettings::default();
        }
    };
    let (settings, mistakes) = WorkspaceSettings::check(&text);
    let found = mistakes.into_iter();
    findings.extend(found.map(|mistake| (file.clone(), finding(&text.name, mistake))));
    settings.at(&root.to_string_lossy())
}

fn of_expansion(text: &SourceText, error: &ExpandError) -> Finding {
    let about = error.about();
    let at = about.and_then(|(instance, key)| pipeline::span_of(text, instance, key));
    let help = error.help().unwrap_or_default();
    let mistake = Mistake::new(at.unwrap_or(Span::START), with_causes(error), help);
    finding(&text.name, mistake.with(error.code()))
}

/// The place of a pattern in the `include` of a pipeline file.
fn include_span(text: &SourceText, pattern: &str) -> Span {
    let node = parse_first(text).ok().flatten();
    let include = node.as_ref().and_then(|node| node.get("include"));
    let mut items = include.map_or(&[][..], Node::items).iter();
    let found = items.find(|item| item.scalar() == Some(pattern));
    found.map_or(Span::START, |item| item.span)
}

/// Values of the parameters: defaults, else placeholders, and whether there is one.
fn values(pipeline: &Pipeline) -> (BTreeMap<String, String>, bool) {
    let mut guessed = false;
    let values = pipeline.params.iter().map(|(name, param)| {
        let value = param.default.clone().unwrap_or_else(|| {
            guessed = true;
            let first = param.allowed.first().cloned();
            first.unwrap_or_else(|| {
                let any = match param.kind {
                    ParamType::Text => "unset",
                    ParamType::Number => "0",
                    ParamType::Bool => "false",
                };
                any.to_owned()
            })
        });
        (name.clone(), value)
    });
    let values = values.collect();
    (values, guessed)
}

/// What is known of the commit without running Git, and placeholders for the rest.
fn git_facts(folder: &Path) -> BTreeMap<String, String> {
    let mut facts = workspace::git_facts(folder);
    for name in pipeline::GIT_FACTS {
        facts
            .entry(name.to_owned())
            .or_insert_with(|| "unset".to_owned());
    }
    facts
}
