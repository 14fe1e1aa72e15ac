//! Reads reports, which anything may have written.

use std::borrow::Cow;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{Case, Suite, Verdict, VerdictKind, cut};

/// Maximum size of a report, in bytes: 64 MiB, some hundred thousand tests with their
/// output.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Maximum number of elements in one another; the writers use up to six.
const MAX_DEPTH: usize = 50;

/// Maximum length of a name, in bytes: 4 KiB. Only other texts may be longer.
pub const MAX_NAME: usize = 4 << 10;

/// Maximum length of any other text, in bytes: 64 KiB.
const MAX_TEXT: usize = 64 << 10;

/// Maximum number of suites and cases in all reports of a task.
const MAX_NODES: usize = 200_000;

/// Maximum number of bytes kept of all reports of a task: 32 MiB.
const MAX_KEPT: usize = 32 << 20;

/// How much the reports of a task may still hold.
#[derive(Debug)]
pub struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    /// For a report that [`write`](super::write) made, and that was bounded before.
    #[must_use]
    pub fn of_own() -> Self {
        Self {
            nodes: usize::MAX,
            bytes: usize::MAX,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            nodes: MAX_NODES,
            bytes: MAX_KEPT,
        }
    }
}

/// Why a file is not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ReadError {
    /// Counted from 1.
    pub line: usize,
    pub why: String,
}

/// An element that has not ended.
enum Open {
    Suites,
    Suite(Suite),
    Case(Case),
    /// Whether its text was in a `stackTrace`: then the rest of it is layout.
    Verdict(Verdict, bool),
    /// Text of the verdict around it.
    Trace(String),
    Output(Stream, String),
    Properties(Vec<(String, String)>),
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// The suites in a report, those in other suites after what they are in.
///
/// Resolves no entities but the five that XML has.
///
/// # Errors
///
/// [`ReadError`]: it is no XML, no report, or larger than `budget` allows.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Suite>, ReadError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut xml = Reader::from_str(text);
    xml.config_mut().expand_empty_elements = true;
    let mut reading = Reading {
        budget,
        open: Vec::new(),
        suites: Vec::new(),
        began: false,
    };
    loop {
        let event = xml.read_event();
        let step = match event {
            Ok(Event::Eof) => match reading.end() {
                Ok(()) => return Ok(reading.suites),
                Err(why) => Err(why),
            },
            Ok(event) => reading.event(&event),
            Err(error) => {
                return Err(ReadError {
                    line: line(text, xml.error_position()),
                    why: format!("not XML: {error}"),
                });
            }
        };
        step.map_err(|why| ReadError {
            line: line(text, xml.buffer_position()),
            why,
        })?;
    }
}

/// The number of the line with the byte at `position`.
fn line(text: &str, position: u64) -> usize {
    let end = usize::try_from(position).unwrap_or(usize::MAX);
    let before = text.as_bytes().get(..end).unwrap_or(text.as_bytes());
    memchr::memchr_iter(b'\n', before).count() + 1
}

struct Reading<'b> {
    budget: &'b mut Budget,
    open: Vec<Open>,
    suites: Vec<Suite>,
    began: bool,
}

