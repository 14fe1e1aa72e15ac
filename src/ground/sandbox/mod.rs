//! The sandbox of a command: what enforces it, and the root that the command sees.
//!
//! With namespaces, a command has a root of its own, the same on every machine: its
//! workspace at [`WORK`], the system read-only, and private processes, devices,
//! temporary files and network. This side plans that root; `enter` and `init` make it,
//! as `internal enter` and `internal init`. See adr/0044, "Commands run in namespaces".

mod enter;
mod filter;
mod init;
mod link;
mod overlay;
mod root;

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub use enter::enter;
pub use init::init;
pub(crate) use link::{MAX_REPORT_BYTES, Report, STOP};
pub(crate) use root::{HOME, Root, TEMPORARY, WORK};

use crate::ground::confine;

/// What enforces that a command uses what it declares, from the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A root, processes and a network of its own.
    Namespaces,
    /// Rules for files, at the paths of this machine.
    Landlock,
    /// Nothing.
    Free,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Landlock => "landlock",
            Self::Free => "none",
        })
    }
}

/// The strongest level that this machine has, for commands that `program`, this
/// program, starts; found out once, by a trial.
#[must_use]
pub fn best(program: Option<&Path>) -> Level {
    static ANSWER: OnceLock<Level> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if program.is_some_and(namespaces_work) {
            Level::Namespaces
        } else if confine::supported() {
            Level::Landlock
        } else {
            Level::Free
        }
    })
}

/// Whether a root can be made: what containers and security modules refuse differs,
/// and no setting tells all of it.
fn namespaces_work(program: &Path) -> bool {
    let status = Command::new(program)
        .args(["internal", "enter", "--trial"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
