//! Pipelines and packages of a workspace are one graph: what a target selects, what
//! crosses folders, and what a mistake in one file stops.

use std::fs;

use super::sandbox::{HEAD, Sandbox, settle};

/// A pipeline with these tasks.
fn pipeline(tasks: &str) -> String {
    format!("{HEAD}tasks:\n{tasks}")
}

const PACKAGE: &str = "kind: JackalPackageConfig\nmetadata: { name: NAME, version: 1.0.0, architecture: amd64 }\n\
                       components:\n- name: c\n  files: [{ source: f, target: /f }]\n";

fn package(sandbox: &Sandbox, folder: &str) {
    let name = folder.replace('/', "-");
    let text = PACKAGE.replace("NAME", &name);
    sandbox.write(&format!("{folder}/jackal.yaml"), text);
    sandbox.write(&format!("{folder}/f"), format!("{folder}\n"));
}

/// A library, a program of it that names the library's task, and one that reads the
/// library's output by its path.
fn workspace() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "libs/core/jackal.pipeline.yaml",
        pipeline("  compile: { run: [sh, -c, 'mkdir dist; cp in dist/lib'], inputs: [in], outputs: [dist/], tools: [sh, mkdir, cp] }\n"),
    );
    sandbox.write("libs/core/in", "core\n");
    sandbox.write(
        "apps/web/jackal.pipeline.yaml",
        pipeline(
            "  link: { run: [sh, -c, 'cat ../../libs/core/dist/lib own >out'], inputs: ['task:libs/core:compile', own], outputs: [out], tools: [sh, cat] }\n  \
               test: { run: [sh, -c, 'cat out'], inputs: ['task:link'], tools: [sh, cat], tags: [check] }\n",
        ),
    );
    sandbox.write("apps/web/own", "web\n");
    sandbox.write(
        "apps/cli/jackal.pipeline.yaml",
        pipeline("  link: { run: [sh, -c, 'cat ../../libs/core/dist/lib >out'], inputs: ['../../libs/core/dist/**'], outputs: [out], tools: [sh, cat] }\n"),
    );
    settle();
    sandbox
}

fn tasks(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    sandbox
        .build(args)
        .into_iter()
        .map(|(task, _)| task)
        .collect()
}

fn executed(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let all = sandbox.build(args).into_iter();
    let executed = all.filter(|(_, status)| status == "executed");
    executed.map(|(task, _)| task).collect()
}

#[test]
fn tasks_of_one_folder_read_what_those_of_another_made() {
    let sandbox = workspace();
    let all = [
        "apps/cli:link",
        "apps/web:link",
        "apps/web:test",
        "libs/core:compile",
    ];
    assert_eq!(tasks(&sandbox, &[]), all);
    let read = |path: &str| fs::read_to_string(sandbox.src().join(path)).unwrap();
    assert_eq!(read("apps/web/out"), "core\nweb\n");
    assert_eq!(read("apps/cli/out"), "core\n");
    // What lies in the workspace is not what is read.
    settle();
    sandbox.write("libs/core/dist/lib", "changed by hand\n");
    fs::remove_file(sandbox.src().join("apps/cli/out")).unwrap();
    assert_eq!(
        executed(&sandbox, &["--clean-outputs"]),
        Vec::<String>::new()
    );
    assert_eq!(read("apps/cli/out"), "core\n");
    sandbox.write("libs/core/in", "core 2\n");
    settle();
    let again = [
        "apps/cli:link",
        "apps/web:link",
        "apps/web:test",
        "libs/core:compile",
    ];
    assert_eq!(executed(&sandbox, &["--clean-outputs"]), again);
    assert_eq!(read("apps/cli/out"), "core 2\n");
}

#[test]
fn a_pattern_excludes_what_another_folder_made_however_far_it_climbs() {
    let sandbox = workspace();
    sandbox.write(
        "libs/use/jackal.pipeline.yaml",
        pipeline("  t: { run: [sh, -c, 'ls ../core/dist >out'], inputs: ['../core/dist/**', '!../../libs/core/dist/b'], outputs: [out], tools: [sh, ls] }\n"),
    );
    let tasks = "  compile: { run: [sh, -c, 'mkdir dist; cp in dist/a; cp in dist/b'], inputs: [in], outputs: [dist/], tools: [sh, mkdir, cp] }\n";
    sandbox.write("libs/core/jackal.pipeline.yaml", pipeline(tasks));
    sandbox.build(&["libs/use"]);
    let listed = fs::read_to_string(sandbox.src().join("libs/use/out")).unwrap();
    assert_eq!(listed, "a\n");
}

