//! The files of a package in a registry: each is a layer, or stands in parts,
//! where a registry takes no layer as large as it.
//!
//! Parts are layers in their order, called `FILE.part000` and so on, so that
//! whoever has them by name can join them; what they make is in their
//! annotations, and is checked like any other file. Only jackal puts them
//! together again. See adr/0024, "several layers".

use std::collections::BTreeMap;

use super::manifest::{self, TITLE, title};
use crate::oci::{Descriptor, Digest, Manifest};
use crate::package::Dialect;

/// The digest of the whole file.
const WHOLE: &str = "dev.jackal.whole.digest";

/// Which part it is, of how many: `1/3`.
const PART: &str = "dev.jackal.whole.part";

/// Most parts of a file: ten terabytes, of a gigabyte each.
pub const MAX_PARTS: usize = 10_000;

/// A file, as a package's list calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLayers {
    /// Its path.
    pub name: String,
    /// All of it: its digest and size.
    pub whole: Descriptor,
    /// The layers that make it, in order; of most files one, which is all of it.
    pub layers: Vec<Descriptor>,
}

/// The files that `layers` make. Nothing of it is trusted.
///
/// # Errors
///
/// Parts that make no file; told in words.
pub fn files(layers: Vec<Descriptor>) -> Result<Vec<FileLayers>, String> {
    let mut files = Vec::new();
    let mut parted: BTreeMap<String, Parted> = BTreeMap::new();
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
        let begun = parted.entry(part.file).or_insert_with(|| Parted {
            whole: part.whole,
            count: part.count,
            layers: BTreeMap::new(),
        });
        let other = begun.whole != part.whole || begun.count != part.count;
        if other || begun.layers.insert(part.number, layer).is_some() {
            return Err(format!(
                "the part `{name}` is not of the same file as others"
            ));
        }
    }
    for (name, parted) in parted {
        let layers: Vec<Descriptor> = parted.layers.into_values().collect();
        if layers.len() != parted.count {
            let (there, all) = (layers.len(), parted.count);
            return Err(format!("`{name}` has {there} of its {all} parts"));
        }
        let sizes = layers.iter().map(|layer| layer.size);
        let size = sizes.reduce(u64::saturating_add).unwrap_or_default();
        let whole = Descriptor {
            digest: parted.whole,
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

/// A file that was begun.
struct Parted {
    whole: Digest,
    count: usize,
    layers: BTreeMap<usize, Descriptor>,
}

/// What a layer says of itself.
struct Part {
    file: String,
    whole: Digest,
    number: usize,
    count: usize,
}

impl Part {
    fn of(layer: &Descriptor, name: &str) -> Result<Option<Self>, String> {
        let said = |key: &str| layer.annotations.get(key).map(String::as_str);
        let (whole, part) = match (said(WHOLE), said(PART)) {
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
            format!("the layer `{shown}` is no part of a file")
        })
    }
}

fn ending(number: usize) -> String {
    format!(".part{number:03}")
}

/// The layers of the file `name` that is `whole`, in parts of these digests and
/// sizes.
#[must_use]
pub fn parts(
    dialect: Dialect,
    name: &str,
    whole: Digest,
    content: &[(Digest, u64)],
) -> Vec<Descriptor> {
    let count = content.len();
    let part = |(number, (digest, size)): (usize, &(Digest, u64))| {
        let called = format!("{name}{}", ending(number));
        let mut layer = manifest::layer(dialect, &called, Descriptor::blob(*digest, *size));
        let said = [
            (WHOLE.to_owned(), whole.to_string()),
            (PART.to_owned(), format!("{}/{count}", number + 1)),
        ];
        layer.annotations.extend(said);
        layer
    };
    content.iter().enumerate().map(part).collect()
}

/// The manifest `bytes` with the layers that `parted` has, by the digest of what
/// they make, instead of what they make.
///
/// # Errors
///
/// It is no manifest.
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

    fn made(count: u64) -> Vec<Descriptor> {
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
    fn parts_make_their_file_in_any_order_and_whatever_else_is_refused() {
        let mut layers = made(12);
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
            let mut layers = made(2);
            layers[1]
                .annotations
                .insert(key.to_owned(), value.to_owned());
            layers
        };
        for (wrong, message) in [
            (made(2)[..1].to_vec(), "has 1 of its 2 parts"),
            ([made(2), made(2)].concat(), "not of the same file"),
            (with(PART, "1/2"), "no part of a file"),
            (with(PART, "3/2"), "no part of a file"),
            (with(PART, "0/2"), "no part of a file"),
            (with(PART, "2/99999999999999999999"), "no part of a file"),
            (with(PART, "2/3"), "not of the same file"),
            (with(WHOLE, "sha256:x"), "no part of a file"),
            (
                with(WHOLE, &Digest::of(b"b").to_string()),
                "not of the same file",
            ),
            (
                with(TITLE, "components/b.tar.part001"),
                "has 1 of its 2 parts",
            ),
            (with(TITLE, "components/a.tar"), "no part of a file"),
        ] {
            let error = files(wrong).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
