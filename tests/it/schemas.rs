//! `schemas/` is up to date, and agrees with what the program reads and writes.

use std::fs;

use jackal::yaml::{Node, SourceText, Value, parse_first};
use serde_json::{Value as Json, json};

use super::sandbox::Sandbox;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn schema(kind: &str) -> Json {
    let path = format!("{FOLDER}/schemas/{kind}.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_schemas_are_the_ones_that_the_program_prints() {
    let sandbox = Sandbox::new();
    for kind in [
        "package",
        "pipeline",
        "workspace",
        "run",
        "policy",
        "affected",
    ] {
        let printed = sandbox.run(&["schema", kind]);
        let path = format!("{FOLDER}/schemas/{kind}.schema.json");
        assert!(
            printed.stdout == fs::read_to_string(&path).unwrap(),
            "run: jackal schema {kind} > {path}"
        );
        let id = schema(kind)["$id"].as_str().unwrap().to_owned();
        assert!(
            id.ends_with(&format!("/schemas/{kind}.schema.json")),
            "{id}"
        );
    }
}

fn has_type(value: &Json, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the schema has the type {other}"),
    }
}

/// Checks the keywords that our schemas use: type, properties, items, required,
/// additionalProperties, patternProperties, enum, const, pattern, minimum, oneOf.
fn check(schema: &Json, value: &Json, at: &str, wrong: &mut Vec<String>) {
    if let Some(forms) = schema["oneOf"].as_array() {
        let fitting = forms.iter().filter(|form| {
            let mut wrong = Vec::new();
            check(form, value, at, &mut wrong);
            wrong.is_empty()
        });
        if fitting.count() != 1 {
            wrong.push(format!("{at} has not exactly one of the forms"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Json::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
        name => name.as_str().into_iter().collect(),
    };
    let mut fits = types.is_empty() || types.iter().any(|name| has_type(value, name));
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        fits &= regex::Regex::new(pattern).unwrap().is_match(text);
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64()) {
        fits &= number >= least;
    }
    let listed = schema["enum"]
        .as_array()
        .is_none_or(|list| list.contains(value));
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    if !fits || !listed || !constant {
        wrong.push(format!("{at}: {value}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, &format!("{at}[{index}]"), wrong);
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for key in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(key.as_str().unwrap()) {
            wrong.push(format!("{at} lacks {key}"));
        }
    }
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match schema["properties"].get(key) {
            Some(schema) => check(schema, value, &at, wrong),
            None if schema["additionalProperties"].is_object() => {
                check(&schema["additionalProperties"], value, &at, wrong);
            }
            None if key.starts_with("x-") => {}
            None if schema["additionalProperties"] != json!(false) => {}
            None => wrong.push(format!("{at} is unknown")),
        }
    }
}

pub(super) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Mapping(pairs) => pairs
            .iter()
            .map(|(key, value)| (key.scalar().unwrap().to_owned(), to_json(value)))
            .collect(),
        Value::Sequence(items) => items.iter().map(to_json).collect(),
        Value::Scalar(text, _) => match node.plain_type() {
            Some("boolean") => json!(text == "true"),
            Some(_) => text
                .parse::<i64>()
                .map_or(json!(text), |number| json!(number)),
            None => json!(text),
        },
    }
}

/// How `text`, a YAML document, disagrees with the schema of `kind`.
pub(super) fn disagreements(kind: &str, text: &str) -> Vec<String> {
    let source = SourceText::new(kind, text);
    let document = to_json(&parse_first(&source).unwrap().unwrap());
    let mut wrong = Vec::new();
    check(&schema(kind), &document, "", &mut wrong);
    wrong
}

#[test]
fn good_definitions_fit_the_schema_and_unknown_keys_do_not() {
    let verdict = |text: &str| disagreements("package", text);
    for path in ["examples/demo/jackal.yaml", "pipelines/demo/jackal.yaml"] {
        let text = fs::read_to_string(format!("{FOLDER}/{path}")).unwrap();
        let header = "# yaml-language-server: $schema=../../schemas/package.schema.json\n";
        assert!(text.starts_with(header), "{path}");
        assert_eq!(verdict(&text), Vec::<String>::new(), "{path}");
    }
    for bad in [
        "unknown-top-key",
        "unknown-metadata-key",
        "unknown-file-key",
        "uncompressed-text",
        "no-kind",
        "name-missing",
        "name-upper-case",
        "bad-local-os",
        "component-without-name",
    ] {
        let path = format!("{FOLDER}/tests/fixtures/bad/package-{bad}.yaml");
        assert!(
            !verdict(&fs::read_to_string(path).unwrap()).is_empty(),
            "{bad}"
        );
    }
}

#[test]
fn good_pipelines_fit_the_schema_and_bad_ones_do_not() {
    let schema = schema("pipeline");
    let verdict = |path: &std::path::Path| {
        let source = SourceText::new("p.yaml", fs::read_to_string(path).unwrap());
        let mut wrong = Vec::new();
        if let Some(node) = parse_first(&source).unwrap() {
            check(&schema, &to_json(&node), "", &mut wrong);
        }
        wrong
    };
    let mut good = 0;
    for entry in fs::read_dir(format!("{FOLDER}/pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            assert_eq!(verdict(&path), Vec::<String>::new(), "{}", path.display());
            good += 1;
        }
    }
    assert!(good >= 6, "{good}");
    for bad in [
        "cache-word",
        "duration",
        "no-version",
        "param-type",
        "publish",
        "retry-word",
        "run-without-inputs",
        "secret-twice",
        "two-verbs",
        "unknown-verb",
    ] {
        let path = format!("{FOLDER}/tests/fixtures/bad/pipeline-{bad}.yaml");
        assert!(!verdict(path.as_ref()).is_empty(), "{bad}");
    }
}

#[test]
fn a_run_record_fits_its_schema() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let file = sandbox.src().join("run.json");
    let said = sandbox.run(&["build", "--summary", file.to_str().unwrap()]);
    assert_eq!(said.code, Some(0));
    let record: Json = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut wrong = Vec::new();
    check(&schema("run"), &record, "", &mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(record["tasks"].as_array().unwrap().len(), 5);
}

#[test]
fn policies_fit_the_schema_or_are_refused_by_both() {
    let schema = schema("policy");
    let sandbox = Sandbox::new();
    sandbox.run(&["tools", "gen-key", "-o", "keys"]);
    // Both the schema and the program judge the same text.
    let verdicts = |text: &str| {
        let mut wrong = Vec::new();
        let source = SourceText::new("policy.yaml", text);
        let node = parse_first(&source).unwrap().unwrap();
        check(&schema, &to_json(&node), "", &mut wrong);
        sandbox.write("policy.yaml", text);
        let said = sandbox.run(&["package", "verify", "gone", "--policy", "policy.yaml"]);
        let read = !said.stderr.contains("policy.yaml");
        (wrong.is_empty(), read, format!("{wrong:?} {}", said.stderr))
    };
    let example = fs::read_to_string(format!("{FOLDER}/examples/policy.yaml")).unwrap();
    let (fits, read, told) = verdicts(&example);
    assert!(fits && read, "{told}");
    for bad in [
        "rules: 1\n",
        "rule: []\n",
        "rules:\n- packages: a\n",
        "rules:\n- signers: [{key: keys/cosign.pub, identity: a, issuer: b}]\n",
        "rules:\n- signers: [{identity: a}]\n",
        "rules:\n- signers: [{identity: a, identityRegexp: b, issuer: c}]\n",
        "rules:\n- signers: [{key: keys/cosign.pub}]\n  maxAge: soon\n",
        "rules:\n- signers: [{key: keys/cosign.pub}]\n  maxage: 1d\n",
        "rules:\n- signers: [{key: keys/cosign.pub}]\n  attestations: [{builder: b}]\n",
    ] {
        let (fits, read, told) = verdicts(bad);
        assert!(!fits && !read, "{bad}: {told}");
    }
}
