//! Options of several operations: where they work, which variant of a package they
//! select, and how they treat pins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cas::CacheFolder;
use crate::ground::site::SiteOptions;
use crate::ground::source::workspace_root;
use crate::kinds::package::BuildFacts;
use crate::oci::{Reference, host_architecture};
use crate::registry::Connection;

/// The environment of an operation.
#[derive(Clone, Debug)]
pub struct Place {
    /// The current folder of the user: relative paths start here.
    pub here: PathBuf,
    pub cache: CacheFolder,
    /// How registries are reached.
    pub connection: Connection,
    /// The path of this program, which it starts for commands.
    pub program: Option<PathBuf>,
    /// The user's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Maximum size of a download, and of what an archive unpacks to; `None`: the
    /// defaults.
    pub content_limit: Option<u64>,
}

impl Place {
    /// The root of the workspace: the nearest folder above with
    /// a workspace file, else the Git root, else `here`.
    pub(super) fn workspace(&self) -> PathBuf {
        self.workspace_of(&self.here)
    }

    /// The same for what is in `folder`, which is absolute.
    pub(super) fn workspace_of(&self, folder: &Path) -> PathBuf {
        match workspace_root(folder) {
            Some(root) => root.to_owned(),
            None if folder.starts_with(&self.here) => self.here.clone(),
            None => folder.to_owned(),
        }
    }

    /// Whether `root` is the root of a workspace or of a Git repository.
    pub(super) fn is_marked(&self, root: &Path) -> bool {
        workspace_root(root) == Some(root)
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
    /// The names in `set` that the user gave to this command. A configuration file is for
    /// many packages, and may have more than one of them uses.
    pub given: BTreeSet<String>,
    /// Skeletons whose commands may run when the package is built.
    pub trusted_imports: TrustedImports,
}

/// Skeletons whose commands the user allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustedImports {
    #[default]
    Nothing,
    Everything,
    /// Those whose URL is one of these, or continues one at `/`, `:` or `@`.
    Below(Vec<String>),
}

impl TrustedImports {
    /// Whether commands of the skeleton at `url` may run.
    pub(super) fn has(&self, url: &str) -> bool {
        let continues = |start: &String| {
            let rest = url.strip_prefix(start.as_str());
            // Directly after a host, a colon begins a port: another registry.
            let in_path = Reference::url_path(start).is_none_or(|rest| rest.contains('/'));
            rest.is_some_and(|rest| {
                let ends = rest.is_empty() || rest.starts_with('/') || start.ends_with('/');
                ends || in_path && rest.starts_with([':', '@'])
            })
        };
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Below(starts) => starts.iter().any(continues),
        }
    }
}

impl Variant {
    /// What distinguishes it from others of the same workspace.
    pub(super) fn name(&self) -> String {
        format!("{}\n{}", self.architecture_or_host(), self.flavor)
    }

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
    /// Removes what Git does not track from output folders.
    pub clean_outputs: bool,
    /// Starts incremental tasks from nothing.
    pub clean: bool,
    /// Keeps the folders of commands that fail.
    pub keep_stage: bool,
    /// Runs only what is before this task, for a shell in its place.
    pub shell: Option<String>,
}

impl RunOptions {
    pub(super) fn site_options(&self, place: &Place, pins: Pins) -> SiteOptions {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        SiteOptions {
            force: self.force,
            locked: pins == Pins::Locked,
            offline: pins == Pins::Offline,
            jobs: match self.jobs {
                0 => processors(),
                jobs => jobs,
            },
            replay: self.replay,
            content_limit: place.content_limit,
            environment: place.environment.clone(),
            program: place.program.clone(),
            clean_outputs: self.clean_outputs,
            clean: self.clean,
            keep_stage: self.keep_stage,
            ..SiteOptions::default()
        }
    }
}

/// How to make skeletons from folders with a definition.
#[derive(Clone, Debug)]
pub struct SkeletonOptions {
    /// Which variant of the definitions.
    pub variant: Variant,
    /// How to treat pins.
    pub pins: Pins,
    /// For the build section of the packages.
    pub facts: BuildFacts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_trusted_by_whole_parts_of_a_url() {
        let below = |start: &str| TrustedImports::Below(vec![start.to_owned()]);
        for (start, url) in [
            ("oci://h/team", "oci://h/team:1"),
            ("oci://h/team", "oci://h/team/app:1"),
            ("oci://h/team/", "oci://h/team/app:1"),
            ("oci://h/team:1", "oci://h/team:1"),
            ("oci://h/team", "oci://h/team@sha256:0"),
            ("oci://h", "oci://h/team:1"),
            ("oci://h:1", "oci://h:1/team:1"),
            ("oci:lay", "oci:lay:1"),
        ] {
            assert!(below(start).has(url), "{start} {url}");
        }
        for (start, url) in [
            ("oci://h/team", "oci://h/teammate:1"),
            ("oci://h/team:1", "oci://h/team:12"),
            ("oci://h", "oci://h:5000/team:1"),
            ("oci://h", "oci://h.evil/team:1"),
            ("oci://h/team", "oci:h/team:1"),
            ("oci:lay", "oci:lays:1"),
        ] {
            assert!(!below(start).has(url), "{start} {url}");
        }
        assert!(!TrustedImports::default().has("oci://h/x:1"));
        assert!(TrustedImports::Everything.has("oci://h/x:1"));
    }
}
