//! Reads templates and references out of YAML nodes.
//!
//! The checker and the verbs use it. It notes each mistake and continues.

use std::collections::BTreeSet;

use super::expression::Template;
use super::limits::Defaults;
use crate::codes::Code;
use crate::yaml::{Fields, Mistake, Node, Span, Value};

/// What is known of the file so far, and its mistakes.
#[derive(Default)]
pub struct Reader {
    /// Every mistake so far.
    pub mistakes: Vec<Mistake>,
    /// Referring task, task referred to, and where.
    pub edges: Vec<(String, String, Span)>,
    /// Task, output path and where.
    pub outputs: Vec<(String, String, Span)>,
    /// The task that is being read.
    pub task: String,
    /// The file's pools.
    pub pools: BTreeSet<String>,
    /// The file's `defaults`.
    pub defaults: Defaults,
}

impl Reader {
    /// Notes a mistake.
    pub fn at(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.mistakes.push(Mistake::new(span, message, help));
    }

    /// Notes a mistake of its own kind.
    pub fn coded(&mut self, code: Code, span: Span, message: String, help: impl Into<String>) {
        let mistake = Mistake::new(span, message, help);
        self.mistakes.push(mistake.with(code));
    }

    /// Notes that `key` is missing.
    pub fn missing(&mut self, f: &Fields<'_>, key: &str) {
        let message = format!("`{key}` is missing");
        self.coded(
            Code::MissingKey,
            f.span(),
            message,
            format!("Add `{key}:`."),
        );
    }

    /// Notes something that no version can do yet.
    pub fn unavailable(&mut self, node: &Node, what: &str, help: &str) {
        let message = format!("{what} is not available yet");
        self.at(node.span, message, help);
    }

    /// The names and values of the mapping at `key`.
    pub fn pairs<'n>(&mut self, f: &mut Fields<'n>, key: &'static str) -> Vec<(String, &'n Node)> {
        let Some(node) = f.node(key) else {
            return Vec::new();
        };
        let Value::Mapping(pairs) = &node.value else {
            let message = format!("`{key}` is a {}, expected a mapping", node.kind());
            let help = "Write it as `name: value` lines.";
            self.coded(Code::WrongType, node.span, message, help);
            return Vec::new();
        };
        pairs
            .iter()
            .filter_map(|(name, value)| Some((name.scalar()?.to_owned(), value)))
            .collect()
    }

    /// A string node as text; numbers and booleans must be quoted.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        match (node.scalar(), node.plain_type()) {
            (Some(text), None) => Some(text.to_owned()),
            (Some(text), Some(kind)) => {
                let message = format!("found a {kind}, expected a string");
                let help = format!("Quote it: \"{text}\".");
                self.coded(Code::WrongType, node.span, message, help);
                None
            }
            _ => {
                let message = format!("found a {}, expected a string", node.kind());
                self.coded(Code::WrongType, node.span, message, "Write one string.");
                None
            }
        }
    }

    /// A string node as a template.
    pub fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        self.parsed(&text, node.span)
    }

    fn parsed(&mut self, text: &str, span: Span) -> Option<Template> {
        Template::parse(text)
            .map_err(|e| {
                let help = "Correct the expression.";
                self.coded(Code::InvalidExpression, span, e.to_string(), help);
            })
            .ok()
    }

    /// The template at `key`.
    pub fn one(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<Template> {
        f.node(key).and_then(|node| self.template(node))
    }

    /// The template at `key`, which must be given.
    pub fn must(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<Template> {
        if f.node(key).is_none() {
            self.missing(f, key);
        }
        self.one(f, key)
    }

    /// Nodes of a list, or the one node that stands for a list of one.
    pub fn nodes<'n>(f: &mut Fields<'n>, key: &'static str) -> Vec<&'n Node> {
        match f.node(key) {
            None => Vec::new(),
            Some(node) => match &node.value {
                Value::Sequence(items) => items.iter().collect(),
                _ => vec![node],
            },
        }
    }

    /// The templates of a list, or the one that stands for a list of one.
    pub fn many(&mut self, f: &mut Fields<'_>, key: &'static str) -> Vec<Template> {
        let nodes = Self::nodes(f, key);
        nodes.into_iter().filter_map(|n| self.template(n)).collect()
    }

    /// The names and templates of the mapping at `key`.
    pub fn templates_map(
        &mut self,
        f: &mut Fields<'_>,
        key: &'static str,
    ) -> Vec<(String, Template)> {
        let pairs = self.pairs(f, key);
        pairs
            .into_iter()
            .filter_map(|(name, node)| Some((name, self.template(node)?)))
            .collect()
    }

    /// A reference to a task, remembered as an edge.
    pub fn reference(&mut self, text: &str, span: Span) -> Option<Template> {
        let selector = self.parsed(text, span)?;
        let task = text.split('[').next().unwrap_or(text).to_owned();
        self.edges.push((self.task.clone(), task, span));
        Some(selector)
    }

    /// Remembers the edge of a value that may be `task:NAME`.
    pub fn edge_in(&mut self, node: &Node) {
        if let Some(text) = node.scalar().and_then(|text| text.strip_prefix("task:")) {
            self.reference(text, node.span);
        }
    }

    /// The references at `key`, remembered as edges.
    pub fn references(&mut self, f: &mut Fields<'_>, key: &'static str) -> Vec<Template> {
        let mut references = Vec::new();
        for node in Self::nodes(f, key) {
            if let Some(text) = self.text(node) {
                references.extend(self.reference(&text, node.span));
            }
        }
        references
    }
}
