//! Checks the values of the user's own definition.
//!
//! Takes a definition with the node it was read from, so that each mistake has its
//! place. The rules of a row are checked the same way for every record; the rest of
//! this file checks rules that concern several keys. Never changes a definition.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::part::{Part as _, Visited};
use super::reading::Reading;
use super::records::{Action, ActionSet, Chart, Component, Definition, Manifest};
use super::row::{RELEASE, Rule};
use crate::codes::Code;
use crate::package::{Dialect, Kind};
use crate::yaml::{Mistake, Node, Value};

/// Longest name of a chart or manifest, in bytes: release names are made from
/// it, and Helm limits those to 53 bytes.
const MAX_RELEASE_NAME: usize = 40;

/// Longest name of a release, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

struct Checks<'m>(&'m mut Vec<Mistake>);

pub(crate) fn check(definition: &Definition, node: &Node, mistakes: &mut Vec<Mistake>) {
    let mut checks = Checks(mistakes);
    definition.walk(node, &mut Vec::new(), &mut |key| checks.row(key));
    checks.package(definition, node);
    checks.values(definition, node);
    let mut names = BTreeSet::new();
    for (component, at) in definition.components.iter().zip(list(node, "components")) {
        checks.unique(&mut names, &component.name, at, "component");
        checks.component(component, at, definition.metadata.yolo);
    }
    checks.groups(definition, node);
}

/// Checks single values of a definition before it is composed, so that mistakes in
/// components of other architectures and flavors are found as well. Values with
/// templates are checked once these are filled.
pub(crate) fn check_values(node: &Node, mistakes: &mut Vec<Mistake>) {
    let mut reading = Reading {
        strict: false,
        extensions: false,
        mistakes: Vec::new(),
    };
    let definition = Definition::read(node, "the definition", &mut reading);
    let mut checks = Checks(mistakes);
    definition.walk(node, &mut Vec::new(), &mut |key| {
        let text = key.value.and_then(Node::scalar);
        if !key.blank && text.is_some_and(|text| !text.contains("###")) {
            checks.row(key);
        }
    });
}

/// The mistake of a definition that lists no component, and so deploys nothing.
pub(crate) fn without_components(node: &Node) -> Option<Mistake> {
    let list = node.get("components")?;
    let Value::Sequence(items) = &list.value else {
        return None;
    };
    let help = "Add a component.";
    items
        .is_empty()
        .then(|| Mistake::new(list.span, "`components` is empty", help))
}

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).map_or(&[], Node::items)
}

