//! Opens a package by what a user calls it: a path, `oci://`, `http(s)://`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::connection::{Connection, ConnectionError};
use super::package_read::PackageReadError;
use crate::cas::{Cas, CasError};
use crate::layout;
use crate::oci::{Digest, Reference, ReferenceError};
use crate::registry::{self, DownloadError, Registry, RegistryError};
use crate::release::hosted;
use crate::source::{Package, Remote, RemoteError, RemotePackage, SourceError};
use crate::verify::{self, Evidence, Policy, Scope, VerifiedPackage};

/// How packages are reached that do not lie here.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// How registries are reached.
    pub connection: Connection,
    /// Which package of an index is meant.
    pub architecture: String,
    /// The cache folder, if there is one.
    pub cache: Option<PathBuf>,
    /// What the whole file digests to; in a registry, its manifest.
    pub shasum: Option<Digest>,
    /// Transfers at the same time.
    pub concurrency: usize,
    /// What is demanded of whoever made the package.
    pub policy: Arc<Policy>,
    /// Files with bundles that speak about the package, one a line.
    pub bundles: Vec<PathBuf>,
    /// Most bytes that the files of an archive may have; `None`: what its own
    /// size allows.
    pub content_limit: Option<u64>,
    /// Set by whoever wants writing to end; what was written goes away then.
    pub stop: Arc<AtomicBool>,
}

/// Why no package was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It begins like an address, and is none that packages come from.
    #[error("`{0}` cannot be a package's address: expected oci://, https://, http:// or a path")]
    Scheme(String),
    /// The reference is malformed.
    #[error("`{text}`: {source}")]
    Name {
        /// As given.
        text: String,
        /// What is wrong.
        source: ReferenceError,
    },
    /// Nobody would notice another file.
    #[error(
        "`{0}` comes from a web server without a checksum: give --shasum, or end the address with @sha256:<hex>"
    )]
    NoSum(String),
    /// A checksum for what has none.
    #[error("--shasum is for addresses: `{0}` is a path, whose files `package verify` checks")]
    Sum(String),
    /// The tag names something else, and the digest nothing.
    #[error(
        "`{name}` is {found}, and --shasum asks for {wanted}, which is not there: if it was meant to change, correct the digest"
    )]
    OtherDigest {
        /// As given.
        name: String,
        /// What the tag names.
        found: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// Two digests.
    #[error("`{0}` names a digest, and --shasum another one: leave one of them out")]
    TwoDigests(String),
    /// Nothing stands there under the tag that is taken for granted.
    #[error(
        "`{0}` names no tag, and there is no `latest`: see `jackal package list-tags {0}`, then give :TAG or @DIGEST"
    )]
    NoTag(String),
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Registries cannot be reached as told.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The cache refused.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// There is no place for downloads.
    #[error("there is no HOME to keep a cache in: give --cache-dir")]
    NoCache,
    /// Threads cannot be started.
    #[error("threads cannot start: {0}")]
    Threads(std::io::Error),
}

impl From<RemoteError> for OpenError {
    fn from(error: RemoteError) -> Self {
        Self::Source(error.into())
    }
}

/// A package that was opened, with what reads it.
pub struct Opened {
    /// As the user called it.
    pub name: String,
    /// The package.
    pub package: Package,
    /// Somebody wants writing to end.
    pub(super) stop: Arc<AtomicBool>,
    policy: Arc<Policy>,
    bundles: Vec<Vec<u8>>,
    /// Keeps the client going.
    _runtime: Option<Runtime>,
}

