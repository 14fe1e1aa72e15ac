//! A shell in the root of a task: with its inputs, variables, sandbox and network.

use std::sync::Arc;

use super::command::{self, Staged};
use super::programs;
use super::{RunWork, task};
use crate::ground::site::Site;
use crate::ground::terminal::Session;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::Prepared;
use crate::text::shell_line;

/// Shells, the preferred one first, each with what makes it interactive. Files of the
/// user are not in the sandbox.
const SHELLS: [&[&str]; 2] = [&["bash", "--noprofile", "--norc", "-i"], &["sh", "-i"]];

/// The terminal, if the user's does not say what it is.
const TERMINAL: &str = "xterm";

/// A shell that runs.
pub struct OpenShell {
    pub session: Session,
    /// What the task would run.
    pub command: String,
    /// Its inputs and what is made beside them; removed with it.
    _staged: Staged,
}

/// What runs on a terminal in a task's place.
#[derive(Clone, Debug)]
pub enum Wanted {
    Shell,
    /// The task's own command, with these further arguments.
    Command(Vec<String>),
}

/// Opens a shell where the command of `work` would run, or that command.
pub(crate) async fn open(
    site: &Arc<Site>,
    work: &RunWork,
    prepared: &Prepared,
    wanted: &Wanted,
) -> Result<OpenShell, Failure> {
    let (shared, own, ready) = (Arc::clone(site), work.clone(), prepared.clone());
    let wanted = wanted.clone();
    let (mut task, argv) = blocking(move || {
        let mut task = task(&shared, &own, &ready)?;
        let terminal = shared.options.environment.get("TERM");
        let terminal = terminal.map_or(TERMINAL, String::as_str).to_owned();
        task.env.entry("TERM".to_owned()).or_insert(terminal);
        if let Wanted::Command(args) = wanted {
            let mut argv = task.argv.clone();
            if own.verb.shell.is_some() && !args.is_empty() {
                // After a script comes its name, then `$1`.
                argv.push("sh".to_owned());
            }
            argv.extend(args);
            return Ok((task, argv));
        }
        let mut shells = SHELLS.iter();
        let found = shells.find_map(|words| {
            let tool = programs::search(&shared, &own, &programs::folder(&own))
                .find(words[0])
                .ok()?;
            Some((words, tool))
        });
        let Some((words, tool)) = found else {
            let message = "neither `bash` nor `sh` is on PATH: install one";
            return Err(Failure::new(Class::Environment, message));
        };
        task.readable.extend(tool.readable.iter().cloned());
        let mut shell = vec![tool.path.to_string_lossy().into_owned()];
        shell.extend(words[1..].iter().map(|word| (*word).to_owned()));
        let prompt = format!("({}) $ ", own.place.instance);
        task.env.entry("PS1".to_owned()).or_insert(prompt);
        Ok((task, shell))
    })
    .await?;
    let command = shell_line(&task.argv);
    // What is kept is for commands whose end is known.
    task.keep = None;
    let mut staged = command::stage(&site.cas, task, false).await?;
    staged.process.argv = argv;
    let session = staged.process.on_terminal();
    let session = session.map_err(|error| Failure::caused_by(Class::Environment, &error))?;
    Ok(OpenShell {
        session,
        command,
        _staged: staged,
    })
}
