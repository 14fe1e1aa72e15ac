//! `jackal dev lint`: what is wrong with definitions, without building anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::build::BuildError;
use super::compose::{Disk, source};
use super::connection::Connection;
use super::skeletons::{Pins, Skeletons};
use crate::cas::Cas;
use crate::package::{Choice, Finding, lint as lint_definition};
use crate::plan;
use crate::plan::implied::host_architecture;

/// What to look at, and as what.
#[derive(Clone, Debug)]
pub struct LintOptions {
    /// The folder the user stands in: every path is relative to it.
    pub here: PathBuf,
    /// Folders with definitions.
    pub folders: Vec<PathBuf>,
    /// The cache folder, for skeleton packages that are imported.
    pub cache: PathBuf,
    /// Instead of the definitions' own architecture.
    pub architecture: Option<String>,
    /// Components of this flavor are looked at as well.
    pub flavor: String,
    /// Values of templates.
    pub set: BTreeMap<String, String>,
    /// Use no network.
    pub offline: bool,
    /// How registries are reached.
    pub connection: Connection,
}

/// Everything that was found in the definitions of all folders.
///
/// Writes nothing but what it brings into the cache.
///
/// # Errors
///
/// [`BuildError`]: a folder has no definition, or one cannot be read.
pub fn lint(options: &LintOptions) -> Result<Vec<Finding>, BuildError> {
    let registry = options.connection.client()?;
    let cas = Cas::open(&options.cache)?;
    let pins = match options.offline {
        true => Pins::Offline,
        false => Pins::Read,
    };
    let mut skeletons = Skeletons::new(&cas, &registry, pins);
    let metadata = BTreeMap::new();
    let choice = Choice {
        architecture: options.architecture.as_deref(),
        host: host_architecture(),
        flavor: &options.flavor,
        set: &options.set,
        metadata: &metadata,
    };
    let mut findings = Vec::new();
    for folder in &options.folders {
        let folder: PathBuf = options.here.join(folder).components().collect();
        let found = plan::definition_in(&folder);
        let (_, path) = found.ok_or_else(|| BuildError::NoPackage(folder.clone()))?;
        let mut disk = Disk {
            here: &options.here,
            folder: &folder,
            skeletons: &mut skeletons,
            unpacked: BTreeMap::new(),
            ask: &mut |_| None,
            answers: &mut BTreeMap::new(),
        };
        let source = source(&options.here, &path)?;
        findings.extend(lint_definition(source, &mut disk, &choice));
    }
    Ok(findings)
}
