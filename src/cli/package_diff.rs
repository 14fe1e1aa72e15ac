//! `jackal package diff`: what changed between two packages.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::command_error::CommandError;
use super::opened::package_help;
use super::output::{note, one_line, print};
use super::read::ReadArgs;
use crate::app::{self, Change, Check, Difference};

/// Arguments of `jackal package diff`.
#[derive(Args)]
pub(super) struct DiffArgs {
    #[arg(help = package_help())]
    first: String,
    /// Package to compare it with
    second: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
}

pub(super) fn run(args: DiffArgs) -> Result<(), CommandError> {
    let options = args.read.into_options(Check::Look)?;
    let open = |name: &str| app::Opened::open(name, &options);
    let (first, second) = (open(&args.first)?, open(&args.second)?);
    let difference = app::package_diff(&first, &second)?;
    for opened in [&first, &second] {
        if let Some(warning) = opened.without_checksums() {
            note(&format!("warning: {}: {warning}", opened.name));
        }
    }
    note(
        "only definitions, file lists and SBOMs were verified; run `jackal package verify` for the rest",
    );
    if difference.packages.is_none() {
        note("software packages were not compared: one of the two has no sboms.tar");
    }
    if args.json {
        return print(&format!("{:#}\n", difference.to_json()));
    }
    print(&text(&difference))
}

/// What is printed about equal packages.
pub(super) const SAME: &str = "no differences\n";

fn text(difference: &Difference) -> String {
    let mut text = String::new();
    section(&mut text, "definition", &difference.definition, value);
    section(
        &mut text,
        "components",
        &difference.components,
        Clone::clone,
    );
    section(&mut text, "images", &difference.images, Clone::clone);
    section(&mut text, "files", &difference.files, Clone::clone);
    if let Some(packages) = &difference.packages {
        section(&mut text, "packages", packages, |versions| {
            versions.join(", ")
        });
    }
    if difference.is_empty() {
        text.push_str(SAME);
    }
    text
}

/// A value on one line, quoted only where it must be.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}

fn section<T>(text: &mut String, title: &str, changes: &[Change<T>], show: impl Fn(&T) -> String) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}:");
    text.push_str(&lines("  ", changes, show));
}

/// One line for each change, after `indent`.
pub(super) fn lines<T>(indent: &str, changes: &[Change<T>], show: impl Fn(&T) -> String) -> String {
    let mut text = String::new();
    for change in changes {
        let shown = |value: &Option<T>| value.as_ref().map(|value| one_line(&show(value)));
        let name = one_line(&change.name);
        let _ = match (shown(&change.from), shown(&change.to)) {
            (Some(from), Some(to)) => writeln!(text, "{indent}~ {name}: {from} -> {to}"),
            (Some(from), None) => writeln!(text, "{indent}- {name}: {from}"),
            (_, to) => writeln!(text, "{indent}+ {name}: {}", to.unwrap_or_default()),
        };
    }
    text
}
