//! The state of reading a definition, and the reading of plain values.
//!
//! Strict for the user's own source, lenient for a package that another program
//! may have written. Records read themselves with it, see `part`.

use std::collections::BTreeMap;

use super::emit::Tree;
use super::row::Row;
use crate::codes::Code;
use crate::yaml::{Mistake, Node, Span, Value, nearest};

/// How to read, and the mistakes so far.
pub(crate) struct Reading {
    pub(crate) strict: bool,
    /// Whether keys that begin with `x-` are kept, as in packages of other programs.
    pub(crate) extensions: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Reading {
    pub(super) fn wrong(&mut self, node: &Node, key: &str, expected: &str) {
        self.mistakes.push(Mistake::new(
            node.span,
            format!("`{key}` is a {}, expected {expected}", node.kind()),
            format!("Change it to {expected}."),
        ));
    }

    /// The pairs of a mapping whose keys are strings; notes anything else.
    pub(super) fn pairs<'n>(&mut self, node: &'n Node, key: &str) -> Vec<(&'n str, &'n Node)> {
        let Value::Mapping(pairs) = &node.value else {
            if !node.is_null() {
                self.wrong(node, key, "a mapping");
            }
            return Vec::new();
        };
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let mut list: Vec<(&str, &Node)> = Vec::new();
        for (name, value) in pairs {
            let Value::Scalar(text, _) = &name.value else {
                self.wrong(name, key, "a string as key");
                continue;
            };
            if let Some(&index) = found.get(text.as_str()) {
                if self.strict {
                    let message = format!("duplicate key `{text}`");
                    let mistake = Mistake::new(name.span, message, "Remove one of them.");
                    self.mistakes.push(mistake.with(Code::DuplicateKey));
                }
                list[index].1 = value;
            } else {
                found.insert(text, list.len());
                list.push((text, value));
            }
        }
        list
    }

    /// Handles a key without a row: returns it to be kept, or notes a mistake.
    pub(super) fn unknown(
        &mut self,
        mapping: &Node,
        value: &Node,
        name: &str,
        rows: &[Row],
    ) -> Option<(String, Tree)> {
        if name.starts_with("x-") && !self.extensions {
            return None;
        }
        if !self.strict {
            return Some((name.to_owned(), tree(value)));
        }
        let known = || rows.iter().map(|row| row.key);
        let help = match nearest(name, known()) {
            Some(key) => format!("Did you mean `{key}`?"),
            None => format!("Use one of: {}.", known().collect::<Vec<_>>().join(", ")),
        };
        let at = key_span(mapping, name).unwrap_or(value.span);
        let mistake = Mistake::new(at, format!("unknown key `{name}`"), help);
        self.mistakes.push(mistake.with(Code::UnknownKey));
        None
    }
}

pub(super) fn tree(node: &Node) -> Tree {
    match &node.value {
        _ if node.is_null() => Tree::Literal("null".into()),
        Value::Scalar(text, _) if node.plain_type().is_some() => Tree::Literal(text.clone()),
        Value::Scalar(text, _) => Tree::Text(text.clone()),
        Value::Sequence(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Mapping(pairs) => Tree::Map(
            pairs
                .iter()
                .filter_map(|(key, value)| match &key.value {
                    Value::Scalar(text, _) => Some((text.clone(), tree(value))),
                    _ => None,
                })
                .collect(),
        ),
    }
}

pub(super) fn text(node: &Node, key: &str, reading: &mut Reading) -> String {
    let Some(text) = node.scalar() else {
        if !node.is_null() {
            reading.wrong(node, key, "a string");
        }
        return String::new();
    };
    if reading.strict
        && let Some(kind) = node.plain_type()
    {
        let message = format!("`{key}` is a {kind}, expected a string");
        let mistake = Mistake::new(node.span, message, format!("Quote it: \"{text}\"."));
        reading.mistakes.push(mistake.with(Code::WrongType));
    }
    text.to_owned()
}

pub(super) fn boolean(node: &Node, key: &str, reading: &mut Reading) -> bool {
    let typed = !reading.strict || node.plain_type() == Some("boolean");
    match node.scalar().map(str::to_ascii_lowercase).as_deref() {
        Some("true") if typed => return true,
        Some("false") if typed => return false,
        _ => reading.wrong(node, key, "true or false"),
    }
    false
}

pub(super) fn integer(node: &Node, key: &str, reading: &mut Reading) -> i64 {
    let typed = !reading.strict || node.plain_type() == Some("number");
    let number = node.scalar().filter(|_| typed).and_then(|t| t.parse().ok());
    number.unwrap_or_else(|| {
        reading.wrong(node, key, "a whole number");
        0
    })
}

/// The place of the key `name` in `mapping`.
fn key_span(mapping: &Node, name: &str) -> Option<Span> {
    let Value::Mapping(pairs) = &mapping.value else {
        return None;
    };
    let key = pairs.iter().find(|(key, _)| key.scalar() == Some(name))?;
    Some(key.0.span)
}
