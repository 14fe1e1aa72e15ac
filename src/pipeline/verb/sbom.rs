//! `sbom`: what components and images contain.

use crate::pipeline::kinds::{ListOf, SomeTasks, Word};
use crate::pipeline::record::record;

record! {
    /// Lists what components and images contain.
    pub struct Sbom as "`sbom`" {
        /// Tasks that make components or images.
        of: SomeTasks = "of",
        /// Formats to write.
        formats: ListOf<SbomFormat> = "formats",
    }
}

/// A format of SBOM documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SbomFormat {
    /// The JSON of Anchore's Syft.
    Syft,
}

impl Word for SbomFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("syft-json", Self::Syft)];
}
