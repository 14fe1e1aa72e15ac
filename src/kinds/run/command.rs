//! The `run` verb: runs a command in a folder with only its declared inputs.
//!
//! Stages the inputs, runs the command with only the given variables, and stores its
//! declared outputs as trees. A failed command leaves nothing behind: the stage is
//! removed on every exit path. It never decides whether to run at all.

mod error;
mod kept;
mod left;
pub(super) mod mask;
mod materialise;
mod over;
mod private;
mod reports;
mod stage;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::action::Output;
use crate::archive::{PathError, SafePath};
use crate::cas::Cas;
use crate::cas::tree::{self, Tree};
use crate::content::activity;
use crate::disk::{Enclosure, at};
use crate::ground::confine::Confinement;
use crate::ground::inputs::Inputs;
use crate::ground::link::{How, Lost};
use crate::ground::process::{Ending, Finished, Piece, Process, ProcessError, Stream};
use crate::ground::sandbox::{self, Level, Overlay, Root};
use crate::ground::services::ServiceCommand;
use crate::ground::threads::aside;
use crate::ground::{Again, Reported, log};
use crate::kinds::run::caches::Store;
use crate::kinds::run::services::prefixes;
use crate::oci::Digest;

use error::and_others;
pub use error::{RunError, Unkept};
pub(crate) use kept::Keep;
pub(crate) use kept::Staging;
use kept::{After, Room};
pub(super) use mask::Mask;
pub(crate) use materialise::{Placing, Wanted};
pub(crate) use private::Private;
pub(super) use reports::matcher;
use stage::Layout;

/// A command with all references resolved.
#[derive(Clone)]
pub(crate) struct RunTask {
    /// Program and arguments; a program with a `/` in it is relative to `workdir`.
    pub argv: Vec<String>,
    /// Its environment. `HOME` and `TMPDIR` are in the stage unless they are set here.
    pub env: BTreeMap<String, String>,
    /// What runs beside it.
    pub services: Vec<ServiceCommand>,
    /// What the stage holds, by digest.
    pub inputs: Inputs,
    pub staging: Staging,
    /// Stores of downloads that it uses.
    pub stores: Vec<Store>,
    /// The folder that it continues in.
    pub keep: Option<Keep>,
    /// Its outputs, relative to the staged root.
    pub outputs: Vec<DeclaredOutput>,
    /// Patterns of the reports of its tests, relative to its folder.
    pub reports: Vec<String>,
    /// Where its folder is in the stage: inputs beside the folder are reached by `..`.
    pub place: String,
    /// Its working directory, relative to its folder; empty: the folder.
    pub workdir: String,
    pub timeout: Duration,
    /// Time between TERM and KILL.
    pub grace: Duration,
    /// What keeps it to its stage and the files it may use.
    pub level: Level,
    /// Whether it may use the network of this machine.
    pub network: bool,
    /// Files it may use besides its stage and the system's.
    pub readable: Vec<PathBuf>,
    /// Tools that are scripts, and may look for their programs below the user's home.
    pub shims: Vec<String>,
    /// Secrets that it sees as files.
    pub private: Vec<Private>,
    /// Values to mask in the log.
    pub secrets: Vec<String>,
    /// The name under which its folder is kept if it fails.
    pub preserve: Option<String>,
    /// This program, through which it starts.
    pub through: Option<PathBuf>,
}

/// A declared output path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOutput {
    /// Relative to the staged root; a trailing `/` is allowed.
    pub path: String,
    /// Whether it is a folder with its content, not a single file or link.
    pub directory: bool,
    pub optional: bool,
}

/// A command that succeeded.
#[derive(Clone, Debug)]
pub struct Ran {
    /// In declared order, without missing optional ones: the blob of the encoded tree
    /// under the declared path, and the tree.
    pub outputs: Vec<(Output, Tree)>,
    /// The blobs of all files in the trees, without duplicates.
    pub also: Vec<(Digest, u64)>,
    /// The masked log as a blob named `log`, if there was any output.
    pub log: Option<Output>,
    /// The same as text; invalid UTF-8 is replaced.
    pub log_text: String,
    /// What its tests reported.
    pub reported: Reported,
    /// Services that ended before it.
    pub(crate) lost: Vec<Lost>,
}

