//! What a task reads by its path is what another recorded, and no file is removed that
//! a task did not make.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{HEAD, Said, Sandbox, settle};

fn pipeline(sandbox: &Sandbox, tasks: &str) {
    let head = "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n";
    sandbox.write("p.yaml", format!("{head}{tasks}"));
}

fn build(sandbox: &Sandbox, more: &[&str]) -> Said {
    settle();
    sandbox.run(&[&["build", "--pipeline", "p.yaml"], more].concat())
}

fn built(sandbox: &Sandbox) {
    let said = build(sandbox, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

fn text(sandbox: &Sandbox, path: &str) -> String {
    fs::read_to_string(sandbox.src().join(path)).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder);
    assert!(command.output().unwrap().status.success());
}

const COMPONENT: &str = "kind: JackalPackageConfig\nmetadata: { name: demo, version: 1.0.0, \
                         architecture: amd64 }\ncomponents:\n- name: c\n  files: [{ source: SOURCE, target: /opt }]\n";

#[test]
fn a_path_in_an_output_is_an_edge_and_the_record_is_what_is_read() {
    let sandbox = Sandbox::new();
    sandbox.write("src/app", "v1\n");
    sandbox.write("jackal.yaml", COMPONENT.replace("SOURCE", "bin"));
    pipeline(
        &sandbox,
        "  compile: { run: [sh, -c, 'mkdir -p bin/x; cp src/app bin/x/app'], inputs: [src/**], outputs: [bin/x/], tools: [sh, mkdir, cp] }\n  \
           whole: { run: [sh, -c, 'cat bin/x/app > a.txt'], inputs: ['bin/x/**'], outputs: [a.txt], tools: [sh, cat] }\n  \
           one: { run: [cp, bin/x/app, b.txt], inputs: [bin/x/app], outputs: [b.txt], tools: [cp] }\n  \
           all: { run: [sh, -c, 'ls > c.txt'], inputs: ['**'], outputs: [c.txt], tools: [sh, ls] }\n  \
           c: { component: { definition: jackal.yaml, name: c } }\n  \
           pkg: { package: { definition: jackal.yaml, components: c } }\n",
    );
    for version in ["v1\n", "v2\n"] {
        sandbox.write("src/app", version);
        built(&sandbox);
        assert_eq!(text(&sandbox, "a.txt"), version);
        assert_eq!(text(&sandbox, "b.txt"), version);
        assert!(!text(&sandbox, "c.txt").contains("bin"));
        let archive = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";
        let said = sandbox.run(&["package", "extract", archive, "-o", "out"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let tar = fs::read(sandbox.src().join("out/components/c.tar")).unwrap();
        let held = tar.windows(3).any(|part| part == version.as_bytes());
        assert!(held, "{version}");
        fs::remove_dir_all(sandbox.src().join("out")).unwrap();
    }
    let record = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        record.iter().all(|(_, status)| status == "cached"),
        "{record:?}"
    );
}

#[test]
fn an_edge_that_closes_a_cycle_is_refused_with_both_places() {
    let sandbox = Sandbox::new();
    pipeline(
        &sandbox,
        "  a: { run: [cp, y, x], inputs: [y], outputs: [x] }\n  b: { run: [cp, x, y], inputs: ['task:a'], outputs: [y] }\n",
    );
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for part in ["p.yaml:5:", "p.yaml:6:", "`a` reads `y`, which `b` makes"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

#[test]
fn a_command_does_not_read_its_own_output() {
    let sandbox = Sandbox::new();
    sandbox.write("main.go", "aaa\n");
    for (input, output) in [("main.go", "main.go"), ("'./o/**'", "o/")] {
        pipeline(
            &sandbox,
            &format!(
                "  fmt: {{ run: [sh, -c, 'echo > x'], inputs: [{input}], outputs: [{output}] }}\n"
            ),
        );
        let said = build(&sandbox, &["--dry-run"]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains("p.yaml:5:"), "{}", said.stderr);
        assert!(said.stderr.contains("its own output"), "{}", said.stderr);
    }
    assert_eq!(text(&sandbox, "main.go"), "aaa\n");
}

#[test]
fn a_link_to_what_a_task_makes_is_refused_before_and_after_it_ran() {
    use std::os::unix::fs::symlink;
    let sandbox = Sandbox::new();
    sandbox.write("src", "1\n");
    sandbox.write("kept/own", "own\n");
    symlink("gen", sandbox.src().join("g2")).unwrap();
    symlink("../gen", sandbox.src().join("kept/in")).unwrap();
    let make = "  g: { run: [sh, -c, 'mkdir -p gen; cp src gen/x'], inputs: [src], outputs: [gen/x], tools: [sh, mkdir, cp] }\n";
    sandbox.write("jackal.yaml", COMPONENT.replace("SOURCE", "kept"));
    for user in [
        "run: [cp, g2/x, all], inputs: [g2/x], outputs: [all], tools: [cp]",
        "image: { base: scratch, layers: [{ from: g2/x, to: /x }] }",
        "component: { definition: jackal.yaml, name: c }",
    ] {
        pipeline(
            &sandbox,
            &format!("{make}  u: {{ dependsOn: [g], {user} }}\n"),
        );
        for round in 0..2 {
            let said = build(&sandbox, &[]);
            let shown = format!("{round} {user}: {}", said.stderr);
            assert!(said.code.is_some_and(|code| code != 0), "{shown}");
            assert!(said.stderr.contains("which a task makes"), "{shown}");
        }
        fs::remove_dir_all(sandbox.src().join("gen")).unwrap();
    }
}

#[test]
fn a_folder_holds_no_output_that_no_task_declares_any_more() {
    let made = |names: &[&str]| {
        let sandbox = Sandbox::new();
        sandbox.write("web/index.html", "i\n");
        sandbox.write("src", "1\n");
        sandbox.write("jackal.yaml", COMPONENT.replace("SOURCE", "web"));
        for name in names {
            pipeline(
                &sandbox,
                &format!(
                    "  g: {{ run: [cp, src, web/{name}], inputs: [src], outputs: [web/{name}], tools: [cp] }}\n  \
                       c: {{ component: {{ definition: jackal.yaml, name: c }} }}\n  \
                       p: {{ package: {{ definition: jackal.yaml, components: c }} }}\n"
                ),
            );
            built(&sandbox);
        }
        let archive = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";
        fs::read(sandbox.src().join(archive)).unwrap()
    };
    assert_eq!(made(&["v1.js", "v2.js"]), made(&["v2.js"]));
}

#[test]
fn a_pattern_for_what_only_tasks_make_is_an_error_before_and_after_they_ran() {
    let sandbox = Sandbox::new();
    sandbox.write("src", "1\n");
    for pattern in ["gen/*/x", "ge*/**"] {
        pipeline(
            &sandbox,
            &format!(
                "  g: {{ run: [sh, -c, 'mkdir -p gen/a; cp src gen/a/x'], inputs: [src], outputs: [gen/a/], tools: [sh, mkdir, cp] }}\n  \
                   u: {{ dependsOn: [g], run: [sh, -c, 'cat gen/*/x > all'], inputs: ['{pattern}'], outputs: [all], tools: [sh, cat] }}\n"
            ),
        );
        for _ in 0..2 {
            let said = build(&sandbox, &[]);
            assert_eq!(said.code, Some(3), "{pattern}: {}", said.stderr);
            let why = "is the output of a task";
            assert!(said.stderr.contains(why), "{pattern}: {}", said.stderr);
        }
    }
}

#[test]
fn outputs_are_relative_to_the_file_and_apart_from_archives() {
    let sandbox = Sandbox::new();
    sandbox.write("c/in", "1\n");
    sandbox.write("jackal.yaml", COMPONENT.replace("SOURCE", "c"));
    let task = "  a: { run: [cp, in, OUT], workdir: c, inputs: [c/in], outputs: [c/out.txt], tools: [cp] }\n";
    pipeline(&sandbox, &task.replace("OUT", "out.txt"));
    built(&sandbox);
    assert_eq!(text(&sandbox, "c/out.txt"), "1\n");
    pipeline(
        &sandbox,
        "  a: { run: [mkdir, -p, dist/web], inputs: [], outputs: [dist/], tools: [mkdir] }\n  \
           c: { component: { definition: jackal.yaml, name: c } }\n  p: { package: { definition: jackal.yaml, components: c } }\n",
    );
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("`-o DIR`"), "{}", said.stderr);
    let said = build(&sandbox, &["-o", "out"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn only_what_a_task_made_is_removed_from_its_outputs() {
    let sandbox = Sandbox::new();
    sandbox.write("flag", "1\n");
    let script = "mkdir -p out d; echo main > out/main; if [ -e flag ]; then echo > out/more; echo > d/maybe; fi";
    pipeline(
        &sandbox,
        &format!(
            "  t: {{ run: [sh, -c, '{script}'], inputs: ['flag*', other], outputs: [out/, {{ path: d/maybe, optional: true }}], tools: [sh, mkdir] }}\n"
        ),
    );
    sandbox.write("other", "x");
    built(&sandbox);
    assert!(sandbox.src().join("d/maybe").exists());
    // What it made goes once it makes it no more.
    sandbox.write("flag2", "");
    fs::remove_file(sandbox.src().join("flag")).unwrap();
    built(&sandbox);
    for gone in ["out/more", "d/maybe"] {
        assert!(!sandbox.src().join(gone).exists(), "{gone}");
    }
    // What it did not make stays, and is named.
    sandbox.write("out/notes.txt", "mine\n");
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("`out/notes.txt`"), "{}", said.stderr);
    assert_eq!(text(&sandbox, "out/notes.txt"), "mine\n");
    git(&sandbox.src(), &["init", "-q"]);
    git(&sandbox.src(), &["add", "out/notes.txt"]);
    assert_eq!(build(&sandbox, &["--clean-outputs"]).code, Some(3));
    git(&sandbox.src(), &["rm", "-q", "--cached", "out/notes.txt"]);
    assert_eq!(build(&sandbox, &["--clean-outputs"]).code, Some(0));
    assert!(!sandbox.src().join("out/notes.txt").exists());
}

#[test]
fn a_pattern_selects_something_or_says_that_it_may_not() {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "gen/\n*.log\n");
    sandbox.write("gen/g", "1\n");
    sandbox.write("a.log", "1\n");
    let task = |inputs: &str| {
        format!(
            "  t: {{ run: [sh, -c, 'ls -R > o'], inputs: [{inputs}], outputs: [o], tools: [sh, ls] }}\n"
        )
    };
    for (inputs, held) in [
        ("'gen/**'", Some("gen")),
        ("{ glob: 'none/**', optional: true }", None),
        ("a.log", Some("a.log")),
    ] {
        pipeline(&sandbox, &task(inputs));
        built(&sandbox);
        let made = text(&sandbox, "o");
        assert!(
            held.is_none_or(|held| made.contains(held)),
            "{inputs}: {made}"
        );
    }
    for (inputs, why) in [
        ("'none/**'", "optional: true"),
        ("'*.log'", "such as `a.log`"),
        ("absent", "matches nothing"),
    ] {
        pipeline(&sandbox, &task(inputs));
        let said = build(&sandbox, &[]);
        assert_eq!(said.code, Some(3), "{inputs}: {}", said.stderr);
        assert!(said.stderr.contains(why), "{inputs}: {}", said.stderr);
        assert!(
            said.stderr.contains("p.yaml:5:"),
            "{inputs}: {}",
            said.stderr
        );
    }
}

#[test]
fn archives_and_the_cache_are_in_no_package() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal.yaml", COMPONENT.replace("SOURCE", "."));
    sandbox.write("f", "1\n");
    let cache = sandbox.src().join("cache");
    let build = || {
        settle();
        let mut command = sandbox.command(&["build", "--skip-sbom"]);
        let said = crate::sandbox::said(command.env("JACKAL_CACHE", &cache));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        fs::read(sandbox.archive()).unwrap()
    };
    let first = build();
    assert_eq!(first, build());
}

#[test]
fn a_declared_image_is_brought_by_its_name_or_the_package_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("f", "1\n");
    let definition = COMPONENT.replace("SOURCE", "f");
    sandbox.write(
        "jackal.yaml",
        format!("{definition}  images: [r.example.com/acme/svc:1.0.0]\n"),
    );
    let tasks = |name: &str| {
        format!(
            "  svc: {{ image: {{ base: scratch, platform: linux/amd64, {name} layers: [{{ from: f, to: /f }}] }} }}\n  \
               c: {{ component: {{ definition: jackal.yaml, name: c }} }}\n  \
               p: {{ package: {{ definition: jackal.yaml, components: c, images: svc }} }}\n"
        )
    };
    pipeline(&sandbox, &tasks(""));
    let said = build(&sandbox, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("acme/svc:1.0.0"), "{}", said.stderr);
    pipeline(&sandbox, &tasks("name: 'r.example.com/acme/svc:1.0.0',"));
    built(&sandbox);
}

#[test]
fn a_tool_that_is_replaced_while_it_runs_leaves_no_result_under_the_old_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let tool = |text: &str| {
        sandbox.write("bin/new", format!("#!/bin/sh\n{text}\n"));
        let new = sandbox.src().join("bin/new");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, sandbox.src().join("bin/gen")).unwrap();
    };
    let folder = sandbox.src().join("bin");
    let path = format!("{}:/usr/bin:/bin", folder.display());
    pipeline(
        &sandbox,
        "  t: { run: [gen], inputs: [], outputs: [o], tools: [sh], sandbox: none }\n",
    );
    let build = || {
        settle();
        let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
        let said = crate::sandbox::said(command.env("PATH", &path));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        text(&sandbox, "o")
    };
    let swap = "printf '#!/bin/sh\\necho v2 > o\\n'";
    let v1 = format!(
        "echo v1 > o; {swap} > {0}/new; chmod +x {0}/new; mv {0}/new {0}/gen",
        folder.display()
    );
    tool(&v1);
    assert_eq!(build(), "v2\n", "made again with the new tool");
    tool("echo v1 > o");
    assert_eq!(build(), "v1\n");
}

