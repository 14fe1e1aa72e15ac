//! `actions`: commands of the definition that run in the package's folder while a
//! component is made. Never cached, because they are run for their side effects.
//! Source: docs/spec/package.md, "Actions".

mod wait;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::ground::confine::Confinement;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::launch;
use crate::ground::process::{Ending, Piece, Process};
use crate::ground::reads::CheckoutReads;
use crate::ground::sandbox::{Level, Root};
use crate::ground::site::{Made, Site};
use crate::ground::source::{OwnFiles, inside, outside};
use crate::ground::{Class, Failure, Readers, log};
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared};
use crate::package::{self, ActionDefaults, UNLIMITED_RETRIES};
use crate::text::with_causes;

/// Version of how actions are run.
const ACTIONS_FORMAT: u32 = 1;

/// Time between asking a command to stop and killing it.
const GRACE: Duration = Duration::from_secs(10);

/// Maximum length of a command in messages, in bytes.
const SHOWN_BYTES: usize = 57;

/// Commands that run in the package's folder, in order.
#[derive(Clone, Debug)]
pub struct ActionsWork {
    /// The folder in which they run; a `dir` is relative to it.
    pub folders: Folders,
    /// The component's main step, which its other steps are named after.
    pub component: String,
    pub defaults: ActionDefaults,
    pub actions: Vec<Command>,
    /// They run after a failure of this component, and of no other.
    pub on_failure: bool,
}

/// An action and its origin.
#[derive(Clone, Debug)]
pub struct Command {
    /// What to run, or to wait for.
    pub action: package::Action,
    /// It comes from a published skeleton, which is not trusted: it runs confined to
    /// the files of the skeleton, with only the declared variables.
    pub imported: bool,
}

impl Kind for ActionsWork {
    fn verb(&self) -> &'static str {
        "actions"
    }

    fn has_effects(&self) -> bool {
        true
    }

    /// Outputs of commands have the mode that the definition gives them, whatever the
    /// commands may read.
    fn readers(&self, _: Readers) -> Readers {
        Readers::default()
    }

    /// Commands may read all that is beside the definition.
    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        reads.add_place(&self.folders.own);
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    /// Identifies the commands in records; no result is stored.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("actions", ACTIONS_FORMAT);
        action.argv = self
            .actions
            .iter()
            .map(|one| one.action.cmd.clone())
            .collect();
        Ok(Prepared::of(action, Inputs::new(&cx.site.cas)))
    }

    /// Runs the commands in order until one fails permanently.
    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        if self.on_failure {
            // An earlier component may have failed, before this one started.
            if !site.has_begun(&self.component) {
                return Ok(Made::default());
            }
        } else {
            site.begin(&self.component);
        }
        let mut printed = String::new();
        let done = all(site, self, &mut printed).await;
        site.forget_snapshots(&self.folders.own);
        match done {
            Ok(()) => Ok(Made {
                text: printed,
                ..Made::default()
            }),
            Err(failure) => Err(Failure {
                log: printed,
                ..failure
            }),
        }
    }

    fn follows_failure(&self) -> bool {
        self.on_failure
    }
}

async fn all(site: &Arc<Site>, work: &ActionsWork, printed: &mut String) -> Result<(), Failure> {
    for action in &work.actions {
        let failed = one(site, work, action, printed).await;
        match failed {
            // After a failure, run the others anyway to clean up.
            Err(failure) if work.on_failure && failure.class != Class::Cancelled => {
                printed.push_str(&format!("{failure}\n"));
            }
            other => other?,
        }
    }
    Ok(())
}

