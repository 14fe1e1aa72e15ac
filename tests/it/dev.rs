//! `jackal dev`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::sandbox::{HEAD, Sandbox};

#[test]
fn sha256sum_prints_the_sum_of_a_file_alone() {
    let sandbox = Sandbox::new();
    // Source: docs/spec/package.md, "Test vectors".
    sandbox.write("data.txt", "random test data 🦄\n");
    let said = sandbox.run(&["dev", "sha256sum", "data.txt"]);
    assert_eq!(
        said.stdout,
        "61b50898f982d015ed87093ba822de0fe011cec6dd67db39f99d8c56391a6109\n"
    );
    let absent = sandbox.run(&["dev", "sha256sum", "absent"]);
    assert_eq!(absent.code, Some(4));
    assert!(absent.stderr.contains("cannot read `absent`"));
}

#[test]
fn images_in_manifests_are_found_and_a_missing_helm_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo}\n\
         variables:\n- name: TAG\n  default: \"1.2\"\n\
         components:\n- name: web\n  manifests:\n  - name: m\n    namespace: n\n    files: [m.yaml]\n  \
         charts:\n  - name: c\n    version: 0.1.0\n    namespace: n\n    localPath: chart\n",
    );
    sandbox.write(
        "m.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    \
         spec:\n      containers:\n      - image: ghcr.io/a/b:###JACKAL_VAR_TAG###\n",
    );
    let args = ["dev", "find-images", "--offline"];
    // Helm is not on this PATH.
    let find = |more: &[&str]| {
        let mut command = sandbox.command(&[&args[..], more].concat());
        command.env("PATH", sandbox.src());
        super::sandbox::said(&mut command)
    };
    let said = find(&[]);
    assert_eq!(
        said.stdout,
        "components:\n- name: web\n  images:\n  - ghcr.io/a/b:1.2\n"
    );
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr
            .contains("chart `c` could not be rendered: helm"),
        "{}",
        said.stderr
    );
    let why = find(&["--why", "ghcr.io/a/b:9", "--deploy-set", "tag=9"]);
    assert_eq!(why.stdout, "web: m.yaml: Deployment d\n");
}

#[test]
fn a_generated_configuration_is_read_and_changes_nothing_until_it_is_edited() {
    let sandbox = Sandbox::new();
    sandbox.package();
    for name in ["jackal-config.toml", "jackal-config.yaml"] {
        let made = sandbox.run(&["dev", "generate-config", name]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let file = sandbox.src().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("max_package_size"), "{text}");
        let built = sandbox.run(&["package", "create", "-o", "dist"]);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        assert!(sandbox.archive().exists());
        let again = sandbox.run(&["dev", "generate-config", name]);
        assert_eq!(again.code, Some(2), "{}", again.stderr);
        std::fs::remove_file(file).unwrap();
    }
    // An uncommented line takes effect.
    sandbox.run(&["dev", "generate-config"]);
    let file = sandbox.src().join("jackal-config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("# architecture = \"\"", "architecture = \"arm64\"");
    std::fs::write(&file, text).unwrap();
    let built = sandbox.run(&["package", "create", "-o", "dist"]);
    assert!(built.stdout.contains("demo-arm64-"), "{}", built.stdout);
    assert_eq!(
        sandbox.run(&["dev", "generate-config", "x.json"]).code,
        Some(2)
    );
}

#[test]
fn links_to_repositories_are_shown_and_replaced_only_when_confirmed() {
    let sandbox = Sandbox::new();
    let text = "url: https://github.com/stefanprodan/podinfo.git\nother: 1\n";
    sandbox.write("m.yaml", text);
    let patch = ["dev", "patch-git", "https://git.example.com", "m.yaml"];
    let shown = sandbox.run(&patch);
    let new = "https://git.example.com/jackal-git-user/podinfo-1646971829.git";
    assert_eq!(
        shown.stdout,
        format!("-url: https://github.com/stefanprodan/podinfo.git\n+url: {new}\n")
    );
    let read = || std::fs::read_to_string(sandbox.src().join("m.yaml")).unwrap();
    assert_eq!(read(), text);
    let written = sandbox.run(&[&patch[..], &["--confirm"]].concat());
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert_eq!(read(), format!("url: {new}\nother: 1\n"));
}

#[test]
fn a_definition_is_generated_for_a_chart_and_never_over_another() {
    let sandbox = Sandbox::new();
    let generate = || {
        let args = [
            "dev",
            "generate",
            "web",
            "--url",
            "https://charts.example.com",
            "--version",
            "1.0.0",
            "--output-directory",
            "out",
            "--offline",
        ];
        let mut command = sandbox.command(&args);
        // Without helm on PATH the images are not found, which is reported.
        command.env("PATH", sandbox.src());
        super::sandbox::said(&mut command)
    };
    let first = generate();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stdout, "out/jackal.yaml\n");
    assert!(
        first.stderr.contains("helm is not on PATH"),
        "{}",
        first.stderr
    );
    let text = std::fs::read_to_string(sandbox.src().join("out/jackal.yaml")).unwrap();
    for part in [
        "name: web",
        "url: https://charts.example.com",
        "required: true",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    assert_eq!(generate().stdout, "out/web-jackal.yaml\n");
    assert_eq!(generate().code, Some(2));
}

#[test]
fn a_generated_definition_lists_the_images_of_the_rendered_chart() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "bin/helm",
        "#!/bin/sh\necho 'kind: Pod\nspec: {containers: [{image: \"ghcr.io/a/b:1\"}]}'\n",
    );
    let helm = sandbox.src().join("bin/helm");
    std::fs::set_permissions(helm, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let args = [
        "dev",
        "generate",
        "web",
        "--url",
        "https://charts.example.com",
        "--version",
        "1.0.0",
        "--output-directory",
        "out",
        "--offline",
    ];
    let mut command = sandbox.command(&args);
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("bin").display());
    let said = super::sandbox::said(command.env("PATH", path));
    assert_eq!(said.stderr, "found 1 images\n");
    let text = std::fs::read_to_string(sandbox.src().join("out/jackal.yaml")).unwrap();
    assert!(text.contains("- ghcr.io/a/b:1"), "{text}");
}

