//! What an editor asks about files of a workspace while they are written: mistakes, keys
//! and names to insert, explanations, and where things are declared.
//!
//! Never writes, runs nothing and uses no network. Positions are lines and columns in
//! characters, from 0. Source: adr/0080, "A language server".

mod context;
mod places;
mod schemas;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::{self, Files, Texts};
use super::lint::Linter;
use super::options::{Place, Variant};
use super::survey::{self, Survey};
use crate::ground::folders::lexical;
use crate::ground::source::WORKSPACE_FILE;
use crate::package::{Dialect, Finding, MAX_DEFINITION_BYTES, Severity};
use crate::plan;
use crate::yaml::{Node, SourceText, Span, parse_first};

use context::{Context, context, siblings};
use places::{Names, names};
pub use schemas::FileKind;
use schemas::{Schemas, about, keys, values};

/// Files that are open, and what is around them.
pub struct Editor {
    place: Place,
    texts: Texts,
    schemas: Schemas,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub text: String,
    pub kind: OfferKind,
    /// Explanation, as Markdown; may be empty.
    pub about: String,
    /// How many characters before the position it replaces.
    pub replaces: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferKind {
    Key,
    Value,
    Task,
    File,
    Folder,
    Component,
}

/// Maximum number of names that are offered at once.
const MAX_OFFERS: usize = 500;

/// The message of an import that is not read here.
const UNREAD: &str = "skeleton packages are not read here";

impl Editor {
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            place,
            texts: Texts::default(),
            schemas: Schemas::new(),
        }
    }

    /// A file is open with this text, which counts more than the one on disk.
    pub fn open(&mut self, path: PathBuf, text: String) {
        self.texts.0.insert(path, Arc::from(text));
    }

    pub fn close(&mut self, path: &Path) {
        self.texts.0.remove(path);
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
                    crate::codes::Code::UnreadableFile,
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
            let (place, survey) = self.survey(&root);
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
            for finding in found
                .into_iter()
                .filter(|one| !one.message.contains(UNREAD))
            {
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

    /// What can be inserted at a position.
    #[must_use]
    pub fn complete(&self, path: &Path, line: usize, column: usize) -> Vec<Offer> {
        let Some((text, kind)) = self.readable(path) else {
            return Vec::new();
        };
        let Some(at) = context(&text, line, column) else {
            return Vec::new();
        };
        let beside = siblings(&text, line);
        let keys_beside: Vec<String> = beside.iter().map(|(key, _)| key.clone()).collect();
        let mut offers = Vec::new();
        let forms = self.schemas.at(kind, &at.path, &keys_beside);
        let replaces = at.written.chars().count();
        if let Some(wanted) = names(kind, &at) {
            let context = Named {
                path,
                text: &text,
                line,
                at: &at,
                beside: &beside,
            };
            offers.extend(self.named(wanted, &context));
        }
        let listed = forms.iter().flat_map(|form| values(form));
        offers.extend(listed.map(|text| Offer {
            text,
            kind: OfferKind::Value,
            about: String::new(),
            replaces,
        }));
        if !at.is_value {
            let known = keys(&forms).into_iter();
            let new = known.filter(|(key, _)| !keys_beside.iter().any(|own| own == key));
            offers.extend(new.map(|(key, form)| Offer {
                text: key.to_owned(),
                kind: OfferKind::Key,
                about: about(key, form),
                replaces,
            }));
        }
        let mut seen = std::collections::BTreeSet::new();
        offers.retain(|offer| seen.insert(offer.text.clone()));
        offers.truncate(MAX_OFFERS);
        offers
    }

    /// What is at a position, as Markdown.
    #[must_use]
    pub fn hover(&self, path: &Path, line: usize, column: usize) -> Option<String> {
        let (text, kind) = self.readable(path)?;
        let (_, end, follows) = word(&text, line, column)?;
        let at = context(&text, line, end)?;
        let mut path_of = at.path.clone();
        if follows == Some(':') && !at.is_value {
            let beside = siblings(&text, line).into_iter().map(|(key, _)| key);
            let forms = self.schemas.at(kind, &path_of, &beside.collect::<Vec<_>>());
            let (key, form) = keys(&forms)
                .into_iter()
                .find(|(key, _)| *key == at.written)?;
            return Some(about(key, form));
        }
        if let Some(found) = self.of_task(path, &text, kind, &at, line, column) {
            return Some(found);
        }
        // A value: what its key means.
        while path_of.last() == Some(&context::Step::Item) {
            path_of.pop();
        }
        let key = at.key()?.to_owned();
        let form = self.schemas.at(kind, &path_of, &[]).into_iter().next()?;
        form["description"].as_str()?;
        Some(about(&key, form))
    }

    /// Where what is named at a position is declared.
    #[must_use]
    pub fn definition(&self, path: &Path, line: usize, column: usize) -> Option<(PathBuf, Span)> {
        let (text, kind) = self.readable(path)?;
        let (value, end) = value_at(&text, line, column)?;
        let at = context(&text, line, end)?;
        let beside = siblings(&text, line);
        let folder = path.parent()?;
        let file = |name: &str| {
            let full = lexical(&folder.join(name));
            let real = match full.is_dir() {
                true => plan::definition_in(&full)?.1,
                false => full,
            };
            (real.is_file() || self.texts.has(&real)).then_some(real)
        };
        let context = Named {
            path,
            text: &text,
            line,
            at: &at,
            beside: &beside,
        };
        match names(kind, &at)? {
            Names::Tasks | Names::TasksAndFiles => {
                let name = value.strip_prefix("task:");
                let is_file = name.is_none() && matches!(names(kind, &at)?, Names::TasksAndFiles);
                match is_file {
                    true => Some((file(&value)?, START)),
                    false => self.task(path, name.unwrap_or(&value)),
                }
            }
            Names::Files | Names::Definitions => Some((file(&value)?, START)),
            Names::Imports => {
                let target = file(&value)?;
                let name = context.value("name").or_else(|| context.component_name());
                let span = name.and_then(|name| self.component(&target, &name));
                Some((target, span.unwrap_or(START)))
            }
            Names::ComponentsOf(key) => {
                let target = file(&context.value(key)?)?;
                let span = self.component(&target, &value)?;
                Some((target, span))
            }
        }
    }

    /// The text and kind of a file that is not too large.
    fn readable(&self, path: &Path) -> Option<(Arc<str>, FileKind)> {
        let text = self.texts.0.get(path).filter(|text| !too_large(text))?;
        Some((Arc::clone(text), kind_of(path, text)?))
    }

    fn root(&self, path: &Path) -> PathBuf {
        let folder = path.parent().unwrap_or(Path::new("/"));
        crate::ground::source::workspace_root(folder)
            .unwrap_or(folder)
            .to_owned()
    }

    /// The workspace with this root, which messages name files from.
    fn survey(&self, root: &Path) -> (Place, Survey) {
        let place = Place {
            here: root.to_owned(),
            ..self.place.clone()
        };
        // A folder that is no workspace may be anything: nothing below it is read.
        let mut files = match place.is_marked(root) {
            true => Files::default(),
            false => Files::in_folder(root),
        };
        for (path, text) in &self.texts.0 {
            if path.starts_with(root) && !path.exists() {
                match kind_of(path, text) {
                    Some(FileKind::Pipeline) => files.pipelines.push(path.clone()),
                    Some(FileKind::Package) => files.definitions.push(path.clone()),
                    _ => {}
                }
            }
        }
        let survey = Survey::around(&place, root, files, &self.texts);
        (place, survey)
    }

    /// The place of a task that a file in the folder of `path` names.
    fn task(&self, path: &Path, name: &str) -> Option<(PathBuf, Span)> {
        let name = name.split('[').next()?;
        let own = self.texts.0.get(path)?;
        if let Some((_, line)) = task_lines(own).into_iter().find(|(task, _)| task == name) {
            return Some((path.to_owned(), line_span(line, name)));
        }
        let root = self.root(path);
        let (_, survey) = self.survey(&root);
        let read = (survey.pipelines.iter())
            .find(|read| {
                let task = name.strip_prefix(&read.prefix).unwrap_or_default();
                read.pipeline
                    .as_ref()
                    .is_some_and(|one| one.tasks.contains_key(task))
            })
            .or_else(|| {
                let mut all = survey.pipelines.iter();
                all.find(|read| !read.prefix.is_empty() && name.starts_with(&read.prefix))
            });
        if let Some(read) = read {
            let task = name.strip_prefix(&read.prefix)?;
            let mut lines = task_lines(&read.text.text).into_iter();
            let (_, line) = lines.find(|(own, _)| own == task)?;
            return Some((read.file.clone(), line_span(line, task)));
        }
        // A task of a package without a pipeline.
        let (folder, _) = name.rsplit_once(':')?;
        let found = plan::definition_in(&root.join(folder))?;
        Some((found.1, START))
    }

    /// What a reference to a task names.
    fn of_task(
        &self,
        path: &Path,
        text: &str,
        kind: FileKind,
        at: &Context,
        line: usize,
        column: usize,
    ) -> Option<String> {
        let (value, _) = value_at(text, line, column)?;
        let name = match names(kind, at)? {
            Names::Tasks => value.strip_prefix("task:").unwrap_or(&value),
            Names::TasksAndFiles => value.strip_prefix("task:")?,
            _ => return None,
        };
        let (file, span) = self.task(path, name)?;
        let shown = file
            .strip_prefix(self.root(path))
            .unwrap_or(&file)
            .display()
            .to_string();
        let source = SourceText::new("", self.text_of(&file)?);
        let node = parse_first(&source).ok().flatten();
        let bare = name.split('[').next()?.rsplit(':').next()?;
        let task = node.as_ref().and_then(|node| node.get("tasks")?.get(bare));
        let description = task.and_then(|task| task.get("description")?.scalar());
        let mut found = format!("task **{name}**, {shown}:{}", span.line);
        if let Some(description) = description {
            found.push_str(&format!("\n\n{description}"));
        }
        Some(found)
    }

    /// The place of the name of a component in a definition.
    fn component(&self, definition: &Path, name: &str) -> Option<Span> {
        let found = self.components(definition).into_iter();
        found
            .filter(|(own, _)| own == name)
            .map(|(_, span)| span)
            .next()
    }

    /// The components of a definition, as far as it can be read.
    fn components(&self, definition: &Path) -> Vec<(String, Span)> {
        let node = self.text_of(definition).and_then(|text| {
            let source = SourceText::new("", text);
            parse_first(&source).ok().flatten()
        });
        let items = node.as_ref().and_then(|node| node.get("components"));
        let items = items.map_or(&[][..], Node::items).iter();
        items
            .filter_map(|item| {
                let name = item.get("name")?;
                Some((name.scalar()?.to_owned(), name.span))
            })
            .collect()
    }

    /// Names of one sort.
    fn named(&self, wanted: Names, context: &Named<'_>) -> Vec<Offer> {
        let folder = context.path.parent().unwrap_or(Path::new("/"));
        match wanted {
            Names::Tasks => self.tasks(context, ""),
            Names::TasksAndFiles => {
                let mut offers = self.tasks(context, "task:");
                offers.extend(self.files(context, folder, &|_| true));
                offers
            }
            Names::Files => self.files(context, folder, &|_| true),
            Names::Imports => self.files(context, folder, &|name| is_yaml(name)),
            Names::Definitions => self.files(context, folder, &|name| is_yaml(name)),
            Names::ComponentsOf(key) => {
                let target = context.value(key).map(|name| lexical(&folder.join(name)));
                let target = target.and_then(|target| match target.is_dir() {
                    true => Some(plan::definition_in(&target)?.1),
                    false => Some(target),
                });
                let names = target
                    .map(|target| self.components(&target))
                    .unwrap_or_default();
                let names = names.into_iter();
                names
                    .map(|(name, _)| context.offer(name, OfferKind::Component))
                    .collect()
            }
        }
    }

    /// The names of tasks: its own first, then those of other folders.
    fn tasks(&self, context: &Named<'_>, before: &str) -> Vec<Offer> {
        let root = self.root(context.path);
        let (_, survey) = self.survey(&root);
        let own = task_lines(context.text).into_iter().map(|(name, _)| name);
        // A task does not need itself.
        let this = context.at.keys().get(1).map(|name| (*name).to_owned());
        let own = own.filter(|name| Some(name) != this.as_ref());
        let others = survey
            .pipelines
            .iter()
            .filter(|read| read.file != context.path);
        let others = others.flat_map(|read| {
            let tasks = read.pipeline.iter().flat_map(|one| one.tasks.keys());
            tasks.map(|task| format!("{}{task}", read.prefix))
        });
        let all = own.chain(others);
        all.map(|name| context.offer(format!("{before}{name}"), OfferKind::Task))
            .collect()
    }

    /// Files and folders that begin as what is written, of the folder that it names.
    fn files(&self, context: &Named<'_>, folder: &Path, fits: &dyn Fn(&str) -> bool) -> Vec<Offer> {
        let (begin, _) = context.at.written.rsplit_once('/').unwrap_or_default();
        let listed = lexical(&folder.join(begin));
        if !listed.starts_with(self.root(context.path)) {
            return Vec::new();
        }
        let begin = match begin {
            "" => String::new(),
            begin => format!("{begin}/"),
        };
        let entries = fs::read_dir(listed)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let mut offers: Vec<Offer> = entries
            .take(MAX_OFFERS * 4)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                if name.starts_with('.') {
                    return None;
                }
                if entry.path().is_dir() {
                    return Some(context.offer(format!("{begin}{name}/"), OfferKind::Folder));
                }
                fits(&name).then(|| context.offer(format!("{begin}{name}"), OfferKind::File))
            })
            .collect();
        offers.sort_by(|a, b| a.text.cmp(&b.text));
        offers
    }
}

