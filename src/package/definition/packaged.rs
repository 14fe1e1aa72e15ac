//! Checks the definition of a finished package.
//!
//! Requires less than `check` does for the user's own source, because other programs
//! and older versions write packages, too. Refuses what two readers could read
//! differently, and names that lead out of the folders named after them.

use std::collections::BTreeSet;

use super::parse::{Strictness, documents};
use super::records::Definition;
use crate::package::{Dialect, SKELETON};
use crate::yaml::{Mistake, Mistakes, Node, SourceText};

impl Definition {
    /// Reads the definition of a finished package, and checks its kind and names.
    ///
    /// # Errors
    ///
    /// All mistakes of the file, in order.
    pub fn packaged(source: &SourceText) -> Result<Self, Mistakes> {
        let definition = Self::parse(source, Strictness::Existing)?;
        let mut mistakes = Vec::new();
        if let (Some(node), newer) = documents(source)? {
            definition.names(&node, &mut mistakes);
            if let Some(newer) = newer {
                definition.agrees(&newer, &mut mistakes);
            }
        }
        Mistakes::none_or(definition, source, mistakes)
    }

    fn names(&self, node: &Node, mistakes: &mut Vec<Mistake>) {
        let mut checks = Names(mistakes);
        if Dialect::of_kind(&self.kind).is_none() {
            let at = node.get("kind").unwrap_or(node);
            let message = format!("`{}` is not the kind of a package", shown(&self.kind));
            checks.0.push(Mistake::new(at.span, message, GET));
        }
        let metadata = node.get("metadata").unwrap_or(node);
        let build = node.get("build").unwrap_or(node);
        // Templates of a skeleton are filled by those who import it.
        let filled = self.metadata.architecture != SKELETON
            && self.build.architecture.as_deref() != Some(SKELETON);
        checks.name(&self.metadata.name, "package", metadata, filled);
        for (key, text, at) in [
            ("version", Some(&self.metadata.version), metadata),
            ("architecture", Some(&self.metadata.architecture), metadata),
            ("architecture", self.build.architecture.as_ref(), build),
            ("flavor", Some(&self.build.flavor), build),
        ] {
            let text = text.map_or("", String::as_str);
            if !text.is_empty() {
                checks.file_name(text, key, at.get(key).unwrap_or(at));
            }
        }
        let listed = node.get("components").map_or(&[][..], Node::items);
        let mut seen = BTreeSet::new();
        for (component, at) in self.components.iter().zip(listed) {
            checks.name(&component.name, "component", at, filled);
            checks.unique(&mut seen, &component.name, "component", at);
            let mut charts = BTreeSet::new();
            let list = at.get("charts").map_or(&[][..], Node::items);
            for (chart, at) in component.charts.iter().zip(list) {
                let place = at.get("name").unwrap_or(at);
                checks.file_name(&chart.name, "name", place);
                checks.unique(&mut charts, &chart.name, "chart", at);
                if !chart.version.is_empty() {
                    let place = at.get("version").unwrap_or(at);
                    checks.file_name(&chart.version, "version", place);
                }
            }
            let mut manifests = BTreeSet::new();
            let list = at.get("manifests").map_or(&[][..], Node::items);
            for (manifest, at) in component.manifests.iter().zip(list) {
                let place = at.get("name").unwrap_or(at);
                checks.file_name(&manifest.name, "name", place);
                checks.unique(&mut manifests, &manifest.name, "manifest", at);
            }
        }
    }

    /// Checks that the document in the newer format describes the same package.
    fn agrees(&self, newer: &Node, mistakes: &mut Vec<Mistake>) {
        let text = |node: Option<&Node>, key: &str| {
            let value = node.and_then(|node| node.get(key)).and_then(Node::scalar);
            value.unwrap_or_default().to_owned()
        };
        let metadata = newer.get("metadata");
        let listed = newer.get("components").map_or(&[][..], Node::items);
        let components: Vec<String> = listed.iter().map(|c| text(Some(c), "name")).collect();
        let own: Vec<String> = self.components.iter().map(|c| c.name.clone()).collect();
        let differs = [
            (
                "metadata.name",
                text(metadata, "name") != self.metadata.name,
            ),
            (
                "metadata.version",
                text(metadata, "version") != self.metadata.version,
            ),
            ("the names of the components", components != own),
        ];
        for (what, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            let message = format!("the second YAML document has another value of {what}");
            mistakes.push(Mistake::new(newer.span, message, GET));
        }
    }
}

/// The next step for the recipient of a package.
const GET: &str = "Get the package again, or ask its publisher.";

