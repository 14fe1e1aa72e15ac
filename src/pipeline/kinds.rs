//! The kinds of keys that records are made of: texts, task references, words,
//! flags, nested records.
//!
//! A kind that only one verb has is in the file of that verb.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};

use super::duration;
use super::expression::Template;
use super::reader::Reader;
use super::record::{Key, Plain, Record, Rendering, below};
use super::render::Renderer;
use crate::yaml::{Fields, Node};

/// A string that may hold `${{ }}`, and must be given.
pub enum Text {}

/// References to tasks: `task` or `task[axis=value]`, one or a list.
pub enum TaskList<const NEEDED: bool> {}

/// Optional references.
pub type Tasks = TaskList<false>;

/// At least one reference.
pub type SomeTasks = TaskList<true>;

/// A text, or `task:NAME` for one instance.
pub struct TaskOr<T>(std::marker::PhantomData<T>);

/// What [`TaskOr`] becomes once it is rendered.
pub trait Either: Clone + Debug + PartialEq {
    /// The text itself.
    fn text(text: String) -> Self;
    /// It names this instance.
    fn task(instance: String) -> Self;
}

/// True or false, and what holds when the file says neither.
pub enum Flag<const DEFAULT: bool> {}

/// A mapping of its own; without it, one without keys.
pub struct Nested<R>(std::marker::PhantomData<R>);

/// One of a few words.
pub struct OneOf<W>(std::marker::PhantomData<W>);

/// A list of words.
pub struct ListOf<W>(std::marker::PhantomData<W>);

/// A list of strings without `${{ }}`.
pub enum Names {}

/// The words that [`OneOf`] chooses among.
pub trait Word: Copy + Debug + PartialEq + 'static {
    /// Each word with its meaning.
    const WORDS: &'static [(&'static str, Self)];
}

fn string() -> Value {
    json!({"type": "string"})
}

/// The schema of a span of time.
pub fn duration_schema() -> Value {
    json!({"type": "string", "pattern": "^([0-9]+(d|h|ms|m|s))+$"})
}

/// A span of time that is `default` if it is not written.
pub fn duration_schema_of(default: Duration) -> Value {
    let mut schema = duration_schema();
    schema["default"] = json!(format!("{}s", default.as_secs()));
    schema
}

