//! YAML nodes to a definition: strict for one's own source, lenient for a
//! package that another program may have written.
//!
//! Every mistake of a file is found in one pass. Values are checked by
//! `check`, and only in one's own source.

use std::collections::BTreeMap;

use super::check::check;
use super::emit::Tree;
use super::records::{Definition, Part};
use crate::yaml::{Mistake, Mistakes, Node, SourceText, Span, Value, parse_first};

/// How a definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// One's own source: unknown keys, keys given twice and plain numbers for
    /// strings are mistakes, and the values are checked.
    Source,
    /// An existing package: scalars are taken as they are written, and unknown
    /// keys are kept.
    Existing,
}

/// What is carried along while reading.
pub(crate) struct Reading {
    pub(crate) strict: bool,
    /// Whether keys that begin with `x-` are kept, which is so in a package that
    /// another program made.
    pub(crate) extensions: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Definition {
    /// Reads the first document of `source`.
    ///
    /// # Errors
    ///
    /// All mistakes of the file, in order.
    pub fn parse(source: &SourceText, strictness: Strictness) -> Result<Self, Mistakes> {
        let mut reading = Reading {
            strict: strictness == Strictness::Source,
            extensions: strictness == Strictness::Existing,
            mistakes: Vec::new(),
        };
        let mut definition = Self::default();
        match parse_first(source)? {
            Some(node) => {
                definition = Self::read(&node, "the definition", &mut reading);
                if reading.strict && matches!(node.value, Value::Mapping(_)) {
                    check(&definition, &node, &mut reading.mistakes);
                }
            }
            None => reading.mistakes.push(empty()),
        }
        Mistakes::none_or(definition, source, reading.mistakes)
    }
}

/// A file without a document.
pub(crate) fn empty() -> Mistake {
    let start = Span {
        line: 1,
        column: 1,
        length: 1,
    };
    Mistake::new(
        start,
        "the definition is empty",
        "Begin with `kind:`, `metadata:` and `components:`.",
    )
}

impl Reading {
    pub(super) fn wrong(&mut self, node: &Node, key: &str, expected: &str) {
        self.mistakes.push(Mistake::new(
            node.span,
            format!("`{key}` is a {}, expected {expected}", node.kind()),
            format!("Write {expected} here."),
        ));
    }

    /// The pairs of a mapping whose keys are strings; notes all else.
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
                    self.mistakes.push(Mistake::new(
                        name.span,
                        format!("`{text}` is given twice"),
                        "Remove one of the two.",
                    ));
                }
                list[index].1 = value;
            } else {
                found.insert(text, list.len());
                list.push((text, value));
            }
        }
        list
    }

    /// Takes a key that no record knows: kept, or a mistake.
    pub(super) fn unknown(
        &mut self,
        mapping: &Node,
        value: &Node,
        name: &str,
        known: &[&str],
    ) -> Option<(String, Tree)> {
        if name.starts_with("x-") && !self.extensions {
            return None;
        }
        if !self.strict {
            return Some((name.to_owned(), tree(value)));
        }
        let near = known
            .iter()
            .map(|key| (strsim::damerau_levenshtein(key, name), key))
            .filter(|(distance, key)| *distance <= key.len().max(4) / 3)
            .min();
        let help = match near {
            Some((_, key)) => format!("Did you mean `{key}`?"),
            None => format!("Known here: {}.", known.join(", ")),
        };
        self.mistakes.push(Mistake::new(
            key_span(mapping, name).unwrap_or(value.span),
            format!("unknown key `{name}`"),
            help,
        ));
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
        reading.mistakes.push(Mistake::new(
            node.span,
            format!("`{key}` is a {kind}, expected a string"),
            format!("Write it in quotes: \"{text}\"."),
        ));
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

/// Where the key `name` stands in `mapping`.
fn key_span(mapping: &Node, name: &str) -> Option<Span> {
    let Value::Mapping(pairs) = &mapping.value else {
        return None;
    };
    let key = pairs.iter().find(|(key, _)| key.scalar() == Some(name))?;
    Some(key.0.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, strictness: Strictness) -> Result<Definition, Mistakes> {
        Definition::parse(&SourceText::new("jackal.yaml", text), strictness)
    }

    const REAL: &str = include_str!("../../../tests/fixtures/definitions/zarf-0.84-interop.yaml");

    #[test]
    fn a_real_definition_is_read_and_written_with_its_unknown_keys() {
        let definition = read(REAL, Strictness::Existing).unwrap();
        assert_eq!(definition.metadata.name, "interop");
        assert_eq!(definition.components[1].charts[0].version, "0.1.0");
        assert_eq!(definition.constants[0].value.as_deref(), Some("8080"));
        assert_eq!(definition.build.provenance_files, ["checksums.txt"]);
        let again = read(&definition.to_yaml(), Strictness::Existing).unwrap();
        assert_eq!(again, definition);
        assert_eq!(again.to_yaml().lines().count(), REAL.lines().count());
    }

    #[test]
    fn an_existing_package_keeps_the_text_of_plain_scalars() {
        let text = "metadata: {name: a, version: 1.10, yolo: \"true\"}\n";
        let definition = read(text, Strictness::Existing).unwrap();
        assert_eq!(definition.metadata.version, "1.10");
        assert!(definition.metadata.yolo);
    }

    #[test]
    fn all_mistakes_of_ones_own_source_are_told_at_once() {
        let text = "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: 1.10\n  \
                    desciption: x\ncomponents:\n- name: a\n  default: 1\n  x-note: y\n- a\n";
        let mistakes = read(text, Strictness::Source).unwrap_err();
        let told: Vec<&str> = mistakes.list().iter().map(|m| m.message.as_str()).collect();
        assert!(told[0].contains("`version` is a number"), "{told:?}");
        assert!(told[1].contains("unknown key `desciption`"), "{told:?}");
        assert_eq!(mistakes.list()[1].help, "Did you mean `description`?");
        assert!(told[2].contains("`default` is a number"), "{told:?}");
        assert!(told[3].contains("expected a mapping"), "{told:?}");
    }
}
