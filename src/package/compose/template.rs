//! Templates that are filled when a package is built: `###JACKAL_PKG_TMPL_NAME###`.
//!
//! Source: docs/spec/package.md, "Templates". Works on nodes: a value takes the
//! place of the template inside one string and can neither end that string nor
//! add a key, whatever characters it holds. Nothing that a value brings along
//! is filled again.

use std::collections::BTreeMap;

use crate::package::Dialect;
use crate::yaml::{Mistake, Node, Span, Style, Value};

/// The mark at both ends of a template.
const MARK: &str = "###";

/// Prefix of keys whose values are not filled.
const EXTENSION: &str = "x-";

/// A template in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template<'t> {
    /// A value from the user.
    Value {
        name: &'t str,
        /// The dialect, if the template has its older spelling.
        deprecated: Option<Dialect>,
    },
    Architecture,
    /// The name of the component that contains the template.
    ComponentName,
}

/// The templates of `text`, each with its byte range.
pub(crate) fn templates(
    text: &str,
) -> impl Iterator<Item = (std::ops::Range<usize>, Template<'_>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find(MARK)?;
            // Of more than three hashes in a row, the last three begin a template.
            let word = text[start..].trim_start_matches('#');
            let inner = text.len() - word.len();
            let (name, _) = word.split_once(MARK)?;
            if let Some(template) = template(name) {
                let end = inner + name.len() + MARK.len();
                from = end;
                return Some((inner - MARK.len()..end, template));
            }
            // The mark after an unknown word may begin a template.
            from = inner + name.len();
        }
    })
}

fn template(word: &str) -> Option<Template<'_>> {
    for dialect in Dialect::ALL {
        let upper = dialect.word().to_ascii_uppercase();
        let Some(rest) = word.strip_prefix(upper.as_str()) else {
            continue;
        };
        return match rest {
            "_PKG_ARCH" => Some(Template::Architecture),
            "_COMPONENT_NAME" => Some(Template::ComponentName),
            rest => [("_PKG_TMPL_", None), ("_PKG_VAR_", Some(dialect))]
                .into_iter()
                .find_map(|(prefix, deprecated)| {
                    let name = rest.strip_prefix(prefix)?;
                    is_name(name).then_some(Template::Value { name, deprecated })
                }),
        };
    }
    None
}

/// The names of the templates in `text` that a user gives values.
pub fn template_names(text: &str) -> impl Iterator<Item = &str> {
    templates(text).filter_map(|(_, template)| match template {
        Template::Value { name, .. } => Some(name),
        _ => None,
    })
}

/// The name of the first template in `text` that waits for a value.
#[must_use]
pub fn unfilled(text: &str) -> Option<String> {
    template_names(text).next().map(str::to_owned)
}

/// Whether `name` can be the name of a template: `[A-Z0-9_]+`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(allowed)
}

/// Fills templates, and collects what it finds.
pub(super) struct Filling<'f> {
    pub values: &'f BTreeMap<String, String>,
    /// Called once for each name without a value.
    pub ask: &'f mut dyn FnMut(&str) -> Option<String>,
    /// For `PKG_ARCH`.
    pub architecture: &'f str,
    pub answers: BTreeMap<String, Option<String>>,
    /// The first place of each name.
    pub found: BTreeMap<String, Span>,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Mistake>,
    /// Bytes that values may still take; `None`: a value did not fit.
    pub left: Option<usize>,
}

