//! Merges one component onto another: some keys replace, some append.
//!
//! Source: docs/spec/package.md, "Composition". Works on nodes, so that every
//! value keeps its place, and keys that no rule knows are not lost.

use super::paths::{is_url, join};
use crate::package::definition::{
    BigBang, Chart, Component, Manifest, Part, Row, Rule, Scripts, find,
};
use crate::yaml::{Mistake, Node, Value};

/// The three sets of actions.
pub(in crate::package) const SETS: [&str; 3] = ["onCreate", "onDeploy", "onRemove"];

/// The four lists of a set of actions.
pub(in crate::package) const STAGES: [&str; 4] = ["before", "after", "onSuccess", "onFailure"];

/// Merges `later` onto `base`.
pub(super) fn merge(
    base: &mut Node,
    later: Node,
    mistakes: &mut Vec<Mistake>,
    ignored: &mut Vec<Mistake>,
) {
    for row in Component::ROWS.iter().filter(|row| row.is(&Rule::Own)) {
        base.remove(row.key);
    }
    forget_defaults(base);
    let Value::Mapping(pairs) = later.value else {
        return;
    };
    for (name, value) in pairs {
        let Some(key) = name.scalar().map(str::to_owned) else {
            continue;
        };
        match key.as_str() {
            "import" => {}
            "only" => only(base, &value, mistakes),
            "charts" => named(base, &key, value, Chart::ROWS, ignored),
            "manifests" => named(base, &key, value, Manifest::ROWS, ignored),
            "actions" => actions(base, value),
            "scripts" => scripts(base, value),
            "extensions" => extensions(base, value),
            key => match find(Component::ROWS, key) {
                Some(row) if row.is(&Rule::Own) => base.set(key, value),
                Some(row) if row.is(&Rule::Appends) => append(base, key, value),
                _ => replace(base, key, value),
            },
        }
    }
}

/// Sets `key` to `value` unless that is null or empty.
fn replace(base: &mut Node, key: &str, value: Node) {
    let blank =
        value.is_null() || matches!(&value.value, Value::Scalar(text, _) if text.is_empty());
    if !blank {
        base.set(key, value);
    }
}

/// Adds the items of `value` to the list at `key`.
fn append(base: &mut Node, key: &str, value: Node) {
    let Value::Sequence(items) = value.value else {
        return;
    };
    match base.get_mut(key).map(|list| &mut list.value) {
        Some(Value::Sequence(list)) => list.extend(items),
        _ => base.set(key, Node::sequence(value.span, items)),
    }
}

fn only(base: &mut Node, value: &Node, mistakes: &mut Vec<Mistake>) {
    let Some(system) = value.get("localOS") else {
        return;
    };
    let text = system.scalar().unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let before = base.get("only").and_then(|only| only.get("localOS"));
    if let Some(before) = before.and_then(Node::scalar) {
        mistakes.push(Mistake::new(
            system.span,
            format!("`only.localOS` is already `{before}` and cannot become `{text}`"),
            "Keep `localOS` on one component of the import chain.",
        ));
        return;
    }
    let mut only = Node::mapping(value.span);
    only.set("localOS", system.clone());
    base.set("only", only);
}

/// Merges the list at `key`. An item with the name of an imported one is merged
/// onto that by the rules of `rows`.
fn named(base: &mut Node, key: &str, value: Node, rows: &[Row], ignored: &mut Vec<Mistake>) {
    let Value::Sequence(items) = value.value else {
        return;
    };
    let Some(list) = base.ensure(key, Node::sequence(value.span, Vec::new())) else {
        return;
    };
    // Duplicates within the later link stay, so that the check refuses them.
    let before = list.items().len();
    for item in items {
        let name = item.get("name").and_then(Node::scalar);
        let same = list
            .items()
            .iter()
            .take(before)
            .position(|old| name.is_some() && old.get("name").and_then(Node::scalar) == name);
        match (same, &mut list.value) {
            (Some(index), Value::Sequence(list)) => {
                resource(&mut list[index], item, rows, ignored);
            }
            (None, Value::Sequence(list)) => list.push(item),
            _ => {}
        }
    }
}

