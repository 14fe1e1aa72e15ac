//! What the schemas say about a place in a file.

use serde_json::Value;

use super::context::Step;
use crate::app::schema;

/// A kind of file that is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Package,
    Pipeline,
    Workspace,
}

/// The schemas, read once.
pub(super) struct Schemas {
    package: Value,
    pipeline: Value,
    workspace: Value,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let read = |text: String| serde_json::from_str(&text).unwrap_or_default();
        Self {
            package: read(schema::package()),
            pipeline: read(schema::pipeline()),
            workspace: read(schema::workspace()),
        }
    }

    /// The forms that what is at `path` may have; `keys` are those beside the last step,
    /// which may decide between forms.
    pub(super) fn at(&self, kind: FileKind, path: &[Step], keys: &[String]) -> Vec<&Value> {
        let root = match kind {
            FileKind::Package => &self.package,
            FileKind::Pipeline => &self.pipeline,
            FileKind::Workspace => &self.workspace,
        };
        let mut forms = vec![root];
        for step in path {
            let next = forms.into_iter().flat_map(alternatives);
            forms = next.filter_map(|form| below(form, step)).collect();
        }
        let all: Vec<&Value> = forms.into_iter().flat_map(alternatives).collect();
        // A form that requires a key that is there: the verb of a task.
        let fits = |form: &&Value| {
            let mut required = form["required"].as_array().into_iter().flatten();
            required.any(|key| keys.iter().any(|own| Some(own.as_str()) == key.as_str()))
        };
        match all.iter().copied().filter(fits).collect::<Vec<_>>() {
            fitting if fitting.is_empty() || all.len() == 1 => all,
            fitting => fitting,
        }
    }
}

fn alternatives(form: &Value) -> Vec<&Value> {
    match form["oneOf"].as_array() {
        Some(forms) => forms.iter().collect(),
        None => vec![form],
    }
}

fn below<'s>(form: &'s Value, step: &Step) -> Option<&'s Value> {
    let found = match step {
        Step::Item => form.get("items")?,
        Step::Key(key) => match form["properties"].get(key) {
            Some(found) => found,
            None => form.get("additionalProperties")?,
        },
    };
    found.is_object().then_some(found)
}

/// The keys that forms have, each with its form.
pub(super) fn keys<'s>(forms: &[&'s Value]) -> Vec<(&'s str, &'s Value)> {
    let mut found: Vec<(&str, &Value)> = Vec::new();
    for (key, value) in forms
        .iter()
        .filter_map(|form| form["properties"].as_object())
        .flatten()
    {
        if !found.iter().any(|(known, _)| known == key) {
            found.push((key, value));
        }
    }
    found
}

/// The values that a form allows, if they can be listed.
pub(super) fn values(form: &Value) -> Vec<String> {
    let listed = form["enum"].as_array().into_iter().flatten();
    let constant = form.get("const").into_iter();
    let mut found: Vec<String> = (listed.chain(constant))
        .filter_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        })
        .collect();
    if has_type(form, "boolean") {
        found.extend(["true", "false"].map(str::to_owned));
    }
    found.dedup();
    found
}

pub(super) fn has_type(form: &Value, name: &str) -> bool {
    match &form["type"] {
        Value::Array(names) => names.iter().any(|one| one == name),
        one => one == name,
    }
}

/// What a key is, for a person: its text, and what its value may be.
pub(super) fn about(key: &str, form: &Value) -> String {
    let mut text = format!("**{key}**");
    let types = match &form["type"] {
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        one => one.as_str().unwrap_or_default().to_owned(),
    };
    if !types.is_empty() {
        text.push_str(&format!(": {types}"));
    }
    if let Some(description) = form["description"].as_str() {
        text.push_str(&format!("\n\n{description}"));
    }
    let allowed = values(form);
    if !allowed.is_empty() && !has_type(form, "boolean") {
        text.push_str(&format!("\n\nOne of: `{}`", allowed.join("`, `")));
    }
    if let Some(pattern) = form["pattern"].as_str() {
        text.push_str(&format!("\n\nPattern: `{pattern}`"));
    }
    text
}
