//! `jackal package create --skeleton`: writes a definition with its local files to an
//! OCI image layout, for others to import. `publish` makes the same skeleton from a
//! folder.
//!
//! Source: docs/spec/package.md, "Skeletons"; docs/spec/registry.md, "Layers",
//! "Index and tags".

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::build_error::BuildError;
use super::compose::{Ask, Chosen, Composer};
use super::find;
use super::options::{Place, RunOptions, SkeletonOptions};
use super::skeletons::Skeletons;
use crate::cas::{Cas, CasError};
use crate::ground::Failure;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::site::Site;
use crate::kinds::component::write::ComponentError;
use crate::kinds::package::assemble::{PackageError, package};
use crate::kinds::package::attached::{self, Attached};
use crate::kinds::package::skeleton::write_skeleton;
use crate::package::manifest::{self, ArtifactError};
use crate::package::{Dialect, SKELETON, Warning, unfilled};
use crate::plan::make_for_skeleton;
use crate::registry::{Registry, runtime};
use crate::release::{Artifact, StoredError};

/// A skeleton whose files are in the cache.
pub struct Skeleton {
    /// With its files.
    pub artifact: Artifact,
    pub tag: String,
    /// Warnings about the definition.
    pub warnings: Vec<Warning>,
}

/// Why no skeleton was made.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonMakeError {
    /// The definition cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its version, which is its tag, has a template without a value.
    #[error("the version of the skeleton has the template `{0}`, which has no value")]
    Version(String),
    /// It cannot become an artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The assembled files cannot become an artifact.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// Two components would have the same file.
    #[error("two components are named `{0}`")]
    Twice(String),
    /// A component's files cannot be packed.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The package cannot be assembled.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A part of it cannot be made.
    #[error("{}", .0.message)]
    Part(Failure),
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// Makes the skeleton of the package in `folder`, to be published under `tag`;
/// `None`: under its version and flavor.
///
/// # Errors
///
/// [`SkeletonMakeError`]
pub fn skeleton(
    place: &Place,
    options: &SkeletonOptions,
    (folder, tag): (&Path, Option<&str>),
    (cas, registry): (&Arc<Cas>, &Registry),
    ask: Ask<'_>,
) -> Result<Skeleton, SkeletonMakeError> {
    let path = find::definition(place, folder)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let (variant, pins) = (&options.variant, options.pins);
    let skeletons = Skeletons::new(cas, registry, pins);
    let mut composer = Composer::new(place, variant, skeletons, ask);
    let composed = composer.skeleton(&path, &Chosen::of(variant))?;
    let mut definition = composed.definition;
    let version = &definition.metadata.version;
    if let Some(template) = unfilled(version) {
        return Err(SkeletonMakeError::Version(template));
    }
    let tag = match tag {
        Some(tag) => tag.to_owned(),
        None => manifest::tag(version, &variant.flavor)?,
    };
    let folders = Folders {
        own: folder,
        imported: composed.imported,
        ..Folders::default()
    };
    let site = Site::new(
        Arc::clone(cas),
        place.connection.client().map_err(BuildError::from)?,
        &place.workspace(),
        RunOptions::default().site_options(place, pins),
    );
    let runtime = runtime::threads().map_err(SkeletonMakeError::Threads)?;
    let mut parts = Vec::new();
    let mut names = BTreeSet::new();
    for component in &mut definition.components {
        if !names.insert(component.name.clone()) {
            return Err(SkeletonMakeError::Twice(component.name.clone()));
        }
        let brought = runtime
            .block_on(make_for_skeleton(&site, &folders, component))
            .map_err(SkeletonMakeError::Part)?;
        let ingest = cas.ingest()?;
        let written = write_skeleton(&site, &folders, component, &brought, ingest)
            .map_err(SkeletonMakeError::Part)?;
        let Some(ingest) = written else {
            continue;
        };
        parts.push(ingest.output(Dialect::component_tar(&component.name))?);
    }
    let mut inputs = Inputs::new(cas);
    let documentation = attached::add((&definition, &[]), &site, &folders, &mut inputs)
        .and_then(|()| Attached::of(&definition, Vec::new()).make(cas, &inputs));
    parts.extend(documentation.map_err(SkeletonMakeError::Part)?);
    let made = (env!("CARGO_PKG_VERSION"), SKELETON);
    let files = package(
        cas,
        definition.without_logins(),
        parts,
        &options.facts,
        made,
    )?;
    let (artifact, _) = Artifact::stored(cas, &files, Some(SKELETON))?;
    Ok(Skeleton {
        artifact,
        tag,
        warnings: std::mem::take(&mut composer.warnings),
    })
}
