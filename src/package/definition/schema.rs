//! The JSON Schema of a definition, from the rows of its records.

use serde_json::{Map, Value as Json, json};

use super::row::{Row, Rule};

/// The schema of a record whose rows have values of the schemas `kinds`.
pub(super) fn record(rows: &[Row], kinds: Vec<Json>) -> Json {
    let properties = rows.iter().zip(kinds);
    let properties = properties.map(|(row, kind)| (row.key.to_owned(), property(row, kind)));
    let mut schema = json!({
        "type": "object",
        "properties": properties.collect::<Map<String, Json>>(),
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    let required = rows.iter().filter(|row| row.is(&Rule::Required));
    let required: Vec<&str> = required.map(|row| row.key).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(row: &Row, mut kind: Json) -> Json {
    let mut description = row.text.to_owned();
    for rule in row.rules {
        match rule {
            // Templates are filled before the value is checked.
            Rule::Pattern(pattern) => {
                kind["pattern"] = json!(format!("^({}|.*###.*)$", pattern.regex));
            }
            Rule::OneOf(values) => kind["enum"] = json!(values),
            Rule::AtLeast(least) => kind["minimum"] = json!(least),
            Rule::Deprecated => {
                description = format!("Deprecated. {description}");
                kind["deprecated"] = json!(true);
            }
            Rule::Unbuilt => description = format!("{description}. Not supported yet"),
            Rule::UnbuiltIn(key) => {
                description = format!("{description}. Not supported in `{key}` yet");
            }
            Rule::Required | Rule::Path | Rule::Own | Rule::Appends | Rule::Replaces => {}
        }
    }
    kind["description"] = json!(description);
    kind
}
