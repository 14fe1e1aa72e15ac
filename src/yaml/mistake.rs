//! Mistakes in a file: what, where, and what to do about it.

use std::fmt;

use super::{SourceText, Sources, Span};
use crate::codes::Code;

/// One mistake, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The place in the source.
    pub span: Span,
    /// What was found and what was expected, as a lowercase fragment.
    pub message: String,
    /// What to do about it, as a sentence.
    pub help: String,
    /// What kind of mistake it is.
    pub code: Code,
}

impl Mistake {
    /// Creates a mistake at `span`, about a value that is not allowed there.
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: help.into(),
            code: Code::InvalidValue,
        }
    }

    /// The same mistake with a code of its own.
    #[must_use]
    pub fn with(self, code: Code) -> Self {
        Self { code, ..self }
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
        let mut lines = Lines::default();
        for (index, mistake) in self.list.iter().take(MAX_SHOWN).enumerate() {
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
            writeln!(
                f,
                "{}:{line}:{column}: {} [{}]",
                source.name, mistake.message, mistake.code
            )?;
            let text = lines.line(source, line);
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
        match self.list.len().checked_sub(MAX_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\nand {more} more: correct these first"),
        }
    }
}

/// The lines of one text after the other, each text read once: mistakes are sorted by
/// place.
#[derive(Default)]
struct Lines<'t> {
    text: Option<&'t str>,
    rest: Option<std::str::Lines<'t>>,
    /// How many lines were taken.
    taken: u32,
    last: Option<&'t str>,
}

impl<'t> Lines<'t> {
    /// The line `number` of `source`, from 1.
    fn line(&mut self, source: &'t SourceText, number: u32) -> Option<&'t str> {
        let same = self
            .text
            .is_some_and(|text| std::ptr::eq(text, &*source.text));
        if !same || number < self.taken || self.rest.is_none() {
            self.text = Some(&source.text);
            self.rest = Some(source.text.lines());
            (self.taken, self.last) = (0, None);
        }
        while self.taken < number.max(1) {
            self.last = self.rest.as_mut().and_then(Iterator::next);
            self.taken += 1;
            if self.last.is_none() {
                // Beyond the last line.
                self.rest = None;
                break;
            }
        }
        self.last
    }
}

/// Maximum number of mistakes that are shown: a file of another kind has one in every
/// line.
const MAX_SHOWN: usize = 100;

/// Longest line quoted in a message, in bytes: a generated file may hold a
/// megabyte on one line, which would hide the message.
const MAX_SHOWN_BYTES: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_mistakes_are_shown_with_their_lines() {
        let text: String = (1..=250).map(|line| format!("line {line}\n")).collect();
        let source = SourceText::new("t.yaml", text);
        let at = |line| Span {
            line,
            column: 1,
            length: 4,
        };
        let list = (1..=252).map(|line| Mistake::new(at(line), "wrong", "Mend it."));
        let error = Mistakes::none_or((), &source, list.collect()).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("t.yaml:100:1: wrong [invalid-value]\n100 | line 100\n"),
            "{shown}"
        );
        assert!(!shown.contains("t.yaml:101:"), "{shown}");
        assert!(
            shown.ends_with("and 152 more: correct these first"),
            "{shown}"
        );
        // Twice on one line, and beyond the last one.
        let list = [3, 3, 251].map(|line| Mistake::new(at(line), format!("{line}"), "x"));
        let mut list = list.to_vec();
        list[1].message = "again".to_owned();
        let error = Mistakes::none_or((), &source, list)
            .unwrap_err()
            .to_string();
        assert_eq!(error.matches("3 | line 3\n").count(), 2, "{error}");
    }
}
