//! The files of a package in a registry. Each file is one layer, or several if
//! the registry limits the size of layers.
//!
//! The parts of a file are layers named `FILE.part000` and so on, so that they can
//! be joined by name. Their annotations have the digest of the whole file, which
//! is verified like that of any other. Only jackal joins them. See adr/0024, "several layers".

use std::collections::BTreeMap;

use super::manifest::{self, title};
use crate::oci::annotation::TITLE;
use crate::oci::{Descriptor, Digest, Manifest};
use crate::package::Dialect;

/// Annotation with the digest of the whole file.
const WHOLE: &str = "dev.jackal.whole.digest";

/// Annotation with the number of the part and the number of parts: `1/3`.
const PART: &str = "dev.jackal.whole.part";

/// Maximum number of parts of a file: 10 TB in parts of 1 GB.
pub const MAX_PARTS: usize = 10_000;

/// A file of a package and the layers that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLayers {
    /// Path in the package.
    pub name: String,
    /// Digest and size of the whole file.
    pub whole: Descriptor,
    /// One layer, or the parts of the file in order.
    pub layers: Vec<Descriptor>,
}

/// The files in `layers`. Does not trust the annotations.
///
/// # Errors
///
/// A message: the parts of a file are incomplete or contradict each other.
pub fn files(layers: Vec<Descriptor>) -> Result<Vec<FileLayers>, String> {
    let mut files = Vec::new();
    let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
    for layer in layers {
        let name = title(&layer).unwrap_or_default().to_owned();
        let Some(part) = Part::of(&layer, &name)? else {
            let (whole, layers) = (layer.clone(), vec![layer]);
            files.push(FileLayers {
                name,
                whole,
                layers,
            });
            continue;
        };
        let known = parts.entry(part.file).or_insert_with(|| Parts {
            whole: part.whole,
            count: part.count,
            layers: BTreeMap::new(),
        });
        let other = known.whole != part.whole || known.count != part.count;
        if other || known.layers.insert(part.number, layer).is_some() {
            return Err(format!(
                "the part `{name}` contradicts other parts of its file"
            ));
        }
    }
    for (name, parts) in parts {
        let layers: Vec<Descriptor> = parts.layers.into_values().collect();
        if layers.len() != parts.count {
            let (found, all) = (layers.len(), parts.count);
            return Err(format!("`{name}` has only {found} of {all} parts"));
        }
        let sizes = layers.iter().map(|layer| layer.size);
        let size = sizes.reduce(u64::saturating_add).unwrap_or_default();
        let whole = Descriptor {
            digest: parts.whole,
            size,
            annotations: [(TITLE.to_owned(), name.clone())].into(),
            ..layers[0].clone()
        };
        files.push(FileLayers {
            name,
            whole,
            layers,
        });
    }
    Ok(files)
}

/// The parts of a file that were found so far.
struct Parts {
    whole: Digest,
    count: usize,
    layers: BTreeMap<usize, Descriptor>,
}

/// The annotations of a part.
struct Part {
    file: String,
    whole: Digest,
    number: usize,
    count: usize,
}

impl Part {
    fn of(layer: &Descriptor, name: &str) -> Result<Option<Self>, String> {
        let annotation = |key: &str| layer.annotations.get(key).map(String::as_str);
        let (whole, part) = match (annotation(WHOLE), annotation(PART)) {
            (None, None) => return Ok(None),
            (whole, part) => (whole.unwrap_or_default(), part.unwrap_or_default()),
        };
        let read = || {
            let (number, count) = part.split_once('/')?;
            let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
            let number = number.checked_sub(1).filter(|number| *number < count)?;
            Some(Self {
                file: name.strip_suffix(&ending(number))?.to_owned(),
                whole: whole.parse().ok()?,
                number,
                count,
            })
        };
        let read = read().filter(|part| part.count <= MAX_PARTS && layer.size > 0);
        read.map(Some).ok_or_else(|| {
            let shown: String = name.escape_debug().take(200).collect();
            format!("the layer `{shown}` has invalid annotations of a part")
        })
    }
}

