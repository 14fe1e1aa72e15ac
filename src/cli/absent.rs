//! Commands of Jackal and Zarf that this program does not have: each is refused by name,
//! with the next step, and not as an unknown word.

use clap::{Arg, ArgMatches, Command};

use super::command_error::CommandError;
use super::environment::is_called_zarf;

/// The table of the peers' commands and flags, which the guide shows too.
const TABLE: &str = include_str!("parity.txt");

/// What `init` means in Zarf, where this program has another command of that name.
const ZARF_INIT: (&str, &str) = (
    "init",
    "it needs a cluster: use Zarf. `jackal init` writes a pipeline for a folder",
);

/// The commands that are absent, with what to do instead.
fn rows() -> impl Iterator<Item = (Vec<&'static str>, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let init = is_called_zarf().then(|| (vec![ZARF_INIT.0], ZARF_INIT.1));
    let absent = lines.filter_map(|line| {
        let mut columns = line.splitn(4, '|').map(str::trim);
        let (command, flag) = (columns.next()?, columns.next()?);
        let (status, text) = (columns.next()?, columns.next()?);
        let is_command = (flag, status) == ("-", "absent");
        is_command.then(|| (command.split(' ').collect(), text))
    });
    absent.chain(init)
}

/// `command` with them, for reading command lines.
pub(super) fn with_absent(mut command: Command) -> Command {
    for (path, _) in rows() {
        command = below(command, &path);
    }
    command
}

fn below(command: Command, path: &[&'static str]) -> Command {
    match path {
        [] => command,
        [name] => {
            let rest = Arg::new("rest").num_args(0..).trailing_var_arg(true);
            let rest = rest.allow_hyphen_values(true).hide(true);
            let absent = Command::new(*name).hide(true).disable_help_flag(true);
            let absent = absent.arg(rest);
            match command.find_subcommand(name) {
                Some(_) => command.mut_subcommand(*name, |_| absent),
                None => command.subcommand(absent),
            }
        }
        [name, rest @ ..] => command.mut_subcommand(*name, |command| below(command, rest)),
    }
}

/// The refusal, if the command line names one of them.
pub(super) fn refusal(matches: &ArgMatches) -> Option<CommandError> {
    let mut path = Vec::new();
    let mut at = matches;
    while let Some((name, inner)) = at.subcommand() {
        path.push(name);
        at = inner;
    }
    let (_, text) = rows().find(|(command, _)| *command == path)?;
    let message = format!("jackal has no `{}`", path.join(" "));
    Some(CommandError::usage(message).hint(text))
}
