//! The package model: the result of a scan, independent of file formats.
//!
//! Cataloguers fill it, formats write it. It never has absolute host paths, times
//! or random numbers, so that equal inputs give equal documents.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::oci::Digest;

/// A file in the scanned tree that is evidence for a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// Real path, links resolved, from the root of the scan.
    pub path: String,
    /// Diff id of the layer that holds the file; absent outside images.
    #[serde(rename = "layerID", skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The path before links were resolved.
    #[serde(rename = "accessPath")]
    pub access_path: String,
    pub annotations: Annotations,
}

/// Annotations of a [`Location`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Annotations {
    pub evidence: Evidence,
}

/// Kind of evidence for a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// It proves the package.
    Primary,
    /// It has further facts.
    Supporting,
}

/// A declared licence, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct License(pub String);

impl License {
    /// The canonical SPDX id or expression; empty if the licence is neither.
    #[must_use]
    pub fn spdx(&self) -> String {
        fn plain(text: &str) -> String {
            text.replace('-', "").to_ascii_lowercase()
        }
        // Copyright files name many.
        static KNOWN: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
            let known = spdx::identifiers::LICENSES.iter().rev();
            known.map(|known| (plain(known.name), known.name)).collect()
        });
        let (stem, later) = match self.0.strip_suffix('+') {
            Some(stem) => (stem, true),
            None => (self.0.as_str(), false),
        };
        for candidate in [stem.to_owned(), format!("{stem}.0")] {
            if let Some(found) = KNOWN.get(&plain(&candidate)) {
                return if later {
                    format!("{found}+")
                } else {
                    (*found).to_owned()
                };
            }
        }
        match spdx::Expression::parse(&self.0) {
            Ok(expression) => expression.to_string(),
            Err(_) => String::new(),
        }
    }
}

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
            provides: Vec::new(),
            requires: Vec::new(),
        }
    }

    /// Sets `metadata`.
    pub fn describe(&mut self, facts: &Value) {
        // Encoding a value cannot fail; without metadata the package still counts.
        self.metadata = serde_json::value::to_raw_value(facts).ok();
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
    /// Files that could not be read, sorted by path.
    pub unknowns: Vec<Unknown>,
    /// The subject of the scan.
    pub source: ScanTarget,
    /// Distribution facts; an empty object if unknown.
    pub distro: Value,
}
