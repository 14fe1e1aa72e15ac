//! What the files beside a lock file name, of any architecture and flavor: the
//! definition with all that it imports, and pipelines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::compose::Composer;
use super::find::read_text;

use crate::oci::Reference;
use crate::package::{Dialect, NamesIn, SkeletonUrl};
use crate::text::public_url;
use crate::yaml::{Node, SourceText, Value, parse};

/// The `kind` of a pipeline file.
const PIPELINE: &str = "JackalPipeline";

/// What the definitions and pipelines in `folders` name, whose pins are in `lock`; `None`:
/// one of the files cannot be read.
pub(super) fn names(
    composer: &mut Composer<'_>,
    lock: &Path,
    folders: &[PathBuf],
) -> Option<NamesIn> {
    let mut reading = Reading {
        composer,
        root: lock,
        names: NamesIn::default(),
        seen: BTreeSet::new(),
    };
    for folder in folders {
        reading.definitions(folder)?;
        for entry in fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            let yaml = path
                .extension()
                .is_some_and(|end| end == "yaml" || end == "yml");
            if yaml && path.is_file() && !reading.seen.contains(&path) {
                reading.pipeline(&path)?;
            }
        }
    }
    Some(reading.names)
}

struct Reading<'r, 'c> {
    composer: &'r mut Composer<'c>,
    /// The folder of the lock file.
    root: &'r Path,
    names: NamesIn,
    seen: BTreeSet<PathBuf>,
}

impl Reading<'_, '_> {
    /// The definitions in `folder`, of each dialect.
    fn definitions(&mut self, folder: &Path) -> Option<()> {
        for dialect in Dialect::ALL {
            let path = folder.join(dialect.definition_file());
            if path.is_file() {
                self.definition(&path)?;
            }
        }
        Some(())
    }

    fn definition(&mut self, path: &Path) -> Option<()> {
        let path = fs::canonicalize(path).ok()?;
        if !self.seen.insert(path.clone()) {
            return Some(());
        }
        let text = read_text(&path).ok()?;
        let documents = documents(&path, &text)?;
        self.names.look(&documents, public_url);
        let folder = path.parent()?.to_owned();
        for import in documents.iter().flat_map(imports) {
            match import {
                Import::Folder(path) => self.definitions(&folder.join(path))?,
                Import::Skeleton(url) => {
                    let skeletons = &mut self.composer.skeletons;
                    let source = skeletons.definition(self.root, &url).ok()?;
                    self.names.look(&parse(&source).ok()?, public_url);
                }
            }
        }
        Some(())
    }

    /// A pipeline, with the definitions that it names; any other file is skipped.
    fn pipeline(&mut self, path: &Path) -> Option<()> {
        let text = read_text(path).ok()?;
        if !text.contains(PIPELINE) && !text.contains("PackageConfig") {
            return Some(());
        }
        let documents = documents(path, &text)?;
        let is_definition = |node: &Node| {
            let kind = node.get("kind").and_then(Node::scalar);
            kind.is_some_and(|kind| Dialect::of_kind(kind).is_some())
        };
        if documents.iter().any(is_definition) {
            return self.definition(path);
        }
        let kind = |node: &Node| node.get("kind").and_then(Node::scalar) == Some(PIPELINE);
        if !documents.iter().any(kind) {
            return Some(());
        }
        self.names.look(&documents, public_url);
        let folder = path.parent()?;
        let (mut definitions, mut unknown) = (BTreeSet::new(), false);
        for document in &documents {
            texts(document, &mut |text| {
                let name = text.rsplit('/').next().unwrap_or(text);
                if Dialect::of_definition_file(name).is_some() {
                    unknown |= text.contains("${{");
                    definitions.insert(folder.join(text));
                }
            });
        }
        if unknown {
            return None;
        }
        for definition in definitions.iter().filter(|path| path.is_file()) {
            self.definition(definition)?;
        }
        Some(())
    }
}

fn documents(path: &Path, text: &str) -> Option<Vec<Node>> {
    parse(&SourceText::new(path.to_string_lossy(), text)).ok()
}

enum Import {
    Folder(String),
    Skeleton(SkeletonUrl),
}

/// What the components of a definition import.
fn imports(definition: &Node) -> Vec<Import> {
    let components = definition.get("components").map_or(&[][..], Node::items);
    let imports = components.iter().filter_map(|it| it.get("import"));
    let mut found = Vec::new();
    for import in imports {
        let text = |key: &str| import.get(key).and_then(Node::scalar).map(str::to_owned);
        found.extend(text("path").map(Import::Folder));
        // A layout on the disk has no pin, and names nothing that has one here.
        let url = text("url").and_then(|url| Reference::url_path(&url).map(str::to_owned));
        found.extend(url.map(|rest| Import::Skeleton(SkeletonUrl::Registry(rest))));
    }
    found
}

fn texts(node: &Node, visit: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Scalar(text, _) => visit(text),
        Value::Sequence(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(_, value)| texts(value, visit)),
    }
}
