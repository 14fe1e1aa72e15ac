//! Several texts with one numbering of lines.
//!
//! A value composed from several files keeps the place of each part: the lines
//! of a file are numbered after those of the files before it, and
//! [`Sources::place`] translates back.

use std::sync::Arc;

use super::{Node, Span, Value};

/// A text with its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The path, as the user would write it.
    pub name: String,
    pub text: Arc<str>,
}

impl SourceText {
    /// Gives a text a name.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// Texts, each with its range of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Each text with the number of lines before it.
    texts: Vec<(u32, SourceText)>,
    lines: u32,
}

impl Sources {
    /// Adds a text; returns the number of lines before it, for [`Node::shift`].
    pub fn add(&mut self, source: SourceText) -> u32 {
        let before = self.lines;
        let lines = source.text.bytes().filter(|byte| *byte == b'\n').count();
        // One more for a last line without line end, one for mistakes after the end.
        let own = u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(2);
        self.lines = before.saturating_add(own);
        self.texts.push((before, source));
        before
    }

    /// The text that contains `span`, and the place in that text.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<(&SourceText, Span)> {
        let (before, source) = self
            .texts
            .iter()
            .rev()
            .find(|(before, _)| *before < span.line)
            .or(self.texts.first())?;
        let line = span.line.saturating_sub(*before);
        Some((source, Span { line, ..span }))
    }

    /// `span` as `file:line:column`.
    #[must_use]
    pub fn shown(&self, span: Span) -> String {
        self.place(span).map_or_else(String::new, |(source, span)| {
            format!("{}:{}:{}", source.name, span.line, span.column)
        })
    }
}

impl From<SourceText> for Sources {
    fn from(source: SourceText) -> Self {
        let mut sources = Self::default();
        sources.add(source);
        sources
    }
}

impl Node {
    /// Adds `lines` to the line of this node and of all nodes below it.
    pub fn shift(&mut self, lines: u32) {
        self.span.line = self.span.line.saturating_add(lines);
        match &mut self.value {
            Value::Scalar(..) => {}
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    key.shift(lines);
                    value.shift(lines);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_first;
    use super::*;

    #[test]
    fn each_place_leads_back_to_its_own_file() {
        let mut sources = Sources::default();
        let mut found = Vec::new();
        for (name, text) in [
            ("a.yaml", "x: 1\ny: 2"),
            ("b.yaml", ""),
            ("c.yaml", "\nz: 3\n"),
        ] {
            let source = SourceText::new(name, text);
            let node = parse_first(&source).unwrap();
            let before = sources.add(source);
            for key in ["x", "y", "z"] {
                if let Some(mut at) = node.as_ref().and_then(|node| node.get(key)).cloned() {
                    at.shift(before);
                    found.push(sources.shown(at.span));
                }
            }
        }
        assert_eq!(found, ["a.yaml:1:4", "a.yaml:2:4", "c.yaml:2:4"]);
    }
}
