//! `jackal package diff`: reads the documents of two packages and compares them.
//!
//! Reads the definition, `checksums.txt`, `sboms.tar` and the image index of each
//! package, but no blob or component.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _};
use std::path::Path;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::package_read::{SBOMS, package_definition};
use super::read_error::PackageReadError;
use crate::archive::TarReader;
use crate::layout::LayoutError;
use crate::oci::annotation::BASE_NAME;
use crate::oci::{Index, MAX_MANIFEST_BYTES};
use crate::package::Dialect;
use crate::package::diff::{Catalogue, Difference, Digests, Side};
use crate::source::Opened;
use crate::verify::Scope;

/// The index of a package's images.
const IMAGES: &str = Dialect::IMAGE_INDEX;

/// Largest SBOM document, in bytes: 1 GiB. Those of the largest known images have a few
/// hundred megabytes, if they list every file.
const MAX_SBOM_BYTES: u64 = 1 << 30;

/// Maximum number of entries in an SBOM archive: a hundred thousand, far more than the
/// images and components of any package.
const MAX_SBOMS: usize = 100_000;

/// Maximum memory for the packages of one side, in bytes: 48 MiB, enough for more
/// than a hundred thousand.
const MAX_LISTED_BYTES: usize = 48 << 20;

/// Memory for a package in addition to its texts, in bytes.
const LISTED_COST: usize = 200;

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

/// Reads the compared part of a syft-JSON document into a catalogue, one artifact after
/// the other: documents that list files are large.
struct Listing<'l> {
    found: &'l mut Catalogue,
    name: &'l str,
    left: &'l mut usize,
}

impl<'de> DeserializeSeed<'de> for &mut Listing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Listing<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document with a list of artifacts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut listed = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "artifacts" {
                listed = true;
                map.next_value_seed(&mut *self)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match listed {
            true => Ok(()),
            false => Err(A::Error::missing_field("artifacts")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(artifact) = list.next_element::<Artifact>()? {
            let texts = [&artifact.name, &artifact.version, &artifact.kind];
            let cost = texts.iter().map(|text| text.len()).sum::<usize>();
            let cost = cost + self.name.len() + LISTED_COST;
            let left = self.left.checked_sub(cost);
            *self.left = left.ok_or_else(|| A::Error::custom("it lists too many packages"))?;
            let key = (self.name.to_owned(), artifact.kind, artifact.name);
            self.found.entry(key).or_default().insert(artifact.version);
        }
        Ok(())
    }
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
    let (mut found, mut left) = (Catalogue::new(), MAX_LISTED_BYTES);
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
        let mut listing = Listing {
            found: &mut found,
            name: name.trim_start_matches("./"),
            left: &mut left,
        };
        let mut json = serde_json::Deserializer::from_reader(reader);
        listing
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| inside(error.into()))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(documents: &[(&str, &str)]) -> Result<Catalogue, String> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in documents {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_cksum();
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        catalogue(file).map_err(|(entry, error)| format!("{entry}: {error}"))
    }

    #[test]
    fn artifacts_are_read_one_after_the_other_within_a_limit() {
        let one = r#"{"source":{"a":[1,{}]},"artifacts":[{"name":"n","version":"1","type":"deb"},
            {"name":"n","version":"2","type":"deb","locations":[{}]}],"files":[1,2]}"#;
        let found = read(&[("./a.json", one), ("viewer.html", "<p>")]).unwrap();
        let key = ("a.json".to_owned(), "deb".to_owned(), "n".to_owned());
        let versions = ["1", "2"].map(str::to_owned).into();
        assert_eq!(found, [(key, versions)].into());
        for (text, part) in [
            ("{}", "missing field `artifacts`"),
            ("[]x", "trailing characters"),
            (r#"{"artifacts":[{"version":"1"}]}"#, "missing field"),
            ("3", "expected a document"),
        ] {
            let error = read(&[("a.json", text)]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let artifact = r#"{"name":"","type":""},"#.repeat(300_000);
        let many = format!("{{\"artifacts\":[{}]}}", artifact.trim_end_matches(','));
        let error = read(&[("a.json", &many)]).unwrap_err();
        assert!(error.contains("lists too many packages"), "{error}");
    }
}
