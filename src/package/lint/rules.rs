//! The rules of lint beyond what composing a definition checks.

use std::collections::BTreeSet;

use super::{Found, Severity};
use crate::codes::Code;
use crate::oci::Reference;
use crate::package::compose::{Look, SETS, STAGES, Surroundings, sources};
use crate::package::{address_and_sum, is_template_name, shasum};
use crate::text::with_causes;
use crate::yaml::{Mistake, Node, Span, Value};

/// Lints a composed definition before its templates are filled.
pub(super) fn findings(definition: &Node, surroundings: &mut dyn Surroundings) -> Vec<Found> {
    let mut rules = Rules {
        surroundings,
        found: Vec::new(),
    };
    rules.definition(definition);
    rules.found
}

struct Rules<'r> {
    surroundings: &'r mut dyn Surroundings,
    found: Vec<Found>,
}

impl Rules<'_> {
    fn error(&mut self, code: Code, at: Span, message: String, help: &str) {
        let mistake = Mistake::new(at, message, help);
        self.found.push((Severity::Error, code, mistake));
    }

    fn warning(&mut self, code: Code, at: Span, message: String, help: &str) {
        let mistake = Mistake::new(at, message, help);
        self.found.push((Severity::Warning, code, mistake));
    }

    fn definition(&mut self, definition: &Node) {
        let declared = declared(definition);
        let mut used = Vec::new();
        variables(definition, &mut used);
        for (name, at) in used {
            if !declared.contains(name.as_str()) {
                self.warning(
                    Code::UnsetVariable,
                    at,
                    format!("variable `{name}` is used but neither declared nor set"),
                    "Add it to `variables` or `constants`, or set it in an action.",
                );
            }
        }
        let mut acts = false;
        for component in items(definition, "components") {
            // A component's own actions, and those of earlier components, may make
            // what it packs.
            acts |= has_create_actions(component);
            self.component(component, acts);
        }
    }

    fn component(&mut self, component: &Node, acts: bool) {
        for (image, at) in strings(component, "images") {
            self.image(image, at);
        }
        for (repo, at) in strings(component, "repos") {
            let address = repo.split_once("://").map_or(repo, |(_, rest)| rest);
            let path = address.split_once('/').map_or("", |(_, path)| path);
            if !is_template(repo) && !path.contains('@') {
                self.warning(
                    Code::UnpinnedRepo,
                    at,
                    format!("repository `{repo}` is not pinned to a tag or commit"),
                    "Append @ and a tag, or preferably a commit.",
                );
            }
        }
        for file in items(component, "files") {
            self.file(file);
        }
        for (key, path, at) in sources(component) {
            self.local(key, &path, at, acts);
        }
    }

    fn image(&mut self, image: &str, at: Span) {
        // No registry can move the tag of a local image.
        if is_template(image) || image.starts_with("oci:") || image.contains("-archive:") {
            return;
        }
        match image.parse::<Reference>() {
            Err(error) => self.error(
                Code::InvalidImage,
                at,
                format!(
                    "`{image}` is not a valid image reference: {error}",
                    error = with_causes(&error)
                ),
                "Correct the reference.",
            ),
            Ok(reference) if reference.digest().is_none() => self.warning(
                Code::UnpinnedImage,
                at,
                format!("image `{image}` is not pinned with a digest"),
                "Append @sha256: and the digest; jackal.lock has the current digest of the tag.",
            ),
            Ok(_) => {}
        }
    }

    fn file(&mut self, file: &Node) {
        let Some((source, at)) = string(file, "source") else {
            return;
        };
        let sum = string(file, "shasum");
        if let Some((sum, at)) = sum.filter(|(sum, _)| !is_template(sum)) {
            if let Err(message) = shasum(sum) {
                self.error(
                    Code::InvalidShasum,
                    at,
                    message,
                    "Use the SHA-256 checksum of the file, as printed by `sha256sum`.",
                );
            } else if sum
                .bytes()
                .all(|byte| Some(&byte) == sum.as_bytes().first())
            {
                self.warning(
                    Code::SuspiciousShasum,
                    at,
                    "shasum repeats a single digit, so it is a placeholder".to_owned(),
                    "Use the SHA-256 checksum of the file, as printed by `sha256sum`.",
                );
            }
        }
        let in_url = address_and_sum(source).1.is_some();
        if source.contains("://") && sum.is_none() && !in_url {
            self.warning(
                Code::NoShasum,
                at,
                format!("no shasum for the remote file `{source}`"),
                "Add `shasum`, so that the build fails if the file changes.",
            );
        }
    }

    fn local(&mut self, key: &str, path: &str, at: Span, acts: bool) {
        match self.surroundings.look(path) {
            // What kustomize accepts need not be a path.
            Look::Absent if key == "kustomizations" => {}
            Look::Absent if self.surroundings.is_made(path) => {}
            Look::Absent if acts => self.warning(
                Code::UnmadeFile,
                at,
                format!("no such file or directory yet: `{path}`"),
                "Make sure that an `onCreate` action creates it.",
            ),
            Look::Absent => self.error(
                Code::MissingFile,
                at,
                format!("no such file or directory: `{path}`"),
                "Correct the path, which is relative to the definition's folder, or list it in the `outputs` of a task.",
            ),
            // Composing has reported it.
            Look::Refused(..) => {}
            Look::File | Look::Folder => {
                if let Some(message) = self.surroundings.refusal(key, path) {
                    self.error(Code::RefusedFile, at, message, "A build would refuse it.");
                }
            }
        }
    }
}

