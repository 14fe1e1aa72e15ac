//! Compositions of small definitions in memory.

use std::collections::BTreeMap;

use super::*;
use crate::package::{ImportError, SkeletonUrl};

/// Definitions by folder or URL.
#[derive(Default)]
struct Memory {
    files: BTreeMap<String, String>,
    exists: Vec<String>,
    answers: BTreeMap<String, String>,
    prompted: Vec<String>,
}

impl Surroundings for Memory {
    fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError> {
        let text = self.files.get(folder);
        let text = text.ok_or_else(|| ImportError::NoDefinition(folder.to_owned()))?;
        Ok(SourceText::new(
            format!("{folder}/jackal.yaml"),
            text.as_str(),
        ))
    }

    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
        let url = url.to_string();
        let text = self.files.get(&url);
        let text = text.ok_or_else(|| ImportError::NoSkeleton(url.clone()))?;
        Ok(SourceText::new(url, text.as_str()))
    }

    fn skeleton_files(&mut self, _: &SkeletonUrl, component: &str) -> Result<String, ImportError> {
        Ok(format!("skeletons/{component}"))
    }

    fn look(&mut self, path: &str) -> Look {
        let refused = || ("out".to_owned(), "stay".to_owned());
        match path {
            path if path.ends_with(".yaml") && self.files.contains_key(path) => Look::File,
            path if self.exists.iter().any(|known| known == path) => Look::Folder,
            path if path.starts_with("../../") => Look::Refused(refused().0, refused().1),
            _ => Look::Absent,
        }
    }

    fn chart_version(&mut self, path: &str) -> Option<String> {
        path.strip_prefix("chart-").map(str::to_owned)
    }

    fn answer(&mut self, template: &str) -> Option<String> {
        self.prompted.push(template.to_owned());
        self.answers.get(template).cloned()
    }
}

const TOP: &str = "kind: JackalPackageConfig\nmetadata: {name: demo}\n";

fn memory(files: &[(&str, &str)]) -> Memory {
    let files = files.iter().map(|(folder, text)| {
        let text = if text.starts_with("kind:") {
            (*text).to_owned()
        } else {
            format!("{TOP}{text}")
        };
        ((*folder).to_owned(), text)
    });
    Memory {
        files: files.collect(),
        ..Memory::default()
    }
}

/// Composes what is at "".
fn compose(memory: &mut Memory, set: &[(&str, &str)]) -> Result<Composed, Mistakes> {
    let text = memory.files[""].clone();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let set: BTreeMap<String, String> = set.iter().map(owned).collect();
    let none = BTreeMap::new();
    let choice = Choice {
        architecture: None,
        host: "amd64",
        flavor: "vanilla",
        set: &set,
        metadata: &none,
    };
    Definition::compose(SourceText::new("jackal.yaml", text), memory, &choice)
}

