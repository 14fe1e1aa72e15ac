//! Whole scans: from layers or a component tar to a document.
//!
//! The layers of an image are stacked first; the tar of a component is one tree.
//! Each archive inside a component, compressed or not, is a tree of its own;
//! archives inside those are not opened.

use std::io::{self, Read};

use serde_json::{Value, json};

use super::body::PutAside;
use super::budget::{HELD_BYTES, INNER_BYTES};
use super::catalog::{self, Found, Mark, Tree};
use super::document::{Annotations, Document, Evidence, Location, ScanTarget};
use super::layer::{self, Keeper, LayerError, LayerScan};
use super::squash::{StackError, View};
use super::stored::StoredScan;
use super::unpack::{self, TAR_HEAD};
use crate::archive::{Growth, is_tar};
use crate::oci::Digest;

/// Scans the uncompressed layer tar `input` to its end. Long files that are read at any
/// place are put `aside`.
///
/// # Errors
///
/// `LayerError`: the tar is damaged or too large. Unknown entries are skipped.
pub fn layer(input: impl Read, aside: PutAside<'_>) -> Result<LayerScan, LayerError> {
    layer::scan(input, catalog::wanted_of_images, aside)
}

/// An image whose layers are stacked one after the other, base first.
pub struct Image(View);

impl Default for Image {
    fn default() -> Self {
        Self(View::new(true, HELD_BYTES))
    }
}

impl Image {
    /// Stacks the next layer; returns its diff id, and the bytes of its files.
    ///
    /// # Errors
    ///
    /// [`StackError`]: the scan is damaged, or the image too large.
    pub fn stack(&mut self, layer: StoredScan<impl Read>) -> Result<(Digest, u64), StackError> {
        let facts = (layer.diff_id, layer.file_bytes);
        self.0.stack_stored(layer)?;
        Ok(facts)
    }

    /// Catalogues the image.
    ///
    /// # Errors
    ///
    /// [`LayerError`]: it lists too many packages.
    pub fn document(self, source: ScanTarget) -> Result<Document, LayerError> {
        let mut found = Found::default();
        catalog::packages(&self.0, Tree::Image, &mut found)?;
        let distro = self.0.distro().clone();
        drop(self.0);
        Document::new(source, distro, found.finish()?)
    }
}

/// Catalogues the files of component `name` from its uncompressed tar.
///
/// Locations are paths inside the component, so the document is the same on
/// every machine. Packages in an archive have paths such as
/// `/files/0/app.tar.gz:/web/package.json`, and the archive as another location.
///
/// # Errors
///
/// `LayerError`: the tar is damaged, or it or an archive inside is too large. Damaged
/// archives inside count as ordinary files.
pub fn component(name: &str, tar: impl Read, aside: PutAside<'_>) -> Result<Document, LayerError> {
    let mut found = Found::default();
    let mut keeper = Keeper::new(catalog::wanted_of_components, aside);
    let mut view = View::new(false, HELD_BYTES);
    layer::walk(
        tar,
        |path, size, input| {
            let mut head = Vec::with_capacity(TAR_HEAD);
            input.take(TAR_HEAD as u64).read_to_end(&mut head)?;
            if unpack::is_compressed(&head) || is_tar(&head) {
                archive(path, size, (&head[..]).chain(input), aside, &mut found)?;
                return Ok(None);
            }
            keeper.keep(path, size, &mut (&head[..]).chain(input))
        },
        view.filling(),
    )?;
    catalog::packages(&view, Tree::Component, &mut found)?;
    drop(view);
    let source = ScanTarget {
        id: Digest::of(name.as_bytes()).hex(),
        name: name.to_owned(),
        version: String::new(),
        kind: "directory",
        metadata: json!({"path": name}),
    };
    let distro = Value::Object(serde_json::Map::new());
    Document::new(source, distro, found.finish()?)
}

/// Finds the packages in an archive of `size` bytes at `path`; none if it is not a valid
/// tar.
fn archive(
    path: &str,
    size: u64,
    input: impl Read,
    aside: PutAside<'_>,
    found: &mut Found,
) -> Result<(), LayerError> {
    let most = Growth::INNER.of(size);
    let mut view = View::new(false, INNER_BYTES);
    let mut keeper = Keeper::new(catalog::wanted_of_components, aside);
    let scan = || -> Result<(), LayerError> {
        let mut plain = unpack::unpacked(input)?.take(most);
        let mut head = Vec::with_capacity(TAR_HEAD);
        (&mut plain).take(TAR_HEAD as u64).read_to_end(&mut head)?;
        if !is_tar(&head) {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        let keep = |path: &str, size, input: &mut dyn Read| keeper.keep(path, size, input);
        layer::walk(head.chain(plain), keep, view.filling()).map(drop)
    };
    match scan() {
        Err(LayerError::Read(_)) => return Ok(()),
        done => done?,
    }
    let before = found.mark();
    catalog::packages(&view, Tree::Component, found)?;
    relocate(found, before, path);
    Ok(())
}

/// Moves what was found after `before` from the root of the archive at `path` into
/// the component that contains the archive.
fn relocate(found: &mut Found, before: Mark, path: &str) {
    let archive = format!("/{path}");
    // The path may be long; it is not part of a document in these places.
    let mark = Digest::of(archive.as_bytes()).hex();
    let mark = &mark[..16];
    let inside = |location: &mut Location| {
        location.path = format!("{archive}:{}", location.path);
        location.access_path = format!("{archive}:{}", location.access_path);
    };
    found.change_unknowns_after(before, archive.len(), inside);
    found.change_after(before, archive.len(), |package| {
        package.locations.iter_mut().for_each(inside);
        // Only packages of the same archive can own or require each other.
        for owned in &mut package.owns {
            *owned = format!("{archive}:{owned}");
        }
        for name in package.provides.iter_mut().chain(&mut package.requires) {
            *name = format!("{mark}\0{name}");
        }
        package.locations.push(Location {
            path: archive.clone(),
            layer: None,
            access_path: archive.clone(),
            annotations: Annotations {
                evidence: Evidence::Supporting,
            },
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::body::in_memory;
    use crate::sbom::layer::tar_of;
    use std::io::Write as _;

    #[test]
    fn component_locations_are_relative_to_the_component() {
        let tar = tar_of(&[("files/0/app/package.json", br#"{"name":"a","version":"1"}"#)]);
        let document = component("base", &tar[..], &in_memory).unwrap();
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
        let document = component("base", &tar[..], &in_memory).unwrap();
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
