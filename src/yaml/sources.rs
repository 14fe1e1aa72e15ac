//! Several texts under one numbering of lines.
//!
//! A value that is put together from several files keeps the place of each of
//! its parts: the lines of every file come after those of the files before, and
//! [`Sources::place`] finds the way back.

use super::{Node, SourceText, Span, Value};

/// Texts, each with the lines that stand for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Each text with the number of lines before it.
    texts: Vec<(u32, SourceText)>,
    lines: u32,
}

impl Sources {
    /// Adds a text; gives the number of lines before it, for [`Node::shift`].
    pub fn add(&mut self, source: SourceText) -> u32 {
        let before = self.lines;
        let lines = source.text.bytes().filter(|byte| *byte == b'\n').count();
        // One more for the line without an end, one for a mistake behind it.
        let own = u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(2);
        self.lines = before.saturating_add(own);
        self.texts.push((before, source));
        before
    }

    /// The text that `span` stands in, and its place there.
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

    /// `file:line:column` of `span`.
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
    /// Moves the node and all below it down by `lines`.
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
