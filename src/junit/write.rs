//! Writes reports: valid XML, whatever is in them.

use std::fmt::Write as _;

use super::{Case, Counts, Report, Suite, Verdict};

/// `report` as a document; equal reports give equal bytes.
#[must_use]
pub fn write(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<testsuites");
    counted(&mut out, &report.counts());
    out.push_str(">\n");
    for one in &report.suites {
        suite(&mut out, one);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, suite: &Suite) {
    let mut counts = Counts::default();
    counts.add(suite);
    out.push_str("<testsuite");
    attribute(out, "name", &suite.name);
    counted(out, &counts);
    for (name, value) in [
        ("timestamp", &suite.timestamp),
        ("hostname", &suite.hostname),
    ] {
        optional(out, name, value);
    }
    out.push_str(">\n");
    properties(out, &suite.properties);
    for one in &suite.cases {
        case(out, one);
    }
    streams(out, &suite.out, &suite.err);
    out.push_str("</testsuite>\n");
}

fn counted(out: &mut String, counts: &Counts) {
    let Counts {
        tests,
        failures,
        errors,
        skipped,
        time,
        ..
    } = counts;
    let _ = write!(
        out,
        " tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\"",
        seconds(*time)
    );
}

fn case(out: &mut String, case: &Case) {
    out.push_str("<testcase");
    attribute(out, "name", &case.name);
    attribute(out, "classname", &case.class);
    optional(out, "file", &case.file);
    optional(out, "line", &case.line);
    attribute(out, "time", &seconds(case.time));
    let is_empty = case.verdicts.is_empty() && case.properties.is_empty();
    if is_empty && case.out.is_empty() && case.err.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    properties(out, &case.properties);
    for one in &case.verdicts {
        verdict(out, one);
    }
    streams(out, &case.out, &case.err);
    out.push_str("</testcase>\n");
}

fn verdict(out: &mut String, verdict: &Verdict) {
    let name = verdict.kind.name();
    let _ = write!(out, "<{name}");
    optional(out, "message", &verdict.message);
    optional(out, "type", &verdict.exception);
    if verdict.text.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push('>');
    escape(out, &verdict.text, Place::Content);
    let _ = writeln!(out, "</{name}>");
}

fn properties(out: &mut String, properties: &[(String, String)]) {
    if properties.is_empty() {
        return;
    }
    out.push_str("<properties>\n");
    for (name, value) in properties {
        out.push_str("<property");
        attribute(out, "name", name);
        attribute(out, "value", value);
        out.push_str("/>\n");
    }
    out.push_str("</properties>\n");
}

fn streams(out: &mut String, stdout: &str, stderr: &str) {
    for (name, text) in [("system-out", stdout), ("system-err", stderr)] {
        if !text.is_empty() {
            let _ = write!(out, "<{name}>");
            escape(out, text, Place::Content);
            let _ = writeln!(out, "</{name}>");
        }
    }
}

fn optional(out: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        attribute(out, name, value);
    }
}

fn attribute(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " {name}=\"");
    escape(out, value, Place::Attribute);
    out.push('"');
}

/// Microseconds as seconds.
fn seconds(time: u64) -> String {
    format!("{}.{:06}", time / 1_000_000, time % 1_000_000)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Attribute,
    Content,
}

/// Appends `text`. Characters that XML 1.0 cannot hold are replaced, those that a reader
/// would change are written as references.
///
/// Source: XML 1.0, sections 2.2, 2.11 and 3.3.3.
fn escape(out: &mut String, text: &str, place: Place) {
    for c in text.chars() {
        match c {
            '\n' | '\t' if place == Place::Content => out.push(c),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
}
