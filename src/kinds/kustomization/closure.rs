//! What a kustomization reads: every file that its own files could name.
//!
//! Kustomize does not report what it would read, so this includes more: every string
//! in a YAML file that is the path of a file, or of a folder with a kustomization,
//! counts as read. Links, and configurations of generators, transformers and
//! validators, can lead anywhere: with them, as with anything else that cannot be
//! determined, the result is unsure. It runs no program and uses no network.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::archive::MAX_PATH_BYTES;
use crate::disk::look;
use crate::ground::folders::lexical;
use crate::yaml::{self, Node, SourceText, Span, Value};

/// The files that make a folder a kustomization.
const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Keys of a kustomization with lists of files, folders and addresses.
const LISTS: [&str; 9] = [
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
];

/// Largest YAML file that is searched for paths, in bytes: 16 MiB, above the largest
/// lists of custom resource definitions. The paths in a larger one are unknown.
const MAX_YAML_BYTES: u64 = 16 << 20;

/// What a kustomization reads.
#[derive(Debug, Default)]
pub(super) struct Closure {
    /// Files, by their real paths.
    pub(super) files: BTreeSet<PathBuf>,
    /// The first address that it reads from, and the place that names it.
    pub(super) remote: Option<(String, String)>,
    /// A named path was not found, or cannot be searched.
    pub(super) unsure: bool,
    seen: BTreeSet<(PathBuf, PathBuf)>,
}

impl Closure {
    /// The closure of the kustomization in `folder`.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut closure = Self::default();
        let mut open = vec![(folder.to_owned(), folder.to_owned())];
        while let Some((path, root)) = open.pop() {
            let Ok(real) = look::canonicalize(&path) else {
                closure.unsure = true;
                continue;
            };
            // No digest covers the target of a link.
            closure.unsure |= real != lexical(&path);
            if !look::is_dir(&real) {
                closure.file(&real, &root, false, &mut open)?;
                continue;
            }
            let mut file = FILES.iter().map(|name| real.join(name));
            match file.find(|file| look::is_file(file)) {
                Some(file) => {
                    let file = look::canonicalize(&file)?;
                    closure.file(&file, &real, true, &mut open)?;
                }
                None => closure.unsure = true,
            }
        }
        Ok(closure)
    }

    /// Adds a file of the kustomization in `root`, and what it names.
    fn file(
        &mut self,
        file: &Path,
        root: &Path,
        kustomization: bool,
        open: &mut Vec<(PathBuf, PathBuf)>,
    ) -> io::Result<()> {
        self.files.insert(file.to_owned());
        if !self.seen.insert((file.to_owned(), root.to_owned())) {
            return Ok(());
        }
        let yaml = ["yaml", "yml", "json"];
        let ending = file.extension().and_then(|ending| ending.to_str());
        if !kustomization && !ending.is_some_and(|ending| yaml.contains(&ending)) {
            return Ok(());
        }
        let mut text = String::new();
        let read = look::open(file)?
            .take(MAX_YAML_BYTES + 1)
            .read_to_string(&mut text);
        if read.is_err() || text.len() as u64 > MAX_YAML_BYTES {
            self.unsure = true;
            return Ok(());
        }
        let Ok(documents) = yaml::parse(&SourceText::new("", text)) else {
            self.unsure = true;
            return Ok(());
        };
        let beside = file.parent().unwrap_or(root);
        for document in &documents {
            if kustomization {
                self.addresses(document, file, root);
                // Their configurations may be written in the list, have any name, and
                // name files of any folder above.
                let plugins = ["generators", "transformers", "validators"];
                self.unsure |= plugins.iter().any(|key| document.get(key).is_some());
            }
            each_text(document, &mut |text| {
                let value = text.split_once('=').map(|(_, value)| value);
                for path in [Some(text), value].into_iter().flatten() {
                    for folder in [root, beside] {
                        let full = folder.join(path);
                        if named(&full) {
                            open.push((full, root.to_owned()));
                        }
                    }
                }
            });
        }
        Ok(())
    }

    /// Notes what a kustomization reads from elsewhere.
    fn addresses(&mut self, document: &Node, file: &Path, root: &Path) {
        let mut found: Vec<(&str, Span)> = Vec::new();
        let text = |node: &'_ Node| node.scalar().is_some();
        for key in LISTS {
            let items = document.get(key).map(Node::items).unwrap_or_default();
            for item in items.iter().filter(|item| text(item)) {
                found.push((item.scalar().unwrap_or_default(), item.span));
            }
        }
        let each = |key: &str| document.get(key).map(Node::items).unwrap_or_default();
        let patches = ["patches", "patchesJson6902", "replacements"];
        let paths = patches.iter().flat_map(|key| each(key));
        let paths = paths.chain(document.get("openapi"));
        for node in paths.filter_map(|node| node.get("path")) {
            found.push((node.scalar().unwrap_or_default(), node.span));
        }
        let generators = ["configMapGenerator", "secretGenerator"];
        for generator in generators.iter().flat_map(|key| each(key)) {
            let lists = ["files", "envs"].iter();
            let files = lists
                .filter_map(|key| generator.get(key))
                .flat_map(Node::items);
            for node in files.chain(generator.get("env")) {
                let text = node.scalar().unwrap_or_default();
                let path = text.split_once('=').map_or(text, |(_, path)| path);
                found.push((path, node.span));
            }
        }
        for (text, span) in found {
            // A text with line breaks is a document itself.
            if text.contains('\n') || named(&root.join(text)) {
                continue;
            }
            if is_address(text) {
                let place = format!("{}:{}:{}", file.display(), span.line, span.column);
                self.remote.get_or_insert((text.to_owned(), place));
            } else {
                self.unsure = true;
            }
        }
    }
}