/// Normalises a path of a task; empty or `.`: `None`.
fn relative(path: &str) -> Result<Option<SafePath>, RunError> {
    match SafePath::parse(path) {
        Ok(safe) => Ok(Some(safe)),
        Err(PathError::Empty) => Ok(None),
        Err(source) => Err(RunError::Path {
            path: path.chars().take(200).collect(),
            source,
        }),
    }
}

/// A path of a task that must name something below the root.
fn named(path: &str) -> Result<SafePath, RunError> {
    relative(path)?.ok_or_else(|| RunError::Path {
        path: path.to_owned(),
        source: PathError::Empty,
    })
}

/// A command that has no result.
pub(crate) struct Failed {
    pub(crate) error: RunError,
    pub(crate) remains: Box<Remains>,
}

/// What there is besides the error.
#[derive(Default)]
pub(crate) struct Remains {
    /// Where its folder is kept.
    pub(crate) stage: Option<PathBuf>,
    /// What its tests reported, if it ran.
    pub(crate) reported: Reported,
    /// Services that ended before it, or were not ready.
    pub(crate) lost: Vec<Lost>,
}

impl From<RunError> for Failed {
    fn from(error: RunError) -> Self {
        Self {
            error,
            remains: Box::default(),
        }
    }
}

/// A command in its folder, ready to start.
pub(crate) struct Staged {
    pub(crate) process: Process,
    room: Room,
    layout: Layout,
    inputs: Inputs,
    outputs: Vec<DeclaredOutput>,
    reports: Vec<String>,
    /// Secrets that it sees as files.
    private: Vec<Private>,
    secrets: Vec<String>,
    preserve: Option<String>,
}

/// Runs `task` until it ends, times out, or `cancel` completes; then, if it succeeded,
/// also `check`, whose answer is for the caller.
///
/// Dropping the future kills the command and removes the stage.
///
/// # Errors
///
/// [`Failed`]; only unreferenced blobs are left in `cas` then.
pub(crate) async fn run<T: Send + 'static>(
    cas: &Arc<Cas>,
    task: RunTask,
    cancel: impl Future<Output = ()> + Send,
    check: impl FnOnce() -> T + Clone + Send + 'static,
) -> Result<(Ran, T), Failed> {
    tokio::pin!(cancel);
    // A stage that is kept for the user holds everything itself.
    let over = task.preserve.is_none();
    let tried = attempt(cas, task.clone(), over, cancel.as_mut(), check.clone()).await;
    match tried {
        Err(Failed {
            error: RunError::Process(ProcessError::Sandbox(why)),
            ..
        }) if Overlay::was_refused(&why) => {
            cas.note_refused_overlay();
            attempt(cas, task, false, cancel, check).await
        }
        tried => tried,
    }
}

/// Runs `task`; its inputs may be staged `over` a base.
async fn attempt<T: Send + 'static>(
    cas: &Arc<Cas>,
    task: RunTask,
    over: bool,
    cancel: impl Future<Output = ()> + Send,
    check: impl FnOnce() -> T + Send + 'static,
) -> Result<(Ran, T), Failed> {
    let staged = stage(cas, task, over).await?;
    let mask = Mask::of(&staged.secrets);
    activity::masked_by(Arc::new(move |text: &str| mask.line(text)));
    let finished = staged.process.run(cancel).await;
    let store = Arc::clone(cas);
    let done = aside(move || {
        let ran = staged.conclude(&store, finished)?;
        Ok((ran, check()))
    });
    done.await.unwrap_or(Err(RunError::BrokenOff.into()))
}

/// Stages the inputs of `task`, `over` a base if that costs less: then not all of them
/// are in the stage itself.
pub(crate) async fn stage(cas: &Arc<Cas>, task: RunTask, over: bool) -> Result<Staged, RunError> {
    let store = Arc::clone(cas);
    blocking(move || Staged::of(&store, task, over)).await
}

