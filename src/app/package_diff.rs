//! `jackal package diff`: reads the documents of two packages and compares them.
//!
//! Reads the definition, `checksums.txt`, `sboms.tar` and the image index of each
//! package, but no blob or component.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _};
use std::path::Path;

use super::package_read::{SBOMS, package_definition};
use super::read_error::PackageReadError;
use super::sbom::SbomArchive;
use crate::layout::LayoutError;
use crate::oci::annotation::BASE_NAME;
use crate::oci::{Index, MAX_MANIFEST_BYTES};
use crate::package::Dialect;
use crate::package::diff::{Difference, Digests, Side};
use crate::source::Opened;
use crate::verify::Scope;

/// The index of a package's images.
const IMAGES: &str = Dialect::IMAGE_INDEX;

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
        if name == IMAGES && size > MAX_MANIFEST_BYTES {
            let what = format!("`{name}` is larger than {MAX_MANIFEST_BYTES} bytes");
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
        Some(file) => Some(SbomArchive::of(file, &opened.name).catalogue()?),
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