/// A position at which something is named.
struct Named<'n> {
    path: &'n Path,
    text: &'n str,
    line: usize,
    at: &'n Context,
    beside: &'n [(String, String)],
}

impl Named<'_> {
    fn offer(&self, text: String, kind: OfferKind) -> Offer {
        Offer {
            text,
            kind,
            about: String::new(),
            replaces: self.at.written.chars().count(),
        }
    }

    /// The value of another key of the same mapping.
    fn value(&self, key: &str) -> Option<String> {
        let own = self.text.lines().nth(self.line)?;
        let marked = format!("{key}:");
        let on_line = own.match_indices(&marked).find(|(at, _)| {
            let before = own[..*at].chars().next_back();
            before.is_none_or(|c| matches!(c, ' ' | '{' | ','))
        });
        let value = match on_line {
            Some((at, _)) => own[at + marked.len()..].to_owned(),
            None => self.beside.iter().find(|(own, _)| own == key)?.1.clone(),
        };
        let value = value.trim().trim_matches(['"', '\'']);
        let end = value.find([',', '}', '"', '\'', '#']);
        let value = value[..end.unwrap_or(value.len())].trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The name of the component around an `import`.
    fn component_name(&self) -> Option<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let above = lines[..=self.line.min(lines.len().checked_sub(1)?)]
            .iter()
            .rev();
        let item = above
            .map(|line| line.trim_start())
            .find(|line| line.starts_with("- "))?;
        let name = item.split("name:").nth(1)?;
        let end = name.find([',', '}', '#']).unwrap_or(name.len());
        Some(name[..end].trim().trim_matches(['"', '\'']).to_owned())
    }
}