#[test]
fn a_tool_that_is_replaced_between_two_confined_commands_is_the_new_one_for_the_second() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let tool = sandbox.src().join("bin/gen");
    sandbox.write("bin/gen", "#!/bin/sh\necho v1 >$1\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = sandbox.src().join("bin");
    let script = format!(
        "cd {}; sed s/v1/v2/ gen >new; chmod 755 new; mv new gen; echo >$OLDPWD/swapped",
        folder.display()
    );
    pipeline(
        &sandbox,
        &format!(
            "  a: {{ run: [gen, o1], inputs: [], outputs: [o1], tools: [gen, sh] }}\n  \
               swap: {{ run: [sh, -c, '{script}'], inputs: ['task:a'], outputs: [swapped], sandbox: none }}\n  \
               b: {{ run: [gen, o2], inputs: ['task:swap'], outputs: [o2], tools: [gen, sh] }}\n"
        ),
    );
    settle();
    let mut command = sandbox.command(&["build", "--pipeline", "p.yaml"]);
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let said = crate::sandbox::said(command.env("PATH", path));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        (text(&sandbox, "o1"), text(&sandbox, "o2")),
        ("v1\n".into(), "v2\n".into())
    );
}

#[test]
fn what_git_ignores_in_a_literal_folder_is_left_out_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.write(".gitignore", "*.log\ncache/\n");
    sandbox.write("data/a.log", "a\n");
    sandbox.write("data/cache/b", "b\n");
    sandbox.write("data/cache/c", "c\n");
    let task = |inputs: &str| {
        let task = format!(
            "  t: {{ run: [sh, -c, 'ls -R data > o.txt'], inputs: [{inputs}], outputs: [o.txt], tools: [sh, ls] }}\n"
        );
        pipeline(&sandbox, &task);
        let said = build(&sandbox, &[]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stderr
    };
    let told = "`data` in `inputs` leaves out `data/a.log` and 1 more, which .gitignore names";
    for _ in 0..2 {
        let stderr = task("data");
        assert!(stderr.contains(told), "{stderr}");
        assert!(stderr.contains("warning: p.yaml:5:"), "{stderr}");
        assert!(stderr.contains("`!data/a.log`"), "{stderr}");
    }
    assert_eq!(text(&sandbox, "o.txt"), "data:\n");
    for inputs in [
        "data, '!data/a.log', '!data/cache/**'",
        "data/a.log, data/cache",
    ] {
        let stderr = task(inputs);
        assert!(!stderr.contains("warning"), "{inputs}: {stderr}");
    }
    assert_eq!(
        text(&sandbox, "o.txt"),
        "data:\na.log\ncache\n\ndata/cache:\nb\nc\n"
    );
}

