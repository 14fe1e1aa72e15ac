//! Texts to definitions.
//!
//! Finds every mistake of a file in one pass. `check` looks at the values, and
//! only in the user's own source.

use super::check::{check, without_components};
use super::part::Part as _;
use super::reading::Reading;
use super::records::Definition;
use std::collections::BTreeSet;

use crate::codes::Code;
use crate::yaml::{self, Mistake, Mistakes, Node, SourceText, Span, Value};

/// How a definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The user's own source: unknown and duplicate keys and unquoted numbers for
    /// strings are mistakes, and values are checked.
    Source,
    /// An existing package: scalars are read as written, and unknown keys are kept.
    /// Duplicate keys are mistakes nevertheless: readers choose different ones.
    Existing,
}

impl Definition {
    /// Reads `source`, which has one document, or the two that Zarf writes.
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
        let (first, newer) = documents(source)?;
        if strictness == Strictness::Existing {
            for node in first.iter().chain(&newer) {
                unique_keys(node, &mut reading.mistakes);
            }
        }
        match first {
            Some(node) => {
                definition = Self::read(&node, "the definition", &mut reading);
                if reading.strict && matches!(node.value, Value::Mapping(_)) {
                    check(&definition, &node, &mut reading.mistakes);
                    reading.mistakes.extend(without_components(&node));
                }
            }
            None => reading.mistakes.push(empty()),
        }
        Mistakes::none_or(definition, source, reading.mistakes)
    }
}

/// Notes duplicate keys at any depth.
fn unique_keys(node: &Node, mistakes: &mut Vec<Mistake>) {
    match &node.value {
        Value::Scalar(..) => {}
        Value::Sequence(items) => items.iter().for_each(|item| unique_keys(item, mistakes)),
        Value::Mapping(pairs) => {
            let mut seen = BTreeSet::new();
            for (key, value) in pairs {
                // However it is quoted.
                let name = match &key.value {
                    Value::Scalar(text, _) => text.clone(),
                    other => format!("{other:?}"),
                };
                if !seen.insert(name) {
                    let name = key.scalar().unwrap_or_default();
                    let name: String = name.escape_debug().take(100).collect();
                    let message = format!("duplicate key `{name}`");
                    let mistake = Mistake::new(key.span, message, "Remove one of them.");
                    mistakes.push(mistake.with(Code::DuplicateKey));
                }
                unique_keys(value, mistakes);
            }
        }
    }
}

/// The document that is read, and the one in the newer format that Zarf writes after
/// it; both say the same.
///
/// # Errors
///
/// Invalid YAML, or another document.
pub(crate) fn documents(source: &SourceText) -> Result<(Option<Node>, Option<Node>), Mistakes> {
    let mut documents = yaml::parse(source)?.into_iter();
    let first = documents.next();
    let newer = |node: &Node| {
        let version = node.get("apiVersion").and_then(Node::scalar);
        version.is_some_and(|version| version.ends_with("/v1beta1"))
    };
    let mut second = documents.next();
    let mut odd = None;
    if !second.as_ref().is_none_or(newer) || (second.is_some() && first.as_ref().is_some_and(newer))
    {
        odd = second.take();
    }
    let odd = odd.or_else(|| documents.next());
    let mistakes = odd.iter().map(yaml::second).collect();
    Mistakes::none_or((first, second), source, mistakes)
}

/// The mistake of a file without a document.
pub(crate) fn empty() -> Mistake {
    Mistake::new(
        Span::START,
        "the definition is empty",
        "Add `kind`, `metadata` and `components`.",
    )
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
    fn all_mistakes_of_a_source_are_reported_at_once() {
        let text = "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: 1.10\n  \
                    desciption: x\ncomponents:\n- name: a\n  default: 1\n  x-note: y\n- a\n";
        let mistakes = read(text, Strictness::Source).unwrap_err();
        let messages: Vec<&str> = mistakes.list().iter().map(|m| m.message.as_str()).collect();
        assert!(
            messages[0].contains("`version` is a number"),
            "{messages:?}"
        );
        assert!(
            messages[1].contains("unknown key `desciption`"),
            "{messages:?}"
        );
        assert_eq!(mistakes.list()[1].help, "Did you mean `description`?");
        assert!(
            messages[2].contains("`default` is a number"),
            "{messages:?}"
        );
        assert!(messages[3].contains("expected a mapping"), "{messages:?}");
    }
}
