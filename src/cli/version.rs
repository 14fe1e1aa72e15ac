//! `jackal version`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::output::print;

/// Arguments of `jackal version`.
#[derive(Args)]
pub(super) struct VersionArgs {
    /// Print the version, its parts and the platform
    #[arg(long, short, value_name = "FORMAT", value_enum, alias = "output")]
    output_format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(super) fn run(args: &VersionArgs) -> Result<(), CommandError> {
    let facts = facts();
    print(&match args.output_format {
        None => concat!("v", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        Some(Format::Json) => format!("{facts}\n"),
        Some(Format::Yaml) => as_yaml(&facts, 0),
    })
}

fn facts() -> Value {
    json!({
        "build": {
            "major": env!("CARGO_PKG_VERSION_MAJOR"),
            "minor": env!("CARGO_PKG_VERSION_MINOR"),
            "patch": env!("CARGO_PKG_VERSION_PATCH"),
            "platform": format!("{}/{}", std::env::consts::OS, crate::app::host_architecture()),
            "prerelease": env!("CARGO_PKG_VERSION_PRE"),
        },
        "version": concat!("v", env!("CARGO_PKG_VERSION")),
    })
}

/// Maps of maps and texts. A text as JSON has it is one of YAML too.
fn as_yaml(value: &Value, depth: usize) -> String {
    let fields = value.as_object().into_iter().flatten();
    let lines = fields.map(|(name, value)| {
        let indent = "  ".repeat(depth);
        match value.is_object() {
            true => format!("{indent}{name}:\n{}", as_yaml(value, depth + 1)),
            false => format!("{indent}{name}: {value}\n"),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let text = as_yaml(&facts(), 0);
        let version = concat!("\nversion: \"v", env!("CARGO_PKG_VERSION"), "\"\n");
        assert!(
            text.starts_with("build:\n  major: \"") && text.ends_with(version),
            "{text}"
        );
        let text = facts().to_string();
        assert!(text.ends_with(concat!("\"version\":\"v", env!("CARGO_PKG_VERSION"), "\"}")));
    }
}