/// Where a file begins.
const START: Span = Span {
    line: 1,
    column: 1,
    length: 1,
};

fn too_large(text: &str) -> bool {
    u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_DEFINITION_BYTES
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The tasks of a pipeline file, each with its line from 0, also if it does not parse.
fn task_lines(text: &str) -> Vec<(String, usize)> {
    context::keys_below(text, &["tasks"])
}

fn line_span(line: usize, name: &str) -> Span {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: small(line + 1),
        column: 3,
        length: small(name.chars().count()),
    }
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

/// The word around a position: where it begins and ends, and the character after it.
fn word(text: &str, line: usize, column: usize) -> Option<(usize, usize, Option<char>)> {
    let chars: Vec<char> = text.lines().nth(line)?.chars().collect();
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let column = column.min(chars.len());
    let begin = column
        - chars[..column]
            .iter()
            .rev()
            .take_while(|c| is_word(c))
            .count();
    let end = column + chars[column..].iter().take_while(|c| is_word(c)).count();
    (begin < end).then(|| (begin, end, chars.get(end).copied()))
}

/// The scalar around a position, without quotes, and where it ends.
fn value_at(text: &str, line: usize, column: usize) -> Option<(String, usize)> {
    let chars: Vec<char> = text.lines().nth(line)?.chars().collect();
    let column = column.min(chars.len());
    // Within quotes, brackets and commas are text.
    let mut quote: Option<(char, usize)> = None;
    for (at, c) in chars.iter().enumerate() {
        match quote {
            Some((mark, from)) if *c == mark => {
                if from < column && column <= at {
                    return Some((chars[from + 1..at].iter().collect(), at));
                }
                quote = None;
            }
            None if matches!(c, '"' | '\'') && (at == 0 || !chars[at - 1].is_alphanumeric()) => {
                quote = Some((*c, at));
            }
            _ => {}
        }
    }
    let ends =
        |c: &char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '\'');
    let begin = column
        - chars[..column]
            .iter()
            .rev()
            .take_while(|c| !ends(c))
            .count();
    let end = column + chars[column..].iter().take_while(|c| !ends(c)).count();
    (begin < end).then(|| (chars[begin..end].iter().collect(), end))
}

#[cfg(test)]
mod tests;
