//! The values of a package and their schema: several files, as one.
//!
//! Source: docs/spec/package.md, "Values and documentation".

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::definition::{Tree, emit};
use crate::yaml::{Mistake, Mistakes, Node, SourceText, Style, Value, parse_only};

/// The text of `files` as one document with sorted keys. Mappings are merged, key by key;
/// of anything else, the value of the later file counts.
///
/// # Errors
///
/// The mistakes of the first file with some: it is not YAML, not one mapping, or has keys
/// that are no plain text.
pub fn merged_values(files: &[SourceText]) -> Result<String, Mistakes> {
    let mut merged = BTreeMap::new();
    for file in files {
        let Some(node) = parse_only(file)?.filter(|node| !node.is_null()) else {
            continue;
        };
        let mut mistakes = Vec::new();
        match read(&node, &mut mistakes) {
            Values::Mapping(values) => merge(&mut merged, values),
            _ => mistakes.push(Mistake::new(
                node.span,
                format!("a file of values is a {}, expected a mapping", node.kind()),
                "Write `key: value` lines.",
            )),
        }
        Mistakes::none_or((), file, mistakes)?;
    }
    Ok(emit(&Values::Mapping(merged).into_tree()))
}

enum Values {
    Leaf(Tree),
    List(Vec<Self>),
    Mapping(BTreeMap<String, Self>),
}

impl Values {
    fn into_tree(self) -> Tree {
        match self {
            Self::Leaf(tree) => tree,
            Self::List(items) => Tree::List(items.into_iter().map(Self::into_tree).collect()),
            Self::Mapping(pairs) => {
                let pairs = pairs.into_iter();
                Tree::Map(pairs.map(|(key, value)| (key, value.into_tree())).collect())
            }
        }
    }
}

/// Nodes are nested only as deep as [`crate::yaml::MAX_DEPTH`] allows.
fn read(node: &Node, mistakes: &mut Vec<Mistake>) -> Values {
    match &node.value {
        _ if node.is_null() => Values::Leaf(Tree::Literal("null".to_owned())),
        // Readers differ on what a plain word is, such as `1_000` or `yes`: it stays one.
        Value::Scalar(text, Style::Plain) if !text.contains('\n') => {
            Values::Leaf(Tree::Literal(text.clone()))
        }
        Value::Scalar(text, _) => Values::Leaf(Tree::Text(text.clone())),
        Value::Sequence(items) => {
            Values::List(items.iter().map(|item| read(item, mistakes)).collect())
        }
        Value::Mapping(pairs) => {
            let mut found = BTreeMap::new();
            for (key, value) in pairs {
                let Some(name) = key.scalar() else {
                    let message = format!("a key is a {}, expected text", key.kind());
                    mistakes.push(Mistake::new(key.span, message, "Use text as the key."));
                    continue;
                };
                if found
                    .insert(name.to_owned(), read(value, mistakes))
                    .is_some()
                {
                    let message = format!("duplicate key `{name}`");
                    mistakes.push(Mistake::new(key.span, message, "Remove one of them."));
                }
            }
            Values::Mapping(found)
        }
    }
}

