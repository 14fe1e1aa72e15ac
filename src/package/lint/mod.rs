//! Lint: mistakes that stop a build, and values that build but cause trouble
//! later.
//!
//! Composes the definition as a build does. Pure: [`Surroundings`] reports whether a
//! file exists. Never changes a definition, and checks only the components that would
//! be packaged.

mod rules;

use std::collections::BTreeSet;

use super::compose::{Choice, Look, Purpose, Surroundings, Template, Whole, compose, templates};
use crate::codes::Code;
use crate::yaml::{Mistake, Node, SourceText, Span, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The package cannot be built.
    Error,
    /// The package can be built but should be changed.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file name, as messages show it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters, on that line.
    pub length: u32,
    /// Whether it stops a build.
    pub severity: Severity,
    /// The rule, such as `missing-file`.
    pub code: Code,
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Lints the definition in `source` and the definitions it imports.
///
/// Findings are sorted by file, in the order of reading, then by place.
#[must_use]
pub fn lint(
    source: SourceText,
    surroundings: &mut dyn Surroundings,
    choice: &Choice<'_>,
) -> Vec<Finding> {
    let mut recording = Recording {
        inner: surroundings,
        unset: BTreeSet::new(),
    };
    let whole = compose(source, &mut recording, choice, Purpose::Package);
    let unset = std::mem::take(&mut recording.unset);
    let mut found: Vec<Found> = Vec::new();
    // A string with an unset template has no value to check yet.
    let mut unfilled_at = BTreeSet::new();
    if let Some(definition) = &whole.unfilled {
        unfilled(definition, &unset, &mut unfilled_at);
    }
    let filled = |mistake: &&Mistake| !unfilled_at.contains(&mistake.span);
    let mistakes = whole.mistakes.iter().filter(filled).cloned();
    found.extend(mistakes.map(|mistake| (Severity::Error, mistake.code, mistake)));
    for (code, warnings) in [
        (Code::Deprecated, &whole.deprecated),
        (Code::IgnoredKey, &whole.ignored),
    ] {
        let warnings = warnings.iter().cloned();
        found.extend(warnings.map(|warning| (Severity::Warning, code, warning)));
    }
    for name in unset {
        let at = whole.templates.get(&name).copied().unwrap_or_default();
        found.push((
            Severity::Warning,
            Code::UnsetTemplate,
            Mistake::new(
                at,
                format!("template `{name}` has no value"),
                format!("Pass --set {name}=VALUE to the build."),
            ),
        ));
    }
    if let Some(definition) = &whole.unfilled {
        found.extend(rules::findings(definition, surroundings));
    }
    placed(&whole, found)
}

/// Severity, code and mistake of a finding whose span is not translated yet.
type Found = (Severity, Code, Mistake);

fn placed(whole: &Whole, mut found: Vec<Found>) -> Vec<Finding> {
    found.sort_by_key(|(severity, code, mistake)| (mistake.span, *severity, *code));
    found.dedup();
    let findings = found.into_iter().map(|(severity, code, mistake)| {
        let (file, span) = match whole.sources.place(mistake.span) {
            Some((source, span)) => (source.name.clone(), span),
            None => (String::new(), mistake.span),
        };
        Finding {
            file,
            line: span.line,
            column: span.column,
            length: span.length,
            severity,
            code,
            message: mistake.message,
            help: mistake.help,
        }
    });
    findings.collect()
}

/// Gives templates without a value one that fits most places, and records them.
struct Recording<'s> {
    inner: &'s mut dyn Surroundings,
    unset: BTreeSet<String>,
}

impl Surroundings for Recording<'_> {
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

    fn look(&mut self, path: &str) -> Look {
        self.inner.look(path)
    }

    fn chart_version(&mut self, path: &str) -> Option<String> {
        self.inner.chart_version(path)
    }

    fn is_made(&mut self, path: &str) -> bool {
        self.inner.is_made(path)
    }

    fn answer(&mut self, template: &str) -> Option<String> {
        self.unset.insert(template.to_owned());
        Some("unset".to_owned())
    }
}

/// Collects the places of strings with one of the templates `unset`.
fn unfilled(node: &Node, unset: &BTreeSet<String>, found: &mut BTreeSet<Span>) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| unfilled(item, unset, found)),
        Value::Mapping(pairs) => pairs
            .iter()
            .for_each(|(_, value)| unfilled(value, unset, found)),
        Value::Scalar(text, _) => {
            let is_unfilled = templates(text).any(|(_, template)| {
                matches!(template, Template::Value { name, .. } if unset.contains(name))
            });
            if is_unfilled {
                found.insert(node.span);
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
        fn look(&mut self, path: &str) -> Look {
            match path {
                "here" | "c/here" => Look::File,
                _ => Look::Absent,
            }
        }
        fn refusal(&mut self, key: &str, path: &str) -> Option<String> {
            (key == "files" && path == "here").then(|| "no manifest".to_owned())
        }
        fn is_made(&mut self, path: &str) -> bool {
            path == "output"
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
            .map(|f| format!("{}:{} {} {}", f.file, f.line, f.severity.word(), f.code))
            .collect()
    }

    #[test]
    fn pinned_and_existing_sources_have_no_findings() {
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
                "j.yaml:21 error invalid-value",
            ]
        );
    }

    #[test]
    fn a_string_with_an_unset_template_is_not_checked() {
        let text = "constants:\n- {name: A, value: '###JACKAL_PKG_TMPL_V###', pattern: '^[0-9]+$'}\n\
                    components:\n- name: a\n  only: {localOS: '###JACKAL_PKG_TMPL_V###'}\n- name: \
                    '###JACKAL_PKG_TMPL_N###'\n- name: '###JACKAL_PKG_TMPL_N###'\n- name: B\n";
        assert_eq!(
            found(text, ""),
            [
                "j.yaml:4 warning unset-template",
                "j.yaml:8 warning unset-template",
                "j.yaml:10 error invalid-value",
            ]
        );
    }

    #[test]
    fn a_file_that_an_earlier_action_may_make_is_not_missing_yet() {
        let text = "components:\n- name: a\n  files: [{source: early, target: /t}]\n- name: b\n  \
                    actions: {onCreate: {before: [{cmd: make}]}}\n  files: [{source: made, target: /t}]\n\
                    - name: c\n  files: [{source: late, target: /t}]\n- name: d\n  manifests: [{name: m, \
                    files: [here]}]\n";
        assert_eq!(
            found(text, ""),
            [
                "j.yaml:5 error missing-file",
                "j.yaml:8 warning unmade-file",
                "j.yaml:10 warning unmade-file",
                "j.yaml:12 error refused-file",
            ]
        );
    }

    #[test]
    fn what_a_task_makes_is_not_missing() {
        let text = "components:\n- name: a\n  files: [{source: output, target: /t}]\n- name: b\n  \
                    files: [{source: outputs, target: /t}]\n";
        assert_eq!(found(text, ""), ["j.yaml:7 error missing-file"]);
    }

    #[test]
    fn findings_of_an_imported_file_have_its_place() {
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
