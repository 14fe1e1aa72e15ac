//! Reads the keys of a mapping and notes every mistake.

use std::collections::BTreeSet;

use super::{Mistake, Node, Span, Value};
use crate::codes::Code;

/// The keys of one mapping, taken one by one.
///
/// Every key that is read becomes known; [`Fields::finish`] reports unknown and
/// duplicate keys. A value of the wrong type is noted and read as absent, so
/// that one pass finds every mistake of a file.
pub struct Fields<'n> {
    pairs: &'n [(Node, Node)],
    what: &'static str,
    span: Span,
    known: BTreeSet<&'static str>,
}

impl<'n> Fields<'n> {
    /// Reads `node` as a mapping that messages call `what`.
    ///
    /// Notes any other node, and reads it as an empty mapping.
    pub fn new(node: &'n Node, what: &'static str, mistakes: &mut Vec<Mistake>) -> Self {
        let pairs: &[(Node, Node)] = match &node.value {
            Value::Mapping(pairs) => pairs,
            _ => {
                let message = format!("{what} is a {}, expected a mapping", node.kind());
                let mistake = Mistake::new(node.span, message, "Write `key: value` lines.");
                mistakes.push(mistake.with(Code::WrongType));
                &[]
            }
        };
        Self {
            pairs,
            what,
            span: node.span,
            known: BTreeSet::new(),
        }
    }

    /// Where the mapping begins.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The value of `key`, of any kind. Null counts as absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.insert(key);
        self.pairs
            .iter()
            .rev()
            .find(|(name, _)| name.scalar() == Some(key))
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// The value of `key` as a string. Notes a plain number or boolean and
    /// suggests quotes: another reader could change its text.
    pub fn string(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        let node = self.node(key)?;
        string(node, key, mistakes)
    }

    /// The value of `key` as `true` or `false`.
    pub fn bool(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        let node = self.node(key)?;
        match (node.plain_type(), node.scalar()) {
            (Some("boolean"), Some(text)) => Some(text.eq_ignore_ascii_case("true")),
            _ => {
                mistakes.push(wrong(node, key, "true or false"));
                None
            }
        }
    }

    /// The value of `key` as a whole number.
    pub fn integer(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<i64> {
        let node = self.node(key)?;
        let number = node
            .plain_type()
            .and(node.scalar())
            .and_then(|text| text.parse().ok());
        if number.is_none() {
            mistakes.push(wrong(node, key, "a whole number"));
        }
        number
    }

    /// The items of the list at `key`; empty when absent.
    pub fn list(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> &'n [Node] {
        match self.node(key) {
            None => &[],
            Some(node) => match &node.value {
                Value::Sequence(items) => items,
                _ => {
                    mistakes.push(wrong(node, key, "a list"));
                    &[]
                }
            },
        }
    }

    /// The strings of the list at `key`; empty when absent.
    pub fn strings(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Vec<String> {
        self.list(key, mistakes)
            .iter()
            .filter_map(|item| string(item, key, mistakes))
            .collect()
    }

    /// Notes every key whose value is empty: null, blank text, or a list or mapping
    /// without items. For files in which a missing value must not pass for a wider
    /// one. Skips keys that begin with `x-`.
    pub fn filled(&self, mistakes: &mut Vec<Mistake>) {
        for (key, value) in self.pairs {
            let empty = match &value.value {
                _ if value.is_null() => true,
                Value::Scalar(text, _) => text.trim().is_empty(),
                Value::Sequence(items) => items.is_empty(),
                Value::Mapping(pairs) => pairs.is_empty(),
            };
            let name = key.scalar().unwrap_or_default();
            if empty && !name.starts_with("x-") {
                let message = format!("`{name}` in {} has no value", self.what);
                let help = format!("Write its value, or remove `{name}`.");
                mistakes.push(Mistake::new(key.span, message, help).with(Code::EmptyValue));
            }
        }
    }

    /// Notes unknown and duplicate keys. Skips keys that begin with `x-`, which
    /// are extensions.
    pub fn finish(self, mistakes: &mut Vec<Mistake>) {
        let mut seen = BTreeSet::new();
        for (key, _) in self.pairs {
            let Some(name) = key.scalar() else {
                let message = format!("{} has a key that is a {}", self.what, key.kind());
                let mistake = Mistake::new(key.span, message, "Use strings as keys.");
                mistakes.push(mistake.with(Code::WrongType));
                continue;
            };
            if !seen.insert(name) {
                let message = format!("duplicate key `{name}` in {}", self.what);
                let mistake = Mistake::new(key.span, message, "Remove one of them.");
                mistakes.push(mistake.with(Code::DuplicateKey));
            } else if !self.known.contains(name) && !name.starts_with("x-") {
                let message = format!("unknown key `{name}` in {}", self.what);
                let mistake = Mistake::new(key.span, message, suggestion(name, &self.known));
                mistakes.push(mistake.with(Code::UnknownKey));
            }
        }
    }
}

fn string(node: &Node, key: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
    match (node.scalar(), node.plain_type()) {
        (Some(text), None) => Some(text.to_owned()),
        (Some(text), Some(kind)) => {
            let message = format!("`{key}` is a {kind}, expected a string");
            let mistake = Mistake::new(node.span, message, format!("Quote it: \"{text}\"."));
            mistakes.push(mistake.with(Code::WrongType));
            None
        }
        _ => {
            mistakes.push(wrong(node, key, "a string"));
            None
        }
    }
}

fn wrong(node: &Node, key: &str, expected: &str) -> Mistake {
    Mistake::new(
        node.span,
        format!("`{key}` is a {}, expected {expected}", node.kind()),
        format!("Set `{key}` to {expected}."),
    )
    .with(Code::WrongType)
}

fn suggestion(name: &str, known: &BTreeSet<&'static str>) -> String {
    match super::nearest(name, known.iter().copied()) {
        Some(word) => format!("Did you mean `{word}`?"),
        None => {
            let words: Vec<&str> = known.iter().copied().collect();
            format!("Remove it, or use one of: {}.", words.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mistakes, SourceText, parse_first};
    use super::*;

    #[test]
    fn every_mistake_of_a_mapping_is_reported_at_once() {
        let source = SourceText::new("p.yaml", "name: 1.10\nflg: true\ncount: x\nname: b\n");
        let node = parse_first(&source).unwrap().unwrap();
        let mut mistakes = Vec::new();
        let mut fields = Fields::new(&node, "the test", &mut mistakes);
        assert_eq!(fields.string("name", &mut mistakes).as_deref(), Some("b"));
        assert_eq!(fields.bool("flag", &mut mistakes), None);
        assert_eq!(fields.integer("count", &mut mistakes), None);
        fields.finish(&mut mistakes);
        let text = Mistakes::none_or((), &source, mistakes)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("p.yaml:2:1: unknown key `flg` in the test"),
            "{text}"
        );
        assert!(text.contains("Did you mean `flag`?"), "{text}");
        assert!(text.contains("p.yaml:3:8: `count` is a string, expected a whole number"));
        assert!(text.contains("p.yaml:4:1: duplicate key `name`"), "{text}");
    }

    #[test]
    fn a_number_where_a_string_belongs_is_shown_quoted() {
        let source = SourceText::new("p.yaml", "version: 1.10\n");
        let node = parse_first(&source).unwrap().unwrap();
        let mut mistakes = Vec::new();
        let mut fields = Fields::new(&node, "metadata", &mut mistakes);
        assert_eq!(fields.string("version", &mut mistakes), None);
        assert_eq!(mistakes[0].help, "Quote it: \"1.10\".");
    }
}
