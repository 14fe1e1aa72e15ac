//! Whole scans: from layers or a component tar to a document.
//!
//! An image's layers are stacked first; a component's tar is one plain tree.
//! Archives staged inside a component are not opened.

use std::io::Read;

use serde_json::{Value, json};

use super::catalog;
use super::document::{Document, Source};
use super::layer::{self, LayerError, LayerScan};
use super::squash::View;
use crate::oci::Digest;

/// Catalogues an image from its layer scans, base first.
#[must_use]
pub fn image(source: Source, layers: Vec<LayerScan>) -> Document {
    let view = View::squash(layers, true);
    Document::new(source, view.distro(), catalog::packages(&view))
}

/// Catalogues the files of component `name` from its uncompressed tar.
///
/// Locations are paths inside the component, so the document is the same on
/// every machine.
///
/// # Errors
///
/// [`LayerError`]: the tar is damaged or too large.
pub fn component(name: &str, tar: impl Read) -> Result<Document, LayerError> {
    let layer = layer::scan(tar)?;
    let view = View::squash(vec![layer], false);
    let source = Source {
        id: Digest::of(name.as_bytes()).hex(),
        name: name.to_owned(),
        version: String::new(),
        kind: "directory",
        metadata: json!({"path": name}),
    };
    let distro = Value::Object(serde_json::Map::new());
    Ok(Document::new(source, distro, catalog::packages(&view)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::layer::tar_of;

    #[test]
    fn component_locations_are_relative_to_the_component() {
        let tar = tar_of(&[("files/0/app/package.json", br#"{"name":"a","version":"1"}"#)]);
        let document = component("base", &tar[..]).unwrap();
        let location = &document.packages[0].locations[0];
        assert_eq!(location.path, "/files/0/app/package.json");
        assert_eq!(location.layer, None);
        assert_eq!(document.distro, json!({}));
    }
}