/// Whether a source is remote, judging by its text.
pub(super) fn is_address(source: &str) -> bool {
    let host = source.split('/').next().unwrap_or_default();
    source.contains("://")
        || source.starts_with("git::")
        || source.starts_with("git@")
        || source.contains('/') && host.trim_start_matches('.').contains('.')
}

/// Whether kustomize can read what is at `path`.
fn named(path: &Path) -> bool {
    if path.as_os_str().len() > MAX_PATH_BYTES {
        return false;
    }
    match look::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            FILES.iter().any(|name| look::is_file(&path.join(name)))
        }
        Ok(metadata) => metadata.is_file(),
        Err(_) => false,
    }
}

fn each_text(node: &Node, visit: &mut impl FnMut(&str)) {
    match &node.value {
        Value::Scalar(text, _) if text.is_empty() || text.contains(['\n', '\0']) => {}
        Value::Scalar(text, _) => visit(text),
        Value::Sequence(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(_, value)| each_text(value, visit)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn closure(root: &Path, folder: &str) -> (Vec<String>, Closure) {
        let root = fs::canonicalize(root).unwrap();
        let closure = Closure::of(&root.join(folder)).unwrap();
        let files = closure.files.iter();
        let files = files.map(|file| file.strip_prefix(&root).unwrap().display().to_string());
        (files.collect(), closure)
    }

    #[test]
    fn files_are_found_through_bases_generators_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(
            root,
            "over/kustomization.yaml",
            "resources: [../base, d.yaml]\nconfigMapGenerator:\n- {name: a, files: [key=own.txt], envs: [e.env]}\n\
             patches:\n- {path: p.yaml}\ngenerators: [gen.yaml]\n",
        );
        write(root, "base/Kustomization", "resources: [deep/d.yml]\n");
        for file in [
            "d.yaml",
            "own.txt",
            "e.env",
            "p.yaml",
            "listed.json",
            "unnamed.yaml",
        ] {
            write(root, &format!("over/{file}"), "a: b\n");
        }
        write(root, "over/gen.yaml", "kind: G\nfiles: [listed.json]\n");
        write(root, "base/real.yml", "a: b\n");
        fs::create_dir(root.join("base/deep")).unwrap();
        std::os::unix::fs::symlink("../real.yml", root.join("base/deep/d.yml")).unwrap();
        let (files, closure) = closure(root, "over");
        assert_eq!(
            files,
            [
                "base/Kustomization",
                "base/real.yml",
                "over/d.yaml",
                "over/e.env",
                "over/gen.yaml",
                "over/kustomization.yaml",
                "over/listed.json",
                "over/own.txt",
                "over/p.yaml",
            ]
        );
        // What a generator or a link leads to may change without a change of these files.
        assert!(closure.unsure && closure.remote.is_none(), "{closure:?}");
    }

    #[test]
    fn addresses_are_found_with_their_place_and_absent_files_are_no_addresses() {
        let dir = tempfile::tempdir().unwrap();
        for (text, remote, unsure) in [
            (
                "resources:\n- https://h.io/x.yaml\n",
                Some("https://h.io/x.yaml"),
                false,
            ),
            (
                "bases: [github.com/o/r//x?ref=v1]\n",
                Some("github.com/o/r//x?ref=v1"),
                false,
            ),
            (
                "commonAnnotations: {a: 'https://h.io'}\nresources: []\n",
                None,
                false,
            ),
            ("resources: [absent]\n", None, true),
            ("resources: [../absent/x.yaml]\n", None, true),
            ("resources: [\n", None, true),
        ] {
            write(dir.path(), "k/kustomization.yaml", text);
            let (_, closure) = closure(dir.path(), "k");
            let found = closure.remote.as_ref().map(|(address, _)| address.as_str());
            assert_eq!((found, closure.unsure), (remote, unsure), "{text}");
        }
        write(
            dir.path(),
            "k/kustomization.yaml",
            "resources:\n- https://h.io/x\n",
        );
        let (_, place) = closure(dir.path(), "k").1.remote.unwrap();
        assert!(place.ends_with("k/kustomization.yaml:2:3"), "{place}");
    }
}
