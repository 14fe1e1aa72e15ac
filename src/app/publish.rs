//! `jackal package publish`: publishes packages of any form to registries and image
//! layouts, as one release.
//!
//! A local package is judged by its documents and the list of its files. Each file is
//! verified against that list while it is uploaded, before anything refers to it. A
//! package in a registry is copied unchanged, including its manifest.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::attest;
use super::compose::Ask;
use super::package_read::package_definition;
use super::publish_options::{PublishOptions, Ready};
use super::publish_seal::Sealing;
use super::pull::left_out;
use super::read_error::PackageReadError;
use super::skeleton::{SkeletonMakeError, skeleton};
use crate::cas::{Cas, CasError};
use crate::ground::marks::Mark;
use crate::kinds::package;
use crate::oci::{Digest, ReferenceError};
use crate::package::manifest::{self, ArtifactError};
use crate::package::{Dialect, Warning};
use crate::plan;
use crate::registry::{Connection, ConnectionError, Registry};
use crate::release::{
    self, Artifact, Begun, Destination, DestinationError, Documents, DocumentsError, Item, Journal,
    JournalError, ReleaseError, Released, Rules, Signed, Step, Vouching,
};
use crate::signers::Signer;
use crate::source::{
    self, Copyable, OpenError, Opened, PackageSourceError, ReadOptions, RemoteError,
};
use crate::text::with_causes;
use crate::verify::{Attached, Policy, Scope, Signature};

/// Why nothing, or not all, was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Destination(#[from] DestinationError),
    #[error("`{destination}`")]
    Name {
        destination: String,
        source: ReferenceError,
    },
    /// A source cannot be read or must not be trusted.
    #[error("{path}")]
    Read {
        path: String,
        source: Box<PackageReadError>,
    },
    /// A package in a registry cannot be fetched.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A manifest that cannot be copied.
    #[error("{0}: cannot read its manifest")]
    Manifest(String, #[source] serde_json::Error),
    /// The package cannot become an artifact.
    #[error("{path}")]
    Artifact { path: String, source: ArtifactError },
    /// The package is not made from what its key names alone.
    #[error("{path}: the package is {}, which the pipeline that made it does not allow to be published", marked(.mark))]
    Marked {
        path: String,
        /// `incremental` or `unpinned`.
        mark: &'static str,
        /// The key of the pipeline that allows it.
        allowed_by: &'static str,
    },
    /// Its SBOMs cannot be attached.
    #[error("{path}")]
    Documents {
        path: String,
        source: DocumentsError,
    },
    #[error("{path}: cannot sign, so nothing was published: {what}")]
    Sign { path: String, what: String },
    /// A skeleton cannot be made from a folder.
    #[error(transparent)]
    Skeleton(Box<SkeletonMakeError>),
    /// The settings for registries are invalid.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The release was not completed.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The sources differ from those the release started with.
    #[error("the packages differ from those that release `{0}` started with")]
    Changed(String),
}

/// A finished publication.
#[derive(Debug)]
pub struct Published {
    /// The artifacts, in the order of sources, then destinations.
    pub items: Vec<Released>,
    /// Warnings about definitions and sources.
    pub notes: Vec<String>,
}

/// Sources that were opened and judged.
pub struct Publication {
    options: PublishOptions,
    registry: Arc<Registry>,
    ready: Vec<Ready>,
    notes: Vec<String>,
    cas: Arc<Cas>,
    /// Whether only this user can write to the cache.
    own_cache: bool,
}

/// Opens packages and judges them, and makes skeletons from folders with a definition;
/// `ask` returns values for unset templates.
///
/// # Errors
///
/// [`PublishError`]; nothing has been uploaded then.
pub fn publication(options: PublishOptions, ask: Ask<'_>) -> Result<Publication, PublishError> {
    for destination in &options.destinations {
        Destination::parse(destination, &options.place.here)?;
    }
    let registry = Arc::new(options.place.connection.client()?);
    let cas = Arc::new(Cas::open(&options.place.cache)?);
    let mut notes = Vec::new();
    let mut ready = Vec::new();
    // Most of a release in which nothing changed is spent here.
    let opened: Vec<_> = (options.sources.par_iter())
        .map(|source| open_package(source, &options, &registry, &cas))
        .collect();
    for (source, opened) in options.sources.iter().zip(opened) {
        let Some(opened) = opened else {
            let made = skeleton(
                &options.place,
                &options.skeletons,
                (Path::new(source), options.tag.as_deref()),
                (&cas, &registry),
                ask,
            );
            let made = made.map_err(|error| PublishError::Skeleton(Box::new(error)))?;
            notes.extend(made.warnings.iter().map(Warning::to_string));
            ready.push(Ready {
                name: made.artifact.name.clone(),
                artifact: Arc::new(made.artifact),
                tag: made.tag,
                signature: Signature::Absent,
                bundles: Vec::new(),
            });
            continue;
        };
        let (opened, found) = opened?;
        notes.extend(found.into_iter().map(|note| format!("{source}: {note}")));
        notes.extend(unchecked(source, &opened.signature));
        ready.push(opened);
    }
    Ok(Publication {
        own_cache: !cas.is_read_only(),
        cas,
        options,
        registry,
        ready,
        notes,
    })
}

