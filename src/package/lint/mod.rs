//! What is wrong with a definition, or will be: every mistake that stops a
//! build, and what builds today and surprises tomorrow.
//!
//! Pure: whether a file is there is asked of [`Surroundings`]. Never changes a
//! definition, and looks at the components only that would be packaged.

use std::collections::BTreeSet;

use super::compose::{
    Choice, Purpose, SETS, STAGES, Surroundings, Template, Whole, compose, templates,
};
use super::definition::{Component, Part as _, Rule};
use crate::oci::Reference;
use crate::yaml::{Mistake, Node, SourceText, Span, Value};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The package cannot be built.
    Error,
    /// It can, but should be changed.
    Warning,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding, at its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, as messages call it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What it breaks, in one stable word.
    pub rule: &'static str,
    /// What was found.
    pub message: String,
    /// The next step.
    pub help: String,
}

/// Lints the definition in `source` and all that it imports.
///
/// Findings are in the order of files as they were read, then of places.
#[must_use]
pub fn lint(
    source: SourceText,
    surroundings: &mut dyn Surroundings,
    choice: &Choice<'_>,
) -> Vec<Finding> {
    let mut patient = Unasked {
        inner: surroundings,
        unset: BTreeSet::new(),
    };
    let whole = compose(source, &mut patient, choice, Purpose::Package);
    let unset = std::mem::take(&mut patient.unset);
    let mut found: Vec<(Severity, &'static str, Mistake)> = Vec::new();
    // What a string is worth that waits for its value, nobody can tell.
    let mut waiting = BTreeSet::new();
    if let Some(definition) = &whole.unfilled {
        unfilled(definition, &unset, &mut waiting);
    }
    let certain = |mistake: &&Mistake| !waiting.contains(&mistake.span);
    let mistakes = whole.mistakes.iter().filter(certain).cloned();
    found.extend(mistakes.map(|mistake| (Severity::Error, "invalid", mistake)));
    for (rule, warnings) in [
        ("deprecated", &whole.deprecated),
        ("ignored-key", &whole.ignored),
    ] {
        let warnings = warnings.iter().cloned();
        found.extend(warnings.map(|warning| (Severity::Warning, rule, warning)));
    }
    for name in unset {
        let at = whole.templates.get(&name).copied().unwrap_or_default();
        found.push((
            Severity::Warning,
            "unset-template",
            Mistake::new(
                at,
                format!("template `{name}` has no value"),
                format!("Give --set {name}=VALUE when the package is made."),
            ),
        ));
    }
    if let Some(definition) = &whole.unfilled {
        let mut rules = Rules {
            surroundings,
            found: &mut found,
        };
        rules.definition(definition);
    }
    placed(&whole, found)
}

fn placed(whole: &Whole, mut found: Vec<(Severity, &'static str, Mistake)>) -> Vec<Finding> {
    found.sort_by(|a, b| (a.2.span, a.0, a.1).cmp(&(b.2.span, b.0, b.1)));
    found.dedup();
    let findings = found.into_iter().map(|(severity, rule, mistake)| {
        let (file, span) = match whole.sources.place(mistake.span) {
            Some((source, span)) => (source.name.clone(), span),
            None => (String::new(), mistake.span),
        };
        Finding {
            file,
            line: span.line,
            column: span.column,
            severity,
            rule,
            message: mistake.message,
            help: mistake.help,
        }
    });
    findings.collect()
}

/// Surroundings in which nobody is asked: a template without value gets one
/// that fits most places, and is remembered.
struct Unasked<'s> {
    inner: &'s mut dyn Surroundings,
    unset: BTreeSet<String>,
}

impl Surroundings for Unasked<'_> {
    fn definition(&mut self, folder: &str) -> Result<SourceText, super::ImportError> {
        self.inner.definition(folder)
    }

    fn skeleton(&mut self, url: &super::SkeletonUrl) -> Result<SourceText, super::ImportError> {
        self.inner.skeleton(url)
    }

    fn skeleton_files(
        &mut self,
        url: &super::SkeletonUrl,
        component: &str,
    ) -> Result<String, super::ImportError> {
        self.inner.skeleton_files(url, component)
    }

    fn exists(&mut self, path: &str) -> bool {
        self.inner.exists(path)
    }

    fn answer(&mut self, template: &str) -> Option<String> {
        self.unset.insert(template.to_owned());
        Some("unset".to_owned())
    }
}

struct Rules<'r> {
    surroundings: &'r mut dyn Surroundings,
    found: &'r mut Vec<(Severity, &'static str, Mistake)>,
}