fn merge(base: &mut BTreeMap<String, Values>, later: BTreeMap<String, Values>) {
    for (key, value) in later {
        match (base.get_mut(&key), value) {
            (Some(Values::Mapping(base)), Values::Mapping(value)) => merge(base, value),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// The text of `schemas` as one schema, with sorted keys; the first one counts most. Objects
/// are merged, key by key, and `required` has the names of all.
///
/// # Errors
///
/// The first file that is no JSON object, with the reason.
pub fn merged_schemas(schemas: &[SourceText]) -> Result<String, String> {
    let mut merged = serde_json::Map::new();
    for schema in schemas {
        match serde_json::from_str(&schema.text) {
            Ok(Json::Object(schema)) => complete(&mut merged, schema),
            Ok(_) => {
                return Err(format!(
                    "`{}` is not a JSON object: correct the schema",
                    schema.name
                ));
            }
            Err(error) => {
                return Err(format!(
                    "`{}` is not JSON: {error}: correct it",
                    schema.name
                ));
            }
        }
    }
    // What was read can be written.
    Ok(format!("{:#}", Json::Object(merged)))
}

/// Adds to `nearer` what only `other` has.
fn complete(nearer: &mut serde_json::Map<String, Json>, other: serde_json::Map<String, Json>) {
    for (key, value) in other {
        match (nearer.get_mut(&key), value) {
            (None, value) => drop(nearer.insert(key, value)),
            (Some(Json::Object(nearer)), Json::Object(other)) => complete(nearer, other),
            (Some(Json::Array(nearer)), Json::Array(other)) if key == "required" => {
                let more: Vec<Json> = other
                    .into_iter()
                    .filter(|name| !nearer.contains(name))
                    .collect();
                nearer.extend(more);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Vec<SourceText> {
        let named = texts.iter().enumerate();
        named
            .map(|(at, text)| SourceText::new(format!("v{at}.yaml"), *text))
            .collect()
    }

    fn merged(texts: &[&str]) -> String {
        merged_values(&files(texts)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    #[test]
    fn mappings_are_merged_and_all_else_is_replaced() {
        let first = "b: 1\na: {y: [1, 2], x: 1, z: ~}\nc: {d: 1}\nt: 2020-01-01\nu: [1_000, yes, 'yes', 0x10, .inf]\n";
        let second = "a: {y: [3], x: ~, n: 2}\nb: {e: 1}\nc: 5\n";
        // As Zarf 0.84 writes it.
        let expected = "a:\n  \"n\": 2\n  x: null\n  \"y\":\n  - 3\n  z: null\nb:\n  e: 1\nc: 5\n\
                        t: 2020-01-01\nu:\n- 1_000\n- yes\n- \"yes\"\n- 0x10\n- .inf\n";
        assert_eq!(merged(&[first, "", second]), expected);
        assert_eq!(merged(&[]), "{}\n");
        assert_eq!(merged(&["# nothing\n"]), "{}\n");
        assert_eq!(merged(&["1: a\ntrue: b\n"]), "\"1\": a\n\"true\": b\n");
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, place) in [
            ("- a\n", "v0.yaml:1:1: "),
            ("text\n", "v0.yaml:1:1: "),
            ("a: 1\nb: {[c]: 1}\n", "v0.yaml:2:5: "),
            ("a: 1\na: 2\n", "v0.yaml:2:1: "),
            ("a: 1\n---\nb: 1\n", "v0.yaml:3:1: "),
            ("a: [\n", "v0.yaml:"),
        ] {
            let mistakes = merged_values(&files(&[text])).unwrap_err().to_string();
            assert!(mistakes.starts_with(place), "{text}{mistakes}");
        }
    }

    #[test]
    fn the_nearer_schema_counts_and_required_names_are_joined() {
        let near =
            r#"{"type":"object","required":["b"],"properties":{"b":{"minimum":0}},"anyOf":[{}]}"#;
        let far = r#"{"type":["object"],"required":["a","b"],"properties":{"b":{"minimum":1,"type":"integer"},"a":{}},"anyOf":[true]}"#;
        let all = merged_schemas(&files(&[near, far])).unwrap();
        let expected: Json = serde_json::from_str(
            r#"{"type":"object","required":["b","a"],"properties":{"b":{"minimum":0,"type":"integer"},"a":{}},"anyOf":[{}]}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_str::<Json>(&all).unwrap(), expected);
        assert!(all.starts_with("{\n  \"anyOf\": ["), "{all}");
        assert!(merged_schemas(&files(&["[]"])).is_err());
        assert!(
            merged_schemas(&files(&["{"]))
                .unwrap_err()
                .starts_with("`v0.yaml` is not JSON")
        );
    }
}
