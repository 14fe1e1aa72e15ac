//! Deprecated keys of one link of an import chain, before links are merged.
//!
//! Source: docs/spec/package.md, "Migrations". The new form is added and the
//! old one stays, for older programs; a skeleton whose maker did so already
//! loses its old form, so that nothing runs twice.

use super::merge::{SETS, STAGES};
use crate::yaml::{Mistake, Node, Value};

/// The migration of `scripts`, as `build.migrations` names it.
const SCRIPTS: &str = "scripts-to-actions";
/// The migration of `setVariable`, as `build.migrations` names it.
const SET_VARIABLE: &str = "pluralize-set-variable";

/// The migrations that every package made here has been through, as
/// `build.migrations` names them.
pub const MIGRATIONS: [&str; 2] = [SCRIPTS, SET_VARIABLE];

/// A number of retries from here on means no limit: older programs wrote their
/// largest integer, 31 or 63 bits wide.
pub const UNLIMITED_RETRIES: i64 = i32::MAX as i64;

/// Lists of scripts, and the set and stage of actions that each becomes.
const SCRIPT_LISTS: [(&str, &str, &str); 3] = [
    ("prepare", "onCreate", "before"),
    ("before", "onDeploy", "before"),
    ("after", "onDeploy", "after"),
];

/// Migrates `component`; `done` names the migrations that its maker did. What
/// is deprecated is reported with its place.
pub(super) fn migrate(component: &mut Node, done: &[String], warnings: &mut Vec<Mistake>) {
    let name = component.get("name").and_then(Node::scalar);
    let name = name.unwrap_or_default().to_owned();
    let is_done = |migration: &str| done.iter().any(|done| done == migration);
    let mut migrated = false;
    if is_done(SCRIPTS) {
        component.remove("scripts");
    } else if let Some(at) = scripts(component) {
        migrated = true;
        warnings.push(Mistake::new(
            at.span,
            format!("component `{name}` uses `scripts`, which is deprecated"),
            "Use `actions`.",
        ));
    }
    if let Some(at) = set_variables(component, is_done(SET_VARIABLE)) {
        migrated = true;
        warnings.push(Mistake::new(
            at.span,
            format!("component `{name}` uses `setVariable`, which is deprecated"),
            "Use `setVariables`, which takes a list.",
        ));
    }
    if migrated {
        warnings.push(Mistake::new(
            component.span,
            format!("deprecated keys of component `{name}` were migrated"),
            "The package contains both the old and the new form.",
        ));
    }
    if let Some(at) = component.get("group").filter(|group| !group.is_null()) {
        warnings.push(Mistake::new(
            at.span,
            format!("component `{name}` uses `group`, which is deprecated"),
            "Use `only.flavor`.",
        ));
    }
    if let Some(at) = component.get("cosignKeyPath").filter(|key| !key.is_null()) {
        warnings.push(Mistake::new(
            at.span,
            format!("component `{name}` uses `cosignKeyPath`, which is deprecated and ignored"),
            "Remove it; verify files with `shasum`.",
        ));
    }
}

/// Adds an action for each script; returns the scripts if there were any.
fn scripts(component: &mut Node) -> Option<Node> {
    let scripts = component.get("scripts")?.clone();
    let truth = |key: &str| {
        let value = scripts.get(key).and_then(Node::scalar).unwrap_or_default();
        value.eq_ignore_ascii_case("true")
    };
    let retries = if truth("retry") { UNLIMITED_RETRIES } else { 0 };
    let timeout = scripts.get("timeoutSeconds").and_then(Node::scalar);
    let mut defaults = Node::mapping(scripts.span);
    for (key, value) in [
        ("mute", (!truth("showOutput")).to_string()),
        ("maxTotalSeconds", timeout.unwrap_or("0").to_owned()),
        ("maxRetries", retries.to_string()),
    ] {
        defaults.set(key, Node::literal(scripts.span, value));
    }
    let mut any = false;
    for (list, set, stage) in SCRIPT_LISTS {
        let commands = scripts.get(list).map_or(&[][..], Node::items);
        if commands.is_empty() {
            continue;
        }
        any = true;
        let mapping = || Node::mapping(scripts.span);
        let set = component
            .ensure("actions", mapping())
            .and_then(|actions| actions.ensure(set, mapping()));
        let Some(set) = set else { continue };
        set.set("defaults", defaults.clone());
        let stage = set.ensure(stage, Node::sequence(scripts.span, Vec::new()));
        if let Some(Value::Sequence(items)) = stage.map(|stage| &mut stage.value) {
            items.extend(commands.iter().map(|command| {
                let mut action = Node::mapping(command.span);
                action.set("cmd", command.clone());
                action
            }));
        }
    }
    any.then_some(scripts)
}

/// Adds the plural form to each action, or removes the old one if that was
/// `done`; returns the first that was migrated.
fn set_variables(component: &mut Node, done: bool) -> Option<Node> {
    let mut first = None;
    let actions = component.get_mut("actions")?;
    for set in SETS {
        let Some(set) = actions.get_mut(set) else {
            continue;
        };
        for stage in STAGES {
            let list = set.get_mut(stage).map(Node::items_mut);
            for action in list.into_iter().flatten() {
                if done {
                    action.remove("setVariable");
                    continue;
                }
                let old = action.get("setVariable").cloned();
                let Some(old) = old.filter(|old| old.scalar().is_some_and(|name| !name.is_empty()))
                else {
                    continue;
                };
                let new = action.get("setVariables").map_or(&[][..], Node::items);
                if new.is_empty() {
                    let mut variable = Node::mapping(old.span);
                    variable.set("name", old.clone());
                    action.set("setVariables", Node::sequence(old.span, vec![variable]));
                }
                first = first.or(Some(old));
            }
        }
    }
    first
}
