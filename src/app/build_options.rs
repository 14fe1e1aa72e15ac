//! What to build: the options of `jackal build`, `why`, `graph` and `update`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::options::{Pins, Place, RunOptions, Variant};
use crate::disk::look;
use crate::ground::remote_cache::RemoteOptions;
use crate::kinds::package::BuildFacts;
use crate::package::Base;
use crate::release::Destination;
use crate::sbom::format::Format;
use crate::signers::{Seal, Signer};

/// What to plan.
#[derive(Clone, Debug)]
pub enum Target {
    /// What words name: folders, files and tasks; without any, what is in the current
    /// folder and below it.
    Words {
        words: Vec<String>,
        params: BTreeMap<String, String>,
    },
    /// The package in this folder, not in subfolders, or of this file.
    Package(PathBuf),
    Pipeline {
        file: PathBuf,
        /// Values of its parameters.
        params: BTreeMap<String, String>,
    },
}

impl Target {
    /// The workspace of what it names first; of the current folder, if it names no place.
    pub(super) fn workspace(&self, place: &Place) -> PathBuf {
        let first = match self {
            Self::Package(path) | Self::Pipeline { file: path, .. } => Some(path.clone()),
            Self::Words { words, .. } => {
                let words = words.iter().map(|word| word.trim_start_matches(['!', '^']));
                let mut paths = words.map(|word| place.here.join(word));
                paths.find(|path| look::exists(path))
            }
        };
        let first = first.map(|path| place.here.join(path));
        let folder = first.map(|path| match look::is_dir(&path) {
            true => path,
            false => path.parent().unwrap_or(&path).to_owned(),
        });
        let folder = folder.and_then(|folder| look::canonicalize(&folder).ok());
        place.workspace_of(folder.as_deref().unwrap_or(&place.here))
    }

    #[must_use]
    pub fn params(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Words { params, .. } | Self::Pipeline { params, .. } => Some(params),
            Self::Package(_) => None,
        }
    }
}

/// What to build, and how.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    pub place: Place,
    /// Which variant of the packages.
    pub variant: Variant,
    /// How to treat pins.
    pub pins: Pins,
    /// What the plan is made of.
    pub target: Target,
    /// Whether tasks that publish need not be named: nothing runs.
    pub unnamed: bool,
    /// Only these tasks and their dependencies; empty: all.
    pub tasks: Vec<String>,
    /// Further content of the packages.
    pub content: ContentOptions,
    /// Where the packages go.
    pub output: OutputOptions,
    /// Published packages whose results are used, as `oci://` references.
    pub cache_from: Vec<String>,
    /// The remote cache to use.
    pub remote: Option<RemoteOptions>,
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
            unnamed: false,
            tasks: Vec::new(),
            content: ContentOptions::default(),
            output: OutputOptions::default(),
            cache_from: Vec::new(),
            remote: None,
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
    /// Whether to pack a page that shows the SBOMs.
    pub sbom_viewer: bool,
    /// Formats that packages have their SBOMs in, besides those of the pipeline.
    pub sbom_formats: BTreeSet<Format>,
    /// For the build section of packages.
    pub facts: BuildFacts,
}

/// The folder for archives, unless the user or the workspace names another.
pub const ARCHIVES: &str = "dist";

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
    /// Whether a tag is moved if it names another package.
    pub move_tag: bool,
    /// How packages are signed; tasks of a pipeline have settings of their own.
    pub sign: Option<SignOptions>,
}

/// How packages are signed.
#[derive(Clone, Debug)]
pub struct SignOptions {
    pub signer: Arc<Signer>,
    /// Where the signature is written in the package; `None`: only beside it.
    pub seal: Option<Seal>,
    /// Whether to sign provenance and SBOMs as well.
    pub attest: bool,
}
