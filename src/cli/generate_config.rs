//! `jackal dev generate-config`.

use std::path::Path;

use clap::CommandFactory as _;

use super::command_error::CommandError;
use super::config;
use super::output::print;
use crate::disk;

pub(super) fn run(file: &Path) -> Result<(), CommandError> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let command = super::Program::command();
    let text = config::example(&command, extension.unwrap_or_default()).ok_or_else(|| {
        let why = match extension {
            Some("json") => "JSON cannot contain comments",
            _ => "unknown kind of configuration file",
        };
        let message = format!("`{}`: {why}", file.display());
        CommandError::usage(message).hint("name a .toml, .yaml or .yml file")
    })?;
    disk::write_new(file, text.as_bytes()).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CommandError::usage(format!("`{}` already exists", file.display()))
                .hint("remove it first, or name another file")
        }
        _ => CommandError::file(file)(error.source),
    })?;
    print(&format!("{}\n", file.display()))
}