/// Merges a chart or manifest onto the imported one of the same name.
fn resource(old: &mut Node, mut later: Node, rows: &[Row], ignored: &mut Vec<Mistake>) {
    for row in rows {
        if row.is(&Rule::Replaces) {
            if let Some(value) = later.remove(row.key) {
                replace(old, row.key, value);
            }
        } else if row.is(&Rule::Appends)
            && let Some(value) = later.remove(row.key)
        {
            append(old, row.key, value);
        }
    }
    let Value::Mapping(pairs) = later.value else {
        return;
    };
    for (key, value) in pairs {
        let Some(name) = key.scalar().filter(|name| !name.starts_with("x-")) else {
            continue;
        };
        let differs = old.get(name).is_none_or(|old| old.value != value.value);
        let blank = value.is_null() || value.scalar() == Some("") || name == "name";
        if differs && !blank {
            ignored.push(Mistake::new(
                key.span,
                format!("`{name}` is ignored: the imported item of this name keeps its own value"),
                "Change it in the imported definition, or use another name.",
            ));
        }
    }
}

fn actions(base: &mut Node, mut later: Node) {
    let Some(actions) = base.ensure("actions", Node::mapping(later.span)) else {
        return;
    };
    for key in SETS {
        let Some(mut set) = later.remove(key) else {
            continue;
        };
        let Some(own) = actions.ensure(key, Node::mapping(set.span)) else {
            continue;
        };
        if let Some(defaults) = set.remove("defaults") {
            own.set("defaults", defaults);
        }
        for stage in STAGES {
            if let Some(list) = set.remove(stage) {
                append(own, stage, list);
            }
        }
    }
}

/// Removes the defaults of every set of actions; only the later link sets them.
fn forget_defaults(base: &mut Node) {
    let Some(actions) = base.get_mut("actions") else {
        return;
    };
    for key in SETS {
        if let Some(set) = actions.get_mut(key) {
            set.remove("defaults");
        }
    }
}

fn scripts(base: &mut Node, mut later: Node) {
    let Some(scripts) = base.ensure("scripts", Node::mapping(later.span)) else {
        return;
    };
    append_lists(scripts, &mut later, Scripts::ROWS);
    let is_set = |node: &Node| !matches!(node.scalar(), None | Some("false" | "0"));
    for key in ["showOutput", "retry", "timeoutSeconds"] {
        if let Some(value) = later.remove(key).filter(is_set) {
            scripts.set(key, value);
        }
    }
}

fn extensions(base: &mut Node, mut later: Node) {
    let Some(mut bigbang) = later.remove("bigbang") else {
        return;
    };
    let Some(extensions) = base.ensure("extensions", Node::mapping(later.span)) else {
        return;
    };
    let Some(own) = extensions.get_mut("bigbang") else {
        extensions.set("bigbang", bigbang);
        return;
    };
    append_lists(own, &mut bigbang, BigBang::ROWS);
}

fn append_lists(base: &mut Node, later: &mut Node, rows: &[Row]) {
    for row in rows.iter().filter(|row| row.is(&Rule::Appends)) {
        if let Some(list) = later.remove(row.key) {
            append(base, row.key, list);
        }
    }
}

/// Makes the paths of a record in `folder` relative to the package.
pub(super) fn relocate_paths<P: Part>(record: &mut Node, folder: &str) {
    P::paths(record, &mut |_, path| {
        if let Some(text) = path.scalar().filter(|text| !text.is_empty()) {
            *path = Node::text(path.span, join(folder, text));
        }
    });
}

/// Makes the paths of a component in `folder` relative to the package.
pub(super) fn relocate(component: &mut Node, folder: &str, exists: &mut dyn FnMut(&str) -> bool) {
    relocate_paths::<Component>(component, folder);
    // kustomize has URL forms of its own, so only existing paths are relocated.
    for manifest in component
        .get_mut("manifests")
        .map(Node::items_mut)
        .into_iter()
        .flatten()
    {
        for path in manifest
            .get_mut("kustomizations")
            .map(Node::items_mut)
            .into_iter()
            .flatten()
        {
            let Some(text) = path.scalar().filter(|text| !is_url(text)) else {
                continue;
            };
            let joined = join(folder, text);
            if exists(&joined) {
                *path = Node::text(path.span, joined);
            }
        }
    }
    create_folders(component, folder);
}

/// Sets the working directory of every `onCreate` action.
fn create_folders(component: &mut Node, folder: &str) {
    let set = component
        .get_mut("actions")
        .and_then(|actions| actions.get_mut("onCreate"));
    let Some(set) = set else { return };
    let default = set
        .get("defaults")
        .and_then(|defaults| defaults.get("dir"))
        .and_then(Node::scalar)
        .unwrap_or_default()
        .to_owned();
    for stage in STAGES {
        for action in set
            .get_mut(stage)
            .map(Node::items_mut)
            .into_iter()
            .flatten()
        {
            let own = action.get("dir").and_then(Node::scalar).unwrap_or(&default);
            let dir = Node::text(action.span, join(folder, own));
            action.set("dir", dir);
        }
    }
}
