//! Reads one task: the keys of every verb, then those of its own.

use std::collections::BTreeMap;

use super::limits;

use super::reader::Reader;
use crate::pipeline::expression::{Expression, Template};
use crate::pipeline::matrix::{Matrix, Row};
use crate::pipeline::model::{ImagesFrom, Layer, Output, Sandbox, Sign, Task, TaskKind};
use crate::yaml::{Fields, Node, Value};

fn alias<'n>(f: &mut Fields<'n>, keys: &[&'static str]) -> Option<&'n Node> {
    let found: Vec<&Node> = keys.iter().filter_map(|key| f.node(key)).collect();
    found.first().copied()
}

fn yes(node: Option<&Node>, otherwise: bool, r: &mut Reader) -> bool {
    match node.map(|n| (n, n.scalar())) {
        None => otherwise,
        Some((_, Some("true"))) => true,
        Some((_, Some("false"))) => false,
        Some((n, _)) => {
            r.at(n.span, "expected true or false", "Write true or false.");
            otherwise
        }
    }
}

pub(super) fn task(
    id: &str,
    node: &Node,
    pools: &BTreeMap<String, u32>,
    defaults: &limits::Defaults,
    r: &mut Reader,
) -> Option<Task> {
    let mut f = Fields::new(node, "the task", &mut r.mistakes);
    let kind = kind(id, &mut f, defaults, r);
    let has_verb = kind.is_some();
    let mut depends_on = Vec::new();
    for key in ["dependsOn", "needs", "deps"] {
        depends_on.extend(r.references(id, &mut f, key));
    }
    let (mut inputs, mut input_tasks) = (Vec::new(), Vec::new());
    for n in Reader::nodes(&mut f, "inputs") {
        match n.scalar().and_then(|text| text.strip_prefix("task:")) {
            Some(text) => input_tasks.extend(r.reference(id, text, n.span)),
            None => inputs.extend(r.template(n)),
        }
    }
    let mut outputs = Vec::new();
    for n in Reader::nodes(&mut f, "outputs") {
        outputs.extend(output(id, n, r));
    }
    let matrix = f.node("matrix").map(|n| matrix(n, r));
    let rows = match (&matrix, f.node("matrix")) {
        (Some(matrix), Some(n)) => matrix.rows().unwrap_or_else(|e| {
            r.at(n.span, e.to_string(), "Correct the matrix.");
            Vec::new()
        }),
        _ => vec![Row::new()],
    };
    let condition = f.node("if").and_then(|n| {
        let parsed = Expression::parse(n.scalar().unwrap_or_default());
        parsed
            .map_err(|e| r.at(n.span, e.to_string(), "Correct the condition."))
            .ok()
    });
    let timeout = limits::timeout(&mut f, r);
    let grace = limits::grace(&mut f, r);
    let sandbox = f.node("sandbox").map(|n| limits::sandbox(n, r));
    let retries = f.node("retries").map(|n| limits::retries(n, r));
    let pool = f.string("pool", &mut r.mistakes);
    if let (Some(name), Some(n)) = (&pool, f.node("pool"))
        && !pools.contains_key(name)
    {
        r.at(
            n.span,
            format!("there is no pool `{name}`"),
            "Add it under `pools`.",
        );
    }
    let go_on = alias(
        &mut f,
        &["continueOnError", "continue-on-error", "allowFailure"],
    );
    let cache = f.node("cache").map(|n| limits::caching(n, r));
    let task = Task {
        id: id.to_owned(),
        depends_on,
        inputs,
        input_tasks,
        outputs,
        env: r.templates_map(&mut f, "env"),
        pass_through_env: f.strings("passThroughEnv", &mut r.mistakes),
        tools: f.strings("tools", &mut r.mistakes),
        matrix,
        rows,
        condition,
        platform: r
            .one(&mut f, "platform")
            .or_else(|| defaults.platform.clone()),
        cache: cache.unwrap_or_else(|| defaults.cache.clone()),
        timeout: timeout.unwrap_or(defaults.timeout),
        grace: grace.unwrap_or(limits::GRACE),
        sandbox: sandbox.unwrap_or(Sandbox::Warn),
        retries: retries.unwrap_or_else(|| defaults.retries.clone()),
        secrets: limits::secrets(&mut f, r),
        resources: limits::resources(&mut f, r),
        priority: limits::priority(&mut f, r),
        tags: f.strings("tags", &mut r.mistakes),
        pool,
        mutex: alias(&mut f, &["mutex", "concurrency"]).and_then(|n| r.template(n)),
        continue_on_error: yes(go_on, false, r),
        workdir: r.one(&mut f, "workdir"),
        description: f.string("description", &mut r.mistakes),
        // Stands in until the mistakes of this task are all noted; then it is dropped.
        kind: kind.unwrap_or(TaskKind::Run {
            argv: Vec::new(),
            shell: None,
        }),
    };
    f.finish(&mut r.mistakes);
    has_verb.then_some(task)
}

/// What a task can do; it does one of these.
pub(in crate::pipeline) const VERBS: [&str; 8] = [
    "component",
    "images",
    "image",
    "sbom",
    "package",
    "sign",
    "publish",
    "run",
];

fn kind(
    id: &str,
    f: &mut Fields<'_>,
    defaults: &limits::Defaults,
    r: &mut Reader,
) -> Option<TaskKind> {
    let shell = f.string("shell", &mut r.mistakes);
    let found: Vec<_> = VERBS
        .iter()
        .filter_map(|v| Some((*v, f.node(v)?)))
        .collect();
    let [(verb, node)] = found[..] else {
        let message = format!("the task `{id}` has {} verbs, expected one", found.len());
        r.at(
            f.span(),
            message,
            format!("Use one of: {}.", VERBS.join(", ")),
        );
        return None;
    };
    if verb == "run" {
        let argv = Reader::nodes(f, "run");
        // A list is argv and needs no shell, whatever the file's default.
        let default = defaults.shell.clone().filter(|_| node.scalar().is_some());
        let shell = shell.or(default);
        if shell.is_none() && node.scalar().is_some() {
            r.at(
                node.span,
                "a script needs a shell",
                "Write a list of arguments, or add `shell:`.",
            );
        }
        if f.node("inputs").is_none() {
            r.at(
                node.span,
                "`inputs` is missing",
                "Add `inputs: []` if it reads no files.",
            );
        }
        let argv = argv.into_iter().filter_map(|n| r.template(n)).collect();
        return Some(TaskKind::Run { argv, shell });
    }
    let mut g = Fields::new(node, "the verb", &mut r.mistakes);
    let g = &mut g;
    let kind = match verb {
        "component" => r
            .must(g, "definition")
            .zip(r.must(g, "name"))
            .map(|(definition, name)| TaskKind::Component { definition, name }),
        "images" => Some(TaskKind::Images {
            from: images_from(id, g, r),
            platform: r.one(g, "platform"),
        }),
        "sbom" => Some(TaskKind::Sbom {
            of: r.references(id, g, "of"),
            formats: g.strings("formats", &mut r.mistakes),
        }),
        "package" => r.must(g, "definition").map(|definition| TaskKind::Package {
            definition,
            set: r.templates_map(g, "set"),
            components: r.references(id, g, "components"),
            images: r.references(id, g, "images"),
            sboms: r.references(id, g, "sboms"),
        }),
        "sign" => sign(id, g, r),
        "publish" => publish(id, g, r),
        _ => image(id, g, r),
    };
    finish(g, node, r);
    kind
}

fn sign(id: &str, g: &mut Fields<'_>, r: &mut Reader) -> Option<TaskKind> {
    let subjects = r.references(id, g, "subjects");
    if subjects.is_empty() {
        r.at(
            g.span(),
            "`subjects` is missing",
            "Name tasks that make packages.",
        );
    }
    let key = r.one(g, "key");
    let keyless = g.bool("keyless", &mut r.mistakes).unwrap_or(false);
    if key.is_some() == keyless {
        let message = "it says nothing of who signs, or too much";
        let help = "Write either `key: FILE` or `keyless: true`.";
        r.at(g.span(), message, help);
    }
    for (name, only) in [
        ("passwordFile", !keyless),
        ("inPackage", !keyless),
        ("identity", keyless),
        ("issuer", keyless),
        ("trustConfig", keyless),
    ] {
        if let Some(node) = g.node(name).filter(|_| !only) {
            let message = format!("`{name}` means nothing here");
            let kind = if keyless { "keyless: true" } else { "key" };
            r.at(node.span, message, format!("Leave it out beside `{kind}`."));
        }
    }
    let identity = r.one(g, "identity");
    let issuer = r.one(g, "issuer");
    if identity.is_some() != issuer.is_some() {
        let message = "an identity is worth nothing without its issuer, nor the reverse";
        r.at(g.span(), message, "Write both `identity` and `issuer`.");
    }
    Some(TaskKind::Sign(Box::new(Sign {
        subjects,
        key,
        password_file: r.one(g, "passwordFile"),
        identity,
        issuer,
        trust_config: r.one(g, "trustConfig"),
        annotations: r.templates_map(g, "annotations"),
        builder: r.one(g, "builder"),
        provenance: g.bool("provenance", &mut r.mistakes).unwrap_or(true),
        sbom: g.bool("sbom", &mut r.mistakes).unwrap_or(true),
        in_package: g.bool("inPackage", &mut r.mistakes).unwrap_or(true),
    })))
}

fn publish(id: &str, g: &mut Fields<'_>, r: &mut Reader) -> Option<TaskKind> {
    if let Some(n) = g.node("when")
        && n.scalar() != Some("changed")
    {
        let message = "`when` is not `changed`, the only word there is";
        r.at(n.span, message, "Leave it out, or write `changed`.");
    }
    let signatures = r.references(id, g, "signatures");
    let packages = r.references(id, g, "packages");
    if packages.is_empty() {
        r.at(
            g.span(),
            "`packages` is missing",
            "Name tasks that make packages.",
        );
    }
    let list = |g: &mut Fields<'_>, r: &mut Reader, key| -> Vec<Template> {
        let nodes = Reader::nodes(g, key).into_iter();
        nodes.filter_map(|n| r.template(n)).collect()
    };
    let move_tags = g.bool("moveTags", &mut r.mistakes).unwrap_or(false);
    let split_layers = g.bool("splitLayers", &mut r.mistakes).unwrap_or(false);
    let mirrors = list(g, r, "mirrors");
    let tags = list(g, r, "tags");
    r.must(g, "to").map(|to| TaskKind::Publish {
        packages,
        signatures,
        to,
        mirrors,
        tags,
        move_tags,
        split_layers,
    })
}

