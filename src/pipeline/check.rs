//! Turns a YAML node into a [`Pipeline`], and notes every mistake at once.
//!
//! It never opens a file.

mod file;
mod schedule;
mod shared;
mod task;
mod whole;

use std::collections::BTreeMap;

use super::model::{Param, ParamType, Pipeline, WorkspaceSettings};
use super::reader::Reader;
use crate::yaml::{Fields, Mistake, Mistakes, Node, SourceText, Value, parse_only};

/// Reads and checks the text of a pipeline file.
///
/// # Errors
///
/// Every mistake of the file, with its place.
pub fn parse(source: &SourceText) -> Result<Pipeline, Mistakes> {
    parse_in(source, &WorkspaceSettings::default())
}

/// The same, for a pipeline of a workspace with these settings. What the file sets itself
/// counts more.
///
/// # Errors
///
/// Every mistake of the file, with its place; if it requires another version of jackal,
/// only that.
pub fn parse_in(source: &SourceText, workspace: &WorkspaceSettings) -> Result<Pipeline, Mistakes> {
    let (pipeline, mistakes) = check_in(source, workspace);
    Mistakes::none_or(pipeline.unwrap_or_default(), source, mistakes)
}

/// As far as the file can be read, and every mistake; nothing if it is not YAML or requires
/// another version.
#[must_use]
pub fn check_in(
    source: &SourceText,
    workspace: &WorkspaceSettings,
) -> (Option<Pipeline>, Vec<Mistake>) {
    let mut reader = Reader {
        defaults: workspace.defaults.clone(),
        ..Reader::default()
    };
    let empty = || Node::mapping(Default::default());
    let node = match parse_only(source) {
        Ok(node) => node.unwrap_or_else(empty),
        Err(mistakes) => return (None, mistakes.list().to_vec()),
    };
    if let Err(mistakes) = file::requires(&node, source) {
        return (None, mistakes.list().to_vec());
    }
    let mut pipeline = pipeline(&node, &mut reader);
    for (name, toolchain) in &workspace.toolchains {
        let own = pipeline.toolchains.entry(name.clone());
        own.or_insert_with(|| toolchain.clone());
    }
    (Some(pipeline), reader.mistakes)
}

pub(super) use schedule::SCHEDULE_NAME;

/// Keys of later versions.
const UNAVAILABLE: [&str; 1] = ["remote"];

fn pipeline(node: &Node, r: &mut Reader) -> Pipeline {
    let mut f = Fields::new(node, "the pipeline", &mut r.mistakes);
    if f.string("kind", &mut r.mistakes).as_deref() != Some("JackalPipeline") {
        r.at(
            node.span,
            "this is not a pipeline",
            "Write `kind: JackalPipeline`.",
        );
    }
    let version = f.node("version").map_or(node.span, |version| version.span);
    if f.integer("version", &mut r.mistakes) != Some(1) {
        r.at(
            version,
            "the schema version is not 1",
            "Write `version: 1` at the top.",
        );
    }
    let name = f.string("name", &mut r.mistakes).unwrap_or_default();
    // It has been checked.
    f.node("requires");
    let include = f.strings("include", &mut r.mistakes);
    let env = r.templates_map(&mut f, "env");
    let pass_through_env = f.strings("passThroughEnv", &mut r.mistakes);
    let mut params = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "params") {
        let param = param(value, r);
        params.insert(key, param);
    }
    for key in UNAVAILABLE {
        if let Some(n) = f.node(key) {
            r.unavailable(n, &format!("`{key}`"), "Remove it.");
        }
    }
    if let Some(n) = f.node("defaults") {
        r.defaults = file::defaults(n, r);
    }
    let global_inputs = r.many(&mut f, "globalInputs");
    let (salt, cache_limits) = f
        .node("cache")
        .map(|n| file::cache(n, r))
        .unwrap_or_default();
    let trust_incremental = f.bool("trustIncremental", &mut r.mistakes);
    let allow_unpinned = f.bool("allowUnpinned", &mut r.mistakes);
    let mut toolchains = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "toolchains") {
        toolchains.insert(key, file::toolchain(value, r));
    }
    let mut pools = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "pools") {
        match value.scalar().and_then(|text| text.parse().ok()) {
            Some(slots) if slots > 0 => drop(pools.insert(key, slots)),
            _ => r.at(
                value.span,
                "the size of a pool is not a whole number above 0",
                "Write how many tasks may use it at the same time.",
            ),
        }
    }
    r.pools = pools.keys().cloned().collect();
    let mut tasks = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "tasks") {
        if let Some(task) = task::task(&key, value, r) {
            tasks.insert(key, task);
        }
    }
    let mut schedules = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "schedules") {
        let schedule = schedule::schedule(&key, value, &params, r);
        schedules.extend(schedule.map(|schedule| (key, schedule)));
    }
    f.finish(&mut r.mistakes);
    whole::check(&tasks, f_tasks(node), r);
    Pipeline {
        name,
        include,
        params,
        env,
        pass_through_env,
        global_inputs,
        salt,
        cache_limits,
        trust_incremental: trust_incremental.unwrap_or(false),
        allow_unpinned: allow_unpinned.unwrap_or(false),
        toolchains,
        pools,
        tasks,
        schedules,
    }
}

