//! `jackal package pull`: downloads a package from a registry as an archive.
//!
//! Blobs are verified and stored in the cache, so that an interrupted pull can
//! continue. The archive is identical to the one that building the package here would
//! write, and gets its name only when it is complete.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::package_read::package_definition;
use super::read_error::PackageReadError;
use crate::action::Output;
use crate::cas::{Cas, CasError, SinkError};
use crate::content::CopyError;
use crate::kinds::package::export::{ArchiveFormat, ExportError, Packing, export_archive};
use crate::layout;
use crate::oci::{Descriptor, Digest, Reference};
use crate::package::{ArchiveName, ArchiveNameError, Definition, Dialect, Kind};
use crate::registry::{Connection, Registry, RegistryError, runtime};
use crate::source::{OpenError, Opened, ReadOptions, Remote, RemoteError, SourceError};
use crate::verify::{Scope, VerifiedPackage};

/// Where a pulled package goes.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The folder for the archive.
    pub to: PathBuf,
    /// Largest size of one file, in bytes.
    pub split: Option<u64>,
    /// Becomes true when the user interrupts the command.
    pub stop: watch::Receiver<bool>,
    /// Becomes true before anything is written that must be cleaned up.
    pub writing: Arc<AtomicBool>,
}

/// A pulled package.
#[derive(Debug)]
pub struct Pulled {
    /// The archive, or its parts.
    pub files: Vec<PathBuf>,
    /// Of the package's manifest.
    pub manifest: crate::oci::Digest,
    /// Number of downloaded blobs.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Number of blobs that were in the cache.
    pub cached: u64,
    /// The package.
    pub package: VerifiedPackage,
    /// Warnings for the user.
    pub notes: Vec<String>,
}

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It is not in a registry.
    #[error("`{0}` is not in a registry: expected oci://HOST/PATH")]
    NotRemote(String),
    /// The repository does not exist or is empty.
    #[error("no such repository, or it is empty: `{0}`")]
    NoRepository(String),
    /// The package cannot be found, read or trusted.
    #[error(transparent)]
    Read(#[from] PackageReadError),
    /// The cache failed.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The cache failed while a blob was downloaded.
    #[error("cache: {0}")]
    Sink(#[from] SinkError),
    /// The archive cannot be named.
    #[error(transparent)]
    Name(#[from] ArchiveNameError),
    /// The archive cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A signal stopped it.
    #[error("interrupted; no archive was written, and downloaded blobs stay in the cache")]
    Interrupted,
    /// A download task panicked or was cancelled.
    #[error("a download failed: {0}")]
    Stopped(String),
}

impl From<RegistryError> for PullError {
    fn from(error: RegistryError) -> Self {
        let source = SourceError::Remote(RemoteError::Registry(error));
        Self::Read(OpenError::Source(source).into())
    }
}

/// Pulls the package called `name`.
///
/// # Errors
///
/// [`PullError`]; no archive was written, and downloaded blobs stay in the cache.
pub fn package_pull(
    name: &str,
    read: &ReadOptions,
    options: &PullOptions,
) -> Result<Pulled, PullError> {
    let opened = Opened::open(name, read).map_err(PackageReadError::from)?;
    let remote = opened.package.as_remote();
    let remote = remote.ok_or_else(|| PullError::NotRemote(Reference::shown(name)))?;
    let cache = read.cache.as_ref().ok_or(OpenError::NoCache);
    let cas = Arc::new(Cas::open(cache.map_err(PackageReadError::from)?)?);
    // Judge by digests first; every blob is verified against its digest when it is
    // fetched.
    let evidence = opened.package.survey().map_err(PackageReadError::from)?;
    let judged = opened.judge(evidence, Scope::Whole);
    let package = judged.map_err(PackageReadError::from)?;
    let definition = package_definition(&package)?;
    let archive = options.to.join(file_name(&definition, remote)?);
    let format = match definition.metadata.uncompressed {
        true => ArchiveFormat::Tar,
        false => ArchiveFormat::TarZst,
    };
    // So that the archive can be verified without the registry.
    let mut notes = package.notes().to_vec();
    let bundles: &[Vec<u8>] = match opened.bundles() {
        Ok(bundles) => {
            notes.extend(left_out(bundles.unread));
            &bundles.found
        }
        // The policy does not need them; the user gets a note.
        Err(SourceError::Remote(RemoteError::Registry(
            error @ RegistryError::Unauthorized { .. },
        ))) if !read.policy.wants_attached() => {
            notes.push(format!(
                "cannot list the signatures attached to the package, so they are not saved beside the archive: {error}"
            ));
            &[]
        }
        Err(error) => return Err(PackageReadError::from(error).into()),
    };
    options.writing.store(true, Ordering::SeqCst);
    let mut fetching = Fetching::begin(remote, &cas, &options.stop);
    let files = in_order(remote).into_iter();
    let members = files.map(|file| {
        // Layers of images are compressed as they are.
        let packing = match file.name.starts_with("images/blobs/") {
            true => Packing::Raw,
            false => Packing::Compressed,
        };
        match fetching.wait_for(file.digest) {
            Ok(()) => Ok((file, packing)),
            Err(error) => {
                let failed = ExportError::Member(error.to_string());
                fetching.failed = Some(error);
                Err(failed)
            }
        }
    });
    let stopped = || *options.stop.borrow();
    let written = export_archive(&cas, members, &archive, format, options.split, &stopped);
    let written = match (written, fetching.failed.take()) {
        (_, Some(error)) => return Err(error),
        (Err(ExportError::Stopped), None) => return Err(PullError::Interrupted),
        (written, None) => written?,
    };
    let beside = layout::write_bundles(&archive, bundles).map_err(PackageReadError::from)?;
    Ok(Pulled {
        files: written.files.into_iter().chain(beside).collect(),
        manifest: remote.found.digest(),
        fetched: fetching.fetched,
        fetched_bytes: fetching.fetched_bytes,
        cached: fetching.cached,
        package,
        notes,
    })
}

/// The warning about signatures and attestations that were not read.
pub(super) fn left_out(unread: usize) -> Option<String> {
    (unread > 0).then(|| {
        format!(
            "{unread} signatures and attestations beside the package were left out: there are too many, or they are too large"
        )
    })
}

fn file_name(definition: &Definition, remote: &Remote) -> Result<String, ArchiveNameError> {
    let (metadata, build) = (&definition.metadata, &definition.build);
    let (dialect, kind) =
        Dialect::of_kind(&definition.kind).unwrap_or((remote.found.dialect, Kind::Package));
    let base = &build.differential_package_version;
    ArchiveName {
        dialect,
        kind,
        name: &metadata.name,
        architecture: build.architecture.as_deref().unwrap_or_default(),
        version: &metadata.version,
        flavor: &build.flavor,
        differential_base: build.differential.then_some(base.as_str()),
        uncompressed: metadata.uncompressed,
    }
    .render()
}

/// Downloads of blobs to the cache, in the archive's order.
struct Fetching<'r> {
    remote: &'r Remote,
    stop: watch::Receiver<bool>,
    tasks: JoinSet<Result<(Digest, u64, bool), PullError>>,
    here: BTreeSet<Digest>,
    fetched: u64,
    fetched_bytes: u64,
    cached: u64,
    failed: Option<PullError>,
}

impl<'r> Fetching<'r> {
    fn begin(remote: &'r Remote, cas: &Arc<Cas>, stop: &watch::Receiver<bool>) -> Self {
        let permits = Arc::new(Semaphore::new(remote.concurrency.max(1)));
        let mut tasks = JoinSet::new();
        let mut seen = BTreeSet::new();
        for file in in_order(remote) {
            if !seen.insert(file.digest) {
                continue;
            }
            let (registry, cas) = (Arc::clone(&remote.registry), Arc::clone(cas));
            let (reference, permits) = (remote.found.reference.clone(), Arc::clone(&permits));
            let layer = Descriptor::blob(file.digest, file.size);
            let parts = remote.found.parts_of(&layer);
            let task = async move {
                // Never closed; permits are granted in order.
                let _permit = permits.acquire().await;
                let came = fetch(&registry, &reference, &layer, &parts, &cas).await?;
                Ok((layer.digest, layer.size, came.is_some()))
            };
            tasks.spawn_on(task, &remote.runtime);
        }
        Self {
            remote,
            stop: stop.clone(),
            tasks,
            here: BTreeSet::new(),
            fetched: 0,
            fetched_bytes: 0,
            cached: 0,
            failed: None,
        }
    }

    /// Returns when the cache has the blob.
    fn wait_for(&mut self, digest: Digest) -> Result<(), PullError> {
        while !self.here.contains(&digest) {
            let done = self.remote.runtime.block_on(async {
                tokio::select! {
                    done = self.tasks.join_next() => Ok(done),
                    Ok(_) = self.stop.wait_for(|stop| *stop) => Err(PullError::Interrupted),
                }
            })?;
            let stopped = || PullError::Stopped("a blob was not fetched".to_owned());
            let done = done.ok_or_else(stopped)?;
            let (digest, size, came) =
                done.map_err(|error| PullError::Stopped(error.to_string()))??;
            self.here.insert(digest);
            if came {
                self.fetched += 1;
                self.fetched_bytes += size;
            } else {
                self.cached += 1;
            }
        }
        Ok(())
    }
}

/// Fetches a file, which is stored as `parts`, into the cache; `None`: the cache had it.
async fn fetch(
    registry: &Registry,
    reference: &Reference,
    layer: &Descriptor,
    parts: &[Descriptor],
    cas: &Arc<Cas>,
) -> Result<Option<u64>, PullError> {
    if cas.contains(&layer.digest, layer.size)? {
        return Ok(None);
    }
    let stored = registry.store_blob(reference, parts, layer, cas).await;
    stored.map_err(|error| match error {
        CopyError::Read(error) => PullError::from(error),
        // The registry sent the wrong content; the cache only detected it.
        CopyError::Write(SinkError::Cas(CasError::Mismatch {
            found, expected, ..
        })) => RegistryError::Content {
            reference: reference.at(expected).to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
        .into(),
        CopyError::Write(error) => error.into(),
    })?;
    Ok(Some(layer.size))
}

/// The files of the archive in its order.
fn in_order(remote: &Remote) -> Vec<Output> {
    let layers = remote.found.layers.iter();
    let mut files: Vec<Output> = layers
        .map(|(name, layer)| Output::of(name, layer))
        .collect();
    files.sort_by_key(|file| remote.found.dialect.place_in_archive(&file.name));
    files
}

/// Every tag of the repository `name`: versions first, in version order.
///
/// # Errors
///
/// [`PullError`]
pub fn package_tags(name: &str, connection: &Connection) -> Result<Vec<String>, PullError> {
    let path = Reference::url_path(name);
    let path = path.ok_or_else(|| PullError::NotRemote(Reference::shown(name)))?;
    let opening = |error: OpenError| PackageReadError::from(error);
    let reference = Reference::hosted(path).map_err(|source| {
        opening(OpenError::Name {
            text: Reference::shown(name),
            source,
        })
    })?;
    let registry = connection.client().map_err(|error| opening(error.into()))?;
    let runtime = runtime::shared().map_err(|error| opening(OpenError::Threads(error)))?;
    let found = runtime.block_on(registry.tags(&reference));
    let mut tags = found.map_err(|error| match error {
        RegistryError::NotFound { .. } => PullError::NoRepository(name.to_owned()),
        other => other.into(),
    })?;
    // Fallback tags of referrers and cosign's signature tags do not name packages.
    let is_referrers = |tag: &str| {
        let hex = tag.strip_prefix("sha256-").unwrap_or_default();
        let hex = hex.split_once('.').map_or(hex, |(hex, _)| hex);
        Digest::from_hex(hex).is_ok()
    };
    tags.retain(|tag| !is_referrers(tag));
    let version = |tag: &str| semver::Version::parse(tag.trim_start_matches('v')).ok();
    tags.sort_by(|a, b| match (version(a), version(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    });
    Ok(tags)
}
