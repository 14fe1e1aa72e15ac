//! A configuration file's text as values of flags.

use std::path::{Component as Part, Path};

use super::{IGNORED, KEYS, Key, Kind, Origin, SET, Values, toml};
use crate::app::{Reference, place};
use crate::yaml::{self, Mistake, Mistakes, Node, SourceText, Value};

pub(super) fn parse(
    source: &SourceText,
    extension: &str,
    from: Origin,
) -> Result<Values, Mistakes> {
    let root = match extension {
        "toml" => Some(toml::parse(source)?),
        _ => yaml::parse_only(source)?,
    };
    let mut values = Values::new();
    let mut mistakes = Vec::new();
    if let Some(root) = root.filter(|root| !root.is_null()) {
        read_keys(&root, "", from, &mut values, &mut mistakes);
    }
    Mistakes::none_or(values, source, mistakes)
}

/// Reads the keys of `node`, whose own name, with a dot, is `above`. Case is
/// ignored, as Jackal does.
fn read_keys(
    node: &Node,
    above: &str,
    from: Origin,
    values: &mut Values,
    mistakes: &mut Vec<Mistake>,
) {
    let Value::Mapping(pairs) = &node.value else {
        let what = match above.trim_end_matches('.') {
            "" => "the configuration".to_owned(),
            name => format!("`{name}`"),
        };
        mistakes.push(Mistake::new(
            node.span,
            format!("{what} is a {}, expected a mapping", node.kind()),
            "Write its keys below its name.",
        ));
        return;
    };
    for (index, (key, value)) in pairs.iter().enumerate() {
        let own = key.scalar().unwrap_or_default().to_ascii_lowercase();
        let name = match format!("{above}{own}") {
            // Zarf's names of ours.
            name if name == "zarf_cache" => "jackal_cache".to_owned(),
            name if name == "insecure_skip_tls_verify" => "insecure".to_owned(),
            name => name,
        };
        let before = pairs[..index].iter().filter_map(|(key, _)| key.scalar());
        if before
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(&own))
        {
            mistakes.push(Mistake::new(
                key.span,
                format!("duplicate key `{name}`"),
                "Keep one of the two.",
            ));
        } else if let Some(known) = KEYS.iter().find(|known| known.name == name) {
            if known.source == Origin::Own && from == Origin::Any {
                mistakes.push(Mistake::new(
                    key.span,
                    format!("`{name}` is only read from your own configuration file"),
                    OWN_HELP,
                ));
            } else if !value.is_null()
                && let Some(read) = read_value(known, value, mistakes)
            {
                let leaves = |text: &String| !is_below(text);
                if known.source == Origin::Below
                    && from == Origin::Any
                    && let Some(text) = read.iter().find(|text| leaves(text))
                {
                    mistakes.push(Mistake::new(
                        value.span,
                        format!(
                            "`{name}` is `{text}`, but the file of a checkout may only name \
                             a folder below its own"
                        ),
                        format!(
                            "Name such a folder. Set another place in \
                             ~/.jackal/jackal-config.toml, in the file that JACKAL_CONFIG \
                             names, with {}, or with its flag.",
                            known.variable()
                        ),
                    ));
                } else {
                    values.insert(known.name, read);
                }
            }
        } else if IGNORED.contains(&name.as_str()) {
        } else if is_section(&name) {
            if !value.is_null() {
                read_keys(value, &format!("{name}."), from, values, mistakes);
            }
        } else {
            mistakes.push(Mistake::new(
                key.span,
                format!("unknown setting `{name}`"),
                suggestion(&name),
            ));
        }
    }
}

/// What to do about a key of the user's own file in another one.
const OWN_HELP: &str = "Remove it. Set it in ~/.jackal/jackal-config.toml or in the file that \
                        JACKAL_CONFIG names, or use its flag.";

/// Whether `text` names a folder below the current one, not counting links.
fn is_below(text: &str) -> bool {
    let mut depth = 0_usize;
    let inside = Path::new(text).components().all(|part| match part {
        Part::Normal(_) => {
            depth += 1;
            true
        }
        Part::CurDir => true,
        Part::ParentDir if depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    });
    inside && !text.starts_with(place::LAYOUT) && Reference::url_path(text).is_none()
}

fn is_section(name: &str) -> bool {
    let below = format!("{name}.");
    KEYS.iter().any(|key| key.name.starts_with(&below))
}

fn suggestion(name: &str) -> String {
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    match yaml::nearest(name, names.iter().copied()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("Remove it, or use one of: {}.", names.join(", ")),
    }
}

/// The name of a map in messages.
const MAPPING: &str = "a mapping of names to strings";

fn read_value(key: &Key, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<String>> {
    let mut wrong = |node: &Node, expected: &str| {
        mistakes.push(Mistake::new(
            node.span,
            format!("`{}` is a {}, expected {expected}", key.name, node.kind()),
            format!("Give it {expected}."),
        ));
    };
    let plain = node.scalar();
    match (key.kind, node.plain_type()) {
        (Kind::Map, _) => {
            let Value::Mapping(pairs) = &node.value else {
                wrong(node, MAPPING);
                return None;
            };
            let mut read = Vec::new();
            for (name, value) in pairs {
                // Numbers and booleans are kept as they are written.
                match (name.scalar(), scalar_or_empty(value)) {
                    (Some(name), Some(text)) => read.push(pair(key, name, text)),
                    _ => wrong(value, MAPPING),
                }
            }
            Some(read)
        }
        (Kind::Text, None) if plain.is_some_and(|text| !text.is_empty()) => {
            plain.map(|text| vec![text.to_owned()])
        }
        // An empty value counts as unset.
        (Kind::Text, None) if plain.is_some() => None,
        (Kind::Text, _) => {
            wrong(node, "a quoted string");
            None
        }
        (Kind::Flag, Some("boolean")) => plain.map(|text| vec![text.to_ascii_lowercase()]),
        (Kind::Flag, _) => {
            wrong(node, "true or false");
            None
        }
        (Kind::Number, Some("number")) if plain.is_some_and(is_number) => {
            plain.map(|text| vec![text.to_owned()])
        }
        (Kind::Number, _) => {
            wrong(node, "a whole number");
            None
        }
    }
}

pub(super) fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn scalar_or_empty(node: &Node) -> Option<&str> {
    if node.is_null() {
        return Some("");
    }
    node.scalar()
}

/// A name and its text in the form of the flag.
pub(super) fn pair(key: &Key, name: &str, text: &str) -> String {
    if key.arg == SET {
        let name = name.to_ascii_uppercase();
        // A flag is one record of comma-separated values.
        return format!("\"{}\"", format!("{name}={text}").replace('"', "\"\""));
    }
    format!("{name}={text}")
}
