//! Skeleton packages that the definitions of a run import from: resolved once, pinned
//! in `jackal.lock`, and unpacked into the cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::options::Pins;
use crate::cas::Cas;
use crate::ground::lockfile::{ImagePin, LOCK_FILE, Lockfile, lock_folder};
use crate::oci::{Descriptor, Digest, Reference};
use crate::package::{ImportError, SkeletonUrl};
use crate::registry::{Registry, runtime};
use crate::source::{Skeleton, SkeletonError};
use crate::text::with_causes;
use crate::yaml::SourceText;

/// The virtual folder of skeleton sources. The digest of the skeleton's tar follows, so
/// that paths are the same on every machine.
const FOLDER: &str = ".jackal/skeletons";

/// The platform under which skeletons are pinned.
const PLATFORM: &str = "multi/skeleton";

/// Access to skeleton packages.
pub(super) struct Skeletons<'r> {
    cas: &'r Cas,
    registry: &'r Registry,
    pins: Pins,
    found: BTreeMap<(PathBuf, SkeletonUrl), Skeleton<'r>>,
    /// Whether the cause is the network, the cache or the disk.
    pub(super) failed: bool,
}

impl<'r> Skeletons<'r> {
    pub(super) fn new(cas: &'r Cas, registry: &'r Registry, pins: Pins) -> Self {
        Self {
            cas,
            registry,
            pins,
            found: BTreeMap::new(),
            failed: false,
        }
    }

    /// The definition of the skeleton at `url`, for the package in `folder`.
    pub(super) fn definition(
        &mut self,
        folder: &Path,
        url: &SkeletonUrl,
    ) -> Result<SourceText, ImportError> {
        let found = self.find(folder, url)?.definition();
        let (file, text) = found.map_err(|error| self.import_error(url, error))?;
        Ok(SourceText::new(format!("{url}/{file}"), text))
    }

    /// The folder in the sources of `component`, and its actual location.
    pub(super) fn files(
        &mut self,
        folder: &Path,
        url: &SkeletonUrl,
        component: &str,
    ) -> Result<(String, PathBuf), ImportError> {
        let root = self.cas.root().to_owned();
        let found = self.find(folder, url)?.files(component);
        let found = found.map_err(|error| self.import_error(url, error))?;
        let (place, digest) = found.unwrap_or_else(|| {
            // A path in a missing folder does not exist.
            let digest = Digest::of(format!("{url}{component}").as_bytes());
            (root.join("skeletons").join("none"), digest)
        });
        Ok((format!("{FOLDER}/{}", digest.hex()), place))
    }

    fn find(&mut self, folder: &Path, url: &SkeletonUrl) -> Result<&Skeleton<'r>, ImportError> {
        let key = (folder.to_owned(), url.clone());
        if !self.found.contains_key(&key) {
            let skeleton = match url {
                SkeletonUrl::Layout {
                    folder: layout,
                    tag,
                } => Skeleton::in_layout(self.cas, &folder.join(layout), tag)
                    .map_err(|error| self.import_error(url, error))?,
                SkeletonUrl::Registry(rest) => self.in_registry(folder, url, rest)?,
            };
            self.found.insert(key.clone(), skeleton);
        }
        let found = self.found.get(&key);
        found.ok_or_else(|| ImportError::NoSkeleton(url.to_string()))
    }

    fn in_registry(
        &mut self,
        folder: &Path,
        url: &SkeletonUrl,
        rest: &str,
    ) -> Result<Skeleton<'r>, ImportError> {
        let unusable = |error: String| ImportError::Unusable(format!("{url}: {error}"));
        let reference: Reference = rest
            .parse()
            .map_err(|error: crate::oci::ReferenceError| unusable(with_causes(&error)))?;
        let mut lock =
            Lockfile::load(lock_folder(folder)).map_err(|error| unusable(with_causes(&error)))?;
        let name = reference.to_string();
        let known = lock.image(&name, PLATFORM).map(|pin| pin.manifest.clone());
        let known: Option<Descriptor> = known.filter(|_| self.pins != Pins::Update);
        if known.is_none() && matches!(self.pins, Pins::Locked | Pins::Offline) {
            return Err(unusable(format!(
                "no pin in {LOCK_FILE}, and --locked or --offline prevents resolving it; \
                 build once without them"
            )));
        }
        if let (Pins::Offline, Some(known)) = (self.pins, &known) {
            let found = Skeleton::in_cache(self.cas, known.clone());
            return found.map_err(|error| self.import_error(url, error));
        }
        let handle = runtime::shared().map_err(|error| unusable(with_causes(&error)))?;
        let skeleton = Skeleton::in_registry(self.cas, self.registry, reference, known, handle)
            .map_err(|error| self.import_error(url, error))?;
        if self.pins != Pins::Read {
            let pin = ImagePin {
                index: None,
                manifest: skeleton.manifest.clone(),
            };
            lock.pin_image(&name, PLATFORM, pin);
            lock.save().map_err(|error| unusable(with_causes(&error)))?;
        }
        Ok(skeleton)
    }

    fn import_error(&mut self, url: &SkeletonUrl, error: SkeletonError) -> ImportError {
        if let SkeletonError::Missing = error {
            return ImportError::NoSkeleton(url.to_string());
        }
        self.failed |= !matches!(error, SkeletonError::Malformed { .. });
        ImportError::Unusable(format!("{url}: {error}", error = with_causes(&error)))
    }
}