#[test]
fn inputs_may_be_beside_the_folder_but_in_the_repository() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    sandbox.write("lib/a", "a\n");
    sandbox.write("lib/b.tmp", "b\n");
    sandbox.write("apps/other/x", "x\n");
    sandbox.write("apps/web/main", "m\n");
    sandbox.write("../outside", "o\n");
    std::os::unix::fs::symlink("../../lib/a", sandbox.src().join("apps/other/link")).unwrap();
    let run = |inputs: &str| {
        let text = format!(
            "{HEAD}tasks:\n  \
             make: {{ run: [cp, main, gen], inputs: [main], outputs: [gen], tools: [cp] }}\n  \
             t: {{ run: [sh, -c, 'find .. ../../lib ! -type d ! -name o.txt | sort > o.txt; \
             cat ../../lib/a ../other/link >> o.txt; : > ../stray'], \
             inputs: [{inputs}], outputs: [o.txt], tools: [sh, find, sort, cat] }}\n"
        );
        sandbox.write("apps/web/p.yaml", text);
        settle();
        sandbox.run(&["build", "--pipeline", "apps/web/p.yaml"])
    };
    let inputs = "'../../lib/**', '!../../lib/*.tmp', ../other, ../web/main, ../web/gen";
    let said = run(inputs);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        text(&sandbox, "apps/web/o.txt"),
        "../../lib/a\n../other/link\n../other/x\n../web/gen\n../web/main\na\na\n"
    );
    assert!(
        said.stderr.contains("`../stray` was made outside"),
        "{}",
        said.stderr
    );
    assert!(!sandbox.src().join("apps/stray").exists());
    sandbox.write("lib/b.tmp", "c\n");
    assert!(run(inputs).stderr.contains("0 executed"));
    sandbox.write("lib/a", "c\n");
    let said = run(inputs);
    assert!(said.stderr.contains("1 executed"), "{}", said.stderr);
    let said = run("'../../../outside'");
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for part in ["apps/web/p.yaml:6:", "`../../../outside` leads out of"] {
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
}