fn good(files: &[(&str, &str)]) -> Composed {
    compose(&mut memory(files), &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn refused(files: &[(&str, &str)]) -> String {
    compose(&mut memory(files), &[]).unwrap_err().to_string()
}

#[test]
fn a_chain_of_three_is_merged_tail_first_with_its_paths() {
    let composed = good(&[
        (
            "",
            "components:\n- name: web\n  import: {path: ../a}\n  description: mine\n  files:\n  \
             - {source: ./own, target: /own}\n  charts:\n  - {name: c, namespace: new, \
             version: '9', valuesFiles: [v.yaml]}\n  actions:\n    onCreate:\n      before:\n      \
             - cmd: head\n",
        ),
        (
            "../a",
            "components:\n- name: web\n  default: true\n  import: {path: b, name: base}\n  \
             files:\n  - {source: https://example.com/x, target: /x}\n  \
             - {source: sub/../f, target: /f}\n",
        ),
        (
            "../a/b",
            "components:\n- name: base\n  required: true\n  only: {localOS: linux, cluster: \
             {distros: [k3s]}}\n  description: base\n  images: [a]\n  manifests:\n  - {name: m, \
             files: [m.yaml], kustomizations: [here, 'github.com/x/y']}\n  charts:\n  - {name: c, \
             namespace: old, version: '1', localPath: chart, valuesFiles: [v0.yaml]}\n  actions:\n    \
             onCreate:\n      defaults: {dir: work, mute: true}\n      before:\n      - cmd: tail\n      \
             - {cmd: other, dir: ../else}\n",
        ),
    ]);
    let component = &composed.definition.components[0];
    assert_eq!(component.name, "web");
    assert_eq!(component.description, "mine");
    assert_eq!((component.default, component.required), (false, None));
    assert_eq!(component.only.local_os, "linux");
    assert!(component.only.cluster.distros.is_empty());
    let sources: Vec<&str> = component.files.iter().map(|f| f.source.as_str()).collect();
    assert_eq!(sources, ["https://example.com/x", "../a/f", "own"]);
    let chart = &component.charts[0];
    assert_eq!(
        (chart.namespace.as_str(), chart.version.as_str()),
        ("new", "1")
    );
    assert_eq!(chart.local_path, "../a/b/chart");
    assert_eq!(chart.values_files, ["../a/b/v0.yaml", "v.yaml"]);
    let ignored = &composed.warnings[0];
    assert!(
        ignored.message.starts_with("`version` is ignored"),
        "{ignored}"
    );
    assert_eq!(
        (composed.warnings.len(), ignored.place.as_str()),
        (1, "jackal.yaml:10:31")
    );
    let manifest = &component.manifests[0];
    assert_eq!(manifest.files, ["../a/b/m.yaml"]);
    assert_eq!(manifest.kustomizations, ["here", "github.com/x/y"]);
    let create = &component.actions.on_create;
    let dirs: Vec<_> = create
        .before
        .iter()
        .map(|a| (a.cmd.as_str(), a.dir.as_deref()))
        .collect();
    assert_eq!(
        dirs,
        [
            ("tail", Some("../a/b/work")),
            ("other", Some("../a/else")),
            ("head", Some(".")),
        ]
    );
    assert!(!create.defaults.mute);
    assert_eq!(
        composed.folders.iter().collect::<Vec<_>>(),
        ["../a", "../a/b"]
    );
    assert_eq!(composed.definition.metadata.architecture, "amd64");
}

#[test]
fn an_existing_kustomization_is_relative_to_the_package() {
    let mut memory = memory(&[
        ("", "components:\n- name: a\n  import: {path: c}\n"),
        (
            "c",
            "components:\n- name: a\n  manifests:\n  - {name: m, kustomizations: [k, l]}\n",
        ),
    ]);
    memory.exists.push("c/k".into());
    let composed = compose(&mut memory, &[]).unwrap();
    let component = &composed.definition.components[0];
    assert_eq!(component.manifests[0].kustomizations, ["c/k", "l"]);
}

#[test]
fn a_component_without_imports_is_unchanged() {
    let composed = good(&[(
        "",
        "components:\n- name: a\n  only: {cluster: {architecture: amd64, distros: [k3s]}, flavor: \
         vanilla}\n  files:\n  - {source: ./x, target: /x}\n- name: b\n  only: {cluster: \
         {architecture: arm64}}\n- name: c\n  only: {flavor: other}\n",
    )]);
    let components = &composed.definition.components;
    assert_eq!(components.len(), 1);
    assert_eq!(components[0].files[0].source, "./x");
    assert_eq!(components[0].only.cluster.distros, ["k3s"]);
    assert_eq!(components[0].only.cluster.architecture, "");
    assert_eq!(components[0].only.flavor, "");
}

#[test]
fn an_import_cycle_is_refused_with_its_path() {
    let text = refused(&[
        ("", "components:\n- name: a\n  import: {path: ../x}\n"),
        ("../x", "components:\n- name: a\n  import: {path: ./y/}\n"),
        (
            "../x/y",
            "components:\n- name: a\n  import:\n    path: ../../x\n",
        ),
    ]);
    assert!(
        text.starts_with(
            "../x/y/jackal.yaml:6:11: import cycle: . -> ../x -> ../x/y -> ../x [import-cycle]\n"
        ),
        "{text}"
    );
}

#[test]
fn missing_imports_are_reported_at_their_place() {
    let head = |import: &str| format!("components:\n- name: a\n  import: {{{import}}}\n");
    for (import, message) in [
        ("name: b", "the import needs `path` or `url`"),
        (
            "path: x, url: 'oci://y'",
            "the import has both `path` and `url`",
        ),
        ("path: /etc", "the import path `/etc` is absolute"),
        (
            "url: 'https://example.com/x'",
            "does not begin with `oci://`",
        ),
        ("path: '###JACKAL_PKG_TMPL_X###'", "has a template"),
        ("path: nowhere", "no definition in `nowhere`"),
        ("path: c, name: zz", "no component `zz` in `c`"),
        (
            "path: c, name: twice",
            "more than one component `twice` in `c` for architecture `amd64`",
        ),
        (
            "url: 'oci://h/p:1'",
            "no published skeleton package at `oci://h/p:1`",
        ),
    ] {
        let text = refused(&[
            ("", &head(import)),
            (
                "c",
                "components:\n- name: twice\n- name: twice\n- name: d\n",
            ),
        ]);
        assert!(text.starts_with("jackal.yaml:5:"), "{text}");
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn a_mistake_in_an_imported_file_is_reported_there_and_all_at_once() {
    let text = refused(&[
        (
            "",
            "components:\n- name: a\n  import: {path: c}\n- name: B\n",
        ),
        (
            "c",
            "components:\n- name: a\n  fils: []\n  charts:\n  - {name: c, version: '1'}\n",
        ),
    ]);
    assert!(
        text.contains("c/jackal.yaml:5:3: unknown key `fils`"),
        "{text}"
    );
    assert!(
        text.contains("jackal.yaml:6:9: `B` is not a valid `name`"),
        "{text}"
    );
    assert!(text.contains("c/jackal.yaml:7:5: a chart needs"), "{text}");
}

#[test]
fn a_system_can_be_named_once_in_a_chain() {
    let only = "components:\n- name: a\n  import: {path: c}\n  only: {localOS: darwin}\n";
    let text = refused(&[
        ("", only),
        ("c", "components:\n- name: a\n  only: {localOS: linux}\n"),
    ]);
    assert!(
        text.contains(
            "jackal.yaml:6:19: `only.localOS` is already `linux` and cannot become `darwin`"
        ),
        "{text}"
    );
}

#[test]
fn variables_of_the_head_win_and_come_first() {
    let composed = good(&[
        (
            "",
            "components:\n- name: a\n  import: {path: c}\nvariables:\n- {name: X, default: head}\n",
        ),
        (
            "c",
            "components:\n- name: a\nvariables:\n- {name: X, prompt: true}\n- {name: Y}\n\
             constants:\n- {name: K, value: v}\n",
        ),
    ]);
    let variables = &composed.definition.variables;
    assert_eq!(variables.len(), 2);
    assert_eq!(
        (variables[0].default.as_str(), variables[0].prompt),
        ("head", false)
    );
    assert_eq!(composed.definition.constants[0].name, "K");
}

#[test]
fn deprecated_keys_of_every_link_gain_their_new_form_once() {
    let composed = good(&[
        (
            "",
            "components:\n- name: a\n  import: {path: c}\n  scripts:\n    showOutput: true\n    \
             after: [head]\n  actions:\n    onDeploy:\n      before:\n      - {cmd: x, \
             setVariable: V}\n",
        ),
        (
            "c",
            "components:\n- name: a\n  scripts: {retry: true, timeoutSeconds: 7, before: [b], \
             after: [tail]}\n",
        ),
    ]);
    let component = &composed.definition.components[0];
    let deploy = &component.actions.on_deploy;
    let cmds = |list: &[crate::package::Action]| -> Vec<String> {
        list.iter().map(|action| action.cmd.clone()).collect()
    };
    assert_eq!(cmds(&deploy.before), ["b", "x"]);
    assert_eq!(cmds(&deploy.after), ["tail", "head"]);
    // The head's defaults hold, as of every chain.
    assert!(!deploy.defaults.mute);
    assert_eq!(deploy.defaults.max_retries, 0);
    assert_eq!(deploy.before[1].set_variables[0].name, "V");
    assert_eq!(deploy.before[1].set_variable, "V");
    assert_eq!(component.scripts.after, ["tail", "head"]);
    assert!(component.scripts.retry);
    assert_eq!(component.scripts.timeout_seconds, 7);
    assert_eq!(composed.definition.build.migrations, MIGRATIONS);
    let messages: Vec<&str> = composed
        .warnings
        .iter()
        .map(|w| w.message.as_str())
        .collect();
    assert!(
        messages.iter().any(|text| text.contains("uses `scripts`")),
        "{messages:?}"
    );
    assert!(
        messages
            .iter()
            .any(|text| text.contains("uses `setVariable`")),
        "{messages:?}"
    );
    let chain = "deprecated keys of component `a` were migrated";
    assert!(messages.contains(&chain), "{messages:?}");
}

#[test]
fn a_skeleton_that_was_migrated_does_not_run_its_scripts_twice() {
    let skeleton = "kind: ZarfPackageConfig\nmetadata: {name: s, version: 1.10}\nbuild: \
                    {migrations: [scripts-to-actions]}\ncomponents:\n- name: a\n  future: {x: 1}\n  \
                    files:\n  - {source: files/0/f, target: /f}\n  scripts: {after: [z]}\n  \
                    actions:\n    onDeploy:\n      after:\n      - cmd: z\n      onSuccess:\n      \
                    - {cmd: y, setVariable: V}\n";
    let composed = good(&[
        (
            "",
            "components:\n- name: a\n  import: {url: 'oci://h/s:1'}\n",
        ),
        ("oci://h/s:1", skeleton),
    ]);
    let component = &composed.definition.components[0];
    assert_eq!(component.actions.on_deploy.after.len(), 1);
    assert_eq!(component.scripts, crate::package::Scripts::default());
    let success = &component.actions.on_deploy.on_success[0];
    assert_eq!(success.set_variables[0].name, "V");
    assert_eq!(component.files[0].source, "skeletons/a/files/0/f");
    assert_eq!(component.extra.len(), 1, "keys of newer programs are kept");
}

#[test]
fn a_skeleton_may_not_import_anything() {
    for (import, expected) in [
        (
            "path: x",
            "a component of a skeleton cannot import from a folder",
        ),
        (
            "url: 'oci://h/t:1'",
            "a component of a skeleton cannot import from another skeleton",
        ),
    ] {
        let skeleton = format!("components:\n- name: a\n  import: {{{import}}}\n");
        let text = refused(&[
            (
                "",
                "components:\n- name: a\n  import: {url: 'oci://h/s:1'}\n",
            ),
            ("oci://h/s:1", &skeleton),
        ]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_layout_is_found_from_the_file_that_names_it() {
    let composed = good(&[
        ("", "components:\n- name: a\n  import: {path: ../c}\n"),
        (
            "../c",
            "components:\n- name: a\n  import: {url: 'oci-layout:skel:1.0'}\n",
        ),
        (
            "oci:../c/skel:1.0",
            "components:\n- name: a\n  images: [x]\n",
        ),
    ]);
    assert_eq!(composed.definition.components[0].images, ["x"]);
}

#[test]
fn templates_are_filled_after_composition() {
    let mut memory = memory(&[
        (
            "",
            "kind: JackalPackageConfig\nmetadata:\n  name: '###JACKAL_PKG_TMPL_NAME###'\n  \
             version: '###JACKAL_PKG_TMPL_V###'\n  description: '###JACKAL_PKG_TMPL_D###'\n\
             components:\n- name: web\n  import: {path: c}\n",
        ),
        (
            "c",
            "kind: ZarfPackageConfig\nmetadata: {name: c}\ncomponents:\n- name: web\n  images: \
             ['x:###ZARF_PKG_VAR_V###-###ZARF_PKG_ARCH###', '###ZARF_COMPONENT_NAME###', \
             '###ZARF_VAR_LATER###']\n",
        ),
    ]);
    memory.answers.insert("NAME".into(), "asked".into());
    let nasty = "a\"b\\c: #d\n- e\\";
    let composed = compose(&mut memory, &[("V", "1.10"), ("D", nasty)]).unwrap();
    let metadata = &composed.definition.metadata;
    assert_eq!(metadata.name, "asked");
    assert_eq!(metadata.version, "1.10");
    assert_eq!(metadata.description, nasty);
    let images = &composed.definition.components[0].images;
    assert_eq!(images[..], ["x:1.10-amd64", "web", "###ZARF_VAR_LATER###"]);
    assert_eq!(memory.prompted, ["NAME"]);
    assert_eq!(
        composed.templates.iter().collect::<Vec<_>>(),
        ["D", "NAME", "V"]
    );
    let again = crate::package::Definition::parse(
        &SourceText::new("x", composed.definition.to_yaml()),
        crate::package::Strictness::Existing,
    );
    assert_eq!(again.unwrap().metadata.description, nasty);
    let warning = &composed.warnings[0];
    assert_eq!(warning.place, "c/jackal.yaml:5:12");
    assert!(
        warning.message.contains("deprecated syntax ###"),
        "{warning}"
    );
}

#[test]
fn a_template_without_value_is_reported_once_with_its_place() {
    let text = refused(&[(
        "",
        "components:\n- name: a\n  images:\n  - x:###JACKAL_PKG_TMPL_TAG###\n  \
         - y:###JACKAL_PKG_TMPL_TAG###\n",
    )]);
    assert!(
        text.starts_with("jackal.yaml:6:5: template `TAG` has no value"),
        "{text}"
    );
    assert_eq!(text.matches("template `TAG`").count(), 1, "{text}");
}

#[test]
fn the_size_of_a_composed_definition_is_limited() {
    let files = "  - {source: a, target: b}\n".repeat(20_000);
    let base = format!("components:\n- name: a\n  files:\n{files}");
    let many: String = (0..20)
        .map(|n| format!("- name: c{n}\n  import: {{path: base, name: a}}\n"))
        .collect();
    let text = refused(&[("", &format!("components:\n{many}")), ("base", &base)]);
    assert!(text.contains("more than 1000000 nodes"), "{text}");
}

#[test]
fn text_that_imports_or_templates_multiply_is_bounded() {
    let long = "d".repeat(400_000);
    let components: Vec<String> = (0..100)
        .map(|number| format!("- {{name: c{number}, import: {{path: a, name: c}}}}\n"))
        .collect();
    let top = format!("components:\n{}", components.concat());
    let imported = format!("components:\n- {{name: c, description: {long}}}\n");
    let text = refused(&[("", &top), ("a", &imported)]);
    assert!(text.contains("more than 32 MiB of text"), "{text}");
    // A name that its own component repeats.
    let templates = "###JACKAL_COMPONENT_NAME###".repeat(100);
    let text = format!("components:\n- {{name: {long}, description: '{templates}'}}\n");
    let text = refused(&[("", &text)]);
    assert!(
        text.contains("template values contain too much text"),
        "{text}"
    );
}

#[test]
fn keys_of_newer_programs_are_composed_or_refused_by_name() {
    let composed = good(&[
        (
            "",
            "components:\n- name: a\n  import: {path: c}\n  healthChecks:\n  - {apiVersion: v1, \
             kind: Pod, namespace: n, name: two}\n  charts:\n  - {name: c, namespace: n, \
             serverSideApply: 'false', variables: [{name: Y, description: d, path: .y}]}\n",
        ),
        (
            "c",
            "components:\n- name: a\n  stateAccess: [{x: 1}]\n  healthChecks:\n  - {apiVersion: \
             v1, kind: Pod, namespace: n, name: one}\n  charts:\n  - {name: c, namespace: n, \
             version: '1', localPath: p, serverSideApply: auto, schemaValidation: false, variables: \
             [{name: X, description: d, path: .x}], values: [{sourcePath: .a, targetPath: .b}]}\n  files:\n  \
             - {source: f, target: /f, template: true}\n",
        ),
    ]);
    let component = &composed.definition.components[0];
    let checks: Vec<&str> = component
        .health_checks
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(checks, ["one", "two"]);
    assert_eq!(component.state_access.len(), 1);
    let chart = &component.charts[0];
    assert_eq!(
        (chart.server_side_apply.as_str(), chart.schema_validation),
        ("false", Some(false))
    );
    let variables: Vec<&str> = chart.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(variables, ["X", "Y"]);
    assert_eq!(chart.values[0].target_path, ".b");
    assert!(component.files[0].template);
}

#[test]
fn values_that_are_left_out_are_below_those_that_are_copied() {
    let chart = |source: &str, excluded: &str| {
        format!(
            "components:\n- name: a\n  charts:\n  - {{name: c, namespace: n, version: '1', localPath: p, \
             values: [{{sourcePath: {source}, targetPath: .x, excludePaths: [{excluded}]}}]}}\n"
        )
    };
    good(&[("", &chart(".a", ".a.b"))]);
    good(&[("", &chart(".", ".b"))]);
    for excluded in [".b", ".a", ".ab.c"] {
        let text = refused(&[("", &chart(".a", excluded))]);
        assert!(text.contains("is not below `.a`"), "{text}");
    }
}

#[test]
fn values_of_imported_definitions_come_first() {
    let composed = good(&[
        (
            "",
            "values: {files: [v.yaml]}\ncomponents:\n- name: a\n  import: {path: c}\n- name: b\n  \
             import: {path: c}\n",
        ),
        (
            "c",
            "values: {files: [v.yaml, /w.yaml], schema: s.json}\ndocumentation: {x: y}\ncomponents:\n- \
             name: a\n  import: {path: d}\n- name: b\n",
        ),
        (
            "c/d",
            "values: {files: [x.yaml], schema: ../t.json}\ncomponents:\n- name: a\n",
        ),
    ]);
    let values = &composed.definition.values;
    // Each definition counts once, and the end of a chain comes before its beginning.
    assert_eq!(
        values.files,
        ["c/d/x.yaml", "c/v.yaml", "/w.yaml", "v.yaml"]
    );
    assert_eq!(values.schema, "c/s.json");
    assert_eq!(composed.schemas, ["c/t.json"]);
    assert!(composed.definition.documentation.is_empty());
    // What is empty changes nothing.
    let composed = good(&[
        ("", "components:\n- name: a\n  import: {path: c}\n"),
        ("c", "values: {}\ncomponents:\n- name: a\n"),
    ]);
    assert!(composed.definition.values.files.is_empty());
}