impl Filling<'_> {
    /// Fills every string of a definition.
    pub(super) fn definition(&mut self, definition: &mut Node) {
        if let Some(components) = definition.get_mut("components") {
            for component in components.items_mut() {
                // The name may have templates itself; those are filled later.
                let name = component.get("name").and_then(Node::scalar);
                let name = name.unwrap_or_default().to_owned();
                let mut own = |at: Span, template: Template<'_>| {
                    let own = matches!(template, Template::ComponentName);
                    (own && self.fits(at, name.len())).then(|| name.clone())
                };
                walk(component, &mut own);
            }
        }
        walk(definition, &mut |at, template| {
            let value = self.value(at, template)?;
            self.fits(at, value.len()).then_some(value)
        });
    }

    /// Deducts `bytes` from the budget for values; notes once if it is exceeded.
    fn fits(&mut self, at: Span, bytes: usize) -> bool {
        let Some(left) = self.left else {
            return false;
        };
        self.left = left.checked_sub(bytes);
        if self.left.is_none() {
            self.mistakes.push(Mistake::new(
                at,
                "the template values contain too much text",
                "Use shorter values or names, or fewer templates.",
            ));
        }
        self.left.is_some()
    }

    fn value(&mut self, at: Span, template: Template<'_>) -> Option<String> {
        let (name, deprecated) = match template {
            Template::Architecture => return Some(self.architecture.to_owned()),
            Template::ComponentName => return None,
            Template::Value { name, deprecated } => (name, deprecated),
        };
        if let Some(dialect) = deprecated {
            let old = dialect.deprecated_create_template();
            let new = dialect.create_template();
            self.warnings.push(Mistake::new(
                at,
                format!("deprecated syntax {old}{name}###"),
                format!("Use {new}{name}###."),
            ));
        }
        self.found.entry(name.to_owned()).or_insert(at);
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        if !self.answers.contains_key(name) {
            let answer = (self.ask)(name);
            if answer.is_none() {
                self.mistakes.push(Mistake::new(
                    at,
                    format!("template `{name}` has no value"),
                    format!("Pass --set {name}=VALUE."),
                ));
            }
            self.answers.insert(name.to_owned(), answer);
        }
        self.answers.get(name).cloned().flatten()
    }
}

/// Fills the templates below `node` that have a value in `set`; others stay.
pub(super) fn fill_known(node: &mut Node, set: &BTreeMap<String, String>) {
    walk(node, &mut |_, template| match template {
        Template::Value { name, .. } => set.get(name).cloned(),
        Template::Architecture | Template::ComponentName => None,
    });
}

/// Calls `fill` for each template of each string below `node`.
fn walk(node: &mut Node, fill: &mut dyn FnMut(Span, Template<'_>) -> Option<String>) {
    let span = node.span;
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(|item| walk(item, fill)),
        Value::Mapping(pairs) => {
            for (key, value) in pairs {
                if !key.scalar().is_some_and(|key| key.starts_with(EXTENSION)) {
                    walk(value, fill);
                }
            }
        }
        Value::Scalar(text, style) => {
            if let Some(filled) = filled(text, span, fill) {
                *text = filled;
                // A value such as 1.10 stays part of a string.
                *style = Style::Quoted;
            }
        }
    }
}

/// `text` with its templates filled; `None` if nothing was filled.
fn filled(
    text: &str,
    at: Span,
    fill: &mut dyn FnMut(Span, Template<'_>) -> Option<String>,
) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for (range, template) in templates(text) {
        let Some(value) = fill(at, template) else {
            continue;
        };
        out.push_str(&text[done..range.start]);
        out.push_str(&value);
        done = range.end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(&text[done..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(&str, Template<'_>)> {
        templates(text)
            .map(|(range, t)| (&text[range], t))
            .collect()
    }

    fn value(name: &str) -> Template<'_> {
        Template::Value {
            name,
            deprecated: None,
        }
    }

    #[test]
    fn templates_of_both_dialects_are_found_and_nothing_else() {
        let text = "a###JACKAL_PKG_TMPL_A_1###b###ZARF_PKG_ARCH### ###JACKAL_REGISTRY### \
                    ###JACKAL_PKG_TMPL_a### ###JACKAL_VAR_X######ZARF_COMPONENT_NAME###";
        assert_eq!(
            names(text),
            [
                ("###JACKAL_PKG_TMPL_A_1###", value("A_1")),
                ("###ZARF_PKG_ARCH###", Template::Architecture),
                ("###ZARF_COMPONENT_NAME###", Template::ComponentName),
            ]
        );
        assert_eq!(names("###JACKAL_PKG_TMPL_A"), []);
        assert_eq!(names("######"), []);
        assert_eq!(
            names("x ####JACKAL_PKG_TMPL_A###"),
            [("###JACKAL_PKG_TMPL_A###", value("A"))]
        );
    }

    #[test]
    fn templates_in_a_value_are_not_filled() {
        let value = "\" x: [y] \\ ###JACKAL_PKG_TMPL_A### {{";
        let mut fill = |_: Span, _: Template<'_>| Some(value.to_owned());
        let text = filled("<###JACKAL_PKG_TMPL_A###>", Span::default(), &mut fill);
        assert_eq!(text, Some(format!("<{value}>")));
        assert_eq!(filled("plain ###", Span::default(), &mut fill), None);
    }
}
