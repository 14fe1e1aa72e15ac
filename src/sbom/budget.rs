//! What a scan may hold in memory.
//!
//! A layer of a megabyte can unpack to millions of entries, and a list of packages can
//! name one of them a million times. Whatever is held is counted first, so that a scan
//! ends with an error while memory is still small. Source: docs/spec/sbom.md, "Limits".

use std::cell::Cell;
use std::io;

/// Maximum memory for the entries, the lists of packages and the facts about
/// executables of one layer or image, in bytes: 128 MiB. The largest known images
/// have half a million files.
pub(super) const HELD_BYTES: usize = 128 << 20;

/// The same for one archive inside a component, which is held beside its component; half
/// of it for an archive inside that, and for one inside that.
pub(super) const INNER_BYTES: usize = 64 << 20;

/// Bytes that all archives of a component may unpack to, in addition to a multiple of
/// the size of each: 1 GiB. A thousand small bombs must not take a thousand times as long
/// as one.
pub(super) const INNER_SPARE: u64 = 1 << 30;

/// Maximum memory for the packages of one document, in bytes: 112 MiB. A system of
/// five thousand packages with half a million files takes that.
pub(super) const FOUND_BYTES: usize = 112 << 20;

/// Maximum memory for the files of the packages of one document, in bytes: 64 MiB, some
/// three hundred thousand files. A document of more has none: grype reads at most 256 MiB.
pub(super) const FILES_BYTES: usize = 64 << 20;

/// Maximum number of edges of one document: half a million.
pub(super) const EDGES: usize = 500_000;

/// Steps along paths that a scan may always take: twenty million, a few seconds.
const STEPS: u64 = 20 << 20;

/// Further steps for each entry.
const STEPS_PER_ENTRY: u64 = 64;

/// Why a layer cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The tar is damaged or its source failed.
    #[error("cannot read the layer's tar archive")]
    Read(#[from] io::Error),
    /// A limit on memory or steps is exceeded.
    #[error("{0}")]
    TooLarge(&'static str),
}

/// Memory that is left.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    left: usize,
    what: &'static str,
}

impl Memory {
    /// `bytes` for `what`, which the error names.
    pub(super) fn new(bytes: usize, what: &'static str) -> Self {
        Self { left: bytes, what }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), LayerError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(LayerError::TooLarge(self.what)),
        }
    }

    /// Gives back `bytes` that were taken.
    pub(super) fn give(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }

    /// Takes `bytes` if that many are left, otherwise all of the rest; returns
    /// whether there were enough.
    pub(super) fn took(&mut self, bytes: usize) -> bool {
        let enough = self.take(bytes).is_ok();
        if !enough {
            self.left = 0;
        }
        enough
    }
}

/// Steps along paths that are left: links can make a path of any length.
#[derive(Clone, Debug)]
pub(super) struct Steps(Cell<u64>);

impl Default for Steps {
    fn default() -> Self {
        Self(Cell::new(STEPS))
    }
}

impl Steps {
    /// A few steps, for tests.
    #[cfg(test)]
    pub(super) fn few(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    /// Adds what one more entry may take.
    pub(super) fn add_entry(&self) {
        if !self.are_used_up() {
            self.0.set(self.0.get().saturating_add(STEPS_PER_ENTRY));
        }
    }

    /// Takes a step; `None`: there are none left.
    pub(super) fn take(&self) -> Option<()> {
        self.0.set(self.0.get().checked_sub(1)?);
        Some(())
    }

    /// Whether none is left: what was looked up since may be incomplete.
    pub(super) fn are_used_up(&self) -> bool {
        self.0.get() == 0
    }
}