/// Opens the package `source`; `None`: it is a folder to make a skeleton from.
fn open_package(
    source: &str,
    options: &PublishOptions,
    registry: &Arc<Registry>,
    cas: &Arc<Cas>,
) -> Option<Result<(Ready, Vec<String>), PublishError>> {
    if source::is_path(source) {
        let path = options.place.here.join(source);
        if plan::definition_in(&path).is_some() && !path.join(Dialect::CHECKSUMS).is_file() {
            return None;
        }
        if let Err(error) = unmarked(source, &path, cas) {
            return Some(Err(error));
        }
    }
    Some(open(source, options, registry, cas))
}

/// What a mark says.
fn marked(mark: &str) -> &'static str {
    match Mark::named(mark) {
        Some(Mark::Incremental) => "made from what a task kept of an earlier run",
        Some(Mark::Unpinned) | None => "made from what a task got from the network",
    }
}

/// Refuses an archive that was written on this machine and is marked.
fn unmarked(named: &str, path: &Path, cas: &Cas) -> Result<(), PublishError> {
    match package::marked::marks_of(cas, path).first() {
        None => Ok(()),
        Some(mark) => Err(PublishError::Marked {
            path: named.to_owned(),
            mark: mark.name(),
            allowed_by: mark.allowed_by(),
        }),
    }
}

fn unchecked(source: &str, signature: &Signature) -> Option<String> {
    match signature {
        Signature::NotChecked => Some(format!(
            "{source}: the package is signed, but its signature was NOT verified"
        )),
        Signature::Checked(_) | Signature::Absent | Signature::Unsearched => None,
    }
}

/// Opens a package and judges it, reading no more of it than necessary; also returns
/// what the user should know about it.
fn open(
    named: &str,
    options: &PublishOptions,
    registry: &Arc<Registry>,
    cas: &Arc<Cas>,
) -> Result<(Ready, Vec<String>), PublishError> {
    let wrong = |error: PackageReadError| PublishError::Read {
        path: named.to_owned(),
        source: Box::new(error),
    };
    let read = ReadOptions {
        here: options.place.here.clone(),
        connection: options.place.connection.clone(),
        architecture: options.architecture.clone(),
        cache: Some(options.place.cache.clone()),
        concurrency: options.concurrency,
        policy: Arc::clone(&options.policy),
        ..ReadOptions::new(Connection::default(), Policy::clone(&options.policy))
    };
    let opened = Opened::with_client(named, &read, Some(registry));
    let opened = opened.map_err(|error| match error {
        OpenError::Source(PackageSourceError::Remote(error)) => PublishError::Remote(error),
        OpenError::Name { text, source } => PublishError::Name {
            destination: text,
            source,
        },
        error => wrong(error.into()),
    })?;
    // They are published with the package even if the policy does not need them.
    let bundles = opened.bundles().map_err(|error| match error {
        PackageSourceError::Remote(error) => PublishError::Remote(error),
        error => wrong(error.into()),
    })?;
    let Attached { found, unread } = bundles;
    let (bundles, unread) = (found.clone(), *unread);
    let copyable = opened.package.copyable(cas);
    let (evidence, Copyable { content, artifact }) =
        copyable.map_err(|error| wrong(error.into()))?;
    let judged = opened.judge(evidence, Scope::Whole);
    let verified = judged.map_err(|error| wrong(error.into()))?;
    if !verified.has_checksums() {
        return Err(wrong(PackageReadError::NoChecksums(named.to_owned())));
    }
    let definition = package_definition(&verified).map_err(wrong)?;
    let build = &definition.build;
    let architecture = build.architecture.as_deref().unwrap_or_default();
    let unpublishable = |source| PublishError::Artifact {
        path: named.to_owned(),
        source,
    };
    let mut tag = options.tag.clone();
    let mut name = definition.metadata.name.clone();
    let artifact = match artifact {
        None => {
            let files = verified.files().iter();
            let files = files.map(|(name, (digest, size))| (name.clone(), *digest, *size));
            let made = manifest::artifact(verified.dialect(), &definition, architecture, files);
            Artifact::made(made.map_err(unpublishable)?, content)
        }
        Some(found) => {
            let own = name.clone();
            if let Some(origin) = &found.origin {
                let last = origin.repository().rsplit('/').next();
                name = last.unwrap_or_default().to_owned();
            }
            tag = tag.or(found.tag);
            let entry = found.architecture;
            Artifact::copied(
                own,
                entry.unwrap_or_else(|| architecture.to_owned()),
                found.manifest,
                content,
                found.origin,
            )
            .map_err(|error| PublishError::Manifest(named.to_owned(), error))?
        }
    };
    let tag = match tag {
        Some(tag) => tag,
        None => {
            manifest::tag(&definition.metadata.version, &build.flavor).map_err(unpublishable)?
        }
    };
    let ready = Ready {
        name,
        tag,
        artifact: Arc::new(artifact),
        signature: verified.signature().clone(),
        bundles,
    };
    let notes = verified.notes().iter().cloned();
    Ok((ready, notes.chain(left_out(unread)).collect()))
}

