//! Whole scans: from layers or a component tar to a document.
//!
//! The layers of an image are stacked first; the tar of a component is one tree.
//! Each archive inside a component is a tree of its own.

use std::io::Read;

use serde_json::{Value, json};

use super::body::PutAside;
use super::budget::HELD_BYTES;
use super::catalog::{self, Found, Tree};
use super::document::{Document, ScanTarget};
use super::findings::Findings;
use super::inner::Opener;
use super::layer::{self, Keeper, LayerError, LayerScan, NodeKind};
use super::squash::{StackError, View};
use super::stored::StoredScan;
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
        let start = found.mark();
        catalog::packages(&self.0, Tree::Image, &mut found)?;
        found.gather(&self.0, start);
        self.0.check()?;
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
/// archives inside are listed in the document.
pub fn component(name: &str, tar: impl Read, aside: PutAside<'_>) -> Result<Document, LayerError> {
    // Its tar has all in a folder called like the component.
    let (document, _) = files(name, &format!("{name}/"), tar, aside, None)?;
    Ok(document)
}

/// As [`component`]; a file that `findings` know is not scanned again. The document is the
/// same.
///
/// # Errors
///
/// As [`component`], and findings that another version wrote.
pub fn component_with(
    name: &str,
    tar: impl Read,
    aside: PutAside<'_>,
    findings: &mut dyn Findings,
) -> Result<Document, LayerError> {
    let (document, _) = files(name, &format!("{name}/"), tar, aside, Some(findings))?;
    Ok(document)
}

/// As [`component`], of any folder: the tar has its files at the root. The document says
/// which distribution it holds, if it is a system, or only the archive of one.
///
/// # Errors
///
/// As [`component`].
pub fn tree(name: &str, tar: impl Read, aside: PutAside<'_>) -> Result<Document, LayerError> {
    let (mut document, distro) = files(name, "", tar, aside, None)?;
    document.distro = distro;
    Ok(document)
}

/// Catalogues the files of a tar without the `folder` at the beginning of their paths;
/// returns what is known of a distribution as well.
fn files(
    name: &str,
    folder: &str,
    tar: impl Read,
    aside: PutAside<'_>,
    findings: Option<&mut dyn Findings>,
) -> Result<(Document, Value), LayerError> {
    let mut opener = Opener::new(aside, findings);
    let start = opener.found.mark();
    let mut keeper = Keeper::new(catalog::wanted_of_components, aside);
    let (mut view, mut entries) = (View::new(false, HELD_BYTES), 0_u64);
    let inside = |path: &str| path.strip_prefix(folder).unwrap_or(path).to_owned();
    let mut fill = view.filling();
    layer::entries(
        tar,
        |path, size, input| opener.file(&mut keeper, &inside(path), size, input),
        |mut entry| {
            entries += 1;
            entry.path = inside(&entry.path);
            if let NodeKind::Hardlink(target) = &mut entry.kind {
                *target = inside(target);
            }
            fill(entry)
        },
    )?;
    drop(fill);
    let (mut found, distro_inside) = (opener.found, opener.distro);
    catalog::packages(&view, Tree::Component, &mut found)?;
    found.gather(&view, start);
    view.check()?;
    let found_distro = match distro_inside.filter(|_| entries == 1) {
        Some(distro) => distro,
        None => view.distro().clone(),
    };
    drop(view);
    let source = ScanTarget {
        id: Digest::of(name.as_bytes()).hex(),
        name: name.to_owned(),
        version: String::new(),
        kind: "directory",
        metadata: json!({"path": name}),
    };
    let distro = Value::Object(serde_json::Map::new());
    let document = Document::new(source, distro, found.finish()?)?;
    Ok((document, found_distro))
}

#[cfg(test)]
mod merging;
#[cfg(test)]
mod mutated;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::body::in_memory;
    use crate::sbom::layer::tar_of;

    #[test]
    fn component_locations_are_relative_to_the_component() {
        let json = br#"{"name":"a","version":"1"}"#;
        let tar = tar_of(&[("base/files/0/app/package.json", json)]);
        let document = component("base", &tar[..], &in_memory).unwrap();
        let location = &document.packages[0].locations[0];
        assert_eq!(location.path, "/files/0/app/package.json");
        assert_eq!(location.layer, None);
        assert_eq!(document.distro, json!({}));
    }

    #[test]
    fn the_archive_of_a_system_is_of_its_distribution_and_a_folder_with_one_is_not() {
        let system = tar_of(&[
            ("etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n"),
            ("var/lib/dpkg/status", b"Package: a\nVersion: 1\n\n"),
        ]);
        for (others, distro) in [
            (vec![], json!("debian")),
            (vec![("b", &b""[..])], json!(null)),
        ] {
            let mut files = vec![("root.tar", &system[..])];
            files.extend(others);
            let found = tree("root.tar", &tar_of(&files)[..], &in_memory).unwrap();
            assert_eq!(found.distro.get("id").unwrap_or(&json!(null)), &distro);
            assert!(found.packages[0].purl.ends_with("distro=debian-12"));
        }
    }
}
