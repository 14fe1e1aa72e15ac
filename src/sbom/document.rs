//! The package model: the result of a scan, independent of file formats.
//!
//! Cataloguers fill it, formats write it. It never has absolute host paths, times
//! or random numbers, so that equal inputs give equal documents.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use super::license::License;
pub use super::location::{Annotations, Evidence, Location};
use super::media::Media;
use crate::oci::Digest;

/// Names for the origin of a package in documents. Each cataloguer has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecosystem {
    /// The value of `type`, such as `deb`.
    pub kind: &'static str,
    /// The programming language; may be empty.
    pub language: &'static str,
    /// Syft's name of the cataloguer.
    pub found_by: &'static str,
    /// Syft's name of the structure of [`Package::metadata`]; empty if it has none.
    pub metadata_type: &'static str,
}

impl Ecosystem {
    /// Whether these are the packages of an operating system.
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(
            self.kind,
            "alpm" | "apk" | "bitnami" | "deb" | "nix" | "portage" | "rpm"
        )
    }

    /// The packages that may require each other: modules require a kernel, and plugins
    /// of Jenkins are archives of Java with others inside.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.kind {
            "linux-kernel-module" => "linux-kernel",
            "jenkins-plugin" => "java-archive",
            kind => kind,
        }
    }
}

/// A package that was found.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name, as its ecosystem writes it.
    pub name: String,
    /// Version verbatim; `UNKNOWN` if it has none.
    pub version: String,
    /// Origin of the package.
    pub ecosystem: Ecosystem,
    /// Files that are evidence for the package.
    pub locations: Vec<Location>,
    pub licenses: BTreeSet<License>,
    /// Common Platform Enumerations that are certain.
    pub cpes: Vec<String>,
    /// Package URL; may be empty.
    pub purl: String,
    /// Facts that only this ecosystem has, as JSON text: as values, the file
    /// lists of a large image take several times as much memory.
    pub metadata: Option<Box<RawValue>>,
    /// Absolute paths of files of the package, in the scanned root.
    pub owns: Vec<String>,
    /// The files among those, by their places in [`Findings::files`]. Set when the
    /// catalogue is complete.
    pub files: Vec<u32>,
    /// Names by which packages of the same kind may require it.
    pub provides: Vec<String>,
    pub requires: Vec<String>,
}

impl Package {
    /// A package with only name and version; the caller fills in the rest.
    #[must_use]
    pub fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        let version = if version.is_empty() {
            "UNKNOWN"
        } else {
            version
        };
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            ecosystem,
            locations: Vec::new(),
            licenses: BTreeSet::new(),
            cpes: Vec::new(),
            purl: String::new(),
            metadata: None,
            owns: Vec::new(),
            files: Vec::new(),
            provides: Vec::new(),
            requires: Vec::new(),
        }
    }

    /// Sets `metadata`.
    pub fn describe(&mut self, facts: &Value) {
        // Encoding a value cannot fail; without metadata the package still counts.
        self.metadata = serde_json::value::to_raw_value(facts).ok();
    }

    /// Where licences are written of which a cataloguer does not say so: in a file for
    /// them, or in the file that proves the package.
    #[must_use]
    pub fn place_of_licenses(&self) -> Option<&Location> {
        // What proves a program says nothing about licences.
        if matches!(self.ecosystem.kind, "go-module" | "binary") {
            return None;
        }
        let copyright = |at: &&Location| at.path.ends_with("/copyright");
        let primary = |at: &&Location| at.annotations.evidence == Evidence::Primary;
        let mut places = self.locations.iter();
        let place = places.find(copyright);
        place.or_else(|| self.locations.iter().find(primary))
    }

    /// Identity within and across documents: 16 hex digits from kind, name, version,
    /// purl and real paths, but not from layers. Of a package in an archive, the access
    /// path is the one inside, such as `/a.war:b.jar`.
    #[must_use]
    pub fn id(&self) -> String {
        let path = |at: &Location| match at.access_path.strip_prefix(&at.path) {
            Some(inside) if inside.starts_with(':') => at.access_path.clone(),
            _ => at.path.clone(),
        };
        let paths: BTreeSet<String> = self.locations.iter().map(path).collect();
        let mut text = [self.ecosystem.kind, &self.name, &self.version, &self.purl].join("\0");
        for path in paths {
            text.push('\0');
            text.push_str(&path);
        }
        Digest::of(text.as_bytes()).hex()[..16].to_owned()
    }
}

/// A regular file that is evidence for a package, or belongs to one.
#[derive(Clone, Debug)]
pub struct File {
    /// Real path from the root of the scan.
    pub path: String,
    /// Diff id of the layer that holds it; absent outside images.
    pub layer: Option<Digest>,
    pub facts: FileFacts,
}

/// What is known of a file besides its place.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts {
    pub mode: u32,
    /// The owner and its group, by number.
    pub owner: (u32, u32),
    /// In bytes.
    pub size: u64,
    pub media: Media,
    /// Digest of its content; absent if it is sparse.
    pub digest: Option<Digest>,
}

/// Identity of the file at `path`: 64 bits from its path and its layer.
#[must_use]
pub fn file_id(path: &str, layer: Option<&Digest>) -> u64 {
    let mut identity = path.to_owned();
    if let Some(layer) = layer {
        identity.push('\0');
        identity.push_str(&layer.to_string());
    }
    let digest = Digest::of(identity.as_bytes());
    let first = digest.as_bytes().first_chunk();
    first.map_or(0, |first| u64::from_be_bytes(*first))
}

/// A file that could not be read.
#[derive(Clone, Debug)]
pub struct Unknown {
    pub location: Location,
    /// The cataloguer that wanted it, and what was wrong.
    pub reason: String,
}

/// What cataloguers found in one tree.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub packages: Vec<Package>,
    /// Files of packages, and files that are evidence for one; empty if they are too
    /// many.
    pub files: Vec<File>,
    pub unknowns: Vec<Unknown>,
}

/// A directed edge between two ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relationship {
    /// Id of the source or package where the edge begins.
    pub parent: String,
    /// Id of the package where it ends.
    pub child: String,
    /// `contains`, `dependency-of` or `ownership-by-file-overlap`.
    pub kind: &'static str,
    /// Shared paths of an overlap.
    pub files: Vec<String>,
}

/// The subject of a scan.
#[derive(Clone, Debug, Serialize)]
pub struct ScanTarget {
    /// Identity, in hex digits.
    pub id: String,
    /// Reference without tag, or component name.
    pub name: String,
    /// Tag or digest; may be empty.
    pub version: String,
    /// `image`, `directory` or `file`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Further facts, depending on `kind`.
    pub metadata: Value,
}

/// The result of a scan.
#[derive(Clone, Debug)]
pub struct Document {
    /// Packages, sorted.
    pub packages: Vec<Package>,
    /// Edges, sorted.
    pub relationships: Vec<Relationship>,
    /// Files of packages, and files that are evidence for one. Packages refer to them by
    /// place. Empty if they are too many: there are no relations with files then.
    pub files: Vec<File>,
    /// Files that could not be read, sorted by path.
    pub unknowns: Vec<Unknown>,
    /// The subject of the scan.
    pub source: ScanTarget,
    /// Distribution facts; an empty object if unknown.
    pub distro: Value,
}
