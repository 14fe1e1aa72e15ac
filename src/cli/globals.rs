//! Flags that every command takes, before or after its name: how messages look, and the
//! global flags of Jackal and Zarf, which scripts give to any command.

use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{ArgAction, Args, Command, ValueEnum};

use super::command_error::CommandError;
use super::output::{self, Level, note};
use super::values::transfers;
use super::{environment, paint};
use crate::disk;

/// What the help of the program says of them.
pub(super) const GLOBAL_HELP: &str = "\
Options of every command:
  -l, --log-level LEVEL   Show messages from this level on: warn, info, debug, trace
      --log-format FORMAT How messages are written: console, json, dev
      --no-color          Print messages and logs without colours
      --no-progress       Print a line or block for each finished task, even on a terminal
      --tmpdir DIR        Folder for temporary files outside of the cache
  Flags of Jackal and Zarf that have no meaning for a command are accepted without effect;
  docs/guide/from-zarf.md lists them.";

/// See the module.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct GlobalArgs {
    /// Print messages and logs without colours
    #[arg(long, global = true, hide = true)]
    no_color: bool,
    /// Print a line or block for each finished task, even on a terminal
    #[arg(long, global = true, hide = true)]
    no_progress: bool,
    /// Show messages from this level on: warn, info, debug, trace
    #[arg(
        long,
        short = 'l',
        value_name = "LEVEL",
        value_enum,
        global = true,
        hide = true
    )]
    log_level: Option<Level>,
    /// How messages are written
    #[arg(long, value_name = "FORMAT", value_enum, global = true, hide = true)]
    log_format: Option<LogFormat>,
    /// Folder for temporary files outside of the cache; made if it is missing
    #[arg(long, value_name = "DIR", global = true, hide = true)]
    tmpdir: Option<PathBuf>,
    #[command(flatten)]
    passed_on: PassedOn,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Console,
    Json,
    /// As `console`.
    Dev,
}

/// Flags that may come before the command that uses them, which has a flag with the same
/// id: clap passes the value on to it. Other commands take them without effect.
#[derive(Args)]
struct PassedOn {
    #[arg(long, short, value_name = "ARCH", global = true, hide = true)]
    architecture: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        hide = true,
        aliases = ["cache", "jackal-cache", "zarf-cache"]
    )]
    cache_dir: Option<PathBuf>,
    #[arg(long, alias = "insecure", global = true, hide = true)]
    insecure_skip_tls_verify: bool,
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        global = true,
        hide = true
    )]
    plain_http: Vec<String>,
    #[arg(long, value_name = "N", value_parser = transfers, global = true, hide = true)]
    oci_concurrency: Option<usize>,
    /// jackal writes no log file.
    #[arg(long, global = true, hide = true)]
    no_log_file: bool,
    /// No feature of Zarf is behind a switch here.
    #[arg(long, value_name = "NAME=BOOL", global = true, hide = true)]
    features: Vec<String>,
}

impl GlobalArgs {
    /// Makes what these flags say hold from now on.
    pub(super) fn take_effect(&self) {
        if self.no_color {
            paint::turn_off();
        }
        if self.no_progress {
            environment::draw_nothing();
        }
        if self.log_format == Some(LogFormat::Json) {
            output::write_json();
        }
        if let Some(level) = self.log_level {
            output::show_from(level);
        }
    }

    /// What is done once, when all settings are known.
    pub(super) fn begin(&self) -> Result<(), CommandError> {
        if let Some(folder) = &self.tmpdir {
            keep_temporary_files_in(folder)?;
        }
        output::debug(&format!(
            "temporary files are in {}",
            disk::temporary_files().display()
        ));
        Ok(())
    }
}

fn keep_temporary_files_in(folder: &Path) -> Result<(), CommandError> {
    std::fs::create_dir_all(folder).map_err(CommandError::file(folder))?;
    let found = std::fs::canonicalize(folder).map_err(CommandError::file(folder))?;
    if disk::keep_temporary_files_in(&found) {
        return Ok(());
    }
    note("warning: --tmpdir came too late");
    Ok(())
}

/// The command line as scripts for Jackal and Zarf write it: their flags may have a value,
/// as in `--confirm=true`. Help and completions are made of the command without this.
pub(super) fn as_scripts_write_it(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .value_parser(ValueParser::from(truth))
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false"),
        _ => arg,
    });
    command.mut_subcommands(as_scripts_write_it)
}

/// What Go takes for a truth value.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_may_have_a_value() {
        let command = super::super::command();
        let read = |line: &[&str]| {
            let command = as_scripts_write_it(command.clone());
            let line = ["jackal"].iter().chain(line);
            command.try_get_matches_from(line).map(|matches| {
                let (_, package) = matches.subcommand().unwrap();
                let (_, create) = package.subcommand().unwrap();
                create.get_flag("confirm")
            })
        };
        for (word, value) in [
            ("--confirm", true),
            ("--confirm=true", true),
            ("--confirm=1", true),
            ("--confirm=F", false),
            ("-a=amd64", false),
        ] {
            assert_eq!(read(&["package", "create", word]).unwrap(), value, "{word}");
        }
        assert!(read(&["package", "create", "--confirm=maybe"]).is_err());
        // A flag takes no word that follows it.
        let folder = read(&["package", "create", "--confirm", "folder"]);
        assert!(folder.unwrap());
    }

    #[test]
    fn the_command_line_with_values_is_well_formed() {
        let command = as_scripts_write_it(super::super::command());
        super::super::absent::with_absent(command).debug_assert();
    }
}