fn finish<'a>(g: &mut Fields<'a>, node: &'a Node, r: &mut Reader) {
    let fresh = Fields::new(node, "the verb", &mut Vec::new());
    std::mem::replace(g, fresh).finish(&mut r.mistakes);
}

/// Remembers the edge of a value that may be `task:NAME`.
fn task_in(id: &str, node: &Node, r: &mut Reader) {
    if let Some(text) = node.scalar().and_then(|text| text.strip_prefix("task:")) {
        r.reference(id, text, node.span);
    }
}

fn images_from(id: &str, g: &mut Fields<'_>, r: &mut Reader) -> ImagesFrom {
    let single = g
        .node("from")
        .is_some_and(|n| n.scalar().is_some_and(|text| !text.starts_with("task:")));
    if single && let Some(definition) = r.one(g, "from") {
        return ImagesFrom::Definition(definition);
    }
    let nodes = Reader::nodes(g, "from");
    if nodes.is_empty() {
        let help = "Name a definition, or write a list of image references.";
        r.at(g.span(), "`from` is missing", help);
    }
    for node in &nodes {
        task_in(id, node, r);
    }
    ImagesFrom::List(nodes.into_iter().filter_map(|n| r.template(n)).collect())
}

/// An output: a path, or `{ path, optional }`.
fn output(id: &str, node: &Node, r: &mut Reader) -> Option<Output> {
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
    r.outputs.push((id.to_owned(), text.to_owned(), path.span));
    let path = Template::parse(text).ok()?;
    Some(Output { path, optional })
}

