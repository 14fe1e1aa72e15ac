//! What to build: the options of `jackal build`, `why`, `graph` and `update`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::options::{Pins, Place, RunOptions, Variant};
use crate::kinds::package::BuildFacts;
use crate::package::Base;
use crate::release::Destination;
use crate::signers::{Seal, Signer};

/// What to plan.
#[derive(Clone, Debug)]
pub enum Target {
    /// Every package of the workspace, through implied pipelines.
    Workspace,
    /// The packages in and below these folders, and of these files.
    Paths(Vec<PathBuf>),
    /// The package in this folder, not in subfolders, or of this file.
    Package(PathBuf),
    /// A pipeline file.
    Pipeline {
        /// The file.
        file: PathBuf,
        /// Values of its parameters.
        params: BTreeMap<String, String>,
    },
}

/// What to build, and how.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Where.
    pub place: Place,
    /// Which variant of the packages.
    pub variant: Variant,
    /// How to treat pins.
    pub pins: Pins,
    /// What the plan is made of.
    pub target: Target,
    /// Only these tasks and their dependencies; empty: all.
    pub tasks: Vec<String>,
    /// Further content of the packages.
    pub content: ContentOptions,
    /// Where the packages go.
    pub output: OutputOptions,
    /// Published packages whose results are used, as `oci://` references.
    pub cache_from: Vec<String>,
    /// Maximum size of the cache after the run, in bytes; `None`: the limit in the
    /// pipeline file, else the default.
    pub cache_size: Option<u64>,
    /// How to run the plan.
    pub run: RunOptions,
}

impl BuildOptions {
    /// Options that build everything of `target`, with defaults for the rest.
    #[must_use]
    pub fn new(place: Place, target: Target) -> Self {
        Self {
            place,
            variant: Variant::default(),
            pins: Pins::default(),
            target,
            tasks: Vec::new(),
            content: ContentOptions::default(),
            output: OutputOptions::default(),
            cache_from: Vec::new(),
            cache_size: None,
            run: RunOptions::default(),
        }
    }
}

/// Options that change the content of a package.
#[derive(Clone, Debug, Default)]
pub struct ContentOptions {
    /// Images whose reference begins with a key are pulled from its value instead.
    pub registry_overrides: BTreeMap<String, String>,
    /// The earlier package whose images and repositories are left out.
    pub differential: Option<Base>,
    /// Whether to leave out SBOMs.
    pub skip_sbom: bool,
    /// For the build section of packages.
    pub facts: BuildFacts,
}

/// Where packages go, and who signs them.
#[derive(Clone, Debug, Default)]
pub struct OutputOptions {
    /// The folder for archives.
    pub folder: PathBuf,
    /// Whether the user named the folder. Else the checkout must not lead it out of the
    /// workspace.
    pub named: bool,
    /// Largest size of one archive file, in bytes.
    pub split: Option<u64>,
    /// Where packages are published to, instead of archives.
    pub publish: Option<Destination>,
    /// How packages are signed; tasks of a pipeline have settings of their own.
    pub sign: Option<SignOptions>,
}

/// How packages are signed.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// Who signs.
    pub signer: Arc<Signer>,
    /// Where the signature is written in the package; `None`: only beside it.
    pub seal: Option<Seal>,
    /// Whether to sign provenance and SBOMs as well.
    pub attest: bool,
}