/// The SBOM documents to attach to the package `source`.
async fn documents(
    source: &str,
    cas: &Arc<Cas>,
    artifact: &Arc<Artifact>,
    options: &PublishOptions,
) -> Result<Option<Arc<Documents>>, PublishError> {
    let (cas, artifact) = (Arc::clone(cas), Arc::clone(artifact));
    let formats = options.sbom_formats.clone();
    let found = tokio::task::spawn_blocking(move || Documents::of(&cas, &artifact, &formats));
    let found = found
        .await
        .map_err(|error| ReleaseError::Stopped(error.to_string()))?;
    let found = found.map_err(|source_error| PublishError::Documents {
        path: source.to_owned(),
        source: source_error,
    })?;
    Ok(found.map(Arc::new))
}

/// The package with the attestations that are wanted.
async fn attested(
    source: &str,
    cas: &Arc<Cas>,
    mut ready: Ready,
    options: &PublishOptions,
) -> Result<Ready, PublishError> {
    let Some(signer) = options
        .signer
        .clone()
        .filter(|_| !options.attest.is_empty())
    else {
        return Ok(ready);
    };
    let (cas, artifact) = (Arc::clone(cas), Arc::clone(&ready.artifact));
    let (wanted, bundles) = (options.attest.clone(), ready.bundles.clone());
    let signing = tokio::task::spawn_blocking(move || -> Result<_, String> {
        let evidence = artifact.evidence().map_err(|error| with_causes(&error))?;
        let (dialect, definition) = evidence.definition().ok_or("it has no definition")?;
        let subjects = release::subjects(&artifact, definition, dialect);
        let predicates = attest::predicates(&cas, &artifact, &wanted);
        let predicates = predicates.map_err(|error| with_causes(&error))?;
        attest::signed(&signer, &subjects, predicates, &bundles)
            .map_err(|error| with_causes(&error))
    });
    let signed = signing
        .await
        .map_err(|error| ReleaseError::Stopped(error.to_string()))?;
    let signed = signed.map_err(|what| PublishError::Sign {
        path: source.to_owned(),
        what,
    })?;
    ready.bundles.extend(signed);
    Ok(ready)
}

impl Publication {
    /// Publishes, or resumes an unfinished release.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the remaining tags are unchanged.
    pub async fn publish(self) -> Result<Published, PublishError> {
        self.carry_out(None).await
    }

    /// Resumes this release.
    ///
    /// # Errors
    ///
    /// [`PublishError::Changed`], and those of [`publish`](Self::publish).
    pub async fn resume(self, id: &str) -> Result<Published, PublishError> {
        self.carry_out(Some(id)).await
    }