fn image(id: &str, g: &mut Fields<'_>, r: &mut Reader) -> Option<TaskKind> {
    let mut layers = Vec::new();
    for n in g.list("layers", &mut r.mistakes) {
        let mut l = Fields::new(n, "the layer", &mut r.mistakes);
        if let Some(from) = l.node("from") {
            task_in(id, from, r);
        }
        if let Some((from, to)) = r.must(&mut l, "from").zip(r.must(&mut l, "to")) {
            let owner = r.one(&mut l, "owner");
            let mode = l.node("mode").and_then(|n| limits::mode(n, r));
            layers.push(Layer {
                from,
                to,
                owner,
                mode,
            });
        }
        l.finish(&mut r.mistakes);
    }
    let base = r.must(g, "base");
    if let Some(n) = g.node("base") {
        task_in(id, n, r);
    }
    let platform = r.one(g, "platform");
    let nothing = Node {
        span: g.span(),
        value: Value::Mapping(Vec::new()),
    };
    let mut c = Fields::new(
        g.node("config").unwrap_or(&nothing),
        "config",
        &mut r.mistakes,
    );
    let kind = base.map(|base| TaskKind::Image {
        base,
        platform,
        layers,
        entrypoint: r.many(&mut c, "entrypoint"),
        cmd: r.many(&mut c, "cmd"),
        env: r.templates_map(&mut c, "env"),
        user: r.one(&mut c, "user"),
        workdir: r.one(&mut c, "workdir"),
        labels: r.templates_map(&mut c, "labels"),
        ports: r.many(&mut c, "ports"),
    });
    c.finish(&mut r.mistakes);
    kind
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
