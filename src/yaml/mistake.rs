//! Mistakes in a file: what, where, and what to do about it.

use std::fmt;

use super::{SourceText, Sources, Span};

/// One mistake, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The place in the source.
    pub span: Span,
    /// What was found and what was expected, as a lowercase fragment.
    pub message: String,
    /// What to do about it, as a sentence.
    pub help: String,
}

impl Mistake {
    /// Creates a mistake at `span`.
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// All mistakes of a file, or of files that belong together, sorted by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    sources: Sources,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// `Ok(value)` if `list` is empty, else the whole list as one error.
    ///
    /// # Errors
    ///
    /// The mistakes, sorted by place.
    pub fn none_or<T>(value: T, source: &SourceText, list: Vec<Mistake>) -> Result<T, Self> {
        if list.is_empty() {
            return Ok(value);
        }
        Self::none_of(value, &source.clone().into(), list)
    }

    /// As [`none_or`](Self::none_or), for spans in any of `sources`. Equal
    /// mistakes are kept once.
    ///
    /// # Errors
    ///
    /// The mistakes, sorted by file and place.
    pub fn none_of<T>(value: T, sources: &Sources, mut list: Vec<Mistake>) -> Result<T, Self> {
        if list.is_empty() {
            return Ok(value);
        }
        list.sort_by_key(|mistake| mistake.span);
        list.dedup();
        Err(Self {
            sources: sources.clone(),
            list,
        })
    }

    /// The mistakes, sorted by place.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    /// Each mistake as `file:line:column: message`, the line, a caret, the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let Some((source, span)) = self.sources.place(mistake.span) else {
                continue;
            };
            let Span {
                line,
                column,
                length,
            } = span;
            writeln!(f, "{}:{line}:{column}: {}", source.name, mistake.message)?;
            let text = source.text.lines().nth(line.saturating_sub(1) as usize);
            if let Some(text) = text.filter(|text| text.len() <= MAX_SHOWN_BYTES) {
                let gutter = line.to_string();
                let pad = " ".repeat(gutter.len());
                let indent: String = text
                    .chars()
                    .take(column.saturating_sub(1) as usize)
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                writeln!(f, "{gutter} | {text}")?;
                writeln!(f, "{pad} | {indent}{}", "^".repeat(length.max(1) as usize))?;
            }
            write!(f, "  help: {}", mistake.help)?;
        }
        Ok(())
    }
}

/// Longest line quoted in a message, in bytes: a generated file may hold a
/// megabyte on one line, which would hide the message.
const MAX_SHOWN_BYTES: usize = 240;
