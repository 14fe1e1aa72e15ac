//! Explains why an action must run: renders the walk of its key as text and compares
//! two walks.
//!
//! Reads through the same walk as the key. Secrets never reach an action, so
//! they never reach an explanation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Action;
use super::encode::{FieldSink, Value};

/// One field of an action's key, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    /// Name of the field: `env`, `input.file`, ...
    field: String,
    /// Which entry of the field: a variable's name, a path; empty for single fields.
    label: String,
    /// What it is, or a hash of that.
    value: String,
}

impl Action {
    /// Lists every field that the key covers, in the key's order: as JSON, one entry a
    /// line, so that equal lines need not be parsed. Texts are hashed: a variable may hold
    /// something private.
    #[must_use]
    pub fn explain(&self) -> Vec<u8> {
        let mut sink = LineSink(b"[".to_vec());
        self.visit(&mut sink);
        sink.0.extend(b"\n]\n");
        sink.0
    }
}

/// An entry that is written and not kept.
#[derive(Serialize)]
struct Line<'l> {
    field: &'l str,
    label: &'l str,
    value: &'l str,
}

struct LineSink(Vec<u8>);

impl FieldSink for LineSink {
    fn put(&mut self, field: &'static str, label: &str, value: Value<'_>) {
        let owned;
        let value = match value {
            Value::Text(text) => {
                owned = shortened(&blake3::hash(text.as_bytes()).to_hex());
                &owned
            }
            Value::Flag(flag) => match flag {
                true => "true",
                false => "false",
            },
            Value::Digest(digest) => {
                owned = shortened(&digest.hex());
                &owned
            }
            Value::Number(number) => {
                owned = number.to_string();
                &owned
            }
        };
        let begin: &[u8] = if self.0.len() == 1 { b"\n" } else { b",\n" };
        self.0.extend(begin);
        let line = Line {
            field,
            label,
            value,
        };
        // Texts are always written.
        let _ = serde_json::to_writer(&mut self.0, &line);
    }
}

/// The subject of a [`DirtyReason`], in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An input file, link or directory.
    File,
    Env,
    /// A tool found on `PATH`.
    Tool,
    Argv,
    /// The output of another action.
    Upstream,
    /// The name of a pass-through variable.
    PassThrough,
    /// A setting of the verb.
    Setting,
    Outputs,
    /// Verb, platform, salt, format, or a field of another jackal version.
    Other,
}

impl Subject {
    fn of(entry: &Explained) -> (Self, &str) {
        let label = entry.label.as_str();
        match entry.field.as_str() {
            "input.blob" => (Self::Upstream, label),
            "env" => (Self::Env, label),
            "tool" => (Self::Tool, label),
            "argv" => (Self::Argv, ""),
            "pass-through" => (Self::PassThrough, label),
            "setting" => (Self::Setting, label),
            "output" => (Self::Outputs, ""),
            field if field.starts_with("input.") => (Self::File, label),
            field => (Self::Other, field),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Env => "env",
            Self::Tool => "tool",
            Self::Argv => "command",
            Self::Upstream => "upstream",
            Self::PassThrough => "pass-through variable",
            Self::Setting => "setting",
            Self::Outputs => "declared outputs",
            Self::Other => "key field",
        }
    }
}

/// How a subject differs between two actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only in the newer action.
    Added,
    /// Only in the older action.
    Removed,
    /// In both, with different values.
    Changed,
}

/// One reason why an earlier result cannot be reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyReason {
    /// The subject of the reason.
    pub subject: Subject,
    /// Its path or name; empty for the command and the outputs.
    pub name: String,
    pub change: Change,
}

impl fmt::Display for DirtyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.subject.noun())?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        f.write_str(match self.change {
            Change::Added => " added",
            Change::Removed => " removed",
            Change::Changed => " changed",
        })
    }
}

