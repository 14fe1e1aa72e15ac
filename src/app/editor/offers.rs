//! What can be inserted at a position: keys, values, and names of tasks, files and
//! components.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Editor;
use super::cursor::{Cursor, task_lines};
use super::places::{Names, names};
use super::schemas::{about, keys, values};
use crate::ground::folders::lexical;

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

impl Cursor<'_> {
    /// `text` in place of what is written.
    fn offer(&self, text: String, kind: OfferKind) -> Offer {
        Offer {
            text,
            kind,
            about: String::new(),
            replaces: self.at.written.chars().count(),
        }
    }
}

impl Editor {
    /// What can be inserted at a position.
    #[must_use]
    pub fn complete(&self, path: &Path, line: usize, column: usize) -> Vec<Offer> {
        let Some((text, kind)) = self.readable(path) else {
            return Vec::new();
        };
        let Some(cursor) = Cursor::new(path, &text, line, column) else {
            return Vec::new();
        };
        let keys_beside = cursor.keys_beside();
        let mut offers = Vec::new();
        let forms = self.schemas.at(kind, &cursor.at.path, &keys_beside);
        if let Some(wanted) = names(kind, &cursor.at) {
            offers.extend(self.named(wanted, &cursor));
        }
        let listed = forms.iter().flat_map(|form| values(form));
        offers.extend(listed.map(|text| cursor.offer(text, OfferKind::Value)));
        if !cursor.at.is_value {
            let known = keys(&forms).into_iter();
            let new = known.filter(|(key, _)| !keys_beside.iter().any(|own| own == key));
            offers.extend(new.map(|(key, form)| Offer {
                about: about(key, form),
                ..cursor.offer(key.to_owned(), OfferKind::Key)
            }));
        }
        let mut seen = BTreeSet::new();
        offers.retain(|offer| seen.insert(offer.text.clone()));
        offers.truncate(MAX_OFFERS);
        offers
    }

    /// Names of one sort.
    fn named(&self, wanted: Names, cursor: &Cursor<'_>) -> Vec<Offer> {
        let folder = cursor.folder();
        match wanted {
            Names::Tasks => self.tasks(cursor, ""),
            Names::TasksAndFiles => {
                let mut offers = self.tasks(cursor, "task:");
                offers.extend(self.files(cursor, folder, &|_| true));
                offers
            }
            Names::Files => self.files(cursor, folder, &|_| true),
            Names::Imports | Names::Definitions => self.files(cursor, folder, &is_yaml),
            Names::ComponentsOf(key) => {
                let target = cursor.value(key).and_then(|name| self.file(folder, &name));
                let names = target.map(|target| self.components(&target));
                let names = names.unwrap_or_default().into_iter();
                names
                    .map(|(name, _)| cursor.offer(name, OfferKind::Component))
                    .collect()
            }
        }
    }

    /// The names of tasks: its own first, then those of other folders.
    fn tasks(&self, cursor: &Cursor<'_>, before: &str) -> Vec<Offer> {
        let survey = self.survey_for(cursor.path);
        let own = task_lines(cursor.text).into_iter().map(|(name, _)| name);
        // A task does not need itself.
        let this = cursor.at.keys().get(1).map(|name| (*name).to_owned());
        let own = own.filter(|name| Some(name) != this.as_ref());
        let others = survey
            .pipelines
            .iter()
            .filter(|read| read.file != cursor.path);
        let others = others.flat_map(|read| {
            let tasks = read.pipeline.iter().flat_map(|one| one.tasks.keys());
            tasks.map(|task| format!("{}{task}", read.prefix))
        });
        let all = own.chain(others);
        all.map(|name| cursor.offer(format!("{before}{name}"), OfferKind::Task))
            .collect()
    }

    /// Files and folders that begin as what is written, of the folder that it names.
    fn files(&self, cursor: &Cursor<'_>, folder: &Path, fits: &dyn Fn(&str) -> bool) -> Vec<Offer> {
        let (begin, _) = cursor.at.written.rsplit_once('/').unwrap_or_default();
        let listed = lexical(&folder.join(begin));
        if !listed.starts_with(self.root(cursor.path)) {
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
                    return Some(cursor.offer(format!("{begin}{name}/"), OfferKind::Folder));
                }
                fits(&name).then(|| cursor.offer(format!("{begin}{name}"), OfferKind::File))
            })
            .collect();
        offers.sort_by(|a, b| a.text.cmp(&b.text));
        offers
    }
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}
