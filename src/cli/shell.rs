//! `jackal build --shell` and `jackal run`: connects the user's terminal with that of a
//! program in a task's place.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use super::command_error::CommandError;
use super::environment::runtime;
use super::exit::Exit;
use super::output::note;
use super::signal::{self, Signals};
use crate::app::{ShellPlace, Wanted};

/// How long to wait for what a shell printed last.
const DRAIN: Duration = Duration::from_secs(1);

/// What ends the input of a terminal: Ctrl-D.
const END_OF_INPUT: u8 = 4;

/// Bytes copied at a time: 4 KiB, what a terminal holds.
const BUFFER_BYTES: usize = 4 << 10;

/// Whether the user's input and output are a terminal.
pub(super) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Opens a shell, and waits for its end.
pub(super) fn open(place: &ShellPlace) -> Result<(), CommandError> {
    connect(place, &Wanted::Shell).map(drop)
}

/// Runs what is wanted, and returns its exit code.
pub(super) fn connect(place: &ShellPlace, wanted: &Wanted) -> Result<i32, CommandError> {
    let runtime = runtime()?;
    let mut opened = runtime.block_on(place.open(wanted))?;
    if matches!(wanted, Wanted::Shell) {
        note(&format!("the task runs: {}", opened.command));
        note("changes in this shell are not kept; leave it with `exit`");
    }
    let wrong = |error| CommandError::io("terminal", error);
    let copy = || opened.session.terminal.try_clone().map_err(wrong);
    let (typed, printed, sized) = (copy()?, copy()?, copy()?);
    let raw = match has_terminal() {
        true => {
            fit(&sized);
            Some(Raw::new().map_err(wrong)?)
        }
        false => {
            let plain = plain(&sized).map_err(wrong);
            plain?;
            None
        }
    };
    let saved = raw.as_ref().map(|raw| raw.saved.clone());
    let mut signals = Signals::handle(&runtime);
    runtime.spawn(async move {
        signals.next().await;
        if let Some(saved) = &saved {
            restore(saved);
        }
        std::process::exit(signal::exit() as i32);
    });
    runtime.spawn(async move {
        let changes = tokio::signal::unix::SignalKind::window_change();
        let Ok(mut changes) = tokio::signal::unix::signal(changes) else {
            return;
        };
        while changes.recv().await.is_some() {
            fit(&sized);
        }
    });
    // It waits for a key when the program has ended, and ends with this program.
    let ends = raw.is_none();
    std::thread::spawn(move || {
        let mut typed = typed;
        pass(io::stdin(), &mut typed);
        if ends {
            // The first one ends a line without a line end, the second one the input.
            let _ = typed.write_all(&[END_OF_INPUT; 2]);
        }
    });
    let (sender, drained) = mpsc::channel();
    std::thread::spawn(move || {
        pass(printed, io::stdout());
        // The receiver may have stopped waiting.
        let _ = sender.send(());
    });
    let ended = opened.session.wait();
    let _ = drained.recv_timeout(DRAIN);
    drop(raw);
    runtime.shutdown_background();
    ended.map_err(|error| CommandError::new(Exit::Environment, error))
}

/// Makes a terminal pass on what is written and printed as it is, for programs at the
/// user's end instead of a terminal.
fn plain(terminal: &File) -> io::Result<()> {
    let mut modes = tcgetattr(terminal)?;
    modes.local_modes -= LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
    modes.output_modes -= OutputModes::OPOST;
    Ok(tcsetattr(terminal, OptionalActions::Now, &modes)?)
}

/// Copies until one of them ends: a terminal fails when nothing has it open any more.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let written = to.write_all(&buffer[..count]);
        if written.and_then(|()| to.flush()).is_err() {
            break;
        }
    }
}

/// Gives the shell's terminal the size of the user's.
fn fit(terminal: &File) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        // A wrong size is only ugly.
        let _ = tcsetwinsize(terminal, size);
    }
}

/// The user's terminal while it passes every key on; restored when dropped.
struct Raw {
    saved: Termios,
}

impl Raw {
    fn new() -> io::Result<Self> {
        let saved = tcgetattr(io::stdin())?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self { saved })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore(&self.saved);
    }
}

fn restore(saved: &Termios) {
    // Without a terminal, nothing is to be restored.
    let _ = tcsetattr(io::stdin(), OptionalActions::Drain, saved);
}
