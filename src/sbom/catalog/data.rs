//! Texts in JSON, YAML and TOML as one kind of value, for lock files.
//!
//! More lenient than `crate::yaml`, which reads what users write and reports mistakes:
//! of duplicate keys the last one counts, a second YAML document is ignored, and every
//! YAML scalar is a string, as versions such as `1.10` are no numbers.

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// Maximum number of nodes of one text: a million. Each takes about a hundred bytes,
/// and the lock file of five thousand packages has 150,000.
const MAX_NODES: usize = 1 << 20;

/// What a mapping takes: room for eleven values, even if it has one.
const MAPPING_NODES: usize = 6;

/// Maximum number of tokens of a TOML text: two million, which is more than the lock
/// file of two thousand distributions has. Each takes forty bytes while it is parsed.
const MAX_TOKENS: usize = 2 << 20;

/// Deepest nesting of lists and mappings. Readers recurse over values.
const MAX_DEPTH: usize = 64;

/// Longest text that is parsed, in bytes: 32 MiB.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// Why a text was not read; part of a sentence about its file.
pub(super) type Reason = &'static str;

const TOO_MANY: Reason = "it has too many values";
const INVALID_YAML: Reason = "it is not valid YAML";
const TOO_DEEP: Reason = "it is nested too deeply";

/// The value of a JSON text, which may begin with a byte order mark.
pub(super) fn json(text: &str) -> Result<Value, Reason> {
    sized(text, MAX_NODES, |byte| match byte {
        b',' | b':' | b'[' => 1,
        b'{' => MAPPING_NODES,
        _ => 0,
    })?;
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|_| "it is not valid JSON")
}

/// The value of a JSON text with comments and trailing commas.
pub(super) fn json_with_comments(text: &str) -> Result<Value, Reason> {
    json(&without_comments(text))
}

/// The first document of a YAML text, with all scalars as strings.
pub(super) fn yaml(text: &str) -> Result<Value, Reason> {
    match strict_yaml(text) {
        Err(INVALID_YAML) => strict_yaml(&with_indented_brackets(text)),
        done => done,
    }
}

/// A YAML text whose lines begin with a closing bracket only if it is indented deeper.
///
/// People close a list below the key that it belongs to, which YAML 1.2 does not allow
/// (7.4), and most readers do.
fn with_indented_brackets(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with([']', '}']) {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

fn strict_yaml(text: &str) -> Result<Value, Reason> {
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|_| INVALID_YAML)?;
        if open.len() > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        let done = match event {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            // Copies of copies grow exponentially, and lock files have none.
            Event::Alias(_) => Value::Null,
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Mapping(map, _)) => Value::Object(map),
                None => continue,
            },
            Event::DocumentEnd => break,
            _ => continue,
        };
        nodes += match done {
            Value::Object(_) => MAPPING_NODES,
            _ => 1,
        };
        if nodes > MAX_NODES {
            return Err(TOO_MANY);
        }
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(items)) => items.push(done),
            Some(Open::Mapping(map, key)) => match key.take() {
                None => *key = Some(done.as_str().unwrap_or_default().to_owned()),
                Some(key) => drop(map.insert(key, done)),
            },
        }
    }
    Err("it is empty")
}

/// A YAML list or mapping that has begun and not ended.
enum Open {
    List(Vec<Value>),
    /// With the key whose value is missing.
    Mapping(Map<String, Value>, Option<String>),
}

/// The value of a TOML text; numbers and dates are strings.
pub(super) fn toml(text: &str) -> Result<Value, Reason> {
    let tokens = b",=[{.\n \t#'\"";
    sized(text, MAX_TOKENS, |byte| tokens.contains(&byte).into())?;
    let table = DeTable::parse(text).map_err(|_| "it is not valid TOML")?;
    table_of(table.into_inner(), 0)
}

