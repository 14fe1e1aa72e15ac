//! Options of several operations: where they work, which variant of a package they
//! select, and how they treat pins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ground::site::Wishes;
use crate::kinds::package::BuildFacts;
use crate::oci::host_architecture;
use crate::registry::Connection;

/// Marks the root of a workspace.
const WORKSPACE_FILE: &str = "jackal-workspace.yaml";

/// The environment of an operation.
#[derive(Clone, Debug)]
pub struct Place {
    /// The current folder of the user: relative paths start here.
    pub here: PathBuf,
    /// The cache folder.
    pub cache: PathBuf,
    /// How registries are reached.
    pub connection: Connection,
    /// The user's environment variables.
    pub environment: BTreeMap<String, String>,
}

impl Place {
    /// The root of the workspace: the nearest folder above with
    /// [`WORKSPACE_FILE`], else the Git root, else `here`.
    pub(super) fn workspace(&self) -> PathBuf {
        let marked = |name: &str| {
            let mut folders = self.here.ancestors();
            folders.find(|folder| folder.join(name).exists())
        };
        marked(WORKSPACE_FILE)
            .or_else(|| marked(".git"))
            .unwrap_or(&self.here)
            .to_owned()
    }
}

/// Which variant of a package to use.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Overrides the architecture of each definition.
    pub architecture: Option<String>,
    /// Includes components of this flavor; empty: only those without a flavor.
    pub flavor: String,
    /// Values of package templates, by upper-case name.
    pub set: BTreeMap<String, String>,
}

impl Variant {
    pub(super) fn architecture_or_host(&self) -> String {
        let architecture = self.architecture.as_deref();
        architecture.unwrap_or(host_architecture()).to_owned()
    }
}

/// How to treat the pins in `jackal.lock`, and whether to use the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pins {
    /// Uses existing pins and adds missing ones.
    #[default]
    Add,
    /// Uses existing pins; a missing one is an error.
    Locked,
    /// The same, without the network.
    Offline,
    /// Resolves every reference again.
    Update,
    /// Uses existing pins and writes none.
    Read,
}

/// How to run a plan. No field changes the bytes of a package.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Runs every task, and replaces cached results.
    pub force: bool,
    /// Maximum number of parallel tasks; 0: one for each processor.
    pub jobs: usize,
    /// Reports the logs of cached results as well.
    pub replay: bool,
    /// Continues after a failure.
    pub keep_going: bool,
    /// The path of this program, for commands that call it.
    pub program: Option<PathBuf>,
}

impl RunOptions {
    pub(super) fn wishes(&self, place: &Place, pins: Pins) -> Wishes {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        Wishes {
            force: self.force,
            locked: pins == Pins::Locked,
            offline: pins == Pins::Offline,
            jobs: match self.jobs {
                0 => processors(),
                jobs => jobs,
            },
            replay: self.replay,
            environment: place.environment.clone(),
            program: self.program.clone(),
        }
    }
}

/// How to make skeletons from folders with a definition.
#[derive(Clone, Debug)]
pub struct SkeletonOptions {
    /// Which variant of the definitions.
    pub variant: Variant,
    /// What becomes of pins.
    pub pins: Pins,
    /// For the build section of the packages.
    pub facts: BuildFacts,
}
