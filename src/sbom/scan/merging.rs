//! A property: the document of an image made of the scans of its layers is the one of its
//! files, flattened into a single layer.
//!
//! A model of a file system says what the files of generated layers come to. Both
//! documents are equal byte for byte when no layers are named; when they are, each
//! location and file names the layer that the model says. Left out, as no file system
//! has them: paths whose links loop, hard links to what is missing or in other layers,
//! and deletions whose path leads through a link. Files are sought by their paths as a
//! layer writes them, so no link stands for `usr`, which belongs to such paths.

mod files;
mod model;

use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) use self::files::TEMPLATES;
use self::files::{LINKS, PREFIXES};
use self::model::{Built, Model};
use super::*;
use crate::sbom::body::in_memory;
use crate::sbom::format::syft;

/// A change that a layer makes.
#[derive(Clone, Debug)]
enum Step {
    /// A file: where, which, with what content.
    File(usize, usize, u8),
    /// A folder, as an entry of its own.
    Folder(usize),
    /// A link at the first place to the second, absolute or relative.
    FolderLink(usize, usize, bool),
    /// A link at one place to the same file at another.
    FileLink(usize, usize, usize, bool),
    /// A hard link at one place to the same file at another, which this layer wrote.
    Hard(usize, usize, usize),
    /// The rest is about a path that exists when the layer begins.
    Delete(u16),
    Empty(u16),
    /// Moves it to a place, as layers do: it is deleted, and written again.
    Rename(u16, usize),
    /// A file where a folder or link was, and a folder where a file was.
    Replace(u16),
    /// Writes it again with another mode.
    Touch(u16),
    /// A file below it, also if it is a file.
    Below(u16, usize, u8),
}

fn steps() -> impl Strategy<Value = Step> {
    let (place, template) = (0..PREFIXES.len(), 0..TEMPLATES.len());
    prop_oneof![
        12 => (place.clone(), template.clone(), 0..4_u8).prop_map(|(a, b, c)| Step::File(a, b, c)),
        1 => place.clone().prop_map(Step::Folder),
        2 => (LINKS, prop_oneof![Just(0), LINKS], any::<bool>())
            .prop_map(|(a, b, c)| Step::FolderLink(a, b, c)),
        1 => (place.clone(), place.clone(), template.clone(), any::<bool>())
            .prop_map(|(a, b, c, d)| Step::FileLink(a, b, c, d)),
        1 => (place.clone(), place.clone(), template.clone())
            .prop_map(|(a, b, c)| Step::Hard(a, b, c)),
        2 => (any::<u16>(), template, 0..4_u8).prop_map(|(a, b, c)| Step::Below(a, b, c)),
        3 => any::<u16>().prop_map(Step::Delete),
        1 => any::<u16>().prop_map(Step::Empty),
        1 => (any::<u16>(), place).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => any::<u16>().prop_map(Step::Replace),
        1 => any::<u16>().prop_map(Step::Touch),
    ]
}

fn layers() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(steps(), 1..14), 1..6)
}

/// Makes one layer: a tar, and what the model comes to.
fn build(model: &mut Model, steps: &[Step]) -> Vec<u8> {
    let mut layer = Built::begin(model);
    for step in steps {
        match *step {
            Step::File(place, template, variant) => {
                let (suffix, content) = TEMPLATES[template];
                let mode = if variant & 1 == 0 { 0o644 } else { 0o755 };
                layer.file(
                    &format!("{}{suffix}", PREFIXES[place]),
                    content(variant),
                    mode,
                );
            }
            Step::Folder(place) => layer.folder(PREFIXES[place].trim_end_matches('/')),
            Step::FolderLink(at, to, absolute) => {
                let (at, to) = (PREFIXES[at].trim_end_matches('/'), PREFIXES[to]);
                layer.link(at, to, absolute);
            }
            Step::FileLink(at, to, template, absolute) => {
                let suffix = TEMPLATES[template].0;
                let (at, to) = (PREFIXES[at], PREFIXES[to]);
                layer.link(&format!("{at}{suffix}"), &format!("{to}{suffix}"), absolute);
            }
            Step::Hard(at, to, template) => {
                let suffix = TEMPLATES[template].0;
                let (at, to) = (PREFIXES[at], PREFIXES[to]);
                layer.hard(&format!("{at}{suffix}"), &format!("{to}{suffix}"));
            }
            Step::Delete(pick) => layer.delete(pick),
            Step::Empty(pick) => layer.empty(pick),
            Step::Rename(pick, place) => layer.rename(pick, PREFIXES[place]),
            Step::Replace(pick) => layer.replace(pick),
            Step::Touch(pick) => layer.touch(pick),
            Step::Below(pick, template, variant) => {
                let (suffix, content) = TEMPLATES[template];
                layer.below(pick, suffix, content(variant));
            }
        }
    }
    layer.finish()
}

/// The document of layers, as JSON.
fn document(tars: &[Vec<u8>], layered: bool) -> Value {
    let mut image = Image(View::new(layered, HELD_BYTES));
    for tar in tars {
        let scan = layer(&tar[..], &in_memory).unwrap();
        let stored = scan.store(Vec::new()).unwrap();
        image.stack(StoredScan::open(&stored[..]).unwrap()).unwrap();
    }
    let source = ScanTarget {
        id: "0".repeat(64),
        name: "image".to_owned(),
        version: String::new(),
        kind: "image",
        metadata: json!({}),
    };
    let mut out = Vec::new();
    syft::write(image.document(source).unwrap(), "1", &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// The locations in a document.
fn locations(document: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| document[key].as_array().into_iter().flatten();
    let packages = list("artifacts").flat_map(|one| one["locations"].as_array().unwrap());
    packages.chain(list("files").map(|one| &one["location"]))
}

fn check(layers: &[Vec<Step>]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let tars: Vec<Vec<u8>> = layers
        .iter()
        .map(|steps| build(&mut model, steps))
        .collect();
    let whole = document(&[model.flattened()], false);
    let merged = document(&tars, false);
    for key in whole.as_object().unwrap().keys() {
        let text = |value: &Value| format!("{value:#}");
        prop_assert_eq!(
            text(&merged[key]),
            text(&whole[key]),
            "{} of {:?}",
            key,
            model
        );
    }
    let ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let named = document(&tars, true);
    let places = |document: &Value| -> Vec<(String, String)> {
        let mut places: Vec<_> = locations(document)
            .map(|at| (at["path"].to_string(), at["accessPath"].to_string()))
            .collect();
        places.sort();
        places
    };
    prop_assert_eq!(places(&named), places(&whole));
    for at in locations(&named) {
        let path = at["path"].as_str().unwrap();
        let supplied = model.layer_of(path).map(|layer| ids[layer].to_string());
        prop_assert_eq!(at["layerID"].as_str(), supplied.as_deref(), "{}", path);
    }
    Ok(())
}

/// A short run, unless `PROPTEST_CASES` makes it a long one.
pub(super) fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = match config.cases {
        256 => 48,
        given => given,
    };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn merging_scans_of_layers_equals_a_scan_of_the_whole(layers in layers()) {
        check(&layers)?;
    }
}

#[test]
fn cataloguers_want_what_is_generated() {
    for (suffix, content) in TEMPLATES {
        let mut model = Model::default();
        let mut layer = Built::begin(&mut model);
        layer.file(suffix, content(0), 0o644);
        let tar = layer.finish();
        let scan = super::layer(&tar[..], &in_memory).unwrap();
        let kept = scan.entries.last().unwrap().content.is_some();
        assert!(kept || suffix.ends_with("plain"), "{suffix}");
    }
}
