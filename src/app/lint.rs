//! `jackal dev lint`: checks definitions without building them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::compose::{Disk, source};
use super::find;
use super::options::{Pins, Place, Variant};
use super::skeletons::Skeletons;
use crate::cas::Cas;
use crate::ground::folders::Folders;
use crate::ground::source::OwnFiles;
use crate::oci::host_architecture;
use crate::package::{Choice, Finding, lint as lint_definition};

/// Which definitions to check.
#[derive(Clone, Debug)]
pub struct LintOptions {
    pub place: Place,
    /// Checks only components of this variant.
    pub variant: Variant,
    /// Definitions, by folder or file.
    pub folders: Vec<PathBuf>,
    /// Uses no network.
    pub offline: bool,
}

/// All findings in the definitions of all folders.
///
/// Writes only to the cache.
///
/// # Errors
///
/// [`BuildError`]: a folder has no definition, or one cannot be read.
pub fn lint(options: &LintOptions) -> Result<Vec<Finding>, BuildError> {
    let (place, variant) = (&options.place, &options.variant);
    let registry = place.connection.client()?;
    let cas = Arc::new(Cas::open(&place.cache)?);
    let pins = match options.offline {
        true => Pins::Offline,
        false => Pins::Read,
    };
    let mut skeletons = Skeletons::new(&cas, &registry, pins);
    let metadata = BTreeMap::new();
    let choice = Choice {
        architecture: variant.architecture.as_deref(),
        host: host_architecture(),
        flavor: &variant.flavor,
        set: &variant.set,
        metadata: &metadata,
    };
    let mut findings = Vec::new();
    for folder in &options.folders {
        let path = find::definition(place, folder)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut disk = Disk {
            here: &place.here,
            folders: Folders::from(folder.to_owned()),
            own: OwnFiles {
                cache: place.cache.path.clone(),
                ..OwnFiles::default()
            },
            skeletons: &mut skeletons,
            trial: Some(Arc::clone(&cas)),
            ask: &mut |_| None,
            answers: &mut BTreeMap::new(),
            trusted: &variant.trusted_imports,
        };
        let source = source(&place.here, &path)?;
        findings.extend(lint_definition(source, &mut disk, &choice));
    }
    Ok(findings)
}
