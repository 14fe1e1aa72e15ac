//! Formats of documents, one file each. They never scan.
//!
//! Scans write syft-JSON; each other format is made of a syft-JSON document, so that those
//! in packages of other programs can be shown as well.

mod catalogue;
mod cyclonedx;
mod files;
mod merged;
#[cfg(test)]
mod minimum;
mod spdx;
mod spdx3;
pub mod syft;
mod table;

use std::io::{self, Write};

pub use catalogue::{Catalogue, Source};

use crate::oci::Digest;

/// Who makes a document, and when.
#[derive(Clone, Copy, Debug)]
pub struct Production<'p> {
    pub tool: &'p str,
    pub version: &'p str,
    /// RFC 3339 in UTC.
    pub created: &'p str,
}

impl<'p> Production<'p> {
    /// By this version of jackal.
    #[must_use]
    pub fn ours(created: &'p str) -> Self {
        Self {
            tool: "jackal",
            version: env!("CARGO_PKG_VERSION"),
            created,
        }
    }
}

/// A format in which a document can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    SyftJson,
    SpdxJson,
    Spdx3Json,
    CycloneDxJson,
    /// For people.
    Table,
}

impl Format {
    /// Those for programs.
    pub const DOCUMENTS: [Self; 4] = [
        Self::SyftJson,
        Self::SpdxJson,
        Self::Spdx3Json,
        Self::CycloneDxJson,
    ];

    /// The format for programs that users name so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::DOCUMENTS.into_iter();
        all.find(|format| format.name() == name)
    }

    /// The artifact type of a document that is attached to what it is about.
    ///
    /// Source: IANA, "Media Types", for SPDX and CycloneDX.
    #[must_use]
    pub fn artifact_type(self) -> &'static str {
        match self {
            Self::SyftJson => "application/vnd.syft+json",
            Self::SpdxJson | Self::Spdx3Json => "application/spdx+json",
            Self::CycloneDxJson => "application/vnd.cyclonedx+json",
            Self::Table => "text/plain",
        }
    }

    /// The file name of the document that is `NAME.json` as syft-JSON.
    #[must_use]
    pub fn file_name(self, syft: &str) -> String {
        let stem = syft.strip_suffix(".json").unwrap_or(syft);
        match self {
            Self::SyftJson => format!("{stem}.json"),
            Self::SpdxJson => format!("{stem}.spdx.json"),
            Self::Spdx3Json => format!("{stem}.spdx3.json"),
            Self::CycloneDxJson => format!("{stem}.cdx.json"),
            Self::Table => format!("{stem}.txt"),
        }
    }

    /// As users name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SyftJson => "syft-json",
            Self::SpdxJson => "spdx-json",
            Self::Spdx3Json => "spdx3-json",
            Self::CycloneDxJson => "cyclonedx-json",
            Self::Table => "table",
        }
    }

    /// Writes the syft-JSON `document` in this format.
    ///
    /// # Errors
    ///
    /// `InvalidData`: it is not syft-JSON. Those of `out`.
    pub fn write(
        self,
        document: &[u8],
        production: &Production<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self == Self::SyftJson {
            return out.write_all(document);
        }
        self.write_catalogue(&Catalogue::read(document)?, production, out)
    }

    /// Writes a `catalogue` in this format, which is not syft-JSON.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_catalogue(
        self,
        catalogue: &Catalogue,
        production: &Production<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Self::SyftJson => Err(io::ErrorKind::Unsupported.into()),
            Self::SpdxJson => spdx::write(catalogue, production, out),
            Self::Spdx3Json => spdx3::write(catalogue, production, out),
            Self::CycloneDxJson => cyclonedx::write(catalogue, production, out),
            Self::Table => table::write(catalogue, out),
        }
    }
}

/// A name of the document of a `format`, in the form of a UUID of version 8: equal for equal
/// content.
fn uuid(catalogue: &Catalogue, production: &Production<'_>, format: &str) -> String {
    let source = &catalogue.source;
    let Production {
        tool,
        version,
        created,
    } = production;
    let mut text = [
        format,
        &source.id,
        &source.name,
        &source.version,
        tool,
        version,
        created,
    ]
    .join("\0");
    for digest in ["manifestDigest", "imageID"].map(|key| &source.metadata[key]) {
        text.push('\0');
        text.push_str(digest.as_str().unwrap_or_default());
    }
    for artifact in &catalogue.artifacts {
        let digest = artifact.metadata["manifestDigest"].as_str();
        let digest = digest.unwrap_or_default().to_owned();
        for part in [&artifact.id, &artifact.name, &artifact.version, &digest] {
            text.push('\0');
            text.push_str(part);
        }
    }
    let hex = Digest::of(text.as_bytes()).hex();
    let variant = ["8", "9", "a", "b"][usize::from(hex.as_bytes()[16]) % 4];
    format!(
        "{}-{}-8{}-{variant}{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
