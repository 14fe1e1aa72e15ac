//! `publish`: packages to registries and image layouts.

use crate::pipeline::kinds::{Flag, OneOf, SomeTasks, Tasks, Text, Word};
use crate::pipeline::record::record;

record! {
    /// Publishes packages, all of them or none: tags move last.
    pub struct Publish as "`publish`" {
        /// Tasks that make the packages of one release.
        packages: SomeTasks = "packages",
        /// Tasks that sign the packages. No package becomes visible without its
        /// signature.
        signatures: Tasks = "signatures",
        /// `oci://HOST/PATH`, or `oci-layout:FOLDER` relative to the pipeline file.
        to: Text = "to",
        /// Additional destinations for every package.
        mirrors: Vec<Text> = "mirrors",
        /// Tags that replace each package's version and flavor.
        tags: Vec<Text> = "tags",
        /// Move tags that name another package.
        move_tags: Flag<false> = "moveTags",
        /// Split files that are larger than a registry's layer limit. Only jackal can
        /// join them again.
        split_layers: Flag<false> = "splitLayers",
        /// When to publish; packages that are already published are always skipped.
        when: Option<OneOf<When>> = "when",
    }
}

/// When a package is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Its destination does not have it.
    Changed,
}

impl Word for When {
    const WORDS: &'static [(&'static str, Self)] = &[("changed", Self::Changed)];
}
