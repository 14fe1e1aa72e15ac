//! Texts to definitions.
//!
//! Finds every mistake of a file in one pass. `check` looks at the values, and
//! only in the user's own source.

use super::check::check;
use super::part::Part as _;
use super::reading::Reading;
use super::records::Definition;
use crate::yaml::{Mistake, Mistakes, SourceText, Span, Value, parse_first};

/// How a definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The user's own source: unknown and duplicate keys and unquoted numbers for
    /// strings are mistakes, and values are checked.
    Source,
    /// An existing package: scalars are read as written, and unknown keys are kept.
    Existing,
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

/// The mistake of a file without a document.
pub(crate) fn empty() -> Mistake {
    let start = Span {
        line: 1,
        column: 1,
        length: 1,
    };
    Mistake::new(
        start,
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
