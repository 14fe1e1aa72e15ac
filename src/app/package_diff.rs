//! `jackal package diff`: reads the documents of two packages and compares them.
//!
//! Reads the definition, `checksums.txt`, `sboms.tar` and the image index of each
//! package, but no blob or component.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _};
use std::path::Path;

use serde::Deserialize;

use super::package_read::{SBOMS, package_definition};
use super::read_error::PackageReadError;
use crate::archive::TarReader;
use crate::layout::{LayoutError, MAX_DOCUMENT_BYTES};
use crate::oci::Index;
use crate::oci::annotation::BASE_NAME;
use crate::package::diff::{Catalogue, Difference, Digests, Side};
use crate::source::Opened;
use crate::verify::Scope;

/// The index of a package's images.
const IMAGES: &str = "images/index.json";

/// Largest SBOM document, in bytes: 1 GiB. Those of the largest known images have a few
/// hundred megabytes, if they list every file.
const MAX_SBOM_BYTES: u64 = 1 << 30;

/// Maximum number of entries in an SBOM archive: a hundred thousand, far more than the
/// images and components of any package.
const MAX_SBOMS: usize = 100_000;

/// Compares two packages.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn package_diff(first: &Opened, second: &Opened) -> Result<Difference, PackageReadError> {
    Ok(Difference::between(&side(first)?, &side(second)?))
}

fn side(opened: &Opened) -> Result<Side, PackageReadError> {
    let path = Path::new(&opened.name);
    let mut files = BTreeMap::new();
    let names = [SBOMS, IMAGES].map(str::to_owned);
    let evidence = opened.package.read_some(&names, &mut |name, size| {
        if name == IMAGES && size > MAX_DOCUMENT_BYTES {
            let what = format!("`{name}` is larger than {MAX_DOCUMENT_BYTES} bytes");
            return Err(LayoutError::too_large(path, what));
        }
        // Kept in an unnamed file until it is verified.
        let file = tempfile::tempfile().and_then(|file| {
            files.insert(name.to_owned(), file.try_clone()?);
            Ok(Box::new(BufWriter::with_capacity(1 << 17, file)) as Box<dyn io::Write>)
        });
        file.map_err(|source| LayoutError::Output {
            path: path.to_owned(),
            entry: name.to_owned(),
            source,
        })
    })?;
    let package = opened.judge(evidence, Scope::Given)?;
    let document = |entry: &str, error: &dyn std::fmt::Display| PackageReadError::Document {
        package: path.to_owned(),
        entry: entry.to_owned(),
        what: error.to_string(),
    };
    let images = match files.remove(IMAGES) {
        None => Digests::new(),
        Some(file) => images(file).map_err(|error| document(IMAGES, &error))?,
    };
    let catalogue = match files.remove(SBOMS) {
        None => None,
        Some(file) => {
            let read = catalogue(file);
            Some(read.map_err(|(entry, error)| document(&entry, &error))?)
        }
    };
    Ok(Side {
        definition: package_definition(&package)?,
        checksums: package.checksums().clone(),
        images,
        catalogue,
    })
}

fn images(mut file: File) -> io::Result<Digests> {
    file.rewind()?;
    let index: Index = serde_json::from_reader(BufReader::new(file))?;
    let name = |image: &crate::oci::Descriptor| match image.annotations.get(BASE_NAME) {
        Some(name) => name.clone(),
        None => image.digest.to_string(),
    };
    let images = index.manifests.iter();
    Ok(images
        .map(|image| (name(image), image.digest.to_string()))
        .collect())
}

/// The compared part of a syft-JSON document.
#[derive(Deserialize)]
struct Document {
    artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Every package that the documents list; an error comes with the file's name.
fn catalogue(mut file: File) -> Result<Catalogue, (String, io::Error)> {
    let whole = |error| (SBOMS.to_owned(), error);
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    file.rewind().map_err(whole)?;
    let mut tar = TarReader::new(BufReader::with_capacity(1 << 17, file));
    let mut found = Catalogue::new();
    while let Some(entry) = tar.next().map_err(whole)? {
        if tar.headers() as usize > MAX_SBOMS {
            let what = format!("it has more than {MAX_SBOMS} entries");
            return Err(whole(invalid(what)));
        }
        let name = entry.name_lossy();
        // The archive also contains the pages of a viewer.
        if !name.ends_with(".json") {
            continue;
        }
        let inside = |error| (format!("{SBOMS}: {name}"), error);
        if entry.size > MAX_SBOM_BYTES {
            let what = format!("it is larger than {MAX_SBOM_BYTES} bytes");
            return Err(inside(invalid(what)));
        }
        let reader = BufReader::with_capacity(1 << 17, (&mut tar).take(MAX_SBOM_BYTES));
        let document: Document =
            serde_json::from_reader(reader).map_err(|error| inside(error.into()))?;
        let document_name = name.trim_start_matches("./");
        for artifact in document.artifacts {
            let key = (document_name.to_owned(), artifact.kind, artifact.name);
            found.entry(key).or_default().insert(artifact.version);
        }
    }
    Ok(found)
}