impl Rules<'_> {
    fn error(&mut self, rule: &'static str, at: Span, message: String, help: &str) {
        let mistake = Mistake::new(at, message, help);
        self.found.push((Severity::Error, rule, mistake));
    }

    fn warning(&mut self, rule: &'static str, at: Span, message: String, help: &str) {
        let mistake = Mistake::new(at, message, help);
        self.found.push((Severity::Warning, rule, mistake));
    }

    fn definition(&mut self, definition: &Node) {
        let declared = declared(definition);
        let mut used = Vec::new();
        variables(definition, &mut used);
        for (name, at) in used {
            if !declared.contains(name.as_str()) {
                self.warning(
                    "unset-variable",
                    at,
                    format!("variable `{name}` is used, and nothing declares or sets it"),
                    "Add it to `variables` or `constants`, or set it by an action.",
                );
            }
        }
        for component in items(definition, "components") {
            self.component(component);
        }
    }

    fn component(&mut self, component: &Node) {
        for (image, at) in strings(component, "images") {
            self.image(image, at);
        }
        for (repo, at) in strings(component, "repos") {
            let address = repo.split_once("://").map_or(repo, |(_, rest)| rest);
            let path = address.split_once('/').map_or("", |(_, path)| path);
            if !is_template(repo) && !path.contains('@') {
                self.warning(
                    "unpinned-repo",
                    at,
                    format!("repository `{repo}` is not pinned to a tag or commit"),
                    "Add @ and a tag, or better a commit.",
                );
            }
        }
        for file in items(component, "files") {
            self.file(file);
        }
        let mut local = Vec::new();
        Component::paths(&mut component.clone(), &mut |row, path| {
            if !row.is(&Rule::Deprecated) && !row.is(&Rule::Unbuilt) {
                local.extend(path.scalar().map(|text| (text.to_owned(), path.span)));
            }
        });
        for (path, at) in local {
            self.local(&path, at);
        }
    }

    fn image(&mut self, image: &str, at: Span) {
        // A place on the disk has no registry that could move it.
        if is_template(image) || image.starts_with("oci:") || image.contains("-archive:") {
            return;
        }
        match image.parse::<Reference>() {
            Err(error) => self.error(
                "invalid-image",
                at,
                format!("`{image}` is no reference of an image: {error}"),
                "Correct the reference.",
            ),
            Ok(reference) if reference.digest().is_none() => self.warning(
                "unpinned-image",
                at,
                format!("image `{image}` is not pinned with a digest"),
                "Add @sha256: and the digest; jackal.lock has what the tag means now.",
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
            let hex = sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hex || sum.len() != 64 {
                self.error(
                    "invalid-shasum",
                    at,
                    format!(
                        "shasum has {} characters, expected 64 hex digits",
                        sum.len()
                    ),
                    "Write the SHA-256 sum of the file, as `sha256sum` prints it.",
                );
            } else if sum
                .bytes()
                .all(|byte| Some(&byte) == sum.as_bytes().first())
            {
                self.warning(
                    "suspicious-shasum",
                    at,
                    "shasum is one digit over and over, which is the sum of no file".to_owned(),
                    "Write the SHA-256 sum of the file, as `sha256sum` prints it.",
                );
            }
        }
        let at_end = source.rsplit_once('@').map(|(_, end)| end);
        let in_url = at_end
            .is_some_and(|end| end.len() == 64 && end.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if source.contains("://") && sum.is_none() && !in_url {
            self.warning(
                "no-shasum",
                at,
                format!("no shasum for the remote file `{source}`"),
                "Add `shasum`, so that only this very file is packaged.",
            );
        }
    }

    fn local(&mut self, path: &str, at: Span) {
        if path.is_empty() || path.contains("://") || is_template(path) {
            return;
        }
        if !self.surroundings.exists(path) {
            self.error(
                "missing-file",
                at,
                format!("there is no `{path}`"),
                "Correct the path; it is relative to the folder of its definition.",
            );
        }
    }
}

/// Where the strings are that hold one of the templates `unset`.
fn unfilled(node: &Node, unset: &BTreeSet<String>, found: &mut BTreeSet<Span>) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| unfilled(item, unset, found)),
        Value::Mapping(pairs) => pairs
            .iter()
            .for_each(|(_, value)| unfilled(value, unset, found)),
        Value::Scalar(text, _) => {
            let waits = templates(text).any(|(_, template)| {
                matches!(template, Template::Value { name, .. } if unset.contains(name))
            });
            if waits {
                found.insert(node.span);
            }
        }
    }
}

/// Whether `text` holds something that is filled in, now or later.
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

/// Names of variables and constants that have a value at deploy.
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