/// Runs one command, with its retries.
async fn one(
    site: &Arc<Site>,
    work: &ActionsWork,
    command: &Command,
    printed: &mut String,
) -> Result<(), Failure> {
    let action = &command.action;
    let defaults = &work.defaults;
    let mute = action.mute.unwrap_or(defaults.mute);
    // For a muted command, the description is shown instead of the command.
    if !mute || !action.description.is_empty() {
        printed.push_str(&format!("{}\n", begun(action)));
    }
    let seconds = action
        .max_total_seconds
        .unwrap_or(defaults.max_total_seconds);
    let limit = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let limit = limit.map(Duration::from_secs);
    if let Some(wait) = &action.wait {
        return wait::wait_for(site, work, wait, limit).await;
    }
    let retries = action.max_retries.unwrap_or(defaults.max_retries).max(0);
    let scratch = match command.imported {
        true => Some(site.stage().await?),
        false => None,
    };
    let mut process = process(site, work, action, limit)?;
    if let Some(scratch) = &scratch {
        let program = site.options.program.as_deref();
        confine(work, action, program, scratch.path(), &mut process)?;
    }
    let shown = shown(action);
    let (start, mut failed) = (Instant::now(), 0_i64);
    loop {
        let ran = process.run(site.stopped()).await.map_err(|error| {
            let error = with_causes(&error);
            let message = format!("command \"{shown}\": {error}; correct its `shell` or `dir`");
            Failure::new(Class::Configuration, message)
        })?;
        if !mute {
            let pieces: Vec<Piece> = ran.log;
            printed.push_str(&log::text(&pieces));
        }
        match ran.ending {
            Ending::Exited(0) => return Ok(()),
            Ending::Cancelled => {
                return Err(Failure::new(Class::Cancelled, "stopped by a signal"));
            }
            _ => failed += 1,
        }
        if let Some(limit) = limit.filter(|limit| start.elapsed() >= *limit) {
            let message = format!(
                "command \"{shown}\" timed out after {} seconds",
                limit.as_secs()
            );
            return Err(Failure::new(Class::Timeout, message));
        }
        if failed > retries && retries < UNLIMITED_RETRIES {
            let message = format!("command \"{shown}\" failed after {retries} retries");
            return Err(Failure::new(Class::Task, message));
        }
    }
}

fn process(
    site: &Site,
    work: &ActionsWork,
    action: &package::Action,
    limit: Option<Duration>,
) -> Result<Process, Failure> {
    let defaults = &work.defaults;
    let dir = action.dir.as_ref().unwrap_or(&defaults.dir);
    let cwd = match dir.as_str() {
        "" => work.folders.own.clone(),
        dir => {
            let found = work.folders.find(dir);
            found.root.join(found.below)
        }
    };
    let mut env = site.options.environment.clone();
    env.extend(declared(defaults, action)?);
    let shells = action.shell.as_ref().unwrap_or(&defaults.shell);
    let shell = match std::env::consts::OS {
        "macos" => shells.darwin.as_str(),
        _ => shells.linux.as_str(),
    };
    Ok(Process {
        argv: argv(
            if shell.is_empty() { "sh" } else { shell },
            &command(site, &action.cmd),
        ),
        env,
        cwd,
        timeout: limit,
        grace: GRACE,
        confinement: None,
        root: None,
        observed: None,
        services: Vec::new(),
        through: site.options.program.clone(),
    })
}

/// The search path of imported commands.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Keeps the command of a skeleton to the skeleton's own files and `scratch`, with the
/// variables that the definition declares.
fn confine(
    work: &ActionsWork,
    action: &package::Action,
    program: Option<&Path>,
    scratch: &Path,
    process: &mut Process,
) -> Result<(), Failure> {
    let level = launch::best(program);
    if level == Level::Free {
        let message = "imported commands must be confined, but this machine has neither user namespaces nor Landlock: \
                       use Linux 5.19 or later, or copy the command into your own definition";
        return Err(Failure::new(Class::Configuration, message));
    }
    let dir = action.dir.as_deref().unwrap_or_default();
    let found = work.folders.find(dir);
    inside(found.below).map_err(|_| outside(dir))?;
    let below = found.root.join(found.below);
    let real = std::fs::canonicalize(&below).map_err(Failure::from)?;
    // The package's own folder does not belong to the skeleton.
    if found.prefix.is_empty() || !real.starts_with(std::fs::canonicalize(found.root)?) {
        let message = format!(
            "the imported command \"{}\" runs in `{dir}`, which is not in its skeleton: \
             copy the command into your own definition",
            shown(action)
        );
        return Err(Failure::new(Class::Configuration, message));
    }
    let folder = |name: &str| scratch.join(name);
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    for name in ["home", "tmp", "made"] {
        std::fs::create_dir(folder(name))?;
    }
    let usual = [
        ("PATH", USUAL_PATH.to_owned()),
        ("HOME", text(folder("home"))),
        ("TMPDIR", text(folder("tmp"))),
        ("LC_ALL", "C.UTF-8".to_owned()),
    ];
    process.env = usual.map(|(name, value)| (name.to_owned(), value)).into();
    process.env.extend(declared(&work.defaults, action)?);
    process.cwd = real;
    let confinement = Confinement {
        writable: vec![found.root.to_owned(), folder("home"), folder("tmp")],
        readable: program.into_iter().map(Path::to_owned).collect(),
    };
    if level == Level::Namespaces {
        let mut root = Root::new(folder("made"), "/".into(), &confinement, true);
        for path in &confinement.writable {
            let real = std::fs::canonicalize(path)?;
            root.writable(real.clone(), path);
            // The working directory has no links on its way.
            if real != *path {
                root.writable(real.clone(), real);
            }
        }
        root.cwd = process.cwd.clone();
        process.root = Some(root);
    }
    process.confinement = Some(confinement);
    Ok(())
}

