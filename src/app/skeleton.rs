//! `jackal package create --skeleton`: a definition with its local files, for
//! others to import, as an OCI image layout.
//!
//! Source: package.md 2.9, 4.2 to 4.4.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::{BuildError, BuildOptions, composer};
use super::compose::{Ask, Chosen};
use super::find::lone;
use crate::cas::{Cas, CasError};
use crate::content;
use crate::exec::executors::{self, BuildData, ComponentError, PackageError, Part};
use crate::exec::folders::Folders;
use crate::exec::plan;
use crate::layout::{ImageLayout, LayoutError, is_tag};
use crate::oci::{Descriptor, Digest, Index, Platform, media_type};
use crate::package::{SKELETON, Warning, manifest};

/// A skeleton that was made.
#[derive(Debug)]
pub struct MadeSkeleton {
    /// Its tag in the layout.
    pub tag: String,
    /// Of its manifest.
    pub digest: Digest,
    /// What the user should know of the definition.
    pub warnings: Vec<Warning>,
}

/// Why no skeleton was made.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonMakeError {
    /// The definition cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is nothing to call it by.
    #[error("version is required for publishing: add `metadata.version`")]
    NoVersion,
    /// What would be its tag is none.
    #[error("`{0}` cannot be a tag: use letters, digits, `_`, `.` and `-` in version and flavor")]
    Tag(String),
    /// Two components would have one file.
    #[error("two components are called `{0}`: choose one with --architecture or --flavor")]
    Twice(String),
    /// A component's files cannot be taken.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The package cannot be put together.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The cache refused.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The layout refused.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A blob did not get into the layout.
    #[error("`{path}`: {source}")]
    Copy {
        /// The layout.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Makes the skeleton of the package in `folder`, and tags it in `layout`.
///
/// # Errors
///
/// [`SkeletonMakeError`]; the tag is where it was then.
pub fn create_skeleton(
    options: &BuildOptions,
    folder: &Path,
    layout: &Path,
    ask: Ask<'_>,
) -> Result<MadeSkeleton, SkeletonMakeError> {
    let registry = options.connection.client().map_err(BuildError::from)?;
    let cas = Arc::new(Cas::open(&options.cache).map_err(BuildError::from)?);
    let folder = lone(options, folder)?;
    let Some((dialect, path)) = plan::definition_in(&folder) else {
        return Err(BuildError::NoPackage(folder).into());
    };
    let mut composer = composer(options, ask, &cas, &registry);
    let chosen = Chosen {
        architecture: options.architecture.clone(),
        ..Chosen::default()
    };
    let composed = composer.skeleton(&path, &chosen)?;
    let mut definition = composed.definition;
    let tag = tag_of(&definition.metadata.version, &options.flavor)?;
    let folders = Folders {
        own: folder,
        imported: composed.imported,
    };
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut names = std::collections::BTreeSet::new();
    for component in &mut definition.components {
        if !names.insert(component.name.clone()) {
            return Err(SkeletonMakeError::Twice(component.name.clone()));
        }
        let ingest = cas.ingest()?;
        let Some(ingest) = executors::write_skeleton(&folders, component, ingest)? else {
            continue;
        };
        let (digest, size) = ingest.commit()?;
        let path = format!("components/{}.tar", component.name);
        parts.insert(path.clone(), Part { path, digest, size });
    }
    let build = BuildData {
        timestamp: options.facts.timestamp,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: SKELETON.to_owned(),
        terminal: options.facts.terminal.clone(),
        user: options.facts.user.clone(),
    };
    let metadata = definition.metadata.clone();
    let members = executors::package(&cas, definition, parts.into_values().collect(), &build)?;
    let created = executors::rfc3339(build.timestamp);
    let created = created.ok_or(PackageError::Time(build.timestamp))?;
    let annotations = manifest::annotations(&metadata, &created);

    let layout = options.here.join(layout);
    let out = ImageLayout::open(&layout)?;
    let json = |error: serde_json::Error| SkeletonMakeError::Copy {
        path: layout.clone(),
        source: error.into(),
    };
    let mut layers = Vec::new();
    for member in &members {
        let file = Descriptor::blob(member.digest, member.size);
        let layer = manifest::layer(dialect, &member.name, file);
        content::copy(&*cas, &out, &layer).map_err(|source| SkeletonMakeError::Copy {
            path: layout.clone(),
            source,
        })?;
        layers.push(layer);
    }
    let config = manifest::config(SKELETON, &annotations).map_err(json)?;
    let config = out.document(dialect.config_media_type(), &config)?;
    let bytes = manifest::manifest(config, layers, annotations).map_err(json)?;
    let made = out.document(media_type::MANIFEST, &bytes)?;
    let digest = made.digest;
    let index = out.index_at(&tag)?;
    let index = serde_json::to_vec(&with(index, made)).map_err(json)?;
    let index = out.document(media_type::INDEX, &index)?;
    out.tag(&tag, index)?;
    Ok(MadeSkeleton {
        tag,
        digest,
        warnings: std::mem::take(&mut composer.warnings),
    })
}

/// `index`, with `made` as its skeleton; what is there for others stays.
fn with(index: Option<Index>, mut made: Descriptor) -> Index {
    let platform = Platform {
        architecture: SKELETON.to_owned(),
        os: manifest::MULTI.to_owned(),
        variant: None,
    };
    made.platform = Some(platform);
    let mut index = index.unwrap_or_else(|| Index {
        schema_version: 2,
        media_type: Some(media_type::INDEX.to_owned()),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    });
    let same = index
        .manifests
        .iter_mut()
        .find(|found| found.platform == made.platform);
    match same {
        Some(old) => *old = made,
        None => index.manifests.push(made),
    }
    index
}

/// The tag of a published package (package.md 4.1).
fn tag_of(version: &str, flavor: &str) -> Result<String, SkeletonMakeError> {
    if version.is_empty() {
        return Err(SkeletonMakeError::NoVersion);
    }
    let tag = match flavor {
        "" => version.to_owned(),
        flavor => format!("{version}-{flavor}"),
    };
    if is_tag(&tag) {
        Ok(tag)
    } else {
        Err(SkeletonMakeError::Tag(tag))
    }
}