/// The span of time at `key`.
pub fn span(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Duration> {
    let node = f.node(key)?;
    match duration::parse(node.scalar().unwrap_or_default()) {
        Ok(span) => Some(span),
        Err(error) => {
            r.at(node.span, error.to_string(), "Write it as 15m.");
            None
        }
    }
}

fn one_or_many() -> Value {
    json!({"type": ["string", "array"], "items": {"type": "string"}})
}

impl Key for Text {
    type Written = Template;
    type Rendered = String;
    const REQUIRED: bool = true;

    fn schema() -> Value {
        string()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Template> {
        r.must(f, key)
    }

    fn unset() -> Self::Rendered {
        String::new()
    }

    fn render(written: &Template, key: &str, by: &Renderer<'_>) -> Rendering<String> {
        by.render(key, written)
    }
}

impl<T: Either> Key for TaskOr<T> {
    type Written = Template;
    type Rendered = T;
    const REQUIRED: bool = true;

    fn schema() -> Value {
        string()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Template> {
        if let Some(node) = f.node(key) {
            r.edge_in(node);
        }
        r.must(f, key)
    }

    fn unset() -> T {
        T::text(String::new())
    }

    fn render(written: &Template, key: &str, by: &Renderer<'_>) -> Rendering<T> {
        let text = by.render(key, written)?;
        match text.strip_prefix("task:") {
            Some(selector) => by.select_one(key, selector).map(T::task),
            None => Ok(T::text(text)),
        }
    }
}

impl Key for Option<Text> {
    type Written = Option<Template>;
    type Rendered = Option<String>;

    fn schema() -> Value {
        string()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.one(f, key))
    }

    fn unset() -> Self::Rendered {
        None
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered> {
        by.optional(key, written.as_ref())
    }
}

impl Key for Vec<Text> {
    type Written = Vec<Template>;
    type Rendered = Vec<String>;

    fn schema() -> Value {
        one_or_many()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.many(f, key))
    }

    fn unset() -> Self::Rendered {
        Vec::new()
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered> {
        by.list(key, written)
    }
}

/// Names with values that may hold `${{ }}`.
impl Key for BTreeMap<String, Text> {
    type Written = BTreeMap<String, Template>;
    type Rendered = BTreeMap<String, String>;

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": string()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.templates_map(f, key).into_iter().collect())
    }

    fn unset() -> Self::Rendered {
        Self::Rendered::new()
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered> {
        let value = |(name, text): (&String, &Template)| {
            Ok((name.clone(), by.render(&below(key, name), text)?))
        };
        written.iter().map(value).collect()
    }
}

impl<const NEEDED: bool> Key for TaskList<NEEDED> {
    type Written = Vec<Template>;
    /// Instances, each once, in the order of the references.
    type Rendered = Vec<String>;
    const REQUIRED: bool = NEEDED;

    fn schema() -> Value {
        one_or_many()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        if NEEDED && Reader::nodes(f, key).is_empty() {
            r.missing(f, key);
        }
        Some(r.references(f, key))
    }

    fn unset() -> Self::Rendered {
        Vec::new()
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered> {
        by.references(key, written)
    }
}

impl<const DEFAULT: bool> Plain for Flag<DEFAULT> {
    type Value = bool;

    fn schema() -> Value {
        json!({"type": "boolean", "default": DEFAULT})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> bool {
        f.bool(key, &mut r.mistakes).unwrap_or(DEFAULT)
    }
}

impl Plain for Names {
    type Value = Vec<String>;

    fn schema() -> Value {
        json!({"type": "array", "items": string()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<String> {
        f.strings(key, &mut r.mistakes)
    }
}

impl<W: Word> OneOf<W> {
    fn words() -> Vec<&'static str> {
        W::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn word(node: &Node, key: &str, r: &mut Reader) -> Option<W> {
        let found = W::WORDS
            .iter()
            .find(|(word, _)| node.scalar() == Some(word));
        if found.is_none() {
            let found = node.scalar().unwrap_or(node.kind());
            let message = format!("`{key}` cannot be `{found}`");
            let help = format!("Use one of: {}.", Self::words().join(", "));
            r.at(node.span, message, help);
        }
        found.map(|(_, meaning)| *meaning)
    }
}

impl<W: Word> Plain for Option<OneOf<W>> {
    type Value = Option<W>;

    fn schema() -> Value {
        json!({"enum": OneOf::<W>::words()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<W> {
        f.node(key).and_then(|node| OneOf::word(node, key, r))
    }
}

impl<W: Word + Default> Plain for OneOf<W> {
    type Value = W;

    fn schema() -> Value {
        json!({"enum": Self::words()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> W {
        let word = f.node(key).and_then(|node| Self::word(node, key, r));
        word.unwrap_or_default()
    }
}

impl<W: Word> Plain for ListOf<W> {
    type Value = Vec<W>;

    fn schema() -> Value {
        json!({"type": "array", "items": {"enum": OneOf::<W>::words()}})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<W> {
        let nodes = f.list(key, &mut r.mistakes).iter();
        nodes.filter_map(|node| OneOf::word(node, key, r)).collect()
    }
}

impl<R: Record> Key for Nested<R> {
    type Written = R;
    type Rendered = R::Rendered;

    fn schema() -> Value {
        R::schema()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<R> {
        let empty = Node::mapping(f.span());
        R::of_node(f.node(key).unwrap_or(&empty), r)
    }

    fn unset() -> Self::Rendered {
        R::unset()
    }

    fn render(written: &R, key: &str, by: &Renderer<'_>) -> Rendering<R::Rendered> {
        written.render(key, by)
    }
}

impl<R: Record> Key for Vec<R> {
    type Written = Vec<R>;
    type Rendered = Vec<R::Rendered>;

    fn schema() -> Value {
        json!({"type": "array", "items": R::schema()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Vec<R>> {
        let nodes = f.list(key, &mut r.mistakes).iter();
        Some(nodes.filter_map(|node| R::of_node(node, r)).collect())
    }

    fn unset() -> Self::Rendered {
        Vec::new()
    }

    fn render(written: &Vec<R>, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered> {
        let items = written.iter();
        items.map(|item| item.render(key, by)).collect()
    }
}
