//! One component on top of another: which keys replace, which append.
//!
//! Source: docs/spec/package.md, "Composition". Works on nodes, so that every
//! value keeps its place, and keys that no rule knows are not lost.

use super::paths::{is_url, join};
use crate::yaml::{Mistake, Node, Value};

/// Keys that are always the later link's, even if it has none.
const OWN: [&str; 4] = ["name", "default", "required", "group"];

/// Lists that grow, the imported part first.
const LISTS: [&str; 7] = [
    "dataInjections",
    "files",
    "images",
    "repos",
    "healthChecks",
    "imageArchives",
    "stateAccess",
];

/// The three sets of actions.
pub(in crate::package) const SETS: [&str; 3] = ["onCreate", "onDeploy", "onRemove"];

/// The four lists of a set of actions.
pub(in crate::package) const STAGES: [&str; 4] = ["before", "after", "onSuccess", "onFailure"];

/// Puts `later` on top of `base`.
pub(super) fn merge(
    base: &mut Node,
    later: Node,
    mistakes: &mut Vec<Mistake>,
    ignored: &mut Vec<Mistake>,
) {
    for key in OWN {
        base.remove(key);
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
            "charts" => named(base, &key, value, chart, ignored),
            "manifests" => named(base, &key, value, manifest, ignored),
            "actions" => actions(base, value),
            "scripts" => scripts(base, value),
            "extensions" => extensions(base, value),
            key if OWN.contains(&key) => base.set(key, value),
            key if LISTS.contains(&key) => append(base, key, value),
            key => replace(base, key, value),
        }
    }
}

/// Takes `value` unless it says nothing.
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
            format!("`only.localOS` `{before}` cannot be redefined as `{text}` during compose"),
            "Leave `localOS` on one component of the import chain.",
        ));
        return;
    }
    let mut only = Node::mapping(value.span);
    only.set("localOS", system.clone());
    base.set("only", only);
}

/// Joins the list at `key`: `join` for an item whose name is there already.
fn named(
    base: &mut Node,
    key: &str,
    value: Node,
    join: fn(&mut Node, Node, &mut Vec<Mistake>),
    ignored: &mut Vec<Mistake>,
) {
    let Value::Sequence(items) = value.value else {
        return;
    };
    let Some(list) = base.ensure(key, Node::sequence(value.span, Vec::new())) else {
        return;
    };
    // What the later link itself gives twice stays twice, and is refused.
    let before = list.items().len();
    for item in items {
        let name = item.get("name").and_then(Node::scalar);
        let same = list
            .items()
            .iter()
            .take(before)
            .position(|old| name.is_some() && old.get("name").and_then(Node::scalar) == name);
        match (same, &mut list.value) {
            (Some(index), Value::Sequence(list)) => join(&mut list[index], item, ignored),
            (None, Value::Sequence(list)) => list.push(item),
            _ => {}
        }
    }
}

fn chart(old: &mut Node, later: Node, ignored: &mut Vec<Mistake>) {
    let replaced = [
        "namespace",
        "releaseName",
        "schemaValidation",
        "serverSideApply",
    ];
    let appended = ["valuesFiles", "templatedValuesFiles", "variables", "values"];
    resource(old, later, &replaced, &appended, ignored);
}

fn manifest(old: &mut Node, later: Node, ignored: &mut Vec<Mistake>) {
    let replaced = [
        "namespace",
        "template",
        "serverSideApply",
        "enableKustomizePlugins",
    ];
    resource(old, later, &replaced, &["files", "kustomizations"], ignored);
}

fn resource(
    old: &mut Node,
    mut later: Node,
    replaced: &[&str],
    appended: &[&str],
    ignored: &mut Vec<Mistake>,
) {
    for key in replaced {
        if let Some(value) = later.remove(key) {
            replace(old, key, value);
        }
    }
    for key in appended {
        if let Some(value) = later.remove(key) {
            append(old, key, value);
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
                format!("`{name}` is ignored here: what is imported under this name keeps its own"),
                "Change it in the imported definition, or give this one another name.",
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

/// Drops the defaults of every set of actions: they are the later link's to say.
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
    for key in ["before", "after"] {
        if let Some(list) = later.remove(key) {
            append(scripts, key, list);
        }
    }
    let says = |node: &Node| !matches!(node.scalar(), None | Some("false" | "0"));
    for key in ["showOutput", "retry", "timeoutSeconds"] {
        if let Some(value) = later.remove(key).filter(says) {
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
    for key in ["valuesFiles", "fluxPatchFiles"] {
        if let Some(list) = bigbang.remove(key) {
            append(own, key, list);
        }
    }
}

/// Makes the paths of a component in `folder` relative to the package's folder.
pub(super) fn relocate(component: &mut Node, folder: &str, exists: &mut dyn FnMut(&str) -> bool) {
    let fix = |node: Option<&mut Node>| {
        if let Some(node) = node
            && let Some(path) = node.scalar()
            && !path.is_empty()
        {
            *node = Node::text(node.span, join(folder, path));
        }
    };
    fix(component.get_mut("cosignKeyPath"));
    for (list, single, several) in [
        ("files", "source", &[][..]),
        ("dataInjections", "source", &[]),
        ("imageArchives", "path", &[]),
        (
            "charts",
            "localPath",
            &["valuesFiles", "templatedValuesFiles"],
        ),
        ("manifests", "", &["files"]),
    ] {
        let items = component.get_mut(list).map(Node::items_mut);
        for item in items.into_iter().flatten() {
            fix(item.get_mut(single));
            for key in several {
                let paths = item.get_mut(key).map(Node::items_mut);
                paths.into_iter().flatten().for_each(|path| fix(Some(path)));
            }
        }
    }
    let bigbang = component
        .get_mut("extensions")
        .and_then(|extensions| extensions.get_mut("bigbang"));
    if let Some(bigbang) = bigbang {
        for key in ["valuesFiles", "fluxPatchFiles"] {
            let paths = bigbang.get_mut(key).map(Node::items_mut);
            paths.into_iter().flatten().for_each(|path| fix(Some(path)));
        }
    }
    // kustomize has URL forms of its own, so only what is there is a path.
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

/// Gives every action of `onCreate` the folder that it runs in.
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
