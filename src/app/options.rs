//! What several operations take: where they work, which variant of a package is
//! meant, and what becomes of pins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ground::site::Wishes;
use crate::kinds::package::BuildFacts;
use crate::oci::host_architecture;
use crate::registry::Connection;

/// Marks the root of a workspace.
const WORKSPACE_FILE: &str = "jackal-workspace.yaml";

/// Where an operation works, and what it finds there.
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

/// Which variant of a package is meant.
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

/// What becomes of the pins in `jackal.lock`, and whether there is a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pins {
    /// Existing pins are used, and missing ones added.
    #[default]
    Add,
    /// Existing pins are used; a missing one is an error.
    Locked,
    /// The same, and no network is used.
    Offline,
    /// Every reference is resolved again.
    Update,
    /// Existing pins are used, and none is written.
    Read,
}

/// How a plan is carried out. No field changes the bytes of a package.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Runs every task, and replaces cached results.
    pub force: bool,
    /// Most tasks that run at the same time; 0: one for each processor.
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

/// How folders with a definition become skeletons.
#[derive(Clone, Debug)]
pub struct SkeletonOptions {
    /// Which variant of the definitions.
    pub variant: Variant,
    /// What becomes of pins.
    pub pins: Pins,
    /// For the build section of the packages.
    pub facts: BuildFacts,
}