impl Reading<'_> {
    fn event(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.start(start),
            Event::End(_) => {
                if let Some(ended) = self.open.pop() {
                    self.close(ended);
                }
                Ok(())
            }
            Event::Text(text) => {
                self.text(&text.xml10_content());
                Ok(())
            }
            Event::CData(text) => {
                self.text(&text.xml10_content());
                Ok(())
            }
            Event::GeneralRef(name) => {
                if name.is_char_ref() {
                    let c = name.resolve_char_ref().ok().flatten();
                    self.text(c.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
                    return Ok(());
                }
                let Some(value) = resolve_predefined_entity(name) else {
                    return Err(format!("the entity `{}` is not defined", cut(name, 40)));
                };
                self.text(value);
                Ok(())
            }
            Event::DocType(_) => Err("it has a document type, which reports do not".to_owned()),
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} elements in one another"));
        }
        let name = start.local_name();
        let name: &str = name.as_ref();
        let opened = match (self.open.last(), name) {
            (None, "testsuites") if !self.began => Open::Suites,
            (None | Some(Open::Suites | Open::Suite(_)), "testsuite") => {
                if self.open.is_empty() && self.began {
                    return Err("a second root element".to_owned());
                }
                self.node()?;
                Open::Suite(self.suite(start)?)
            }
            (None, _) => {
                let name = cut(name, 40);
                return Err(format!(
                    "found `<{name}>`, expected `<testsuites>` or `<testsuite>`"
                ));
            }
            (Some(Open::Suite(_)), "testcase") => {
                self.node()?;
                Open::Case(self.case(start)?)
            }
            (Some(Open::Case(_)), name) if VerdictKind::named(name).is_some() => {
                let kind = VerdictKind::named(name).unwrap_or(VerdictKind::Failure);
                Open::Verdict(self.verdict(kind, start)?, false)
            }
            (Some(Open::Verdict(..)), "stackTrace") => Open::Trace(String::new()),
            (Some(Open::Suite(_) | Open::Case(_)), "system-out") => {
                Open::Output(Stream::Out, String::new())
            }
            (Some(Open::Suite(_) | Open::Case(_)), "system-err") => {
                Open::Output(Stream::Err, String::new())
            }
            (Some(Open::Suite(_) | Open::Case(_)), "properties") => Open::Properties(Vec::new()),
            (Some(Open::Properties(_)), "property") => {
                self.property(start)?;
                Open::Other
            }
            _ => Open::Other,
        };
        self.began = true;
        self.open.push(opened);
        Ok(())
    }

    /// Puts what has ended into what it is in.
    fn close(&mut self, ended: Open) {
        match (ended, self.open.last_mut()) {
            (Open::Suite(suite), _) => {
                // Suites that only hold others have nothing of their own.
                let is_empty = suite.cases.is_empty() && suite.out.is_empty();
                if !is_empty || !suite.err.is_empty() || self.open.is_empty() {
                    self.suites.push(suite);
                }
            }
            (Open::Case(case), Some(Open::Suite(suite))) => suite.cases.push(case),
            (Open::Verdict(mut verdict, _), Some(Open::Case(case))) => {
                if verdict.text.trim().is_empty() {
                    verdict.text.clear();
                }
                case.verdicts.push(verdict);
            }
            (Open::Trace(text), Some(Open::Verdict(verdict, traced))) => {
                verdict.text = text;
                *traced = true;
            }
            (Open::Output(stream, text), Some(Open::Suite(suite))) => match stream {
                Stream::Out => suite.out.push_str(&text),
                Stream::Err => suite.err.push_str(&text),
            },
            (Open::Output(stream, text), Some(Open::Case(case))) => match stream {
                Stream::Out => case.out.push_str(&text),
                Stream::Err => case.err.push_str(&text),
            },
            (Open::Properties(list), Some(Open::Suite(suite))) => suite.properties.extend(list),
            (Open::Properties(list), Some(Open::Case(case))) => case.properties.extend(list),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let into = match self.open.last_mut() {
            Some(Open::Verdict(verdict, false)) => &mut verdict.text,
            Some(Open::Trace(into) | Open::Output(_, into)) => into,
            _ => return,
        };
        let text = cut(text, MAX_TEXT.saturating_sub(into.len()));
        match self.budget.bytes.checked_sub(text.len()) {
            Some(left) => {
                self.budget.bytes = left;
                into.push_str(&text);
            }
            // The end of a text that is cut off here could be half a secret.
            None => into.clear(),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        match self.open.last() {
            Some(_) => Err("the report ends in the middle of an element".to_owned()),
            None if !self.began => Err("the report is empty".to_owned()),
            None => Ok(()),
        }
    }

    fn node(&mut self) -> Result<(), String> {
        let left = self.budget.nodes.checked_sub(1);
        self.budget.nodes = left.ok_or("the reports hold more tests than jackal keeps")?;
        Ok(())
    }

    /// The attributes of an element, by local name.
    fn attributes(
        &mut self,
        start: &BytesStart<'_>,
        mut take: impl FnMut(&str, String),
    ) -> Result<(), String> {
        let mut attributes = start.attributes();
        // Which of two counts is of no interest; the check compares each with all.
        attributes.with_checks(false);
        for attribute in attributes {
            let attribute = attribute.map_err(|error| format!("not XML: {error}"))?;
            let name = attribute.key.local_name();
            let name: &str = name.as_ref();
            let longest = match name {
                "message" | "value" => MAX_TEXT,
                _ => MAX_NAME,
            };
            let value: Cow<'_, str> = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| format!("not XML: {error}"))?;
            let value = cut(&value, longest);
            let left = self.budget.bytes.checked_sub(value.len());
            self.budget.bytes = left.ok_or("the reports are larger than jackal keeps")?;
            take(name, value);
        }
        Ok(())
    }

    fn suite(&mut self, start: &BytesStart<'_>) -> Result<Suite, String> {
        let mut suite = Suite::default();
        self.attributes(start, |name, value| match name {
            "name" => suite.name = value,
            "time" => suite.time = microseconds(&value),
            "timestamp" => suite.timestamp = value,
            "hostname" => suite.hostname = value,
            _ => {}
        })?;
        Ok(suite)
    }

    fn case(&mut self, start: &BytesStart<'_>) -> Result<Case, String> {
        let mut case = Case::default();
        self.attributes(start, |name, value| match name {
            "name" => case.name = value,
            "classname" => case.class = value,
            "file" => case.file = value,
            "line" => case.line = value,
            "time" => case.time = microseconds(&value),
            _ => {}
        })?;
        Ok(case)
    }

    fn verdict(&mut self, kind: VerdictKind, start: &BytesStart<'_>) -> Result<Verdict, String> {
        let mut verdict = Verdict::new(kind, "");
        self.attributes(start, |name, value| match name {
            "message" => verdict.message = value,
            "type" => verdict.exception = value,
            _ => {}
        })?;
        Ok(verdict)
    }

    fn property(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let mut property = (String::new(), String::new());
        self.attributes(start, |name, value| match name {
            "name" => property.0 = value,
            "value" => property.1 = value,
            _ => {}
        })?;
        if let Some(Open::Properties(list)) = self.open.last_mut() {
            list.push(property);
        }
        Ok(())
    }
}

/// Seconds, as reports write them: `1.5`, also `1,234.5`.
fn microseconds(text: &str) -> u64 {
    let seconds = text.replace(',', "").parse::<f64>().unwrap_or(0.0);
    // More than three years are no time of a test.
    if !(0.0..1e8).contains(&seconds) {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded above"
    )]
    let time = (seconds * 1e6).round() as u64;
    time
}