fn f_tasks(node: &Node) -> Vec<String> {
    match node.get("tasks").map(|tasks| &tasks.value) {
        Some(Value::Mapping(pairs)) => pairs
            .iter()
            .filter_map(|(key, _)| key.scalar().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

fn param(node: &Node, r: &mut Reader) -> Param {
    let mut f = Fields::new(node, "the parameter", &mut r.mistakes);
    let kind = match f.string("type", &mut r.mistakes).as_deref() {
        None | Some("string" | "enum") => Some(ParamType::Text),
        Some("number") => Some(ParamType::Number),
        Some("bool" | "boolean") => Some(ParamType::Bool),
        Some(other) => {
            let message = format!("`{other}` is not a parameter type");
            r.at(node.span, message, "Use string, number, bool or enum.");
            None
        }
    };
    // Whether a default has to be quoted depends on the type.
    let default = match kind {
        Some(ParamType::Text) => f.string("default", &mut r.mistakes),
        _ => f
            .node("default")
            .and_then(|n| n.scalar().map(str::to_owned)),
    };
    let pattern = f.string("pattern", &mut r.mistakes);
    if let Some(bad) = pattern.as_ref().filter(|p| regex::Regex::new(p).is_err()) {
        let message = format!("`{bad}` is not a regular expression");
        r.at(node.span, message, "Correct the pattern.");
    }
    let param = Param {
        kind: kind.unwrap_or(ParamType::Text),
        required: f.bool("required", &mut r.mistakes).unwrap_or(false),
        default,
        pattern,
        allowed: f.strings("enum", &mut r.mistakes),
        description: f.string("description", &mut r.mistakes),
    };
    f.finish(&mut r.mistakes);
    param
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::expression::Template;

    fn errors(tasks: &str) -> String {
        let text = format!("kind: JackalPipeline\nversion: 1\nname: web\ntasks:\n{tasks}");
        parse(&SourceText::new("p.yaml", text)).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn an_unknown_type_of_a_parameter_is_one_mistake() {
        let head = "kind: JackalPipeline\nversion: 1\nname: web\nparams:\n";
        let text = format!("{head}  fast: {{ type: flag, default: false }}\ntasks: {{}}\n");
        let error = parse(&SourceText::new("p.yaml", text)).unwrap_err();
        assert!(error.to_string().contains("`flag` is not a parameter type"));
        assert!(!error.to_string().contains("Quote it"), "{error}");
    }

    #[test]
    fn a_whole_pipeline_is_read() {
        let text = "kind: JackalPipeline\nversion: 1\nname: web\ntasks:\n  b:\n    run: [npm, build]\n    inputs: [web/**]\n    outputs: [dist/]\n    timeout: 5m\n  c:\n    matrix: { name: [web, jobs] }\n    component: { definition: jackal.yaml, name: '${{ matrix.name }}' }\n    inputs: ['task:b']\n  p:\n    package: { definition: jackal.yaml, components: c }\n";
        let p = parse(&SourceText::new("p.yaml", text)).unwrap();
        assert_eq!(p.tasks["c"].rows.len(), 2);
        assert_eq!(p.tasks["c"].input_tasks, [Template::parse("b").unwrap()]);
        assert_eq!(
            p.tasks["b"].settings.timeout,
            Some(Duration::from_secs(300))
        );
    }

    #[test]
    fn every_mistake_is_reported_with_its_help() {
        let found = errors(
            "  a:\n    run: [x]\n    inputs: []\n    timeuot: 5m\n    needs: [zip]\n    outputs: [d/]\n  b:\n    sign: {}\n  c:\n    run: [x]\n    inputs: []\n    outputs: [d/e]\n    env: { V: 1.10 }\n",
        );
        for part in [
            "Did you mean `timeout`",
            "`zip`",
            "exactly one of `key` and `keyless`",
            "overlaps",
            "\"1.10\"",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
    }

    #[test]
    fn keys_that_the_verb_would_ignore_are_mistakes_and_a_timeout_is_for_all() {
        let component =
            "  a:\n    component: { definition: jackal.yaml, name: x }\n    timeout: 1m\n";
        assert_eq!(errors(component), "");
        for (key, value) in [
            ("grace", "1s"),
            ("sandbox", "none"),
            ("incremental", "true"),
            ("keep", "[x]"),
            ("caches", "[go]"),
            ("git", "true"),
            ("writable", "[x]"),
            ("network", "true"),
            ("tools", "[sh]"),
            ("packages", "[libc6-dev]"),
            ("secrets", "{ T: { env: T } }"),
            ("services", "{ s: { run: [x], ready: { tcp: 1 } } }"),
            ("outputs", "[x]"),
            ("workdir", "x"),
        ] {
            let found = errors(&format!("{component}    {key}: {value}\n"));
            let expected = format!("`{key}` belongs to `run`, and the verb of `a` is `component`");
            assert!(found.contains(&expected), "{found}");
            assert!(found.contains("p.yaml:8:"), "{found}");
        }
        let found = errors(&format!("{component}    inputs: ['src/**']\n"));
        assert!(found.contains("may list only tasks"), "{found}");
    }

    #[test]
    fn tags_are_resolved_again_by_tasks_that_resolve_them() {
        let images = "  a:\n    images: { from: jackal.yaml }\n    cache: { fresh: 24h }\n";
        assert_eq!(errors(images), "");
        for verb in ["run: [x]\n    inputs: []", "sbom: { of: a }"] {
            let found = errors(&format!(
                "{images}  b:\n    {verb}\n    cache: {{ fresh: 24h }}\n"
            ));
            assert!(found.contains("`fresh` belongs to `component`"), "{found}");
        }
    }

    #[test]
    fn a_cycle_is_shown_with_its_path() {
        let found = errors(
            "  a: { run: [x], inputs: ['task:b'] }\n  b: { run: [x], inputs: [], deps: [a] }\n",
        );
        assert!(found.contains("a -> b -> a"), "{found}");
    }
}
