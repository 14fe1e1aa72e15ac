//! The package model: what a scan found, free of any file format.
//!
//! Cataloguers fill it, formats write it. It never holds absolute host paths,
//! times or random numbers, so that equal inputs give equal documents.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::oci::Digest;

/// A place inside the scanned tree that shows a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// Real path, links resolved, from the root of the scan.
    pub path: String,
    /// Diff id of the layer that holds the file; absent outside images.
    #[serde(rename = "layerID", skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The path by which it was found.
    #[serde(rename = "accessPath")]
    pub access_path: String,
    /// What it is worth as evidence.
    pub annotations: Annotations,
}

/// Annotations of a [`Location`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Annotations {
    /// How the file counts.
    pub evidence: Evidence,
}

/// How a file counts as evidence for a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// It proves the package.
    Primary,
    /// It was read for more facts.
    Supporting,
}

/// A declared licence, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct License(pub String);

impl License {
    /// The canonical SPDX id or expression; empty if it is neither.
    #[must_use]
    pub fn spdx(&self) -> String {
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let (stem, later) = match self.0.strip_suffix('+') {
            Some(stem) => (stem, true),
            None => (self.0.as_str(), false),
        };
        for candidate in [stem.to_owned(), format!("{stem}.0")] {
            let wanted = plain(&candidate);
            let found = spdx::identifiers::LICENSES
                .iter()
                .find(|license| plain(license.name) == wanted);
            if let Some(found) = found {
                return if later {
                    format!("{}+", found.name)
                } else {
                    found.name.to_owned()
                };
            }
        }
        match spdx::Expression::parse(&self.0) {
            Ok(expression) => expression.to_string(),
            Err(_) => String::new(),
        }
    }
}

/// The words by which documents name where a package comes from.
///
/// Each cataloguer has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecosystem {
    /// The value of `type`, such as `deb`.
    pub kind: &'static str,
    /// The programming language; empty for system packages.
    pub language: &'static str,
    /// The cataloguer, by the name that syft gives it.
    pub found_by: &'static str,
    /// The shape of [`Package::metadata`], by the name that syft gives it.
    pub metadata_type: &'static str,
}

/// One found package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name, as its ecosystem writes it.
    pub name: String,
    /// Version verbatim; `UNKNOWN` if there is none.
    pub version: String,
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Files that show the package.
    pub locations: Vec<Location>,
    /// Declared licences.
    pub licenses: BTreeSet<License>,
    /// Common platform enumerations, known for certain.
    pub cpes: Vec<String>,
    /// Package URL; may be empty.
    pub purl: String,
    /// Facts that only this ecosystem has, as JSON text: as values, the file
    /// lists of a large image take several times as much memory.
    pub metadata: Option<Box<RawValue>>,
    /// Files the package owns, absolute in the scanned root.
    pub owns: Vec<String>,
    /// Names under which others of its kind may require it.
    pub provides: Vec<String>,
    /// Names it requires.
    pub requires: Vec<String>,
}

impl Package {
    /// A package with nothing known but its name; fill in the rest.
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

    /// Sets the facts of its ecosystem.
    pub fn describe(&mut self, facts: &Value) {
        // A value always has a text; without it the package is still a find.
        self.metadata = serde_json::value::to_raw_value(facts).ok();
    }

    /// Identity inside and across documents: 16 hex digits that depend on
    /// kind, name, version, purl and real paths, not on layers.
    #[must_use]
    pub fn id(&self) -> String {
        let paths: BTreeSet<&str> = self.locations.iter().map(|l| l.path.as_str()).collect();
        let mut text = [self.ecosystem.kind, &self.name, &self.version, &self.purl].join("\0");
        for path in paths {
            text.push('\0');
            text.push_str(path);
        }
        Digest::of(text.as_bytes()).hex()[..16].to_owned()
    }
}

/// A directed edge between two ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relationship {
    /// From.
    pub parent: String,
    /// To.
    pub child: String,
    /// `contains`, `dependency-of` or `ownership-by-file-overlap`.
    pub kind: &'static str,
    /// Shared paths of an overlap.
    pub files: Vec<String>,
}

/// What was scanned.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Hex digits.
    pub id: String,
    /// Reference without tag, or component name.
    pub name: String,
    /// Tag or digest; may be empty.
    pub version: String,
    /// `image`, `directory` or `file`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Facts of this kind of source.
    pub metadata: Value,
}

/// Everything a scan found.
#[derive(Clone, Debug)]
pub struct Document {
    /// Packages, sorted.
    pub packages: Vec<Package>,
    /// Edges, sorted.
    pub relationships: Vec<Relationship>,
    /// What was scanned.
    pub source: Source,
    /// Distribution facts; an empty object if unknown.
    pub distro: Value,
}