/// The variables that the definition declares for `action`.
fn declared(
    defaults: &ActionDefaults,
    action: &package::Action,
) -> Result<Vec<(String, String)>, Failure> {
    let pairs = defaults.env.iter().chain(&action.env);
    pairs
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => {
                let message = format!("`env` has `{pair}`, expected NAME=VALUE");
                Err(Failure::new(Class::Configuration, message))
            }
        })
        .collect()
}

fn argv(shell: &str, command: &str) -> Vec<String> {
    let words: &[&str] = match shell {
        "pwsh" | "powershell" => &["-Command", "$ErrorActionPreference = 'Stop'; "],
        "sh" | "bash" | "zsh" | "fish" => &["-e", "-c", ""],
        _ => &["-c", ""],
    };
    let mut argv = vec![shell.to_owned()];
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(last) = argv.last_mut() {
        last.push_str(command);
    }
    argv
}

/// The command, with `./jackal` and `./zarf` replaced by this program.
fn command(site: &Site, text: &str) -> String {
    let Some(program) = site.options.program.as_ref().and_then(|path| path.to_str()) else {
        return text.to_owned();
    };
    let program = format!("{program} ");
    text.replace("./jackal ", &program)
        .replace("./zarf ", &program)
}

/// The first line in the log of an action.
fn begun(action: &package::Action) -> String {
    match &action.wait {
        Some(wait) if action.description.is_empty() => {
            format!("waiting for {}", wait::awaited(wait))
        }
        Some(_) => format!("waiting: {}", action.description),
        None => format!("running \"{}\"", shown(action)),
    }
}

/// The name of an action in messages.
fn shown(action: &package::Action) -> String {
    if !action.description.is_empty() {
        return action.description.clone();
    }
    let line = action.cmd.trim().replace('\n', "; ");
    if line.len() <= SHOWN_BYTES + 3 {
        return line;
    }
    let mut end = SHOWN_BYTES;
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imported_command_stays_in_its_skeleton() {
        if launch::best(None) == Level::Free {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["own", "skeleton/sub", "scratch", "other"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::os::unix::fs::symlink(at("other"), at("skeleton/link")).unwrap();
        let imported = [(".jackal/skeletons/ab".to_owned(), at("skeleton"))];
        let work = ActionsWork {
            folders: Folders {
                own: at("own"),
                imported: imported.into(),
                ..Folders::default()
            },
            component: "a".to_owned(),
            defaults: ActionDefaults {
                env: vec!["A=1".to_owned()],
                ..ActionDefaults::default()
            },
            actions: Vec::new(),
            on_failure: false,
        };
        let confined = |dir: &str| {
            let action = package::Action {
                dir: Some(dir.to_owned()),
                env: vec!["B=2".to_owned()],
                ..package::Action::default()
            };
            let mut process = Process {
                argv: Vec::new(),
                env: [("CI_TOKEN".to_owned(), "hush".to_owned())].into(),
                cwd: PathBuf::new(),
                timeout: None,
                grace: GRACE,
                confinement: None,
                root: None,
                observed: None,
                services: Vec::new(),
                through: None,
            };
            let scratch = at("scratch");
            for name in ["home", "tmp", "made"] {
                let _ = std::fs::remove_dir(scratch.join(name));
            }
            confine(&work, &action, None, &scratch, &mut process).map(|()| process)
        };
        for dir in [
            "",
            ".",
            "..",
            "/tmp",
            "sub",
            "/",
            ".jackal",
            ".jackal/skeletons",
            ".jackal/skeletons/abc",
            ".jackal/skeletons/ab/..",
            ".jackal/skeletons/ab/sub/../..",
            ".jackal/skeletons/ab/link",
            ".jackal/skeletons/ab/none",
        ] {
            assert!(confined(dir).is_err(), "{dir}");
        }
        let process = confined(".jackal/skeletons/ab/sub").unwrap();
        assert!(process.cwd.ends_with("skeleton/sub"));
        let names: Vec<&str> = process.env.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "HOME", "LC_ALL", "PATH", "TMPDIR"]);
        let allowed = process.confinement.unwrap();
        assert_eq!(
            allowed.writable,
            [at("skeleton"), at("scratch/home"), at("scratch/tmp")]
        );
        assert!(allowed.readable.is_empty());
    }
}