impl Staged {
    fn of(cas: &Cas, task: RunTask, over: bool) -> Result<Self, RunError> {
        let RunTask {
            inputs,
            outputs,
            level,
            mut env,
            ..
        } = task;
        let room = Room::of(cas, task.keep, task.stores)?;
        let layout = Layout::new(&room.path(), &task.place);
        let room = match level {
            Level::Namespaces if over => {
                room.over(cas, &task.staging, &layout, &inputs, &outputs)?
            }
            _ => room,
        };
        let cwd = room.prepare(&layout, &inputs, &outputs, &task.workdir)?;
        if room.is_kept() {
            let cleared = reports::clear(&layout, &inputs, &task.reports);
            cleared.map_err(at(layout.top()))?;
        }
        let mut confinement = (level != Level::Free).then(|| Confinement {
            readable: task.readable,
            writable: room.writable(),
        });
        let mut root = match (&confinement, level) {
            (Some(rules), Level::Namespaces) => Some(root(cas, &room, &cwd, rules, task.network)),
            _ => None,
        };
        let secrets = private::place(&task.private, &room.path(), root.as_mut())?;
        if let Some(rules) = &mut confinement {
            rules.readable.extend(secrets);
        }
        set_usual(&mut env, &room, root.is_some());
        room.place_stores(root.is_none())?;
        let process = Process {
            argv: task.argv,
            env,
            cwd,
            timeout: Some(task.timeout),
            grace: task.grace,
            confinement,
            root,
            observed: None,
            services: task.services,
            through: task.through,
        };
        Ok(Self {
            process,
            room,
            layout,
            inputs,
            outputs,
            reports: task.reports,
            private: task.private,
            secrets: task.secrets,
            preserve: task.preserve,
        })
    }

    /// Stores what the command made, and leaves its folder.
    fn conclude(self, cas: &Cas, finished: Result<Finished, ProcessError>) -> Result<Ran, Failed> {
        let lost = finished.as_ref().map(|finished| finished.lost.clone());
        let lost = lost.unwrap_or_default();
        let removed = private::remove(&self.private, &self.room.path());
        let reported = match &finished {
            Ok(finished) if finished.ending != Ending::Cancelled && !self.reports.is_empty() => {
                reports::collect(&self.layout, &self.inputs, &self.reports, &self.secrets)
            }
            _ => Reported::default(),
        };
        let made = finished.map_err(RunError::from);
        let made = removed.and(made);
        let made = made.and_then(|finished| self.collect(cas, &finished));
        // With Landlock, a command may have set what no comparison sees.
        let is_whole = self.process.root.is_some() || self.process.confinement.is_none();
        let after = |succeeded| After {
            succeeded,
            alone: is_whole && self.process.through.is_some(),
        };
        let (error, stage) = match (made, self.preserve) {
            (Ok(ran), _) => match self.room.settle(cas, after(true)) {
                Ok(()) => return Ok(Ran { reported, ..ran }),
                Err(error) => (error, None),
            },
            (Err(error), Some(name)) if !matches!(error, RunError::Cancelled { .. }) => {
                let stage = self.room.preserve(cas, &name).ok();
                (error, stage)
            }
            (Err(error @ RunError::Exit { .. }), None) => match self.room.settle(cas, after(false))
            {
                Ok(()) => (error, None),
                Err(error) => (error, None),
            },
            (Err(error), _) => (error, None),
        };
        Err(Failed {
            error,
            remains: Box::new(Remains {
                stage,
                reported,
                lost,
            }),
        })
    }

    /// What begins lines of services in the log.
    fn prefixes(&self) -> Vec<String> {
        let services = self.process.services.iter();
        prefixes(services.map(|service| service.name.as_str()))
    }

    /// Stores the outputs of a command that ended well.
    fn collect(&self, cas: &Cas, finished: &Finished) -> Result<Ran, RunError> {
        let mut log = mask::pieces(finished, &self.secrets, &self.prefixes());
        let text = log::text;
        match finished.ending {
            Ending::Exited(0) => {}
            Ending::Exited(code) => {
                let log = text(&log);
                return Err(RunError::Exit { code, log });
            }
            Ending::Signaled(signal) => {
                let log = text(&log);
                return Err(RunError::Signaled { signal, log });
            }
            Ending::TimedOut => {
                let lines = finished.running.iter();
                return Err(RunError::TimedOut {
                    running: lines.map(|line| mask::text(line, &self.secrets)).collect(),
                    log: text(&log),
                    after: self.process.timeout.unwrap_or_default(),
                });
            }
            Ending::Cancelled => return Err(RunError::Cancelled { log: text(&log) }),
            Ending::Unready => {
                let how = finished.lost.iter().find(|lost| !lost.later);
                let again = how.and_then(|lost| match lost.how {
                    How::Exit(code) => Some(Again::Exit(code)),
                    How::Signal(signal) => Some(Again::Exit(128 + signal)),
                    How::Late => Some(Again::Timeout),
                    How::Stopped | How::Taken => None,
                });
                let log = text(&log);
                return Err(RunError::Unready { again, log });
            }
        }
        let is_report = reports::matcher(&self.reports);
        let keeps = |path: &str| self.room.keeps(path) || is_report(path);
        let dropped = stage::dropped(&self.layout, &self.inputs, &self.outputs, &keeps);
        let shown: Vec<String> = (dropped.iter())
            .map(|path| mask::text(path, &self.secrets))
            .collect();
        log.extend(note_of(&shown, finished.wall));
        let kept = collect(cas, &self.layout, &self.outputs, &log).map(|ran| Ran {
            lost: finished.lost.clone(),
            ..ran
        });
        kept.map_err(|error| {
            RunError::Unkept(Box::new(Unkept {
                error,
                left: left::of(&self.room.path(), dropped, &self.outputs),
                log: text(&log),
            }))
        })
    }
}

