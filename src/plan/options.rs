//! What the user chose for a whole plan, implied or written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::kinds::package::BuildFacts;
use crate::kinds::sign::SignWork;
use crate::release::Destination;
use crate::sbom::format::Format;

/// Settings for every package of a plan.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Images whose reference begins with a key are pulled from its value.
    pub registry_overrides: BTreeMap<String, String>,
    /// No SBOM is made.
    pub skip_sbom: bool,
    /// Packages have a page that shows their SBOMs.
    pub sbom_viewer: bool,
    /// Formats that packages have their SBOMs in, besides those of the pipeline.
    pub sbom_formats: BTreeSet<Format>,
    /// Largest size of one archive file, in bytes.
    pub split: Option<u64>,
    /// The folder that archives are written to.
    pub output: PathBuf,
    /// Facts for the build section of packages.
    pub build: BuildFacts,
    /// How packages of implied pipelines are signed; its packages are filled in.
    pub sign: Option<SignWork>,
    /// Where packages of implied pipelines are published, instead of an archive.
    pub publish: Option<Destination>,
    /// Whether such a tag is moved if it names another package.
    pub move_tag: bool,
    /// The architecture of packages and images that name none.
    pub architecture: Option<String>,
    /// The environment, for variables that are passed through.
    pub environment: BTreeMap<String, String>,
    /// Folders that tools are looked up in.
    pub path: Vec<PathBuf>,
}