#[test]
fn what_an_earlier_task_left_is_selected_only_if_it_is_named() {
    let sandbox = Sandbox::new();
    let build = |first: &str, inputs: &str| {
        pipeline(
            &sandbox,
            &format!(
                "  one: {{ run: [sh, -c, 'mkdir -p {first}; echo 1 > {first}/x'], inputs: [], outputs: [{first}/], tools: [sh, mkdir] }}\n  \
                 all: {{ run: [sh, -c, 'find . -type f ! -name o.txt | sort > o.txt'], inputs: [{inputs}], outputs: [o.txt], tools: [sh, find, sort] }}\n"
            ),
        );
        built(&sandbox);
        text(&sandbox, "o.txt")
    };
    let alone = "./p.yaml\n";
    assert_eq!(build("old", "'**'"), alone);
    // No task makes `old` now, and nothing has removed it.
    assert_eq!(build("new", "'**'"), alone);
    assert!(sandbox.src().join("old/x").exists());
    assert_eq!(build("new", "p.yaml, 'old/**'"), "./old/x\n./p.yaml\n");
    // A file of the user in it is a source.
    sandbox.write("old/y", "mine\n");
    assert_eq!(build("new", "'**'"), "./old/y\n./p.yaml\n");
    sandbox.write("old/x", "changed\n");
    assert_eq!(build("new", "'**'"), "./old/x\n./old/y\n./p.yaml\n");
}
