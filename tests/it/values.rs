//! Values and documentation of a package: merged from imported and own files, and packed
//! beside the components.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::sandbox::Sandbox;

const HEAD: &str =
    "kind: ZarfPackageConfig\nmetadata: { name: p, version: '1', architecture: amd64 }\n";
const FILE: &str = "components:\n- { name: m, files: [{ source: f, target: f }] }\n";
const ARCHIVE: &str = "dist/zarf-package-p-amd64-1.tar.zst";
const DRAFT: &str = "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"";

fn imported_head() -> String {
    HEAD.replace("name: p", "name: s")
}

/// The files of an archive below the sources.
fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let packed = fs::File::open(archive).unwrap();
    entries(zstd::Decoder::new(packed).unwrap())
}

fn entries(tar: impl std::io::Read) -> BTreeMap<String, Vec<u8>> {
    let mut tar = tar::Archive::new(tar);
    let read = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    read.collect()
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    let content = files
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
    String::from_utf8(content.clone()).unwrap()
}

#[test]
fn values_of_imports_come_first_and_schemas_are_one() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p/zarf.yaml",
        format!(
            "{HEAD}values: {{ files: [v1.yaml, sub/v2.yaml], schema: s.json }}\n\
             documentation: {{ readme: README.md, other: sub/README.md, lic: LICENSE }}\n\
             components:\n- {{ name: m, import: {{ path: imp }} }}\n"
        ),
    );
    sandbox.write("p/v1.yaml", "b: 1\na: { x: 1, y: [1, 2] }\n");
    sandbox.write("p/sub/v2.yaml", "a: { y: [3], n: 2 }\n");
    sandbox.write("p/s.json", format!("{{{DRAFT}, \"required\": [\"b\"]}}"));
    for (name, content) in [
        ("README.md", "one"),
        ("sub/README.md", "two"),
        ("LICENSE", "lic"),
    ] {
        sandbox.write(&format!("p/{name}"), content);
    }
    sandbox.write(
        "p/imp/zarf.yaml",
        format!(
            "{}values: {{ files: [iv.yaml], schema: is.json }}\n\
             documentation: {{ idoc: IMP.md }}\n{FILE}",
            imported_head()
        ),
    );
    sandbox.write("p/imp/iv.yaml", "b: 9\nimp: { q: 1 }\n");
    sandbox.write(
        "p/imp/is.json",
        format!("{{{DRAFT}, \"required\": [\"imp\"]}}"),
    );
    sandbox.write("p/imp/IMP.md", "imp");
    sandbox.write("p/imp/f", "f");
    sandbox.build(&["p", "--offline"]);
    let all = files(&sandbox.src().join(ARCHIVE));
    // As Zarf 0.84 writes them.
    assert_eq!(
        text(&all, "values.yaml"),
        "a:\n  \"n\": 2\n  x: 1\n  \"y\":\n  - 3\nb: 1\nimp:\n  q: 1\n"
    );
    assert_eq!(
        text(&all, "values.schema.json"),
        "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"required\": [\n    \
         \"b\",\n    \"imp\"\n  ]\n}"
    );
    let documentation = entries(all["documentation.tar"].as_slice());
    let names: Vec<&str> = documentation.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [".", "LICENSE", "other-README.md", "readme-README.md"]
    );
    assert_eq!(text(&documentation, "other-README.md"), "two");
    let definition = text(&all, "zarf.yaml");
    let values =
        "values:\n  files:\n  - imp/iv.yaml\n  - v1.yaml\n  - sub/v2.yaml\n  schema: s.json\n";
    assert!(definition.contains(values), "{definition}");
    assert!(!definition.contains("idoc"), "{definition}");
    let sums = text(&all, "checksums.txt");
    for name in ["values.yaml", "values.schema.json", "documentation.tar"] {
        assert!(sums.contains(&format!(" {name}\n")), "{sums}");
    }
    let verified = sandbox.run(&["package", "verify", ARCHIVE]);
    assert_eq!(
        verified.code,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    // One schema stays as it is written, and a changed file is seen.
    sandbox.write("p/imp/zarf.yaml", format!("{}{FILE}", imported_head()));
    sandbox.write("p/v1.yaml", "b: 2\n");
    sandbox.build(&["p", "--offline"]);
    let all = files(&sandbox.src().join(ARCHIVE));
    assert_eq!(
        text(&all, "values.yaml"),
        "a:\n  \"n\": 2\n  \"y\":\n  - 3\nb: 2\n"
    );
    assert_eq!(
        text(&all, "values.schema.json"),
        format!("{{{DRAFT}, \"required\": [\"b\"]}}")
    );
}

#[test]
fn templated_values_files_come_after_the_others_and_require_a_version() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p/zarf.yaml",
        format!(
            "{HEAD}components:\n- {{ name: m, charts: [{{ name: c, namespace: n, version: 0.1.0, \
             localPath: chart, valuesFiles: [a.yaml], templatedValuesFiles: [b.yaml] }}] }}\n"
        ),
    );
    sandbox.write(
        "p/chart/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 0.1.0\n",
    );
    sandbox.write("p/a.yaml", "a: 1\n");
    sandbox.write("p/b.yaml", "b: {{ .Values.x }}\n");
    sandbox.build(&["p", "--offline"]);
    let all = files(&sandbox.src().join(ARCHIVE));
    let component = entries(all["components/m.tar"].as_slice());
    assert_eq!(text(&component, "m/values/c-0.1.0-0"), "a: 1\n");
    assert_eq!(
        text(&component, "m/values/c-0.1.0-1"),
        "b: {{ .Values.x }}\n"
    );
    let definition = text(&all, "zarf.yaml");
    assert!(
        definition.contains("  versionRequirements:\n  - version: v0.78.0\n"),
        "{definition}"
    );
    // Without the file, the package does not hold what it declares.
    fs::remove_file(sandbox.src().join("p/b.yaml")).unwrap();
    let refused = sandbox.run(&["build", "p", "--offline"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("b.yaml"), "{}", refused.stderr);
}

#[test]
fn values_that_cannot_be_packed_are_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("p/f", "f");
    sandbox.write("p/list.yaml", "- a\n");
    for (values, said) in [
        (
            "values: { files: [list.yaml] }",
            "list.yaml:1:1: a file of values is a list",
        ),
        ("values: { files: [none.yaml] }", "none.yaml"),
        (
            "values: { files: ['https://example.com/v.yaml'] }",
            "is not downloaded",
        ),
        ("values: { files: [../../out.yaml] }", "out.yaml"),
        ("documentation: { a: none.md }", "none.md"),
    ] {
        sandbox.write("p/zarf.yaml", format!("{HEAD}{values}\n{FILE}"));
        let refused = sandbox.run(&["build", "p", "--offline"]);
        assert_ne!(refused.code, Some(0), "{values}");
        assert!(
            refused.stderr.contains(said),
            "{values}: {}",
            refused.stderr
        );
    }
}
