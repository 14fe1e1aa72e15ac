//! What must hold of the values in one's own definition.
//!
//! Runs on a definition with the node it was read from, so that each mistake
//! has its place. It never changes a definition.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::records::{ActionSet, Component, Definition, Part as _};
use crate::package::{Dialect, Kind};
use crate::yaml::{Mistake, Node};

/// Longest name of a chart or manifest, in bytes: a release name is made from
/// it, and Helm takes no longer ones.
const MAX_RELEASE_NAME: usize = 40;

struct Checks<'m>(&'m mut Vec<Mistake>);

pub(crate) fn check(definition: &Definition, node: &Node, mistakes: &mut Vec<Mistake>) {
    let mut checks = Checks(mistakes);
    let kind = Dialect::of_kind(&definition.kind);
    let metadata = node.get("metadata").unwrap_or(node);
    checks.rule(
        !definition.api_version.ends_with("/v1beta1"),
        node.get("apiVersion").unwrap_or(node),
        || format!("the format `{}` cannot be read yet", definition.api_version),
        "Write the definition in the format zarf.dev/v1alpha1, which needs no `apiVersion`.",
    );
    checks.unbuilt(!definition.values.blank(), node, "values");
    checks.unbuilt(!definition.documentation.is_empty(), node, "documentation");
    checks.rule(
        kind.is_some(),
        node.get("kind").unwrap_or(node),
        || match definition.kind.as_str() {
            "" => "the definition has no `kind`".to_owned(),
            kind => format!("`{kind}` is not a kind of package"),
        },
        "Write `kind: JackalPackageConfig`, or `JackalInitConfig`.",
    );
    checks.rule(
        !(definition.metadata.yolo && matches!(kind, Some((_, Kind::Init)))),
        metadata.get("yolo").unwrap_or(metadata),
        || "an init package cannot be `yolo`".into(),
        "Remove `yolo`.",
    );
    checks.name(&definition.metadata.name, metadata, "package");
    for (key, value) in [
        ("version", &definition.metadata.version),
        ("architecture", &definition.metadata.architecture),
    ] {
        checks.rule(
            !value.contains(['/', '\\']) && !value.contains(char::is_control),
            metadata.get(key).unwrap_or(metadata),
            || format!("the {key} `{value}` cannot be part of a file name"),
            "Use letters, digits, dots and hyphens.",
        );
    }
    for (variable, at) in definition.variables.iter().zip(list(node, "variables")) {
        checks.variable(&variable.name, at);
        checks.pattern(&variable.pattern, None, at);
    }
    for (constant, at) in definition.constants.iter().zip(list(node, "constants")) {
        checks.variable(&constant.name, at);
        let value = constant.value.as_deref().unwrap_or_default();
        checks.pattern(&constant.pattern, Some(value), at);
    }
    let components = definition.components.iter();
    let mut names = BTreeSet::new();
    for (component, at) in components.zip(list(node, "components")) {
        checks.name(&component.name, at, "component");
        checks.unique(&mut names, &component.name, at, "component");
        checks.component(component, at, definition.metadata.yolo);
    }
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (component, at) in definition.components.iter().zip(list(node, "components")) {
        if component.group.is_empty() {
            continue;
        }
        let group = component.group.as_str();
        let (members, defaults) = groups.entry(group).or_default();
        *members += 1;
        *defaults += usize::from(component.default);
        checks.rule(
            !component.default || *defaults == 1,
            at.get("default").unwrap_or(at),
            || format!("the group `{group}` has a second default"),
            "Leave `default` on one component of the group.",
        );
    }
    for (component, at) in definition.components.iter().zip(list(node, "components")) {
        let group = component.group.as_str();
        checks.rule(
            groups.get(group).is_none_or(|(members, _)| *members > 1),
            at.get("group").unwrap_or(at),
            || format!("the group `{group}` has one member only"),
            "Add another component to the group, or remove `group`.",
        );
    }
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

    fn name(&mut self, name: &str, at: &Node, what: &str) {
        let place = at.get("name").unwrap_or(at);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        self.rule(
            !name.is_empty()
                && name.chars().all(allowed)
                && !name.starts_with('-')
                && !name.ends_with('-'),
            place,
            || match name {
                "" => format!("the {what} has no `name`"),
                name => format!("`{name}` is not a name for a {what}"),
            },
            "Use lowercase letters, digits and inner hyphens.",
        );
    }

    fn unique<'d>(&mut self, seen: &mut BTreeSet<&'d str>, name: &'d str, at: &Node, what: &str) {
        self.rule(
            seen.insert(name),
            at.get("name").unwrap_or(at),
            || format!("a {what} is called `{name}` already"),
            "Give each its own name.",
        );
    }

    fn variable(&mut self, name: &str, at: &Node) {
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        self.rule(
            !name.is_empty() && name.chars().all(allowed),
            at.get("name").unwrap_or(at),
            || format!("`{name}` is not a variable's name"),
            "Use uppercase letters, digits and underscores.",
        );
    }

    fn pattern(&mut self, pattern: &str, value: Option<&str>, at: &Node) {
        let place = at.get("pattern").unwrap_or(at);
        match Regex::new(pattern) {
            Ok(regex) => self.rule(
                value.is_none_or(|value| regex.is_match(value)),
                at.get("value").unwrap_or(at),
                || format!("the value does not match `{pattern}`"),
                "Correct the value or the pattern.",
            ),
            Err(_) => self.rule(
                false,
                place,
                || format!("`{pattern}` is not a regular expression"),
                "Correct the pattern.",
            ),
        }
    }

    /// Refuses a key whose content would be missing in the package: a reader
    /// that knows the key counts on it.
    fn unbuilt(&mut self, used: bool, at: &Node, key: &str) {
        self.rule(
            !used,
            at.get(key).unwrap_or(at),
            || format!("`{key}` asks for files in the package that jackal cannot make yet"),
            "Remove it, or make this package with Zarf.",
        );
    }

    fn component(&mut self, component: &Component, at: &Node, yolo: bool) {
        let only = &component.only;
        for (chart, at) in component.charts.iter().zip(list(at, "charts")) {
            let used = !chart.templated_values_files.is_empty();
            self.unbuilt(used, at, "templatedValuesFiles");
        }
        for (manifest, at) in component.manifests.iter().zip(list(at, "manifests")) {
            let used = manifest.enable_kustomize_plugins;
            self.unbuilt(used, at, "enableKustomizePlugins");
        }
        self.rule(
            matches!(only.local_os.as_str(), "" | "linux" | "darwin" | "windows"),
            at.get("only")
                .and_then(|only| only.get("localOS"))
                .unwrap_or(at),
            || format!("`{}` is not a system", only.local_os),
            "Write linux, darwin or windows.",
        );
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
                    && only.cluster == Default::default()),
            at,
            || "a `yolo` package has images, repos or `only.cluster`".into(),
            "Remove them, or `yolo`.",
        );
        let mut names = BTreeSet::new();
        for (chart, at) in component.charts.iter().zip(list(at, "charts")) {
            self.unique(&mut names, &chart.name, at, "chart");
            self.release(&chart.name, at);
            self.rule(
                !chart.namespace.is_empty() && !chart.version.is_empty(),
                at,
                || "a chart needs `namespace` and `version`".into(),
                "Add what is missing.",
            );
            self.rule(
                chart.url.is_empty() != chart.local_path.is_empty(),
                at,
                || "a chart needs exactly one of `url` and `localPath`".into(),
                "Add or remove one.",
            );
        }
        let mut names = BTreeSet::new();
        for (manifest, at) in component.manifests.iter().zip(list(at, "manifests")) {
            self.unique(&mut names, &manifest.name, at, "manifest");
            self.release(&manifest.name, at);
            self.rule(
                !manifest.files.is_empty() || !manifest.kustomizations.is_empty(),
                at,
                || "a manifest has neither `files` nor `kustomizations`".into(),
                "Add at least one file or kustomization.",
            );
        }
        let Some(actions) = at.get("actions") else {
            return;
        };
        for (set, key) in [
            (&component.actions.on_create, "onCreate"),
            (&component.actions.on_deploy, "onDeploy"),
            (&component.actions.on_remove, "onRemove"),
        ] {
            if let Some(at) = actions.get(key) {
                self.actions(set, at, key == "onDeploy");
            }
        }
    }

    fn release(&mut self, name: &str, at: &Node) {
        self.rule(
            !name.is_empty() && name.len() <= MAX_RELEASE_NAME,
            at.get("name").unwrap_or(at),
            || format!("the name `{name}` is empty or longer than {MAX_RELEASE_NAME} bytes"),
            "Choose a shorter name.",
        );
    }

    fn actions(&mut self, set: &ActionSet, at: &Node, deploy: bool) {
        for (actions, key) in [
            (&set.before, "before"),
            (&set.after, "after"),
            (&set.on_success, "onSuccess"),
            (&set.on_failure, "onFailure"),
        ] {
            for (action, at) in actions.iter().zip(list(at, key)) {
                let variables = action.set_variables.iter().zip(list(at, "setVariables"));
                for (variable, at) in variables {
                    self.variable(&variable.name, at);
                }
                self.rule(
                    deploy || (action.set_variables.is_empty() && action.set_variable.is_empty()),
                    at,
                    || "variables can be set under `onDeploy` only".into(),
                    "Move the action, or remove `setVariables`.",
                );
                let Some(wait) = &action.wait else { continue };
                self.rule(
                    action.cmd.is_empty(),
                    at,
                    || "an action cannot both wait and run a command".into(),
                    "Make two actions of it.",
                );
                self.rule(
                    wait.cluster.is_some() != wait.network.is_some(),
                    at.get("wait").unwrap_or(at),
                    || "a wait needs exactly one of `cluster` and `network`".into(),
                    "Add or remove one.",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::package::{Definition, Strictness};
    use crate::yaml::SourceText;

    #[test]
    fn each_broken_rule_is_told_at_its_place() {
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
