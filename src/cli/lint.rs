//! `jackal dev lint`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::{PlaceArgs, VariantArgs};
use super::output::{note, print};
use crate::app::{self, Finding, LintOptions, Severity};

/// Arguments of `jackal dev lint`.
#[derive(Args)]
pub(super) struct LintArgs {
    /// Definitions, by folder or file
    #[arg(default_value = ".")]
    folders: Vec<PathBuf>,
    /// Print the findings as a JSON array
    #[arg(long)]
    json: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    variant: VariantArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(args: LintArgs) -> Result<(), CommandError> {
    let options = LintOptions {
        place: args.place.into_place()?,
        variant: args.variant.into_variant()?,
        folders: args.folders,
        offline: args.offline,
    };
    let findings = app::lint(&options)?;
    print(&match args.json {
        true => json_text(&findings),
        false => text(&findings),
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
        format!(
            "{}:{}:{}: {}: {} [{}]\n  help: {}\n",
            found.file,
            found.line,
            found.column,
            found.severity.word(),
            found.message,
            found.rule,
            found.help,
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
                "rule": found.rule,
                "file": found.file,
                "line": found.line,
                "column": found.column,
                "message": found.message,
                "help": found.help,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}
