//! `jackal package pull`: downloads a package from a registry as an archive.
//!
//! Blobs are verified and stored in the cache, so that an interrupted pull can
//! continue. The archive is identical to the one that building the package here would
//! write, and gets its name only when it is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::package_read::{package_definition, package_documents};
use super::read_error::PackageReadError;
use crate::action::Output;
use crate::archive::{self, Listing};
use crate::cas::{Cas, CasError};
use crate::disk::NewFile;
use crate::kinds::package::export::{
    ArchiveFormat, Destination, ExportError, Packing, export_archive,
};
use crate::layout::{self, Beside, PackageFile};
use crate::oci::{Descriptor, Digest, Reference};
use crate::package::{ArchiveName, ArchiveNameError, Definition, Dialect, Kind};
use crate::registry::{Connection, RegistryError, runtime};
use crate::source::{self, OpenError, Opened, PackageSourceError, ReadOptions, RemoteError};
use crate::text::with_causes;
use crate::verify::{Check, Policy, Scope, VerifiedPackage};

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

#[derive(Debug)]
pub struct Pulled {
    /// The archive, or its parts.
    pub files: Vec<PathBuf>,
    /// Of the package's manifest, if it has one.
    pub manifest: Option<Digest>,
    /// Number of downloaded blobs.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Number of blobs that were in the cache.
    pub cached: u64,
    pub package: VerifiedPackage,
    /// Warnings for the user.
    pub notes: Vec<String>,
}

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The repository does not exist or is empty.
    #[error("no such repository, or it is empty: `{0}`")]
    NoRepository(String),
    /// The package cannot be found, read or trusted.
    #[error(transparent)]
    Read(#[from] PackageReadError),
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The archive cannot be named.
    #[error(transparent)]
    Name(#[from] ArchiveNameError),
    /// The archive cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Something wrote to it meanwhile.
    #[error("`{0}` changed while it was copied; pull it again")]
    Changed(String),
    /// A signal stopped it.
    #[error("interrupted; no archive was written, and downloaded blobs stay in the cache")]
    Interrupted,
    /// A download task panicked or was cancelled.
    #[error("a download failed: {0}")]
    Stopped(String),
}

impl PullError {
    /// Whether writing would have to remove a file that another program may have made.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        matches!(self, Self::Export(ExportError::InTheWay(_)))
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
    match opened.package.as_archive() {
        // An archive that exists keeps its bytes, unless it is to be split.
        Some(archive) if options.split.is_none() => copied(&opened, archive, options),
        _ => assembled(&opened, read, options),
    }
}

/// Copies an archive as it is, and verifies the copy before it takes its name.
fn copied(
    opened: &Opened,
    archive: &PackageFile,
    options: &PullOptions,
) -> Result<Pulled, PullError> {
    let documents = package_documents(opened)?;
    let definition = package_definition(&documents)?;
    let to = options
        .to
        .join(file_name(&definition, documents.dialect())?);
    let io = |source| ExportError::Io {
        path: to.clone(),
        source,
    };
    let mut notes = Vec::new();
    let bundles = bundles(opened, &mut notes)?;
    let beside = beside(&to, bundles, &documents)?;
    options.writing.store(true, Ordering::SeqCst);
    std::fs::create_dir_all(&options.to).map_err(io)?;
    // The copy is for the readers of the original.
    let mut file = NewFile::with_mode(&to, archive.mode()).map_err(|error| io(error.source))?;
    let stopped = || *options.stop.borrow();
    let copy = archive.copy_to(&mut Stoppable {
        out: &mut file,
        stopped: &stopped,
    });
    if stopped() {
        return Err(PullError::Interrupted);
    }
    copy.map_err(PackageReadError::from)?;
    file.flush().map_err(io)?;
    let copy = layout::open(file.path()).and_then(PackageFile::in_todays_form);
    let copy = copy.map_err(PackageReadError::from)?;
    let evidence = layout::read_opened(&copy).map_err(PackageReadError::from)?;
    let judged = opened.judge(evidence, Scope::Whole);
    let package = judged.map_err(PackageReadError::from)?;
    if package.definition() != documents.definition() {
        return Err(PullError::Changed(opened.name.clone()));
    }
    notes.extend_from_slice(package.notes());
    file.keep().map_err(|error| io(error.source))?;
    let beside = beside.write().map_err(PackageReadError::from)?;
    Ok(Pulled {
        files: [to].into_iter().chain(beside).collect(),
        manifest: None,
        fetched: 0,
        fetched_bytes: 0,
        cached: 0,
        package,
        notes,
    })
}

/// Writes the archive of a package that is not one.
fn assembled(
    opened: &Opened,
    read: &ReadOptions,
    options: &PullOptions,
) -> Result<Pulled, PullError> {
    let cache = read.cache.as_ref().ok_or(OpenError::NoCache);
    let cas = Arc::new(Cas::open(cache.map_err(PackageReadError::from)?)?);
    // Judge by digests first; every blob is verified against its digest when it is
    // fetched.
    let evidence = opened.package.survey().map_err(PackageReadError::from)?;
    let judged = opened.judge(evidence, Scope::Whole);
    let package = judged.map_err(PackageReadError::from)?;
    let definition = package_definition(&package)?;
    let archive = options.to.join(file_name(&definition, package.dialect())?);
    let format = match definition.metadata.uncompressed {
        true => ArchiveFormat::Tar,
        false => ArchiveFormat::TarZst,
    };
    // So that the archive can be verified without the registry.
    let mut notes = package.notes().to_vec();
    let bundles = bundles(opened, &mut notes)?;
    let beside = beside(&archive, bundles, &package)?;
    options.writing.store(true, Ordering::SeqCst);
    let files = in_order(&package);
    let mut fetching = Fetching::begin(opened, &files, &cas, read.concurrency, &options.stop)?;
    if !opened.package.is_here() {
        let listings = fetching.listings(&files, &cas)?;
        let judged = opened.judge_tars(&package, listings);
        judged.map_err(PackageReadError::from)?;
    }
    let members = files.into_iter().map(|file| {
        let packing = Packing::of_member(&file.name);
        match fetching.wait_for(file.digest) {
            Ok(()) => Ok((file, packing)),
            Err(error) => {
                let failed = ExportError::Member(with_causes(&error));
                fetching.failed = Some(error);
                Err(failed)
            }
        }
    });
    let stopped = || *options.stop.borrow();
    let to = Destination {
        split: options.split,
        mode: (opened.package.as_file()).map_or(0o644, PackageFile::mode),
        ..Destination::new(&archive, format)
    };
    let written = export_archive(&cas, members, &to, &stopped);
    let written = match (written, fetching.failed.take()) {
        (_, Some(error)) => return Err(error),
        (Err(ExportError::Stopped), None) => return Err(PullError::Interrupted),
        (written, None) => written?,
    };
    let beside = beside.write().map_err(PackageReadError::from)?;
    Ok(Pulled {
        files: written.files.into_iter().chain(beside).collect(),
        manifest: opened.package.manifest(),
        fetched: fetching.fetched,
        fetched_bytes: fetching.fetched_bytes,
        cached: fetching.cached,
        package,
        notes,
    })
}

/// What becomes of the bundles beside the archive `to` of `package`.
fn beside(
    to: &Path,
    bundles: &[Vec<u8>],
    package: &VerifiedPackage,
) -> Result<Beside, PackageReadError> {
    let definition = Digest::of(package.definition());
    Ok(Beside::plan(to, bundles, definition, false)?)
}

/// The warning about signatures and attestations that were not read.
pub(super) fn left_out(unread: usize) -> Option<String> {
    (unread > 0).then(|| {
        format!(
            "{unread} signatures and attestations beside the package were left out: there are too many, or they are too large"
        )
    })
}

/// The bundles to save beside the archive, so that readers without a registry can
/// judge it as well.
fn bundles<'o>(
    opened: &'o Opened,
    notes: &mut Vec<String>,
) -> Result<&'o [Vec<u8>], PackageReadError> {
    match opened.bundles() {
        // The policy does not need them; the user gets a note.
        Err(PackageSourceError::Remote(RemoteError::Registry(
            error @ RegistryError::Unauthorized { .. },
        ))) if !opened.wants_bundles() => {
            notes.push(format!(
                "cannot list the signatures attached to the package, so they are not saved beside the archive: {}",
                with_causes(&error)
            ));
            Ok(&[])
        }
        Ok(bundles) => {
            notes.extend(left_out(bundles.unread));
            Ok(&bundles.found)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn file_name(
    definition: &Definition,
    found: Dialect,
) -> Result<String, ArchiveNameError> {
    let (metadata, build) = (&definition.metadata, &definition.build);
    let (dialect, kind) = Dialect::of_kind(&definition.kind).unwrap_or((found, Kind::Package));
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

/// Takes no more bytes once the command is stopped.
struct Stoppable<'f, W> {
    out: &'f mut W,
    stopped: &'f dyn Fn() -> bool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.stopped)() {
            true => Err(io::Error::other("stopped")),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Downloads of blobs to the cache, in the archive's order.
struct Fetching {
    runtime: Handle,
    stop: watch::Receiver<bool>,
    tasks: JoinSet<Result<(Digest, u64, bool), PullError>>,
    here: BTreeSet<Digest>,
    fetched: u64,
    fetched_bytes: u64,
    cached: u64,
    failed: Option<PullError>,
}

impl Fetching {
    fn begin(
        opened: &Opened,
        files: &[Output],
        cas: &Arc<Cas>,
        concurrency: usize,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, PullError> {
        let runtime = runtime::shared().map_err(OpenError::Threads);
        let runtime = runtime.map_err(PackageReadError::from)?;
        let permits = Arc::new(Semaphore::new(concurrency.max(1)));
        let mut tasks = JoinSet::new();
        let mut seen = BTreeSet::new();
        for file in files {
            if !seen.insert(file.digest) {
                continue;
            }
            let (package, cas) = (Arc::clone(&opened.package), Arc::clone(cas));
            let permits = Arc::clone(&permits);
            let layer = Descriptor::blob(file.digest, file.size);
            let task = async move {
                // Never closed; permits are granted in order.
                let _permit = permits.acquire().await;
                let fetch = move || {
                    let held = cas.contains(&layer.digest, layer.size)?;
                    if !held {
                        let stored = package.store(&layer, &cas);
                        stored.map_err(PackageReadError::from)?;
                    }
                    Ok((layer.digest, layer.size, !held))
                };
                let fetched = tokio::task::spawn_blocking(fetch).await;
                fetched.map_err(|error| PullError::Stopped(error.to_string()))?
            };
            tasks.spawn_on(task, &runtime);
        }
        Ok(Self {
            runtime,
            stop: stop.clone(),
            tasks,
            here: BTreeSet::new(),
            fetched: 0,
            fetched_bytes: 0,
            cached: 0,
            failed: None,
        })
    }

    /// Returns when the cache has the blob.
    fn wait_for(&mut self, digest: Digest) -> Result<(), PullError> {
        while !self.here.contains(&digest) {
            let done = self.runtime.block_on(async {
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

    /// Lists the tars among `files`, once the cache has them: they come before images.
    fn listings(
        &mut self,
        files: &[Output],
        cas: &Cas,
    ) -> Result<BTreeMap<String, Listing>, PullError> {
        let mut found = BTreeMap::new();
        for file in files {
            if let Some(contents) = Dialect::tar_contents(&file.name) {
                self.wait_for(file.digest)?;
                let tar = cas.open_blob(&file.digest)?;
                found.insert(file.name.clone(), archive::list(tar, contents));
            }
        }
        Ok(found)
    }
}

/// The files of the archive in its order.
fn in_order(package: &VerifiedPackage) -> Vec<Output> {
    let files = package.files().iter();
    let mut files: Vec<Output> = files
        .map(|(name, (digest, size))| Output {
            name: name.clone(),
            digest: *digest,
            size: *size,
        })
        .collect();
    let dialect = package.dialect();
    files.sort_by_key(|file| dialect.place_in_archive(&file.name));
    files
}

/// Every tag of the repository `name`: versions first, in version order.
///
/// # Errors
///
/// [`PullError`]
pub fn package_tags(name: &str, connection: &Connection) -> Result<Vec<String>, PullError> {
    let read = ReadOptions::new(connection.clone(), Policy::without_signers(Check::Look));
    let found = source::tags(name, &read);
    let mut tags = found.map_err(|error| match error {
        OpenError::Source(PackageSourceError::Remote(RemoteError::Registry(
            RegistryError::NotFound { .. },
        ))) => PullError::NoRepository(Reference::shown(name)),
        other => PackageReadError::from(other).into(),
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

/// Help for an argument that names a package.
#[must_use]
pub fn package_help(what: &str) -> String {
    format!("{what}: {}", source::forms())
}