#[test]
fn images_of_archives_are_found_and_not_looked_for_in_a_registry() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo}\ncomponents:\n- name: web\n  \
         imageArchives: [{path: i.tar, images: ['127.0.0.1:1/a:1']}]\n",
    );
    let said = sandbox.run(&["dev", "find-images"]);
    assert_eq!(
        said.stdout,
        "components:\n- name: web\n  images:\n  # Of `imageArchives`:\n  - 127.0.0.1:1/a:1\n"
    );
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn inputs_prints_what_a_command_uses_and_does_not_declare() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let sandbox = Sandbox::new();
    for (path, text) in [
        ("src/a.txt", "a"),
        ("src/deep/b.txt", "b"),
        ("notes/one.txt", "1"),
        ("notes/two.txt", "2"),
        ("Settings", "s"),
        ("old", "o"),
        (
            "make.sh",
            "cat src/*.txt src/deep/*.txt Settings > /dev/null\nread line < notes/one.txt\n\
             mkdir -p out/inner && echo x > out/inner/x && cp Settings made\n",
        ),
        (
            "p.yaml",
            "kind: JackalPipeline\nversion: 1\nname: p\ntasks:\n  a:\n    run: [sh, make.sh]\n    \
             inputs: [make.sh, Settings, old]\n    outputs: [made]\n    tools: [sh, cat]\n",
        ),
    ] {
        sandbox.write(path, text);
    }
    let said = sandbox.run(&["dev", "inputs", "a", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let expected = "# what the command used; copy it into the task `a`\n\
                    inputs:\n\
                    - Settings\n\
                    - make.sh\n\
                    - notes/one.txt    # not declared\n\
                    - src/**    # not declared\n\
                    outputs:\n\
                    - made\n\
                    - out/    # not declared\n\
                    tools:\n\
                    - cat\n\
                    - cp    # not declared\n\
                    - mkdir    # not declared\n\
                    - sh\n\
                    # declared, but not used: old\n";
    assert_eq!(said.stdout, expected, "{}", said.stderr);
    // What it prints is what the task needs.
    let declared = said.stdout.replace('\n', "\n    ");
    sandbox.write(
        "p.yaml",
        format!("{HEAD}tasks:\n  a:\n    run: [sh, make.sh]\n    {declared}\n"),
    );
    for made in ["made", "out/inner/x"] {
        std::fs::remove_file(sandbox.src().join(made)).unwrap();
    }
    let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    sandbox.pipeline(
        "tasks:\n  a:\n    run: [sh, -c, 'echo $S']\n    \
         inputs: []\n    secrets: { S: { env: TOKEN } }\n",
    );
    let args = ["dev", "inputs", "a", "--pipeline", "p.yaml"];
    let said = super::sandbox::said(sandbox.command(&args).env("TOKEN", "hush-hush"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!said.stderr.contains("hush"), "{}", said.stderr);
    assert!(said.stderr.contains("  | "), "{}", said.stderr);
    let said = sandbox.run(&["dev", "inputs", "none", "--pipeline", "p.yaml"]);
    assert!(
        said.stderr.contains("no task named `none`"),
        "{}",
        said.stderr
    );
}

#[test]
fn inputs_knows_reports_repositories_toolchains_and_folders_above() {
    let sandbox = Sandbox::new();
    let tool = sandbox.src().join("sdk/bin/sdkc");
    sandbox.write("sdk/data", "d\n");
    sandbox.write("sdk/bin/sdkc", "#!/bin/sh\nread x < ${0%/*}/../data\n");
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.write(".git/HEAD", "ref: refs/heads/main\n");
    sandbox.write(
        "app/p.yaml",
        format!(
            "{HEAD}toolchains:\n  sdk: {{ mounts: [../sdk], path: [../sdk/bin] }}\ntasks:\n  \
             a:\n    run: [sh, -c, 'sdkc && read x < ../.git/HEAD; mkdir -p junit && echo > junit/a.xml && \
             echo > made && echo > ../above']\n    \
             inputs: []\n    outputs: [made]\n    reports: ['junit/*.xml', 'none.xml']\n    \
             tools: [sh, mkdir, sdk]\n"
        ),
    );
    // A report of an earlier run is no input either.
    for _ in 0..2 {
        let said = sandbox.run(&["dev", "inputs", "a", "--pipeline", "app/p.yaml"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let expected = "# what the command used; copy it into the task `a`\n\
                        inputs: []\n\
                        outputs:\n\
                        - made\n\
                        tools:\n\
                        - mkdir\n\
                        - sdk\n\
                        - sh\n\
                        reports:\n\
                        - junit/*.xml\n\
                        # it read the repository: if its result depends on that, add `git: true`\n\
                        # written above the folder of the pipeline, where no output can be: ../above\n\
                        # it belongs to a tool, and is an input only if the command names it by a relative path: ../sdk/**\n";
        assert_eq!(said.stdout, expected, "{}", said.stderr);
    }
}

#[test]
fn what_services_read_is_observed_with_the_command() {
    let sandbox = Sandbox::new();
    for name in ["conf", "data"] {
        sandbox.write(name, "x\n");
    }
    sandbox.pipeline(
        "tasks:\n  a:\n    run: [cat, data]\n    \
         inputs: []\n    tools: [sh, sleep]\n    services:\n      \
         s: { run: [sh, -c, 'read x < conf; echo > up; exec sleep 1000'], ready: { run: [test, -s, up] } }\n",
    );
    let said = sandbox.run(&["dev", "inputs", "a", "--pipeline", "p.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for line in ["- conf    # not declared\n", "- data    # not declared\n"] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
}

#[test]
fn dev_tools_knows_the_toolchains_of_pipelines() {
    let sandbox = Sandbox::new();
    sandbox.write("sdk/bin/sdkc", "#!/bin/sh\n");
    sandbox.write("sdk/VERSION", "1\n");
    let toolchains = "toolchains: { sdk: { mounts: [sdk], path: [sdk/bin], env: { SDK: x }, identity: [sdk/VERSION] } }";
    let text = format!("{HEAD}{toolchains}\ntasks: {{}}\n");
    sandbox.write("p.yaml", &text);
    sandbox.write(
        "below/q.yaml",
        text.replace("sdk:", "other:").replace("[sdk", "[../sdk"),
    );
    let said = sandbox.run(&["dev", "tools", "sdk"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in ["in `toolchains` of the pipeline", "/sdk/VERSION", "SDK=x"] {
        assert!(said.stdout.contains(part), "{}", said.stdout);
    }
    let said = sandbox.run(&["dev", "tools"]);
    assert!(
        said.stdout.contains("\nsdk\n") || said.stdout.starts_with("sdk\n"),
        "{}",
        said.stdout
    );
    let said = sandbox.run(&["dev", "tools", "other", "--pipeline", "below/q.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = sandbox.run(&["dev", "tools", "other"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let absent = sandbox.run(&["man", "man1"]);
    assert_eq!(absent.code, Some(4), "{}", absent.stderr);
    fs::create_dir(sandbox.src().join("man1")).unwrap();
    let said = sandbox.run(&["man", "man1"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for name in [
        "jackal",
        "jackal-build",
        "jackal-package-create",
        "jackal-dev-lint",
    ] {
        let page = sandbox.src().join(format!("man1/{name}.1"));
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(".TH "), "{name}");
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(!sandbox.src().join("man1/jackal-internal-pack.1").exists());
}