/// What the log says of files that the command left outside its outputs.
fn note_of(dropped: &[String], wall: Duration) -> Option<Piece> {
    let first = dropped.first()?;
    let more = and_others(dropped.len() - 1);
    let text = format!("[`{first}`{more} was made outside of `outputs` and dropped]\n");
    Some(Piece {
        at: wall,
        stream: Stream::Stderr,
        bytes: text.into_bytes(),
    })
}

/// Adds the variables that every command has, unless its task sets them.
fn set_usual(env: &mut BTreeMap<String, String>, room: &Room, has_root: bool) {
    let stage = room.path();
    for (name, inside, folder) in [
        ("HOME", sandbox::HOME, stage::HOME),
        ("TMPDIR", sandbox::TEMPORARY, stage::TEMPORARY),
    ] {
        let value = match has_root {
            true => inside.to_owned(),
            false => stage.join(folder).to_string_lossy().into_owned(),
        };
        env.entry(name.to_owned()).or_insert(value);
    }
    let home = match has_root {
        true => PathBuf::from(sandbox::HOME),
        false => stage.join(stage::HOME),
    };
    for (name, folder) in room.store_variables() {
        let value = home.join(folder).to_string_lossy().into_owned();
        env.entry(name.to_owned()).or_insert(value);
    }
    for (name, value) in stage::VARIABLES {
        env.entry(name.to_owned()).or_insert(value.to_owned());
    }
}

/// The root of a command with its stage in it.
fn root(cas: &Cas, room: &Room, cwd: &Path, rules: &Confinement, network: bool) -> Root {
    let stage = room.path();
    let store = cas.root().to_owned();
    let mut root = Root::new(stage.join(stage::MADE_ON), store, rules, network);
    match room.overlay() {
        Some(overlay) => root.overlay(overlay),
        None => root.writable(stage.join(stage::ROOT), sandbox::WORK),
    }
    for (folder, at) in [
        (stage::HOME, sandbox::HOME),
        (stage::TEMPORARY, sandbox::TEMPORARY),
    ] {
        root.writable(stage.join(folder), at);
    }
    for (from, below) in room.store_folders() {
        root.writable(from, Path::new(sandbox::HOME).join(below));
    }
    let below = cwd.strip_prefix(stage.join(stage::ROOT)).unwrap_or(cwd);
    root.cwd = Path::new(sandbox::WORK).join(below);
    root
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    aside(work).await.unwrap_or(Err(RunError::BrokenOff))
}

/// Stores outputs and log.
fn collect(
    cas: &Cas,
    layout: &Layout,
    declared: &[DeclaredOutput],
    log: &[Piece],
) -> Result<Ran, RunError> {
    let stage = Enclosure::open(layout.stage()).map_err(at(layout.stage()))?;
    let (mut outputs, mut also, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for output in declared {
        let path = named(&output.path)?;
        let Some(found) = stage::find(&stage, layout, path.as_str(), output)? else {
            continue;
        };
        let (tree, digest, size) = tree::store(cas, &stage, &found, path.as_path())?;
        also.extend(tree.blobs().into_iter().filter(|blob| seen.insert(*blob)));
        outputs.push((Output::new(&output.path, (digest, size)), tree));
    }
    let kept = match log.is_empty() {
        true => None,
        false => Some(cas.store("log", &log::encode(log))?),
    };
    Ok(Ran {
        outputs,
        also,
        log: kept,
        log_text: log::text(log),
        reported: Reported::default(),
        lost: Vec::new(),
    })
}
