//! Whole scans: from layers or a component tar to a document.
//!
//! The layers of an image are stacked first; the tar of a component is one tree.
//! Each archive inside a component, compressed or not, is a tree of its own;
//! archives inside those are not opened.

use std::io::{self, Read};

use serde_json::{Value, json};

use super::catalog;
use super::document::{Annotations, Document, Evidence, Location, Package, Source};
use super::layer::{self, Keeper, LayerError, LayerScan};
use super::squash::View;
use super::unpack::{self, TAR_HEAD};
use crate::archive::is_tar;
use crate::oci::Digest;

/// Most uncompressed bytes read of one archive inside a component: 64 GiB. The rest
/// is ignored, so that a decompression bomb takes a minute and not a day.
const ARCHIVE_LIMIT: u64 = 64 << 30;

/// Scans the uncompressed layer tar `input` to its end.
///
/// # Errors
///
/// [`LayerError`]: the tar is damaged or too large. Unknown entries are skipped.
pub fn layer(input: impl Read) -> Result<LayerScan, LayerError> {
    layer::scan(input, catalog::is_wanted)
}

/// Catalogues an image from its layer scans, base first.
#[must_use]
pub fn image(source: Source, layers: Vec<LayerScan>) -> Document {
    let view = View::squash(layers, true);
    Document::new(source, view.distro(), catalog::packages(&view))
}

/// Catalogues the files of component `name` from its uncompressed tar.
///
/// Locations are paths inside the component, so the document is the same on
/// every machine. Packages in an archive have paths such as
/// `/files/0/app.tar.gz:/web/package.json`, and the archive as another location.
///
/// # Errors
///
/// [`LayerError`]: the tar is damaged or too large. Damaged archives inside count
/// as ordinary files.
pub fn component(name: &str, tar: impl Read) -> Result<Document, LayerError> {
    let mut inside = Vec::new();
    let mut keeper = Keeper::new(catalog::is_wanted);
    let root = layer::walk(tar, |path, size, input| {
        let mut head = Vec::with_capacity(TAR_HEAD);
        input.take(TAR_HEAD as u64).read_to_end(&mut head)?;
        if unpack::is_compressed(&head) || is_tar(&head) {
            inside.extend(archive(path, (&head[..]).chain(input)));
            return Ok(None);
        }
        keeper.keep(path, size, &mut (&head[..]).chain(input))
    })?;
    let view = View::squash(vec![root], false);
    let mut found = catalog::packages(&view);
    found.extend(inside);
    let source = Source {
        id: Digest::of(name.as_bytes()).hex(),
        name: name.to_owned(),
        version: String::new(),
        kind: "directory",
        metadata: json!({"path": name}),
    };
    let distro = Value::Object(serde_json::Map::new());
    Ok(Document::new(source, distro, found))
}

/// The packages in an archive at `path`; none if it is not a valid tar.
fn archive(path: &str, input: impl Read) -> Vec<Package> {
    let scan = || -> Result<LayerScan, LayerError> {
        let mut plain = unpack::unpacked(input)?.take(ARCHIVE_LIMIT);
        let mut head = Vec::with_capacity(TAR_HEAD);
        (&mut plain).take(TAR_HEAD as u64).read_to_end(&mut head)?;
        if !is_tar(&head) {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        layer(head.chain(plain))
    };
    let Ok(layer) = scan() else {
        return Vec::new();
    };
    let view = View::squash(vec![layer], false);
    let mut found = catalog::packages(&view);
    for package in &mut found {
        relocate(package, path);
    }
    found
}

/// Moves `package` from the root of the archive at `path` into the component that
/// contains the archive.
fn relocate(package: &mut Package, path: &str) {
    let archive = format!("/{path}");
    for location in &mut package.locations {
        location.path = format!("{archive}:{}", location.path);
        location.access_path = format!("{archive}:{}", location.access_path);
    }
    // Only packages of the same archive can own or require each other.
    for owned in &mut package.owns {
        *owned = format!("{archive}:{owned}");
    }
    for name in package.provides.iter_mut().chain(&mut package.requires) {
        *name = format!("{archive}\0{name}");
    }
    package.locations.push(Location {
        path: archive.clone(),
        layer: None,
        access_path: archive,
        annotations: Annotations {
            evidence: Evidence::Supporting,
        },
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::layer::tar_of;
    use std::io::Write as _;

    #[test]
    fn component_locations_are_relative_to_the_component() {
        let tar = tar_of(&[("files/0/app/package.json", br#"{"name":"a","version":"1"}"#)]);
        let document = component("base", &tar[..]).unwrap();
        let location = &document.packages[0].locations[0];
        assert_eq!(location.path, "/files/0/app/package.json");
        assert_eq!(location.layer, None);
        assert_eq!(document.distro, json!({}));
    }

    #[test]
    fn archives_are_opened_one_level_deep() {
        let deepest = tar_of(&[("package.json", br#"{"name":"no","version":"1"}"#)]);
        let inner = tar_of(&[
            ("web/package.json", br#"{"name":"a","version":"1"}"#),
            ("deeper.tar", &deepest),
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&inner).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstandard = zstd::encode_all(&inner[..], 1).unwrap();
        let tar = tar_of(&[
            ("files/0/a.tar", &inner),
            ("files/1/b", &gzip),
            ("files/2/c.tzst", &zstandard),
            ("files/3/cut.tgz", &gzip[..gzip.len() / 2]),
            ("files/4/d.gz", &zstd::encode_all(&b"text"[..], 1).unwrap()),
            ("files/5/package.json", br#"{"name":"b","version":"1"}"#),
        ]);
        let document = component("base", &tar[..]).unwrap();
        let found: Vec<_> = document
            .packages
            .iter()
            .map(|p| (p.name.as_str(), p.locations.last().unwrap().path.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("a", "/files/0/a.tar:/web/package.json"),
                ("a", "/files/1/b:/web/package.json"),
                ("a", "/files/2/c.tzst:/web/package.json"),
                ("b", "/files/5/package.json"),
            ]
        );
        assert_eq!(document.packages[0].locations[0].path, "/files/0/a.tar");
    }
}
