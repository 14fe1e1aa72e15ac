//! Reads one task: its verb, its settings, and what is evaluated before both.

use crate::codes::Code;
use crate::pipeline::expression::{Expression, Template};
use crate::pipeline::matrix::{Matrix, Row};
use crate::pipeline::model::{Output, Task};
use crate::pipeline::reader::Reader;
use crate::pipeline::record::{Record, Written};
use crate::pipeline::settings::{OF_COMMANDS, Settings};
use crate::pipeline::verb::{NAMES, Verb};
use crate::yaml::{Fields, Node, Value};

pub(super) fn task(id: &str, node: &Node, r: &mut Reader) -> Option<Task> {
    id.clone_into(&mut r.task);
    let mut f = Fields::new(node, "the task", &mut r.mistakes);
    let verb = verb(&mut f, r);
    let settings = Settings::<Written>::read(&mut f, r);
    for_its_verb(&mut f, r);
    let (mut inputs, mut input_tasks) = (Vec::new(), Vec::new());
    let mut optional_inputs = Vec::new();
    for n in Reader::nodes(&mut f, "inputs") {
        match n.scalar().and_then(|text| text.strip_prefix("task:")) {
            Some(text) => input_tasks.extend(r.reference(text, n.span)),
            None if matches!(n.value, Value::Mapping(_)) => match input(n, r) {
                Some((glob, true)) => optional_inputs.push(glob),
                glob => inputs.extend(glob.map(|(glob, _)| glob)),
            },
            None => inputs.extend(r.template(n)),
        }
    }
    let mut outputs = Vec::new();
    for n in Reader::nodes(&mut f, "outputs") {
        outputs.extend(output(n, r));
    }
    let rows = match f.node("matrix") {
        Some(n) => matrix(n, r).rows().unwrap_or_else(|e| {
            r.at(n.span, e.to_string(), "Correct the matrix.");
            Vec::new()
        }),
        None => vec![Row::new()],
    };
    let condition = f.node("if").and_then(|n| {
        let parsed = Expression::parse(n.scalar().unwrap_or_default());
        parsed
            .map_err(|e| {
                r.coded(
                    Code::InvalidExpression,
                    n.span,
                    e.to_string(),
                    "Correct the condition.",
                )
            })
            .ok()
    });
    let env = r.templates_map(&mut f, "env");
    let platform = r.one(&mut f, "platform");
    f.finish(&mut r.mistakes);
    Some(Task {
        id: id.to_owned(),
        verb: verb?,
        settings: settings?,
        inputs,
        optional_inputs,
        input_tasks,
        outputs,
        env,
        rows,
        condition,
        platform: platform.or_else(|| r.defaults.platform.clone()),
    })
}

/// Refuses keys that the task's verb would ignore.
fn for_its_verb(f: &mut Fields<'_>, r: &mut Reader) {
    let Some(verb) = NAMES.iter().copied().find(|name| f.node(name).is_some()) else {
        return;
    };
    let fresh = f.node("cache").and_then(|cache| cache.get("fresh"));
    if let Some(node) = fresh.filter(|_| !matches!(verb, "component" | "image" | "images")) {
        let message = format!(
            "`fresh` belongs to `component`, `images` and `image`, which resolve references; the verb of `{}` is `{verb}`",
            r.task
        );
        r.at(
            node.span,
            message,
            "Remove `fresh`; `jackal update` resolves everything else again.",
        );
    }
    if f.node("run").is_some() {
        return;
    }
    for key in OF_COMMANDS {
        if let Some(node) = f.node(key) {
            let message = format!(
                "`{key}` belongs to `run`, and the verb of `{}` is `{verb}`",
                r.task
            );
            r.at(node.span, message, format!("Remove `{key}`."));
        }
    }
    for node in Reader::nodes(f, "inputs") {
        if node.scalar().is_some_and(|text| !text.starts_with("task:")) {
            let message = format!("with the verb `{verb}`, `inputs` may list only tasks");
            let help = "Write `task:NAME`, or remove it: the verb finds its files itself.";
            r.at(node.span, message, help);
        }
    }
}

/// The one verb that a task must have.
fn verb(f: &mut Fields<'_>, r: &mut Reader) -> Option<Verb<Written>> {
    let found: Vec<_> = NAMES
        .iter()
        .filter_map(|name| Some((*name, f.node(name)?)))
        .collect();
    let [(name, node)] = found[..] else {
        let message = format!(
            "the task `{}` has {} verbs, expected one",
            r.task,
            found.len()
        );
        r.at(
            f.span(),
            message,
            format!("Use one of: {}.", NAMES.join(", ")),
        );
        return None;
    };
    Verb::read(name, node, f, r)
}

/// An input as a mapping: `{ glob, optional }`.
fn input(node: &Node, r: &mut Reader) -> Option<(Template, bool)> {
    let mut f = Fields::new(node, "the input", &mut r.mistakes);
    let optional = f.bool("optional", &mut r.mistakes).unwrap_or(false);
    let glob = r.must(&mut f, "glob");
    f.finish(&mut r.mistakes);
    Some((glob?, optional))
}

/// An output: a path, or `{ path, optional }`.
fn output(node: &Node, r: &mut Reader) -> Option<Output> {
    let (path, optional) = match &node.value {
        Value::Mapping(_) => {
            let mut f = Fields::new(node, "the output", &mut r.mistakes);
            let optional = f.bool("optional", &mut r.mistakes).unwrap_or(false);
            r.must(&mut f, "path");
            let path = f.node("path");
            f.finish(&mut r.mistakes);
            (path?, optional)
        }
        _ => {
            r.template(node)?;
            (node, false)
        }
    };
    let text = path.scalar()?;
    r.outputs.push((r.task.clone(), text.to_owned(), path.span));
    let path = Template::parse(text).ok()?;
    Some(Output { path, optional })
}

fn matrix(node: &Node, r: &mut Reader) -> Matrix {
    let mut out = Matrix::default();
    let Value::Mapping(pairs) = &node.value else {
        r.at(
            node.span,
            "`matrix` is not a mapping",
            "Write `axis: [values]` lines.",
        );
        return out;
    };
    for (key, value) in pairs {
        let name = key.scalar().unwrap_or_default();
        if name == "include" || name == "exclude" {
            let rows = value.items().iter().map(|item| match &item.value {
                Value::Mapping(pairs) => pairs
                    .iter()
                    .filter_map(|(k, v)| Some((k.scalar()?.to_owned(), r.text(v)?)))
                    .collect(),
                _ => Row::new(),
            });
            let rows: Vec<Row> = rows.collect();
            match name {
                "include" => out.include = rows,
                _ => out.exclude = rows,
            }
        } else {
            let values = value.items().iter().filter_map(|v| r.text(v)).collect();
            out.axes.push((name.to_owned(), values));
        }
    }
    out
}