impl Opened {
    /// Opens the package called `name`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn open(name: &str, options: &ReadOptions) -> Result<Self, OpenError> {
        if let Some(rest) = name.strip_prefix("oci://") {
            return Self::in_registry(name, rest, options);
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            return Self::on_the_web(name, options);
        }
        if name.contains("://") {
            return Err(OpenError::Scheme(name.to_owned()));
        }
        if options.shasum.is_some() {
            return Err(OpenError::Sum(name.to_owned()));
        }
        Self::here(name.as_ref(), options)
    }

    /// Opens the package in a file or folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub fn here(path: &Path, options: &ReadOptions) -> Result<Self, OpenError> {
        let package = layout::open(path).map_err(SourceError::from)?;
        let package = package.with_limit(options.content_limit);
        let mut files = options.bundles.clone();
        // What a pull put beside the archive.
        let beside = layout::bundles_beside(path);
        if options.policy.wants_attached() && !files.contains(&beside) && beside.is_file() {
            files.push(beside);
        }
        Ok(Self {
            name: path.display().to_string(),
            package: Package::Local(package),
            stop: Arc::clone(&options.stop),
            policy: Arc::clone(&options.policy),
            bundles: bundles_in(&files)?,
            _runtime: None,
        })
    }

    /// What was done, or that it was stopped, whatever went wrong for that.
    pub(super) fn unless_stopped<T>(
        &self,
        done: Result<T, PackageReadError>,
    ) -> Result<T, PackageReadError> {
        done.map_err(|error| match self.stop.load(Ordering::SeqCst) {
            true => PackageReadError::Interrupted,
            false => error,
        })
    }

    /// Judges what was read of the package, by the policy it was opened with.
    ///
    /// # Errors
    ///
    /// [`PackageReadError::Refused`], or bundles beside the package cannot be
    /// fetched.
    pub fn judge(
        &self,
        mut evidence: Evidence,
        scope: Scope,
    ) -> Result<VerifiedPackage, PackageReadError> {
        if self.policy.wants_attached() {
            evidence.attached.extend(self.bundles.iter().cloned());
            if let Package::Remote(remote) = &self.package {
                remote.add_attached(&mut evidence)?;
            }
        }
        verify::verify(evidence, scope, &self.policy).map_err(PackageReadError::Refused)
    }

    fn in_registry(name: &str, rest: &str, options: &ReadOptions) -> Result<Self, OpenError> {
        let (registry, reference) = client_of(name, rest, &options.connection)?;
        let registry = Arc::new(registry);
        let runtime = runtime()?;
        let named = reference.digest();
        if named.is_some() && options.shasum.is_some_and(|sum| named != Some(sum)) {
            return Err(OpenError::TwoDigests(name.to_owned()));
        }
        let asked = match options.shasum {
            Some(digest) => reference.at(digest),
            None => reference.clone(),
        };
        let found = RemotePackage::find(&registry, &asked, &options.architecture);
        let found = match runtime.block_on(found) {
            Err(RemoteError::Registry(error @ RegistryError::NotFound { .. })) => {
                // What stands there instead says more.
                let other = options
                    .shasum
                    .map(|wanted| (wanted, registry.find(&reference)));
                let other = other.map(|(wanted, found)| (wanted, runtime.block_on(found)));
                return Err(match other {
                    Some((wanted, Ok(Some((found, _))))) => OpenError::OtherDigest {
                        name: name.to_owned(),
                        found: found.digest,
                        wanted,
                    },
                    None | Some((_, Ok(None))) if !reference.is_told(rest) => {
                        OpenError::NoTag(name.to_owned())
                    }
                    _ => RemoteError::Registry(error).into(),
                });
            }
            found => found?,
        };
        Ok(Self {
            name: name.to_owned(),
            package: Package::Remote(Box::new(Remote {
                found,
                registry,
                runtime: runtime.handle().clone(),
                concurrency: options.concurrency,
            })),
            stop: Arc::clone(&options.stop),
            policy: Arc::clone(&options.policy),
            bundles: bundles_in(&options.bundles)?,
            _runtime: Some(runtime),
        })
    }

    fn on_the_web(name: &str, options: &ReadOptions) -> Result<Self, OpenError> {
        let (address, inside) = match name.rsplit_once('@') {
            Some((address, sum)) => {
                let hex = sum.strip_prefix("sha256:").unwrap_or(sum);
                match Digest::from_hex(hex) {
                    Ok(digest) => (address, Some(digest)),
                    // It belongs to the address.
                    Err(_) => (name, None),
                }
            }
            None => (name, None),
        };
        let sum = options.shasum.or(inside);
        let sum = sum.ok_or_else(|| OpenError::NoSum(without_query(name)))?;
        let runtime = runtime()?;
        let registry: Registry = options.connection.client()?;
        let cache = options.cache.as_ref().ok_or(OpenError::NoCache)?;
        let cas = Arc::new(Cas::open(cache)?);
        let permits = Semaphore::new(1);
        let stored = registry::download(&registry, address, Some(sum), &cas, &permits);
        let stored = runtime.block_on(stored)?;
        let path = cas.path_of(&stored.digest);
        let package = layout::open(&path).map_err(SourceError::from)?;
        let package = package.with_limit(options.content_limit);
        Ok(Self {
            name: name.to_owned(),
            package: Package::Local(package),
            stop: Arc::clone(&options.stop),
            policy: Arc::clone(&options.policy),
            bundles: bundles_in(&options.bundles)?,
            _runtime: None,
        })
    }
}

fn bundles_in(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, OpenError> {
    let mut bundles = Vec::new();
    for path in files {
        bundles.extend(layout::read_bundles(path).map_err(SourceError::from)?);
    }
    Ok(bundles)
}

/// The client, and the reference that `rest` of `name` is.
pub(super) fn client_of(
    name: &str,
    rest: &str,
    connection: &Connection,
) -> Result<(Registry, Reference), OpenError> {
    let reference = hosted(rest).map_err(|source| OpenError::Name {
        text: name.to_owned(),
        source,
    })?;
    Ok((connection.client()?, reference))
}

pub(super) fn runtime() -> Result<Runtime, OpenError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(OpenError::Threads)
}

/// An address without what may be a secret.
fn without_query(address: &str) -> String {
    address.split('?').next().unwrap_or(address).to_owned()
}