/// What changed between two actions of a task, with what was there, as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// What kind of thing changed.
    #[serde(rename = "s")]
    pub subject: Subject,
    /// Its path or name; empty for the command and the outputs.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the older action has; `None`: nothing.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the newer one has.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl FieldChange {
    /// Whether it is that of a format, which no user changes.
    #[must_use]
    pub fn is_of_format(&self) -> bool {
        self.subject == Subject::Other && matches!(self.name.as_str(), "key-format" | "format")
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        match reason_of(self.subject, &self.name, before, after) {
            Some(reason) => reason.fmt(f),
            None => Ok(()),
        }
    }
}

/// The reason that a subject is, which had one value and has another one.
pub(super) fn reason_of(
    subject: Subject,
    name: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> Option<DirtyReason> {
    let change = match (before, after) {
        (before, after) if before == after => return None,
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    };
    let name = name.to_owned();
    Some(DirtyReason {
        subject,
        name,
        change,
    })
}

/// The same as [`diff`], with what was there.
#[must_use]
pub fn changes(old: &[u8], new: &[u8]) -> Option<Vec<FieldChange>> {
    let reasons = diff(old, new)?;
    if reasons.is_empty() {
        return Some(Vec::new());
    }
    let mut places: BTreeSet<(Subject, String)> = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for reason in &reasons {
        places.insert((reason.subject, reason.name.clone()));
        labels.insert(serde_json::to_vec(&reason.name).ok()?);
    }
    let before = values(old, &places, &labels)?;
    let after = values(new, &places, &labels)?;
    let changes = reasons.iter().map(|reason| {
        let place = (reason.subject, reason.name.clone());
        FieldChange {
            subject: reason.subject,
            name: reason.name.clone(),
            before: before.get(&place).cloned(),
            after: after.get(&place).cloned(),
        }
    });
    Some(changes.collect())
}

/// Bytes of the hash of a value.
const VALUE_BYTES: usize = 8;

/// As much of a hash as is kept.
fn shortened(hash: &str) -> String {
    hash.chars().take(2 * VALUE_BYTES).collect()
}

/// The hashes of what is at `places`; `labels` are their names as JSON.
fn values(
    text: &[u8],
    places: &BTreeSet<(Subject, String)>,
    labels: &BTreeSet<Vec<u8>>,
) -> Option<BTreeMap<(Subject, String), String>> {
    let mut hashers: BTreeMap<(Subject, String), blake3::Hasher> = BTreeMap::new();
    let mut add = |entry: &Explained| {
        let (subject, name) = Subject::of(entry);
        let place = (subject, name.to_owned());
        if places.contains(&place) {
            let hasher = hashers.entry(place).or_default();
            for part in [&entry.field, &entry.value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
    };
    match text.strip_prefix(b"[\n") {
        Some(lines) => {
            for line in lines.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b",").unwrap_or(line);
                // Of many inputs few are wanted: the others are not parsed.
                let is_other = label_of_input(line).is_some_and(|label| !labels.contains(label));
                if !is_other && !matches!(line, b"" | b"]") {
                    add(&serde_json::from_slice(line).ok()?);
                }
            }
        }
        None => serde_json::from_slice::<Vec<Explained>>(text)
            .ok()?
            .iter()
            .for_each(add),
    }
    let hashed = hashers.into_iter().map(|(place, hasher)| {
        let hash = shortened(&hasher.finalize().to_hex());
        (place, hash)
    });
    Some(hashed.collect())
}

/// The label of an input's line, as JSON. Inside of a label every quote is escaped.
fn label_of_input(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(br#"{"field":"input."#)?;
    let start = memchr::memmem::find(rest, br#","label":"#)? + br#","label":"#.len();
    let label = &rest[start..];
    let end = memchr::memmem::find(label, br#","value":"#)?;
    Some(&label[..end])
}

/// Compares two explanations; `None`: the older one is damaged. The result is empty if
/// and only if their entries are equal.
///
/// Reasons are sorted: files first, then variables, tools, the command, upstream
/// outputs and the rest, each by name.
#[must_use]
pub fn diff(old: &[u8], new: &[u8]) -> Option<Vec<DirtyReason>> {
    let parse = |text: &[u8]| serde_json::from_slice::<Vec<Explained>>(text).ok();
    let whole = || Some(compare(&parse(old)?, &parse(new)?));
    let lines = |text| <[u8]>::split_inclusive(text, |byte| *byte == b'\n').collect::<Vec<_>>();
    let (before, after) = (lines(old), lines(new));
    let pairs = before.iter().zip(&after);
    let start = pairs.take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[start..], &after[start..]);
    let pairs = before.iter().rev().zip(after.iter().rev());
    let end = pairs.take_while(|(one, other)| one == other).count();
    let middle = |lines: &[&[u8]]| -> Option<Vec<Explained>> {
        let lines = lines[..lines.len() - end].iter();
        let lines = lines.map(|line| line.trim_ascii_end().strip_suffix(b",").unwrap_or(line));
        let lines = lines.filter(|line| !matches!(line.trim_ascii(), b"" | b"[" | b"]"));
        lines
            .map(|line| serde_json::from_slice(line).ok())
            .collect()
    };
    let (Some(before), Some(after)) = (middle(before), middle(after)) else {
        return whole();
    };
    let reasons = compare(&before, &after);
    // More of an entry may be in the lines that are equal.
    match reasons
        .iter()
        .all(|reason| reason.change == Change::Changed)
    {
        true => Some(reasons),
        false => whole(),
    }
}

fn compare(old: &[Explained], new: &[Explained]) -> Vec<DirtyReason> {
    let (old, new) = (grouped(old), grouped(new));
    let subjects: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
    let reason = |place: (Subject, &str)| {
        let change = match (old.get(&place), new.get(&place)) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        };
        Some(DirtyReason {
            subject: place.0,
            name: place.1.to_owned(),
            change,
        })
    };
    subjects.into_iter().filter_map(reason).collect()
}

type Grouped<'a> = BTreeMap<(Subject, &'a str), Vec<(&'a str, &'a str)>>;

fn grouped(entries: &[Explained]) -> Grouped<'_> {
    let mut groups = Grouped::new();
    for entry in entries {
        groups
            .entry(Subject::of(entry))
            .or_default()
            .push((&entry.field, &entry.value));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{InputFile, InputNode, InputTree};
    use crate::oci::Digest;

    fn with(entries: &[(&str, InputNode)]) -> std::sync::Arc<InputTree> {
        let mut tree = InputTree::default();
        for (path, node) in entries {
            tree.insert(path, node.clone()).unwrap();
        }
        tree.into()
    }

    fn reasons(old: &Action, new: &Action) -> Vec<DirtyReason> {
        diff(&old.explain(), &new.explain()).unwrap()
    }

    fn file(executable: bool) -> InputNode {
        InputNode::File(InputFile {
            executable,
            ..InputFile::plain(Digest::of(b"same"), 4)
        })
    }

    #[test]
    fn equal_lines_are_passed_over_without_another_result() {
        let names: Vec<String> = (0..9).map(|at| format!("src/{at}")).collect();
        let whole: Vec<(&str, InputNode)> = names
            .iter()
            .map(|name| (name.as_str(), file(false)))
            .collect();
        let mut base = Action::new("run", 1);
        base.inputs = with(&whole);
        base.argv = vec!["cc".into(), "a\nb".into()];
        let changed = |change: &dyn Fn(&mut Action)| {
            let mut action = base.clone();
            change(&mut action);
            action
        };
        let mut one_changed = whole.clone();
        one_changed[4].1 = file(true);
        let actions = [
            base.clone(),
            changed(&|action| action.inputs = with(&one_changed)),
            changed(&|action| action.inputs = with(&whole[1..])),
            changed(&|action| action.inputs = with(&whole[..5])),
            changed(&|action| action.argv.push("c".into())),
            changed(&|action| action.argv.clear()),
            changed(&|action| drop(action.env.insert("A".into(), "b".into()))),
        ];
        let entries = |action: &Action| -> Vec<Explained> {
            serde_json::from_slice(&action.explain()).unwrap()
        };
        for old in &actions {
            for new in &actions {
                let expected = compare(&entries(old), &entries(new));
                assert_eq!(reasons(old, new), expected);
                // As an earlier version wrote it.
                let before = serde_json::to_vec(&entries(old)).unwrap();
                assert_eq!(diff(&before, &new.explain()).unwrap(), expected);
                let changed = changes(&old.explain(), &new.explain()).unwrap();
                assert_eq!(changes(&before, &new.explain()).unwrap(), changed);
                let shown = |list: &[FieldChange]| list.iter().map(ToString::to_string).collect();
                let shown: Vec<String> = shown(&changed);
                let reasons: Vec<String> = expected.iter().map(ToString::to_string).collect();
                assert_eq!(shown, reasons);
            }
        }
        let lines = base.explain();
        assert_eq!(diff(b"[{", &lines), None);
        assert_eq!(diff(&lines[..lines.len() / 2], &lines), None);
    }

    #[test]
    fn hashes_of_what_changed_are_those_of_whole_entries() {
        let action = |executable: bool, argv: &[&str]| {
            let mut action = Action::new("run", 1);
            action.inputs = with(&[("a\"\\", file(executable)), ("b", file(false))]);
            action.argv = argv.iter().map(|&text| text.to_owned()).collect();
            action
        };
        let [one, two, three] = [
            action(false, &["cc", "x"]),
            action(true, &["cc", "y"]),
            action(false, &["cc", "x", "z"]),
        ];
        let there = changes(&one.explain(), &two.explain()).unwrap();
        let back = changes(&two.explain(), &three.explain()).unwrap();
        assert_eq!(there.len(), 2);
        assert_eq!(back.len(), 2);
        assert_eq!(there[0].name, "a\"\\");
        assert_eq!(there[0].before, back[0].after);
        assert_eq!(there[1].after, back[1].before);
        assert_ne!(there[1].before, back[1].after);
    }

    #[test]
    fn equal_actions_give_no_reason() {
        let action = Action::new("run", 1);
        assert_eq!(reasons(&action, &action), []);
    }

    #[test]
    fn the_changed_file_is_named_before_the_variable_and_the_command() {
        let mut old = Action::new("run", 1);
        old.inputs = with(&[("src/a", file(false)), ("src/b", file(false))]);
        old.env.insert("FOO".into(), "one".into());
        old.argv = vec!["cc".into()];
        let mut new = old.clone();
        new.inputs = with(&[("src/a", file(false)), ("src/b", file(true))]);
        new.env.insert("FOO".into(), "two".into());
        new.argv.push("-O2".into());
        new.tools.insert("cc".into(), Digest::of(b"cc"));
        let reasons: Vec<_> = reasons(&old, &new)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            reasons,
            [
                "file `src/b` changed",
                "env `FOO` changed",
                "tool `cc` added",
                "command changed"
            ]
        );
    }

    #[test]
    fn a_file_that_became_a_link_is_one_reason() {
        let mut old = Action::new("run", 1);
        old.inputs = with(&[("x", file(false))]);
        let mut new = Action::new("run", 1);
        new.inputs = with(&[("x", InputNode::Link("y".into()))]);
        let reasons = reasons(&old, &new);
        assert_eq!(reasons.len(), 1);
        assert_eq!(reasons[0].change, Change::Changed);
    }

    #[test]
    fn two_settings_swapped_under_one_name_are_a_change() {
        let mut old = Action::new("run", 1);
        let mut new = old.clone();
        for (one, other) in [(1, 2), (2, 1)] {
            old.settings.put("s", one);
            new.settings.put("s", other);
        }
        assert_eq!(reasons(&old, &new).len(), 1);
    }
}