fn ending(number: usize) -> String {
    format!(".part{number:03}")
}

/// The layers for the file `name` with the digest `whole`, from the digests and
/// sizes of its parts.
#[must_use]
pub fn parts(
    dialect: Dialect,
    name: &str,
    whole: Digest,
    content: &[(Digest, u64)],
) -> Vec<Descriptor> {
    let count = content.len();
    let part = |(number, (digest, size)): (usize, &(Digest, u64))| {
        let title = format!("{name}{}", ending(number));
        let mut layer = manifest::layer(dialect, &title, Descriptor::blob(*digest, *size));
        let annotations = [
            (WHOLE.to_owned(), whole.to_string()),
            (PART.to_owned(), format!("{}/{count}", number + 1)),
        ];
        layer.annotations.extend(annotations);
        layer
    };
    content.iter().enumerate().map(part).collect()
}

/// Replaces layers of the manifest `bytes` by parts. `parted` has the parts by
/// digest and name of the whole file.
///
/// # Errors
///
/// `bytes` is not a manifest.
pub fn with_parts(
    bytes: &[u8],
    parted: &BTreeMap<(Digest, String), Vec<Descriptor>>,
) -> Result<Vec<u8>, serde_json::Error> {
    let found: Manifest = serde_json::from_slice(bytes)?;
    let mut layers = Vec::new();
    for layer in found.layers {
        let name = title(&layer).unwrap_or_default().to_owned();
        match parted.get(&(layer.digest, name)) {
            Some(parts) => layers.extend(parts.iter().cloned()),
            None => layers.push(layer),
        }
    }
    layers.sort_by(|a, b| (a.digest, title(a)).cmp(&(b.digest, title(b))));
    manifest::manifest(found.config, layers, found.annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of_a_file(count: u64) -> Vec<Descriptor> {
        let content: Vec<_> = (0..count)
            .map(|n| (Digest::of(&n.to_be_bytes()), 10))
            .collect();
        parts(
            Dialect::Jackal,
            "components/a.tar",
            Digest::of(b"a"),
            &content,
        )
    }

    #[test]
    fn parts_are_joined_in_any_order_and_contradictions_are_refused() {
        let mut layers = parts_of_a_file(12);
        let (first, expected) = (layers[0].clone(), layers.clone());
        assert_eq!(title(&first), Some("components/a.tar.part000"));
        layers.reverse();
        layers.push(manifest::layer(
            Dialect::Jackal,
            "jackal.yaml",
            Descriptor::of("", b"y"),
        ));
        let found = files(layers).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&found[0].name[..], found[0].layers.len()),
            ("jackal.yaml", 1)
        );
        assert_eq!(found[1].name, "components/a.tar");
        assert_eq!(
            (found[1].whole.digest, found[1].whole.size),
            (Digest::of(b"a"), 120)
        );
        assert_eq!(found[1].layers, expected);
        let with = |key: &str, value: &str| {
            let mut layers = parts_of_a_file(2);
            layers[1]
                .annotations
                .insert(key.to_owned(), value.to_owned());
            layers
        };
        for (wrong, message) in [
            (parts_of_a_file(2)[..1].to_vec(), "has only 1 of 2 parts"),
            (
                [parts_of_a_file(2), parts_of_a_file(2)].concat(),
                "contradicts other parts",
            ),
            (with(PART, "1/2"), "invalid annotations"),
            (with(PART, "3/2"), "invalid annotations"),
            (with(PART, "0/2"), "invalid annotations"),
            (with(PART, "2/99999999999999999999"), "invalid annotations"),
            (with(PART, "2/3"), "contradicts other parts"),
            (with(WHOLE, "sha256:x"), "invalid annotations"),
            (
                with(WHOLE, &Digest::of(b"b").to_string()),
                "contradicts other parts",
            ),
            (
                with(TITLE, "components/b.tar.part001"),
                "has only 1 of 2 parts",
            ),
            (with(TITLE, "components/a.tar"), "invalid annotations"),
        ] {
            let error = files(wrong).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
