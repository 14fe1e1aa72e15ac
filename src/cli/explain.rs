//! `jackal explain`: what a code in brackets means.

use clap::Args;

use super::command_error::CommandError;
use super::output::{columns, print};
use crate::app::Code;
use crate::yaml::nearest;

/// Arguments of `jackal explain`.
#[derive(Args)]
pub(super) struct ExplainArgs {
    /// Code, as in brackets after a message [default: list all]
    code: Option<String>,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), CommandError> {
    match &args.code {
        None => print(&list()),
        Some(name) => {
            let name = name.trim_matches(['[', ']']);
            let code = Code::named(name).ok_or_else(|| unknown(name))?;
            print(&page(code))
        }
    }
}

fn unknown(name: &str) -> CommandError {
    let error = CommandError::usage(format!("no code `{name}`"));
    error.hint(
        match nearest(name, Code::ALL.iter().map(|code| code.name())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`jackal explain` lists all codes".to_owned(),
        },
    )
}

/// A line for each code.
fn list() -> String {
    let lines = Code::ALL.iter();
    let lines = lines.map(|code| [code.name().to_owned(), code.page().title.to_owned()]);
    columns(&lines.collect::<Vec<_>>())
}

fn page(code: Code) -> String {
    let page = code.page();
    let example: String = (page.example.lines())
        .map(|line| format!("    {line}\n"))
        .collect();
    format!(
        "{code}: {}\n\n{}\n\nExample:\n\n{example}\nWhat to do:\n\n{}\n",
        page.title, page.cause, page.fix
    )
}