    async fn carry_out(mut self, resumed: Option<&str>) -> Result<Published, PublishError> {
        let options = &self.options;
        let vouching = match &options.signer {
            Some(signer) => Some(Arc::new(vouching(signer).await?)),
            None => None,
        };
        let (mut items, mut kept) = (Vec::new(), Vec::new());
        for (source, ready) in options.sources.iter().zip(self.ready.drain(..)) {
            let ready = match (&vouching, options.seal) {
                (Some(vouching), Some(how)) => {
                    let sealing = Sealing {
                        registry: &self.registry,
                        options,
                        vouching,
                        how,
                    };
                    let path = sealing.kept(&ready);
                    let before = ready.artifact.manifest.digest;
                    let sealed = sealing.sealed(ready).await;
                    let (ready, dropped) = sealed.map_err(|what| PublishError::Sign {
                        path: source.clone(),
                        what,
                    })?;
                    if dropped > 0 {
                        self.notes.push(format!(
                            "{source}: dropped {dropped} bundles: signing changed the definition that they cover; attest the package again, or use --signature detached"
                        ));
                    }
                    // What is on this machine had nothing attached.
                    if !source::is_path(source) {
                        let left = sealing.left(source, before, &ready).await?;
                        self.notes.extend(left);
                    }
                    kept.extend(path.map(|path| (path, items.len())));
                    ready
                }
                _ => ready,
            };
            let ready = attested(source, &self.cas, ready, options).await?;
            let documents = documents(source, &self.cas, &ready.artifact, options).await?;
            for destination in &options.destinations {
                let to = Destination::parse(destination, &options.place.here)?;
                let place = to.place(&ready.name, &ready.tag)?;
                let artifact = match options.split_layers {
                    true => release::fitting(&self.registry, &place, &ready.artifact).await?,
                    false => Arc::clone(&ready.artifact),
                };
                items.push(Item {
                    place,
                    artifact,
                    bundles: ready.bundles.clone(),
                    vouching: vouching.clone(),
                    heartbeat: None,
                    results: None,
                    documents: documents.clone(),
                });
            }
        }
        let begun = begun(options, &items);
        if let Some(id) = resumed.filter(|id| begun.id() != *id) {
            return Err(PublishError::Changed(id.to_owned()));
        }
        let rules = Rules {
            move_tag: options.move_tag,
            sign_indexes: options.sign_indexes,
            concurrency: options.concurrency,
            pushed: Some(options.place.cache.path.join(release::PUSHED)),
            proofs: (self.own_cache).then(|| options.place.cache.path.join(release::PROOFS)),
        };
        let id = begun.id();
        let journal = || Journal::begin(&options.state, begun);
        let items = release::run(&self.registry, &items, rules, journal).await?;
        Journal::forget(&options.state, &id)?;
        // A completed release needs no journal. The release is published, even if
        // removing the journals fails.
        let (others, _) = unfinished_releases(&options.state, None).unwrap_or_default();
        let others = others.iter().flat_map(|other| &other.begun.items);
        let begun: BTreeSet<Digest> = others.map(|item| item.manifest).collect();
        for (path, first) in kept {
            // The artifacts of a source, one for each destination.
            let made = &items[first..first + options.destinations.len()];
            if !made.iter().any(|made| begun.contains(&made.item.manifest)) {
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(Published {
            items,
            notes: self.notes,
        })
    }
}

fn begun(options: &PublishOptions, items: &[Item]) -> Begun {
    Begun {
        sources: options.sources.clone(),
        destinations: options.destinations.clone(),
        here: options.place.here.to_string_lossy().into_owned(),
        architecture: options.architecture.clone(),
        tag: options.tag.clone(),
        move_tag: options.move_tag,
        split_layers: options.split_layers,
        sbom_formats: options
            .sbom_formats
            .iter()
            .map(|format| format.name().to_owned())
            .collect(),
        attested: !options.attest.is_empty(),
        signer: options.signer.as_ref().map(|signer| signer.name()),
        signed: options.signer.as_ref().map(|_| match options.seal {
            None => Signed::Beside,
            Some(seal) => Signed::Within(seal),
        }),
        ..Begun::new(items.iter().map(Item::known).collect())
    }
}

async fn vouching(signer: &Arc<Signer>) -> Result<Vouching, PublishError> {
    let signer = Arc::clone(signer);
    let asking = tokio::task::spawn_blocking(move || Vouching::by(signer));
    asking
        .await
        .map_err(|error| ReleaseError::Stopped(error.to_string()).into())
}

/// An unfinished release.
#[derive(Debug)]
pub struct Unfinished {
    pub id: String,
    /// Its artifacts and options.
    pub begun: Begun,
    /// For each artifact: whether it is staged, and whether it is visible.
    pub steps: Vec<(bool, bool)>,
}

/// The unfinished releases according to their journals, or only the release `only`; and
/// the errors of journals that cannot be read, which do not hide the others.
///
/// # Errors
///
/// [`JournalError`]: the folder cannot be read.
pub fn unfinished_releases(
    state: &Path,
    only: Option<&str>,
) -> Result<(Vec<Unfinished>, Vec<JournalError>), JournalError> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for id in Journal::unfinished(state)? {
        if only.is_some_and(|only| only != id) {
            continue;
        }
        let (begun, steps) = match Journal::peek(state, &id) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            Err(error) => {
                damaged.push(error);
                continue;
            }
        };
        let has = |step: Step| steps.contains(&step);
        let items = begun.items.iter();
        let reached = items.map(|item| {
            (
                has(Step::Staged(item.clone())),
                has(Step::Visible(item.clone())),
            )
        });
        found.push(Unfinished {
            id,
            steps: reached.collect(),
            begun,
        });
    }
    Ok((found, damaged))
}

/// Discards a release. Staged content stays without a tag, and moved tags stay moved;
/// returns those tags.
///
/// # Errors
///
/// [`JournalError`]
pub fn abort_release(state: &Path, id: &str) -> Result<Vec<String>, JournalError> {
    let journal = Journal::open(state, id)?;
    let items = journal.begun().items.iter();
    let visible = items.filter(|item| journal.is_visible(item));
    let visible = visible.map(|item| item.place.clone()).collect();
    journal.end()?;
    Ok(visible)
}
