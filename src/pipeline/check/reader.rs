//! Reads templates and references out of YAML nodes.
//!
//! Used by the checker; it notes mistakes and goes on.

use crate::pipeline::expression::Template;
use crate::pipeline::model::TaskRef;
use crate::yaml::{Fields, Mistake, Node, Span, Value};

/// Mistakes and references met so far.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
    /// Referring task, task referred to, and where.
    pub(super) edges: Vec<(String, String, Span)>,
    /// Task, output path and where.
    pub(super) outputs: Vec<(String, String, Span)>,
}

impl Reader {
    pub(super) fn at(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.mistakes.push(Mistake::new(span, message, help));
    }

    pub(super) fn pairs<'n>(
        &mut self,
        f: &mut Fields<'n>,
        key: &'static str,
    ) -> Vec<(String, &'n Node)> {
        let Some(node) = f.node(key) else {
            return Vec::new();
        };
        let Value::Mapping(pairs) = &node.value else {
            let message = format!("`{key}` is a {}, expected a mapping", node.kind());
            self.at(node.span, message, "Write it as `name: value` lines.");
            return Vec::new();
        };
        pairs
            .iter()
            .filter_map(|(name, value)| Some((name.scalar()?.to_owned(), value)))
            .collect()
    }

    /// A string node as text; numbers and booleans must be quoted.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match (node.scalar(), node.plain_type()) {
            (Some(text), None) => Some(text.to_owned()),
            (Some(text), Some(kind)) => {
                let message = format!("found a {kind}, expected a string");
                self.at(node.span, message, format!("Quote it: \"{text}\"."));
                None
            }
            _ => {
                let message = format!("found a {}, expected a string", node.kind());
                self.at(node.span, message, "Write one string.");
                None
            }
        }
    }

    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        self.parsed(&text, node.span)
    }

    fn parsed(&mut self, text: &str, span: Span) -> Option<Template> {
        Template::parse(text)
            .map_err(|e| self.at(span, e.to_string(), "Correct the expression."))
            .ok()
    }

    pub(super) fn one(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<Template> {
        f.node(key).and_then(|node| self.template(node))
    }

    pub(super) fn must(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<Template> {
        if f.node(key).is_none() {
            let message = format!("`{key}` is missing");
            self.at(f.span(), message, format!("Add `{key}:`."));
        }
        self.one(f, key)
    }

    /// Nodes of a list, or the one node that stands for a list of one.
    pub(super) fn nodes<'n>(f: &mut Fields<'n>, key: &'static str) -> Vec<&'n Node> {
        match f.node(key) {
            None => Vec::new(),
            Some(node) => match &node.value {
                Value::Sequence(items) => items.iter().collect(),
                _ => vec![node],
            },
        }
    }

    pub(super) fn many(&mut self, f: &mut Fields<'_>, key: &'static str) -> Vec<Template> {
        let nodes = Self::nodes(f, key);
        nodes.into_iter().filter_map(|n| self.template(n)).collect()
    }

    pub(super) fn templates_map(
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

    /// A reference by the text of a node, remembered as an edge.
    pub(super) fn reference(&mut self, from: &str, text: &str, span: Span) -> Option<TaskRef> {
        let selector = self.parsed(text, span)?;
        let task = text.split('[').next().unwrap_or(text).to_owned();
        self.edges.push((from.to_owned(), task.clone(), span));
        Some(TaskRef { task, selector })
    }

    pub(super) fn references(
        &mut self,
        from: &str,
        f: &mut Fields<'_>,
        key: &'static str,
    ) -> Vec<TaskRef> {
        let nodes = Self::nodes(f, key);
        nodes
            .into_iter()
            .filter_map(|n| {
                let text = self.text(n)?;
                self.reference(from, &text, n.span)
            })
            .collect()
    }
}
