//! The settings and services for opening a package.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::OpenError;
use crate::cas::CacheFolder;
use crate::oci::Digest;
use crate::registry::{Connection, Registry};
use crate::verify::Policy;

/// How packages are opened and judged.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The folder that relative paths start from; empty: the current one.
    pub here: PathBuf,
    /// How registries are reached.
    pub connection: Connection,
    /// Which package of an index to take.
    pub architecture: String,
    /// The cache folder, for downloads.
    pub cache: Option<CacheFolder>,
    /// Expected digest of the archive, or of the manifest in a registry.
    pub shasum: Option<Digest>,
    /// Maximum number of parallel transfers.
    pub concurrency: usize,
    /// Requirements on signatures and attestations.
    pub policy: Arc<Policy>,
    /// Files with bundles about the package, one bundle a line.
    pub bundles: Vec<PathBuf>,
    /// Maximum total size of an archive's files in bytes; `None`: derived from the
    /// size of the archive.
    pub content_limit: Option<u64>,
    /// Set to make writing end. What was written is then removed.
    pub stop: Arc<AtomicBool>,
}

impl ReadOptions {
    /// The defaults: no checksum, no cache, no bundles, one transfer at a time.
    #[must_use]
    pub fn new(connection: Connection, policy: Policy) -> Self {
        Self {
            here: PathBuf::new(),
            connection,
            architecture: String::new(),
            cache: None,
            shasum: None,
            concurrency: 1,
            policy: Arc::new(policy),
            bundles: Vec::new(),
            content_limit: None,
            stop: Arc::default(),
        }
    }
}

/// What the sources share while a package is opened.
pub(super) struct Opening<'o> {
    pub options: &'o ReadOptions,
    registry: OnceCell<Arc<Registry>>,
}

impl<'o> Opening<'o> {
    /// With the client `registry`; `None`: one is made when it is needed.
    pub(super) fn new(options: &'o ReadOptions, registry: Option<&Arc<Registry>>) -> Self {
        let registry = registry.map(Arc::clone);
        Self {
            options,
            registry: registry.map_or_else(OnceCell::new, OnceCell::from),
        }
    }

    /// The folder that relative paths start from.
    pub(super) fn here(&self) -> &Path {
        &self.options.here
    }

    /// The client for registries and web servers.
    pub(super) fn registry(&self) -> Result<Arc<Registry>, OpenError> {
        if let Some(registry) = self.registry.get() {
            return Ok(Arc::clone(registry));
        }
        let made = Arc::new(self.options.connection.client()?);
        Ok(Arc::clone(self.registry.get_or_init(|| made)))
    }
}