/// Every `###..._VAR_X###` and `###..._CONST_X###` below `node`.
fn variables(node: &Node, found: &mut Vec<(String, Span)>) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| variables(item, found)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(_, value)| variables(value, found)),
        Value::Scalar(text, _) => {
            for word in text.split("###").skip(1) {
                let name = ["JACKAL_VAR_", "JACKAL_CONST_", "ZARF_VAR_", "ZARF_CONST_"]
                    .iter()
                    .find_map(|prefix| word.strip_prefix(prefix));
                if let Some(name) = name.filter(|name| super::is_template_name(name)) {
                    found.push((name.to_owned(), node.span));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::package::{ImportError, SkeletonUrl};

    /// Surroundings with a few files and one definition.
    struct Few(&'static str);

    impl Surroundings for Few {
        fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError> {
            match (folder, self.0) {
                ("c", text) if !text.is_empty() => Ok(SourceText::new("c/jackal.yaml", text)),
                _ => Err(ImportError::NoDefinition(folder.to_owned())),
            }
        }
        fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
            Err(ImportError::NoSkeleton(url.to_string()))
        }
        fn skeleton_files(&mut self, _: &SkeletonUrl, _: &str) -> Result<String, ImportError> {
            Ok(String::new())
        }
        fn exists(&mut self, path: &str) -> bool {
            path == "here" || path == "c/here"
        }
        fn answer(&mut self, _: &str) -> Option<String> {
            None
        }
    }

    fn found(text: &str, imported: &'static str) -> Vec<String> {
        let none = BTreeMap::new();
        let choice = Choice {
            architecture: None,
            host: "amd64",
            flavor: "",
            set: &none,
            metadata: &none,
        };
        let text = format!("kind: JackalPackageConfig\nmetadata: {{name: a}}\n{text}");
        let findings = lint(SourceText::new("j.yaml", text), &mut Few(imported), &choice);
        findings
            .iter()
            .map(|f| format!("{}:{} {} {}", f.file, f.line, f.severity.word(), f.rule))
            .collect()
    }

    #[test]
    fn what_is_pinned_and_there_has_no_finding() {
        let sum = "ab".repeat(32);
        let text = format!(
            "components:\n- name: a\n  images: ['r.io/x@sha256:{sum}', '###JACKAL_REGISTRY###/x']\n  \
             repos: ['https://me@x.io/r.git@v1', '###JACKAL_VAR_R###']\n  files:\n  \
             - {{source: here, target: /t}}\n  - {{source: 'https://x.io/f', shasum: '{sum}', target: \
             /t}}\n  - {{source: 'https://x.io/f@{sum}', target: /t}}\nvariables:\n- {{name: R}}\n"
        );
        assert_eq!(found(&text, ""), Vec::<String>::new());
    }

    #[test]
    fn each_rule_points_at_its_own_place() {
        let zeros = "0".repeat(64);
        let text = format!(
            "components:\n- name: a\n  images:\n  - nginx:1\n  - 'NO GOOD'\n  repos:\n  \
             - https://me@x.io/r.git\n  files:\n  - source: https://x.io/f\n    target: \
             '###JACKAL_VAR_DIR###'\n  - source: gone\n    shasum: abc\n    target: /t\n  \
             - source: here\n    shasum: '{zeros}'\n    target: /###JACKAL_PKG_TMPL_T###\n  \
             cosignKeyPath: k\n- name: b\n  import: {{path: '###JACKAL_PKG_TMPL_P###'}}\n- name: b\n"
        );
        assert_eq!(
            found(&text, ""),
            [
                "j.yaml:6 warning unpinned-image",
                "j.yaml:7 error invalid-image",
                "j.yaml:9 warning unpinned-repo",
                "j.yaml:11 warning no-shasum",
                "j.yaml:12 warning unset-variable",
                "j.yaml:13 error missing-file",
                "j.yaml:14 error invalid-shasum",
                "j.yaml:17 warning suspicious-shasum",
                "j.yaml:18 warning unset-template",
                "j.yaml:19 warning deprecated",
                "j.yaml:21 error invalid",
            ]
        );
    }

    #[test]
    fn a_string_that_waits_for_its_value_is_not_judged() {
        let text = "constants:\n- {name: A, value: '###JACKAL_PKG_TMPL_V###', pattern: '^[0-9]+$'}\n\
                    components:\n- name: a\n  only: {localOS: '###JACKAL_PKG_TMPL_V###'}\n- name: \
                    '###JACKAL_PKG_TMPL_N###'\n- name: '###JACKAL_PKG_TMPL_N###'\n- name: B\n";
        assert_eq!(
            found(text, ""),
            [
                "j.yaml:4 warning unset-template",
                "j.yaml:8 warning unset-template",
                "j.yaml:10 error invalid",
            ]
        );
    }

    #[test]
    fn findings_of_an_imported_file_are_told_there() {
        let text = "components:\n- name: a\n  import: {path: c}\n";
        let imported = "kind: JackalPackageConfig\nmetadata: {name: c}\ncomponents:\n- name: a\n  \
                        images: [x]\n  files:\n  - {source: here, target: /h}\n  - {source: gone, \
                        target: /g}\n";
        assert_eq!(
            found(text, imported),
            [
                "c/jackal.yaml:5 warning unpinned-image",
                "c/jackal.yaml:8 error missing-file",
            ]
        );
    }
}