fn table_of(table: DeTable<'_>, depth: usize) -> Result<Value, Reason> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    let pairs = table.into_iter().map(|(key, value)| {
        let key = key.into_inner().into_owned();
        Ok((key, value_of(value.into_inner(), depth + 1)?))
    });
    pairs.collect::<Result<_, _>>().map(Value::Object)
}

fn value_of(value: DeValue<'_>, depth: usize) -> Result<Value, Reason> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    Ok(match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => Value::String(number.to_string()),
        DeValue::Float(number) => Value::String(number.to_string()),
        DeValue::Boolean(is) => Value::Bool(is),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => {
            let items = items.into_iter();
            let items = items.map(|item| value_of(item.into_inner(), depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => table_of(table, depth)?,
    })
}

/// Refuses a text whose bytes begin more than `most` values, so that no memory is taken
/// for them.
fn sized(text: &str, most: usize, begins: impl Fn(u8) -> usize) -> Result<(), Reason> {
    match text.bytes().map(begins).sum::<usize>() > most {
        true => Err(TOO_MANY),
        false => Ok(()),
    }
}

/// A JSON text without `//` and `/* */` comments and without commas before a closing
/// bracket.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where a comma was written that is wrong if a bracket follows.
    let mut comma = None;
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| !c.is_whitespace()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let next = rest.chars().next().unwrap_or_default();
        let length = if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
            continue;
        } else if next == '"' {
            quoted(rest)
        } else {
            next.len_utf8()
        };
        match next {
            ',' => comma = Some(out.len()),
            ']' | '}' => {
                if let Some(comma) = comma.take() {
                    out.replace_range(comma..=comma, " ");
                }
            }
            _ => comma = None,
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// How long the quoted text is with which `text` begins, in bytes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let inner = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    inner.map_or(text.len(), |inner| inner + 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_scalars_are_strings_and_the_last_key_counts() {
        let value = yaml("a: 1.10\nb: [true, ~]\na: 2\n---\nc: 3\n").unwrap();
        assert_eq!(value, json!({"a": "2", "b": ["true", "~"]}));
        assert!(yaml("").is_err() && yaml("a: [").is_err());
        let closed = yaml("a:\n  b: [\n    1,\n  ]\n  c: {\n  }\n").unwrap();
        assert_eq!(closed, json!({"a": {"b": ["1"], "c": {}}}));
        let bomb = "a: &a [x]\nb: [*a, *a]\n";
        assert_eq!(yaml(bomb).unwrap()["b"], json!([null, null]));
    }

    #[test]
    fn toml_has_the_same_values() {
        let value = toml("[[p]]\nn = 'x'\nd = 2020-01-01\nb = true\ni = 1\n").unwrap();
        let expected = json!({"p": [{"n": "x", "d": "2020-01-01", "b": true, "i": "1"}]});
        assert_eq!(value, expected);
        assert!(toml("[[p]\n").is_err());
    }

    #[test]
    fn comments_and_trailing_commas_are_left_out_but_not_of_texts() {
        let text = "{ // x\n \"a//,}\\\"\": [1, 2, /* , */ ], \"é\": {\"b\": 1,},\n}\n";
        let value = json_with_comments(text).unwrap();
        assert_eq!(value, json!({"a//,}\"": [1, 2], "é": {"b": 1}}));
        assert!(json_with_comments("{\"a").is_err() && json_with_comments("/*").is_err());
    }

    #[test]
    fn what_is_deep_or_long_is_refused() {
        let deep = "[".repeat(5000);
        assert!(json(&deep).is_err() && toml(&format!("a = {deep}")).is_err());
        assert!(yaml(&deep).is_err() && yaml(&deep[..70]).is_err());
        assert_eq!(json(&"[".repeat(MAX_NODES + 1)), Err(TOO_MANY));
        assert_eq!(toml(&".".repeat(MAX_TOKENS + 1)), Err(TOO_MANY));
        let long = format!("[{}]", "{},".repeat(MAX_NODES / MAPPING_NODES + 1));
        assert_eq!(yaml(&long), Err(TOO_MANY));
    }
}
