//! `jackal dev lint`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::{PlaceArgs, VariantArgs};
use super::output::{note, print};
use super::uri;
use crate::app::{self, Code, Finding, LintOptions, Linted, Severity};

/// Arguments of `jackal dev lint`.
#[derive(Args)]
pub(super) struct LintArgs {
    /// Folders, including all below them, and files [default: current folder]
    #[arg(value_name = "PATH")]
    named: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: LintFormat,
    /// The same as --format json
    #[arg(long, hide = true, conflicts_with = "format")]
    json: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// A line for each finding, and one with the next step
    Text,
    /// A JSON array
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

pub(super) fn run(args: LintArgs) -> Result<(), CommandError> {
    let options = LintOptions {
        place: args.place.into_place()?,
        variant: args.variant.into_variant()?,
        named: args.named,
        offline: args.offline,
    };
    let linted = app::lint(&options)?;
    let findings = &linted.findings;
    print(&match args.format {
        _ if args.json => json_text(findings),
        LintFormat::Text => text(findings),
        LintFormat::Json => json_text(findings),
        LintFormat::Sarif => sarif(&linted, &options.place.here),
    })?;
    let count = |severity, what: &str| {
        let count = findings.iter().filter(|f| f.severity == severity).count();
        match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        }
    };
    let errors = findings.iter().any(|f| f.severity == Severity::Error);
    let summary = format!(
        "{}, {}",
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning")
    );
    if errors {
        return Err(CommandError::new(Exit::Task, summary));
    }
    note(&summary);
    Ok(())
}

fn text(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|found| {
        let help = match found.help.as_str() {
            "" => String::new(),
            help => format!("  help: {help}\n"),
        };
        format!(
            "{}:{}:{}: {}: {} [{}]\n{help}",
            found.file,
            found.line,
            found.column,
            found.severity.word(),
            found.message,
            found.code,
        )
    });
    lines.collect()
}

fn json_text(findings: &[Finding]) -> String {
    let list: Vec<_> = findings
        .iter()
        .map(|found| {
            json!({
                "severity": found.severity.word(),
                "rule": found.code.name(),
                "file": found.file,
                "line": found.line,
                "column": found.column,
                "message": found.message,
                "help": found.help,
            })
        })
        .collect();
    format!("{:#}\n", Value::from(list))
}

/// A log in the Static Analysis Results Interchange Format.
///
/// Source: OASIS SARIF 2.1.0 Plus Errata 01, sections 3.13 to 3.52.
fn sarif(linted: &Linted, here: &Path) -> String {
    let mut codes: Vec<Code> = linted.findings.iter().map(|found| found.code).collect();
    codes.sort();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = (linted.findings.iter())
        .map(|found| {
            let text = match found.help.as_str() {
                "" => found.message.clone(),
                help => format!("{}\n{help}", found.message),
            };
            json!({
                "ruleId": found.code.name(),
                "ruleIndex": codes.binary_search(&found.code).unwrap_or_default(),
                "level": found.severity.word(),
                "message": {"text": text},
                "locations": [{"physicalLocation": {
                    "artifactLocation": artifact(found, here, &linted.root),
                    "region": {
                        "startLine": found.line.max(1),
                        "startColumn": found.column.max(1),
                        "endColumn": found.column.max(1).saturating_add(found.length),
                    },
                }}],
            })
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "jackal",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            // Columns count characters, not UTF-16 code units.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn rule(code: Code) -> Value {
    let page = code.page();
    json!({
        "id": code.name(),
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.cause},
        "help": {"text": format!("{}\n\nExample:\n\n{}\n", page.fix, page.example)},
    })
}

/// The file, relative to the root of the workspace: code scanning looks for it in the
/// repository, wherever the command ran.
fn artifact(found: &Finding, here: &Path, root: &Path) -> Value {
    let full = here.join(&found.file);
    match full.strip_prefix(root) {
        Ok(path) => json!({
            "uri": uri::reference(&path.to_string_lossy()),
            "uriBaseId": "%SRCROOT%",
        }),
        // A skeleton has an address of its own.
        Err(_) => json!({"uri": uri::reference(&found.file)}),
    }
}