#[test]
fn targets_select_folders_files_tasks_and_tags_with_what_they_need() {
    let sandbox = workspace();
    for (words, expected) in [
        (
            &["apps/cli"][..],
            &["apps/cli:link", "libs/core:compile"][..],
        ),
        (&["libs"], &["libs/core:compile"]),
        (&["apps/web:link"], &["apps/web:link", "libs/core:compile"]),
        (
            &[":link"],
            &["apps/cli:link", "apps/web:link", "libs/core:compile"],
        ),
        (
            &["link", "!apps/web"],
            &["apps/cli:link", "libs/core:compile"],
        ),
        (
            &["tag:check"],
            &["apps/web:link", "apps/web:test", "libs/core:compile"],
        ),
        (&["libs/core/jackal.pipeline.yaml"], &["libs/core:compile"]),
        (
            &["--pipeline", "apps/cli/jackal.pipeline.yaml"],
            &["apps/cli:link", "libs/core:compile"],
        ),
        (&["^libs/core:compile"], &["libs/core:compile"]),
    ] {
        assert_eq!(tasks(&sandbox, words), expected, "{words:?}");
    }
    let said = sandbox.run(&["build", "lnk"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("did you mean `link`"),
        "{}",
        said.stderr
    );
    let said = sandbox.run(&["build", "apps/none"]);
    assert!(
        said.stderr.contains("no such file or directory"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_build_in_a_folder_is_of_what_lies_below_it_into_the_output_of_the_workspace() {
    let sandbox = workspace();
    for folder in ["apps/a", "apps/b", "other"] {
        package(&sandbox, folder);
    }
    settle();
    let mut command = sandbox.command(&["build"]);
    let said = super::sandbox::said(command.current_dir(sandbox.src().join("apps")));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mut made: Vec<_> = fs::read_dir(sandbox.src().join("dist"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    let names =
        ["apps-a", "apps-b"].map(|name| format!("jackal-package-{name}-amd64-1.0.0.tar.zst"));
    assert_eq!(made, names);
    assert!(sandbox.src().join("apps/cli/out").exists());
    sandbox.write(
        "jackal-workspace.yaml",
        "output: archives\nexclude: [apps/b]\n",
    );
    let said = sandbox.run(&["build", "apps"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let made = fs::read_dir(sandbox.src().join("archives"))
        .unwrap()
        .count();
    assert_eq!(made, 1);
}

#[test]
fn a_broken_file_stops_only_what_needs_it() {
    let sandbox = workspace();
    sandbox.write(
        "broken/jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 2\n",
    );
    sandbox.write(
        "bad/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {}\n",
    );
    assert_eq!(tasks(&sandbox, &["apps/cli"]).len(), 2);
    for (words, part) in [
        (&["broken"][..], "broken/jackal.pipeline.yaml:2:10"),
        (&["bad"], "bad/jackal.yaml"),
        (&[], "broken/jackal.pipeline.yaml:2:10"),
    ] {
        let said = sandbox.run(&[&["build"], words].concat());
        assert_eq!(said.code, Some(3), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{words:?}: {}", said.stderr);
    }
    // What it makes is not known, so a path into its folder may be an output.
    sandbox.write("broken/dist/x", "old\n");
    sandbox.write(
        "reader/jackal.pipeline.yaml",
        pipeline("  t: { run: [sh, -c, 'true'], inputs: ['../broken/dist/x'], tools: [sh] }\n"),
    );
    let said = sandbox.run(&["build", "reader"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("broken/jackal.pipeline.yaml:2:10"),
        "{}",
        said.stderr
    );
    // What names a task of a broken file shows the mistake of that file.
    sandbox.write(
        "user/jackal.pipeline.yaml",
        pipeline("  t: { run: [sh, -c, 'true'], inputs: ['task:broken:x'], tools: [sh] }\n"),
    );
    let said = sandbox.run(&["build", "user"]);
    assert!(
        said.stderr.contains("broken/jackal.pipeline.yaml:2:10"),
        "{}",
        said.stderr
    );
    sandbox.write(
        "user/jackal.pipeline.yaml",
        pipeline(
            "  t: { run: [sh, -c, 'true'], inputs: ['task:libs/core:compil'], tools: [sh] }\n",
        ),
    );
    let said = sandbox.run(&["build", "user"]);
    let near = "did you mean `libs/core:compile`";
    assert!(said.stderr.contains(near), "{}", said.stderr);
    assert!(
        said.stderr.contains("user/jackal.pipeline.yaml:5:"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_pipeline_packages_a_definition_instead_of_the_implied_tasks() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    package(&sandbox, "one");
    package(&sandbox, "two");
    let other = PACKAGE.replace("NAME", "two").replace("1.0.0", "2.0.0");
    sandbox.write("two/jackal.yaml", other);
    sandbox.write(
        "one/jackal.pipeline.yaml",
        pipeline(
            "  part: { component: { definition: jackal.yaml, name: c } }\n  \
               pack: { package: { definition: jackal.yaml, components: part } }\n",
        ),
    );
    // The release of both is a task of the root, and runs only if it is named.
    sandbox.write(
        "jackal.pipeline.yaml",
        pipeline("  release: { publish: { packages: ['one:pack', 'two:package'], to: 'oci-layout:out' } }\n"),
    );
    settle();
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stderr.contains("left out: `release`"),
        "{}",
        said.stderr
    );
    assert!(!sandbox.src().join("out").exists());
    let made = tasks(&sandbox, &[":release"]);
    for task in [
        "one:pack",
        "one:part",
        "release",
        "two:component:c",
        "two:package",
    ] {
        assert!(made.iter().any(|made| made == task), "{task}: {made:?}");
    }
    assert!(
        !made.iter().any(|made| made.starts_with("one:component")),
        "{made:?}"
    );
    assert!(sandbox.src().join("out/index.json").exists());
}

#[test]
fn a_file_below_the_root_names_the_package_of_the_root() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write("jackal.yaml", PACKAGE.replace("NAME", "root"));
    sandbox.write("f", "f\n");
    sandbox.write(
        "release/jackal.pipeline.yaml",
        pipeline("  out: { publish: { packages: ['.:package'], to: 'oci-layout:out' } }\n"),
    );
    settle();
    let made = tasks(&sandbox, &["release:out"]);
    assert!(made.contains(&"package".to_owned()), "{made:?}");
    assert!(sandbox.src().join("release/out/index.json").exists());
    let said = sandbox.run(&["build", "--param", "none=1"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("no parameter named `none`"),
        "{}",
        said.stderr
    );
    sandbox.write(
        "broken/jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\ntask: {}\n",
    );
    let said = sandbox.run(&["build", "--param", "none=1"]);
    assert!(
        said.stderr
            .contains("broken/jackal.pipeline.yaml:3:1: unknown key `task`"),
        "{}",
        said.stderr
    );
}

#[test]
fn files_are_included_by_patterns_and_share_settings_of_the_workspace() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal-workspace.yaml",
        "include: ['ci/*.yaml']\ndefaults: { shell: sh }\nexclude: [examples]\n",
    );
    let script = |extra: &str| {
        pipeline(&format!(
            "  t: {{ run: 'echo hi >o', inputs: [], outputs: [o], tools: [sh]{extra} }}\n"
        ))
    };
    sandbox.write("ci/build.yaml", script(""));
    sandbox.write("examples/x/jackal.pipeline.yaml", script(""));
    sandbox.write("lib/tasks.yaml", script(""));
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: r\ninclude: ['lib/*.yaml']\ntasks: {}\n",
    );
    assert_eq!(tasks(&sandbox, &[]), ["ci:t", "lib:t"]);
    // One that only `include` names belongs to the graph, one that nothing names does not.
    assert_eq!(
        tasks(&sandbox, &["--pipeline", "lib/tasks.yaml"]),
        ["lib:t"]
    );
    sandbox.write("lib/more/own.yml", script(""));
    assert_eq!(tasks(&sandbox, &["lib/more/own.yml"]), ["t"]);
    sandbox.write("jackal-workspace.yaml", "requires: '>=99.0'\n");
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("jackal-workspace.yaml:1:11"),
        "{}",
        said.stderr
    );
    sandbox.write("jackal-workspace.yaml", "");
    sandbox.write(
        "jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: r\ninclude: ['none/*.yaml']\ntasks: {}\n",
    );
    sandbox.write("apart/jackal.pipeline.yaml", script(", shell: sh"));
    assert_eq!(tasks(&sandbox, &["apart"]), ["apart:t"]);
    let said = sandbox.run(&["build", "jackal.pipeline.yaml"]);
    assert!(
        said.stderr.contains("`none/*.yaml` in `include`"),
        "{}",
        said.stderr
    );
}

#[test]
fn outputs_of_two_files_that_overlap_are_refused_with_both_tasks() {
    let sandbox = workspace();
    sandbox.write(
        "jackal.pipeline.yaml",
        pipeline("  other: { run: [sh, -c, 'true'], inputs: [], outputs: [libs/core/dist/x], tools: [sh] }\n"),
    );
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for part in ["`libs/core:compile`", "`other`", "jackal.pipeline.yaml:"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

#[test]
fn a_value_for_a_template_that_no_package_of_the_build_has_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    let package = |name: &str, template: &str, of: &str| {
        sandbox.write(
            &format!("{name}/jackal.yaml"),
            format!(
                "kind: JackalPackageConfig\nmetadata: {{ name: {name}, version: '###JACKAL_PKG_TMPL_{template}###' }}\n\
                 components:\n- name: a\n- name: b\n  description: '###JACKAL_PKG_TMPL_{of}###'\n  \
                 only: {{ flavor: other }}\n"
            ),
        );
    };
    package("one", "VERSION", "FLAVORED");
    package("two", "RELEASE", "FLAVORED");
    sandbox.write(
        "three/jackal.pipeline.yaml",
        "kind: JackalPipeline\nversion: 1\nname: three\nparams: { channel: { default: x } }\n\
         tasks: { a: { run: ['true'], inputs: [] } }\n",
    );
    let build = |args: &[&str]| {
        let all = [&["build", "--dry-run", "--set", "VERSION=1"], args].concat();
        sandbox.run(&all)
    };
    for accepted in [
        &["one"][..],
        // One of several knows it.
        &["--set", "RELEASE=2"],
        // It is in the definition, for another flavor.
        &["one", "--set", "FLAVORED=1"],
    ] {
        let said = build(accepted);
        assert_eq!(said.code, Some(0), "{accepted:?}: {}", said.stderr);
    }
    for (refused, part) in [
        (
            &["one", "--set", "VERSIO=1"][..],
            "no template named `VERSIO`",
        ),
        (&["one", "--set", "VERSIO=1"], "did you mean `VERSION`?"),
        (
            &["one", "--set", "OTHER_THING=1"],
            "there are: FLAVORED, VERSION",
        ),
        (
            &["--set", "RELEASE=2", "--set", "CHANNEL=y"],
            "use --param channel=VALUE",
        ),
        (&["three"], "no template named `VERSION`"),
        (&["three"], "there are none"),
    ] {
        let said = build(refused);
        assert_eq!(said.code, Some(3), "{refused:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{refused:?}: {}", said.stderr);
    }
}

#[test]
fn a_definition_that_a_pipeline_packages_means_the_task_that_does_so() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    package(&sandbox, "web");
    let tasks = "  c: { component: { definition: jackal.yaml, name: c } }\n  \
                   pkg: { package: { definition: jackal.yaml, components: c } }\n  \
                   other: { run: ['true'], inputs: [], tools: ['true'] }\n";
    sandbox.write("web/jackal.pipeline.yaml", pipeline(tasks));
    let said = sandbox.run(&["build", "web/jackal.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("executed web:pkg"), "{}", said.stderr);
    assert!(!said.stderr.contains("web:other"), "{}", said.stderr);
}

#[test]
fn sources_in_the_folder_of_the_cache_are_refused() {
    let sandbox = Sandbox::new();
    package(&sandbox, "web");
    let said = sandbox.run(&["build", "web", "--cache-dir", "."]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("a folder of its own"),
        "{}",
        said.stderr
    );
}