struct Names<'m>(&'m mut Vec<Mistake>);

impl Names<'_> {
    /// Checks the name of a package or component: all versions of the format must
    /// accept it. In a skeleton, whose names may have templates, it must be a valid
    /// folder name.
    fn name(&mut self, name: &str, what: &str, at: &Node, filled: bool) {
        let place = at.get("name").unwrap_or(at);
        if !filled && name.contains("###") {
            return self.file_name(name, "name", place);
        }
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.starts_with('-') || !name.chars().all(fits) {
            let message = format!("`{}` is not a valid name of a {what}", shown(name));
            self.0.push(Mistake::new(place.span, message, GET));
        }
    }

    /// Text that becomes part of a path.
    fn file_name(&mut self, text: &str, key: &str, at: &Node) {
        let leads = text.contains(['/', '\\']) || text.chars().any(char::is_control);
        if leads || text.chars().all(|c| c == '.') {
            let message = format!("`{}` cannot be a `{key}`", shown(text));
            self.0.push(Mistake::new(at.span, message, GET));
        }
    }

    fn unique<'d>(&mut self, seen: &mut BTreeSet<&'d str>, name: &'d str, what: &str, at: &Node) {
        if !seen.insert(name) {
            let message = format!("duplicate {what} name `{}`", shown(name));
            let place = at.get("name").unwrap_or(at);
            self.0.push(Mistake::new(place.span, message, GET));
        }
    }
}

fn shown(text: &str) -> String {
    text.escape_debug().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        let source = SourceText::new("jackal.yaml", text);
        let read = Definition::packaged(&source);
        read.map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
    }

    const GOOD: &str = "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: 1.0.0\n\
                        components:\n- name: a-\n  charts:\n  - name: c\n    version: 1.0.0\n- name: b\n";

    #[test]
    fn kinds_and_names_of_a_package_are_checked_with_their_place() {
        assert_eq!(mistakes(GOOD), "");
        for (from, to, place) in [
            ("kind: Jackal", "kind: Other", "1:7"),
            ("kind: JackalPackageConfig\n", "", "1:1"),
            ("name: demo", "name: a/b", "3:9"),
            ("name: demo", "name: ..", "3:9"),
            ("name: demo", "name: ''", "3:9"),
            ("name: demo", "name: Demo", "3:9"),
            ("version: 1.0.0\ncomp", "version: ../1\ncomp", "4:12"),
            ("name: a-", "name: ../../x", "6:9"),
            ("name: a-", "name: 'a\\b'", "6:9"),
            ("name: a-", "name: \"a\\nb\"", "6:9"),
            ("name: a-", "name: b", "10:9"),
            ("name: c\n", "name: ../c\n", "8:11"),
            ("name: a-", "name: [a]", "6:9"),
            ("name: a-\n", "name: a-\n  'name': z\n", "7:3"),
            (
                "metadata:\n",
                "metadata:\n  x-a: {b: {c: 1, c: 2}}\n",
                "3:19",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let mistakes = mistakes(&text);
            let place = format!("jackal.yaml:{place}: ");
            assert!(
                mistakes.lines().any(|l| l.starts_with(&place)),
                "{text}{mistakes}"
            );
        }
    }

    #[test]
    fn a_second_document_must_be_zarfs_and_agree_with_the_first() {
        let with = |second: &str| mistakes(&format!("{GOOD}---\n{second}"));
        let newer = "apiVersion: zarf.dev/v1beta1\nmetadata: {name: demo, version: 1.0.0}\n\
                     components: [{name: a-}, {name: b}]\n";
        assert_eq!(with(newer), "");
        for second in [
            "kind: JackalPackageConfig\nmetadata: {name: other}\n".to_owned(),
            newer.replace("v1beta1", "v1alpha1"),
            newer.replace("name: demo", "name: other"),
            newer.replace("version: 1.0.0", "version: 1.0.1"),
            newer.replace(", {name: b}", ""),
            newer.replace("name: demo", "name: demo, name: demo"),
            format!("{newer}---\n{newer}"),
        ] {
            assert!(with(&second).starts_with("jackal.yaml:"), "{second}");
        }
    }

    #[test]
    fn a_skeleton_keeps_its_templates() {
        let skeleton = |name: &str| {
            mistakes(&format!(
                "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  architecture: skeleton\n\
                 components:\n- name: '{name}'\n"
            ))
        };
        assert_eq!(skeleton("###JACKAL_PKG_TMPL_X###"), "");
        assert_ne!(skeleton("../###JACKAL_PKG_TMPL_X###"), "");
        assert_ne!(skeleton("a/b"), "");
    }
}
