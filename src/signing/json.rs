//! Strict JSON of protobuf documents, so that all readers see the same document.
//!
//! Duplicate members, unknown members and bytes after the end are errors; `null`
//! means absent; names may be in snake case, bytes in either base64 alphabet.
//! Source: docs/spec/signing.md, "Bundles".

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Decodes base64 in either alphabet, padded or not.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL.decode(text)).ok()
}

/// Parses `text`; duplicate members are errors at any depth.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    Ok(serde_json::from_slice::<Strict>(text)?.0)
}

/// Maximum number of members and items in an untrusted document: far more than
/// bundles have, far less than its size would allow.
const MAX_VALUES: usize = 100_000;

/// Parses an untrusted `text` without using many times its size in memory.
pub fn parse_bounded(text: &[u8]) -> Result<Value, serde_json::Error> {
    let (mut values, mut quoted, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    match values > MAX_VALUES {
        true => Err(serde_json::Error::custom(format_args!(
            "more than {MAX_VALUES} values"
        ))),
        false => parse(text),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if members.contains_key(&name) {
                let shown: String = name.chars().take(60).collect();
                return Err(A::Error::custom(format_args!("duplicate member `{shown}`")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// The type of a member.
#[derive(Clone, Copy)]
pub enum Shape {
    Text,
    /// Bytes, in base64.
    Bytes,
    /// A number, possibly as text.
    Number,
    /// A value of an enumeration, possibly as its number.
    Word(&'static [&'static str]),
    /// An object with these members.
    Object(&'static [(&'static str, Shape)]),
    /// A list of items of one type.
    List(&'static Shape),
}

/// Normalises `value`; unknown members are errors.
///
/// # Errors
///
/// A message with the path of the member.
pub fn normal(value: &Value, shape: Shape, at: &str) -> Result<Value, String> {
    let wrong = |expected: &str| format!("`{at}` is not {expected}");
    Ok(match (shape, value) {
        (Shape::Text, Value::String(_)) => value.clone(),
        (Shape::Text, _) => return Err(wrong("text")),
        (Shape::Bytes, Value::String(text)) => {
            use base64::engine::general_purpose::STANDARD as WRITER;
            let bytes = bytes(text).ok_or_else(|| wrong("base64"))?;
            Value::String(WRITER.encode(bytes))
        }
        (Shape::Bytes, _) => return Err(wrong("base64")),
        (Shape::Number, Value::String(text)) if text.parse::<i64>().is_ok() => value.clone(),
        (Shape::Number, Value::Number(number)) if number.is_i64() => {
            Value::String(number.to_string())
        }
        (Shape::Number, _) => return Err(wrong("a whole number")),
        (Shape::Word(words), Value::String(word)) if words.contains(&word.as_str()) => {
            value.clone()
        }
        (Shape::Word(words), Value::Number(number)) => {
            let word = number
                .as_u64()
                .and_then(|number| words.get(usize::try_from(number).ok()?));
            Value::String((*word.ok_or_else(|| wrong("a known word"))?).to_owned())
        }
        (Shape::Word(_), _) => return Err(wrong("a known word")),
        (Shape::List(item), Value::Array(items)) => {
            let items = items.iter().enumerate();
            let items = items.map(|(index, value)| normal(value, *item, &format!("{at}[{index}]")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Shape::List(_), _) => return Err(wrong("a list")),
        (Shape::Object(known), Value::Object(members)) => {
            let mut made = Map::new();
            for (name, value) in members {
                let found = known
                    .iter()
                    .find(|(known, _)| known == name || snake(known) == *name);
                let shown: String = name.chars().take(60).collect();
                let path = if at.is_empty() {
                    shown
                } else {
                    format!("{at}.{shown}")
                };
                let (known, shape) = found.ok_or_else(|| format!("`{path}` is unknown"))?;
                if value.is_null() {
                    continue;
                }
                let value = normal(value, *shape, &path)?;
                if made.insert((*known).to_owned(), value).is_some() {
                    return Err(format!("duplicate `{path}`"));
                }
            }
            Value::Object(made)
        }
        (Shape::Object(_), _) => return Err(wrong("an object")),
    })
}

fn snake(camel: &str) -> String {
    let mut text = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
