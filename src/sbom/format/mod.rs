//! Formats of documents, one file each. They never scan.
//!
//! Scans write syft-JSON; each other format is made of a syft-JSON document, so that those
//! in packages of other programs can be shown as well.

mod catalogue;
mod cyclonedx;
mod files;
pub mod spdx;
mod spdx3;
pub mod syft;
mod table;

use std::io::{self, Write};

use catalogue::Catalogue;

use crate::oci::Digest;

/// Who makes a document, and when.
#[derive(Clone, Copy, Debug)]
pub struct Production<'p> {
    pub tool: &'p str,
    pub version: &'p str,
    /// RFC 3339 in UTC.
    pub created: &'p str,
}

/// A format in which a document can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    SyftJson,
    SpdxJson,
    Spdx3Json,
    CycloneDxJson,
    /// For people.
    Table,
}

impl Format {
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
        let catalogue = Catalogue::read(document)?;
        match self {
            Self::SyftJson => Ok(()),
            Self::SpdxJson => {
                let source = &catalogue.source;
                let namespace = format!("urn:uuid:{}", uuid(&catalogue));
                let tool = format!("{}-{}", production.tool, production.version);
                let subject = spdx::Subject {
                    name: &source.name,
                    version: &source.version,
                    namespace: &namespace,
                    created: production.created,
                    tool: &tool,
                };
                let documents = [(String::new(), serde_json::from_slice(document)?)];
                serde_json::to_writer(out, &spdx::document_with_files(subject, &documents))?;
                Ok(())
            }
            Self::Spdx3Json => spdx3::write(&catalogue, production, out),
            Self::CycloneDxJson => cyclonedx::write(&catalogue, production, out),
            Self::Table => table::write(&catalogue, out),
        }
    }
}

/// A name of the document in the form of a UUID of version 8: equal for equal content.
fn uuid(catalogue: &Catalogue) -> String {
    let mut text = catalogue.source.id.clone();
    for artifact in &catalogue.artifacts {
        for part in [&artifact.id, &artifact.name, &artifact.version] {
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
