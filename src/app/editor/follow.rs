//! What is named at a position: its explanation, and where it is declared.

use std::path::{Path, PathBuf};

use super::Editor;
use super::context::{Context, Step};
use super::cursor::{Cursor, task_lines, value_at, word};
use super::places::{Names, names};
use super::schemas::{FileKind, about, keys};
use crate::ground::folders::lexical;
use crate::plan;
use crate::yaml::{Node, SourceText, Span, parse_first};

impl Editor {
    /// What is at a position, as Markdown.
    #[must_use]
    pub fn hover(&self, path: &Path, line: usize, column: usize) -> Option<String> {
        let (text, kind) = self.readable(path)?;
        let (_, end, follows) = word(&text, line, column)?;
        let cursor = Cursor::new(path, &text, line, end)?;
        let at = &cursor.at;
        let mut path_of = at.path.clone();
        if follows == Some(':') && !at.is_value {
            let forms = self.schemas.at(kind, &path_of, &cursor.keys_beside());
            let (key, form) = keys(&forms)
                .into_iter()
                .find(|(key, _)| *key == at.written)?;
            return Some(about(key, form));
        }
        if let Some(found) = self.of_task(path, &text, kind, at, line, column) {
            return Some(found);
        }
        // A value: what its key means.
        while path_of.last() == Some(&Step::Item) {
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
        let cursor = Cursor::new(path, &text, line, end)?;
        let file = |name: &str| self.file(cursor.folder(), name);
        let named = names(kind, &cursor.at)?;
        match named {
            Names::Tasks | Names::TasksAndFiles => {
                let name = value.strip_prefix("task:");
                let is_file = name.is_none() && named == Names::TasksAndFiles;
                match is_file {
                    true => Some((file(&value)?, Span::START)),
                    false => self.task(path, name.unwrap_or(&value)),
                }
            }
            Names::Files | Names::Definitions => Some((file(&value)?, Span::START)),
            Names::Imports => {
                let target = file(&value)?;
                let name = cursor.value("name").or_else(|| cursor.component_name());
                let span = name.and_then(|name| self.component(&target, &name));
                Some((target, span.unwrap_or(Span::START)))
            }
            Names::ComponentsOf(key) => {
                let target = file(&cursor.value(key)?)?;
                let span = self.component(&target, &value)?;
                Some((target, span))
            }
        }
    }

    /// The file `name` from `folder`, or the definition in the folder of that name.
    pub(super) fn file(&self, folder: &Path, name: &str) -> Option<PathBuf> {
        let full = lexical(&folder.join(name));
        let real = match full.is_dir() {
            true => plan::definition_in(&full)?.1,
            false => full,
        };
        self.texts.has(&real).then_some(real)
    }

    /// The place of a task that a file in the folder of `path` names.
    fn task(&self, path: &Path, name: &str) -> Option<(PathBuf, Span)> {
        let name = name.split('[').next()?;
        // The survey may be older than the text of this file.
        let own = task_lines(self.texts.0.get(path)?);
        let of_own = |task: &str| {
            let (_, line) = own.iter().find(|(own, _)| own == task)?;
            Some((path.to_owned(), line_span(*line, task)))
        };
        if let Some(found) = of_own(name) {
            return Some(found);
        }
        let survey = self.survey_for(path);
        let read = (survey.pipelines.iter())
            .find(|read| {
                let task = name.strip_prefix(&read.prefix).unwrap_or_default();
                match &read.pipeline {
                    _ if read.file == path => of_own(task).is_some(),
                    pipeline => (pipeline.iter()).any(|one| one.tasks.contains_key(task)),
                }
            })
            .or_else(|| {
                let mut all = survey.pipelines.iter();
                all.find(|read| !read.prefix.is_empty() && name.starts_with(&read.prefix))
            });
        if let Some(read) = read {
            let task = name.strip_prefix(&read.prefix)?;
            if read.file == path {
                return of_own(task);
            }
            let mut lines = task_lines(&read.text.text).into_iter();
            let (_, line) = lines.find(|(own, _)| own == task)?;
            return Some((read.file.clone(), line_span(line, task)));
        }
        // A task of a package without a pipeline.
        let (folder, _) = name.rsplit_once(':')?;
        let found = plan::definition_in(&survey.root.join(folder))?;
        Some((found.1, Span::START))
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
    pub(super) fn components(&self, definition: &Path) -> Vec<(String, Span)> {
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
}

fn line_span(line: usize, name: &str) -> Span {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: small(line + 1),
        column: 3,
        length: small(name.chars().count()),
    }
}