/// Whether commands run while the component is made.
fn has_create_actions(component: &Node) -> bool {
    let actions = component.get("actions");
    let create = actions.and_then(|actions| actions.get("onCreate"));
    let mut lists = STAGES.iter().filter_map(|stage| create?.get(stage));
    lists.any(|list| !list.items().is_empty())
}

/// Whether `text` has a template or variable.
fn is_template(text: &str) -> bool {
    text.contains("###")
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).map_or(&[], Node::items)
}

fn string<'n>(node: &'n Node, key: &str) -> Option<(&'n str, Span)> {
    let node = node.get(key)?;
    let text = node.scalar().filter(|text| !text.is_empty())?;
    Some((text, node.span))
}

fn strings<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = (&'n str, Span)> {
    let items = items(node, key).iter();
    items.filter_map(|item| Some((item.scalar()?, item.span)))
}

/// Names of variables and constants that have a value at deployment.
fn declared(definition: &Node) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let lists = ["variables", "constants"].map(|key| items(definition, key));
    names.extend(
        lists
            .into_iter()
            .flatten()
            .filter_map(|item| string(item, "name")),
    );
    for component in items(definition, "components") {
        let Some(actions) = component.get("actions") else {
            continue;
        };
        let sets = SETS.iter().filter_map(|set| actions.get(set));
        for action in sets.flat_map(|set| STAGES.iter().flat_map(|stage| items(set, stage))) {
            names.extend(string(action, "setVariable"));
            let set = items(action, "setVariables").iter();
            names.extend(set.filter_map(|item| string(item, "name")));
        }
    }
    names.into_iter().map(|(name, _)| name).collect()
}

/// Collects every `###..._VAR_X###` and `###..._CONST_X###` below `node`.
fn variables(node: &Node, found: &mut Vec<(String, Span)>) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| variables(item, found)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(_, value)| variables(value, found)),
        Value::Scalar(text, _) => {
            for word in text.split("###").skip(1) {
                let name = ["JACKAL_VAR_", "JACKAL_CONST_", "ZARF_VAR_", "ZARF_CONST_"]
                    .iter()
                    .find_map(|prefix| word.strip_prefix(prefix));
                if let Some(name) = name.filter(|name| is_template_name(name)) {
                    found.push((name.to_owned(), node.span));
                }
            }
        }
    }
}