impl Checks<'_> {
    fn rule(&mut self, holds: bool, at: &Node, message: impl FnOnce() -> String, help: &str) {
        if !holds {
            self.0.push(Mistake::new(at.span, message(), help));
        }
    }

    /// Checks the value of one key by the rules of its row.
    fn row(&mut self, found: &Visited<'_, '_>) {
        let key = found.row.key;
        let at = found.value.unwrap_or(found.record);
        let text = found.value.and_then(Node::scalar).filter(|_| !found.blank);
        for rule in found.row.rules {
            match rule {
                Rule::Required => {
                    let value = found.value.filter(|value| !value.is_null());
                    let empty = |value: &Node| found.blank && value.scalar().is_some();
                    if value.is_none_or(empty) {
                        let message = format!("missing required key `{key}`");
                        let help = match found.row.values() {
                            Some(values) => format!("Add `{key}`, one of: {}.", values.join(", ")),
                            None => format!("Add `{key}`: {}.", found.row.text),
                        };
                        let mistake = Mistake::new(at.span, message, help);
                        self.0.push(mistake.with(Code::MissingKey));
                    }
                }
                Rule::Unbuilt => self.rule(
                    found.blank,
                    at,
                    || format!("`{key}` is not supported yet"),
                    "Remove it, or build this package with Zarf.",
                ),
                Rule::UnbuiltIn(place) => self.rule(
                    found.blank || !found.within.contains(place),
                    at,
                    || format!("`{key}` is not supported in `{place}` yet"),
                    "Remove it, or build this package with Zarf.",
                ),
                Rule::Pattern(pattern) if pattern.checked => {
                    let regex = Regex::new(&format!("^(?:{})$", pattern.regex));
                    let fits = |text| regex.as_ref().is_ok_and(|regex| regex.is_match(text));
                    self.rule(
                        text.is_none_or(fits),
                        at,
                        || format!("`{}` is not a valid `{key}`", text.unwrap_or_default()),
                        &format!("Use {}.", pattern.expected),
                    );
                }
                Rule::OneOf(values) => self.rule(
                    text.is_none_or(|text| values.contains(&text)),
                    at,
                    || format!("`{}` is not a valid `{key}`", text.unwrap_or_default()),
                    &format!("Use one of: {}.", values.join(", ")),
                ),
                Rule::AtLeast(least) => {
                    let number = text.and_then(|text| text.parse::<i64>().ok());
                    self.rule(
                        number.is_none_or(|number| number >= *least),
                        at,
                        || format!("`{key}` is less than {least}"),
                        &format!("Use {least} or more."),
                    );
                }
                Rule::Pattern(_)
                | Rule::Deprecated
                | Rule::Path
                | Rule::Own
                | Rule::Appends
                | Rule::Replaces => {}
            }
        }
    }

    fn package(&mut self, definition: &Definition, node: &Node) {
        let metadata = node.get("metadata").unwrap_or(node);
        self.rule(
            !definition.api_version.ends_with("/v1beta1"),
            node.get("apiVersion").unwrap_or(node),
            || {
                format!(
                    "the format `{}` is not supported yet",
                    definition.api_version
                )
            },
            "Use the format zarf.dev/v1alpha1, which needs no `apiVersion`.",
        );
        let init = matches!(Dialect::of_kind(&definition.kind), Some((_, Kind::Init)));
        self.rule(
            !(definition.metadata.yolo && init),
            metadata.get("yolo").unwrap_or(metadata),
            || "an init package cannot be `yolo`".into(),
            "Remove `yolo`.",
        );
    }

    fn values(&mut self, definition: &Definition, node: &Node) {
        for (variable, at) in definition.variables.iter().zip(list(node, "variables")) {
            self.pattern(&variable.pattern, None, at);
        }
        for (constant, at) in definition.constants.iter().zip(list(node, "constants")) {
            let value = constant.value.as_deref().unwrap_or_default();
            self.pattern(&constant.pattern, Some(value), at);
        }
    }

    fn pattern(&mut self, pattern: &str, value: Option<&str>, at: &Node) {
        match Regex::new(pattern) {
            Ok(regex) => self.rule(
                value.is_none_or(|value| regex.is_match(value)),
                at.get("value").unwrap_or(at),
                || format!("the value does not match `{pattern}`"),
                "Correct the value or the pattern.",
            ),
            Err(_) => self.rule(
                false,
                at.get("pattern").unwrap_or(at),
                || format!("`{pattern}` is not a valid regular expression"),
                "Correct the pattern.",
            ),
        }
    }

    fn unique<'d>(&mut self, seen: &mut BTreeSet<&'d str>, name: &'d str, at: &Node, what: &str) {
        self.rule(
            seen.insert(name),
            at.get("name").unwrap_or(at),
            || format!("duplicate {what} name `{name}`"),
            "Use a unique name.",
        );
    }

    fn groups(&mut self, definition: &Definition, node: &Node) {
        let components = || definition.components.iter().zip(list(node, "components"));
        let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (component, at) in components().filter(|(component, _)| !component.group.is_empty()) {
            let group = component.group.as_str();
            let (members, defaults) = groups.entry(group).or_default();
            *members += 1;
            *defaults += usize::from(component.default);
            self.rule(
                !component.default || *defaults == 1,
                at.get("default").unwrap_or(at),
                || format!("the group `{group}` has more than one default"),
                "Keep `default` on one component of the group.",
            );
        }
        for (component, at) in components() {
            let group = component.group.as_str();
            self.rule(
                groups.get(group).is_none_or(|(members, _)| *members > 1),
                at.get("group").unwrap_or(at),
                || format!("the group `{group}` has only one component"),
                "Add another component to the group, or remove `group`.",
            );
        }
    }

    fn component(&mut self, component: &Component, at: &Node, yolo: bool) {
        let required = component.required == Some(true);
        self.rule(
            !(required && component.default),
            at.get("default").unwrap_or(at),
            || "a required component cannot be `default`".into(),
            "Remove one of `required` and `default`.",
        );
        self.rule(
            !required || component.group.is_empty(),
            at.get("group").unwrap_or(at),
            || "a required component cannot be in a group".into(),
            "Remove one of `required` and `group`.",
        );
        self.rule(
            !yolo
                || (component.images.is_empty()
                    && component.repos.is_empty()
                    && component.only.cluster.blank()),
            at,
            || "a `yolo` package cannot have images, repos or `only.cluster`".into(),
            "Remove them, or remove `yolo`.",
        );
        let mut names = BTreeSet::new();
        for (chart, at) in component.charts.iter().zip(list(at, "charts")) {
            self.unique(&mut names, &chart.name, at, "chart");
            self.chart(chart, at);
        }
        let mut names = BTreeSet::new();
        for (manifest, at) in component.manifests.iter().zip(list(at, "manifests")) {
            self.unique(&mut names, &manifest.name, at, "manifest");
            self.manifest(manifest, at);
        }
        let actions = &component.actions;
        let sets = [
            (&actions.on_create, "onCreate"),
            (&actions.on_deploy, "onDeploy"),
            (&actions.on_remove, "onRemove"),
        ];
        for (set, key) in sets {
            if let Some(at) = at.get("actions").and_then(|actions| actions.get(key)) {
                self.actions(set, at, key == "onDeploy");
            }
        }
    }

    fn chart(&mut self, chart: &Chart, at: &Node) {
        self.release(&chart.name, at);
        // The row of `releaseName` has the same rule.
        let named = Regex::new(&format!("^(?:{})$", RELEASE.regex));
        self.rule(
            !chart.release_name.is_empty() || named.is_ok_and(|named| named.is_match(&chart.name)),
            at.get("name").unwrap_or(at),
            || format!("`{}` cannot be the name of a release", chart.name),
            &format!("Add `releaseName`, with {}.", RELEASE.expected),
        );
        self.rule(
            chart.release_name.len() <= MAX_LABEL,
            at.get("releaseName").unwrap_or(at),
            || format!("`releaseName` is longer than {MAX_LABEL} bytes"),
            "Use a shorter name.",
        );
        self.rule(
            chart.url.is_empty() != chart.local_path.is_empty(),
            at,
            || "a chart needs exactly one of `url` and `localPath`".into(),
            "Add or remove one.",
        );
        self.rule(
            !chart.version.is_empty(),
            at.get("version").unwrap_or(at),
            || match chart.local_path.as_str() {
                "" => "missing required key `version`".to_owned(),
                path => format!(
                    "missing key `version`, and `{path}` has no Chart.yaml with a version yet"
                ),
            },
            "Add `version`: the version of the chart.",
        );
        let listed = at.get("values").map_or(&[][..], Node::items);
        for (value, at) in chart.values.iter().zip(listed) {
            let within = format!("{}.", value.source_path.trim_end_matches('.'));
            for path in value
                .exclude_paths
                .iter()
                .filter(|path| !path.starts_with(&within))
            {
                let at = at.get("excludePaths").unwrap_or(at);
                let message = || format!("`{path}` is not below `{}`", value.source_path);
                self.rule(false, at, message, "Use paths below `sourcePath`.");
            }
        }
    }

    fn manifest(&mut self, manifest: &Manifest, at: &Node) {
        self.release(&manifest.name, at);
        self.rule(
            !manifest.files.is_empty() || !manifest.kustomizations.is_empty(),
            at,
            || "a manifest needs `files` or `kustomizations`".into(),
            "Add at least one file or kustomization.",
        );
    }

    fn release(&mut self, name: &str, at: &Node) {
        self.rule(
            name.len() <= MAX_RELEASE_NAME,
            at.get("name").unwrap_or(at),
            || format!("the name `{name}` is longer than {MAX_RELEASE_NAME} bytes"),
            "Use a shorter name.",
        );
    }

    fn actions(&mut self, set: &ActionSet, at: &Node, deploy: bool) {
        let lists = [
            (&set.before, "before"),
            (&set.after, "after"),
            (&set.on_success, "onSuccess"),
            (&set.on_failure, "onFailure"),
        ];
        for (actions, key) in lists {
            for (action, at) in actions.iter().zip(list(at, key)) {
                self.action(action, at, deploy);
            }
        }
    }

    fn action(&mut self, action: &Action, at: &Node, deploy: bool) {
        self.rule(
            deploy || (action.set_variables.is_empty() && action.set_variable.is_empty()),
            at,
            || "variables can only be set in `onDeploy`".into(),
            "Move the action, or remove `setVariables`.",
        );
        let Some(wait) = &action.wait else { return };
        self.rule(
            action.cmd.is_empty(),
            at,
            || "an action cannot have both `wait` and `cmd`".into(),
            "Split it into two actions.",
        );
        self.rule(
            wait.cluster.is_some() != wait.network.is_some(),
            at.get("wait").unwrap_or(at),
            || "a wait needs exactly one of `cluster` and `network`".into(),
            "Add or remove one.",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::package::{Definition, Strictness};
    use crate::yaml::SourceText;

    #[test]
    fn each_broken_rule_is_reported_at_its_place() {
        let text = "kind: JackalInitConfig\nmetadata:\n  name: -demo\n  yolo: true\n\
                    constants:\n- name: a\n  value: x\n  pattern: ^y$\ncomponents:\n\
                    - name: a\n  required: true\n  default: true\n- name: a\n  charts:\n  \
                    - name: c\n    namespace: n\n  manifests:\n  - name: m\n  actions:\n    \
                    onRemove:\n      before:\n      - cmd: x\n        wait: {}\n        \
                    setVariables:\n        - name: X\n";
        let source = SourceText::new("jackal.yaml", text);
        let mistakes = Definition::parse(&source, Strictness::Source).unwrap_err();
        let lines: Vec<u32> = mistakes.list().iter().map(|m| m.span.line).collect();
        assert_eq!(lines.len(), 12, "{:#?}", mistakes.list());
        assert!(lines.is_sorted());
    }

    /// A value of `schema` with every key set. Collects the keys below `path` whose
    /// description says that they are not supported.
    fn everything(schema: &Json, path: &str, unsupported: &mut Vec<String>) -> Json {
        if let Some(properties) = schema["properties"].as_object() {
            let mut record = serde_json::Map::new();
            for (key, property) in properties {
                let below = format!("{path}.{key}");
                let text = property["description"].as_str().unwrap();
                assert!(!text.is_empty(), "{below}");
                let here = text.split("Not supported in `").nth(1);
                let here = here.and_then(|rest| rest.split('`').next());
                if text.ends_with("Not supported yet")
                    || here.is_some_and(|place| path.contains(&format!(".{place}.")))
                {
                    unsupported.push(below.clone());
                }
                record.insert(key.clone(), everything(property, &below, unsupported));
            }
            return record.into();
        }
        match schema["type"].as_str() {
            _ if schema["enum"].is_array() => schema["enum"][0].clone(),
            Some("array") => json!([everything(&schema["items"], path, unsupported)]),
            Some("object") => json!({"k": "v"}),
            Some("boolean") => json!(true),
            Some("integer") => json!(1),
            _ => json!("X"),
        }
    }

    #[test]
    fn the_schema_and_the_check_agree_on_unsupported_keys() {
        let schema: Json = serde_json::from_str(&Definition::json_schema()).unwrap();
        let mut unsupported = Vec::new();
        let text = everything(&schema, "", &mut unsupported).to_string();
        let source = SourceText::new("jackal.yaml", text);
        let mistakes = Definition::parse(&source, Strictness::Source).unwrap_err();
        let mut refused: Vec<&str> = mistakes
            .list()
            .iter()
            .filter(|mistake| mistake.message.contains("not supported"))
            .map(|mistake| mistake.message.split('`').nth(1).unwrap())
            .collect();
        let mut unsupported: Vec<&str> = unsupported
            .iter()
            .map(|p| p.rsplit('.').next().unwrap())
            .collect();
        unsupported.sort_unstable();
        refused.sort_unstable();
        assert_eq!(unsupported, refused);
        assert!(unsupported.contains(&"bigbang") && !unsupported.contains(&"imageArchives"));
    }

    #[test]
    fn a_group_has_several_members_and_one_default() {
        let text = "kind: JackalPackageConfig\nmetadata:\n  name: a\ncomponents:\n\
                    - name: a\n  group: g\n  default: true\n- name: b\n  group: g\n  \
                    default: true\n- name: c\n  group: h\n";
        let source = SourceText::new("jackal.yaml", text);
        let mistakes = Definition::parse(&source, Strictness::Source).unwrap_err();
        let lines: Vec<u32> = mistakes.list().iter().map(|m| m.span.line).collect();
        assert_eq!(lines, [10, 12], "{:#?}", mistakes.list());
    }
}
