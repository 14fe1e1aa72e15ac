//! Sources of packages: where they may lie, what links, empty things and modes become,
//! and what is never packed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::sandbox::{Sandbox, settle, with_umask};

const HEAD: &str = "kind: JackalPackageConfig\nmetadata: { name: p, version: '1', architecture: amd64 }\ncomponents:\n";
const ARCHIVE: &str = "jackal-package-p-amd64-1.tar.zst";

fn definition(sandbox: &Sandbox, folder: &str, components: &str) {
    sandbox.write(
        &format!("{folder}/jackal.yaml"),
        format!("{HEAD}{components}"),
    );
}

/// One component of one file or folder.
fn packing(sandbox: &Sandbox, folder: &str, source: &str) {
    let component = format!("- {{ name: m, files: [{{ source: {source}, target: /t }}] }}\n");
    definition(sandbox, folder, &component);
}

/// Mode and path of each entry of a component in an archive below the sources.
fn listing(sandbox: &Sandbox, archive: &str, component: &str) -> Vec<String> {
    let packed = fs::File::open(sandbox.src().join(archive)).unwrap();
    let mut outer = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    let path = format!("components/{component}.tar");
    let mut entries = outer.entries().unwrap().map(Result::unwrap);
    let found = entries.find(|entry| entry.path().unwrap().ends_with(Path::new(&path)));
    let mut inner = tar::Archive::new(found.expect("the component's tar"));
    let lines = inner.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mode = entry.header().mode().unwrap();
        match entry.link_name().unwrap() {
            Some(target) => format!("{mode:o} {path} -> {}", target.display()),
            None => format!("{mode:o} {path}"),
        }
    });
    lines.collect()
}

#[test]
fn what_packages_share_lies_beside_them_in_the_repository() {
    let sandbox = Sandbox::new();
    definition(
        &sandbox,
        "a/p",
        "- name: m\n  files: [{ source: ../../shared/f, target: f }]\n  manifests: [{ name: x, namespace: n, \
         files: [link.yaml] }]\n  charts: [{ name: c, namespace: n, localPath: ../chart, valuesFiles: \
         [../../shared/v.yaml] }]\n",
    );
    sandbox.write("shared/f", "f");
    sandbox.write("shared/v.yaml", "a: 1\n");
    sandbox.write("shared/m.yaml", "kind: ConfigMap\n");
    sandbox.write(
        "a/chart/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 0.3.0\n",
    );
    fs::create_dir(sandbox.src().join("a/chart/templates")).unwrap();
    symlink(
        "../../../shared/m.yaml",
        sandbox.src().join("a/chart/templates/m.yaml"),
    )
    .unwrap();
    symlink("../../shared/m.yaml", sandbox.src().join("a/p/link.yaml")).unwrap();
    // Neither a Git root nor a workspace: the folder of the package is all there is.
    let alone = sandbox.run(&["build", "a/p", "--offline"]);
    assert_eq!(alone.code, Some(3), "{}", alone.stderr);
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    assert_eq!(sandbox.run(&["dev", "lint", "a/p"]).code, Some(0));
    let tasks = sandbox.build(&["a/p", "--offline"]);
    assert!(
        tasks.iter().all(|(_, status)| status == "executed"),
        "{tasks:?}"
    );
    let archive = format!("dist/{ARCHIVE}");
    let packed = listing(&sandbox, &archive, "m");
    for expected in [
        "600 m/files/0/f",
        "644 m/charts/c-0.3.0.tgz",
        "644 m/manifests/x-0.yaml",
        "644 m/values/c-0.3.0-0",
    ] {
        assert!(
            packed.iter().any(|line| line == expected),
            "{expected} in {packed:#?}"
        );
    }
    for shared in ["shared/f", "shared/v.yaml", "shared/m.yaml"] {
        settle();
        sandbox.write(shared, "b: 2\n");
        let tasks = sandbox.build(&["a/p", "--offline"]);
        let ran = tasks.iter().any(|(_, status)| status == "executed");
        assert!(ran, "a change of {shared} is seen");
    }
}

#[test]
fn what_leads_out_of_the_repository_is_refused_by_lint_dry_run_and_build() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    sandbox.write("../secret", "s");
    sandbox.write("../outside/c.yaml", "kind: ConfigMap\n");
    let link = |target: &str, path: &str| {
        let path = sandbox.src().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    };
    sandbox.write("p/tree/f", "f");
    link("../../../secret", "p/tree/link");
    link("../../outside", "p/way");
    link(
        &sandbox.src().join("../secret").display().to_string(),
        "p/absolute",
    );
    for (what, key) in [
        ("../../secret", "files: [{ source: WHAT, target: f }]"),
        ("../../absent", "files: [{ source: WHAT, target: f }]"),
        ("absolute", "files: [{ source: WHAT, target: f }]"),
        ("tree", "files: [{ source: WHAT, target: f }]"),
        (
            "tree",
            "dataInjections: [{ source: WHAT, target: { namespace: n, selector: s, container: c, path: /p } }]",
        ),
        (
            "way/c.yaml",
            "manifests: [{ name: x, namespace: n, files: [WHAT] }]",
        ),
        (
            "../../outside",
            "manifests: [{ name: x, namespace: n, kustomizations: [WHAT] }]",
        ),
        (
            "way",
            "charts: [{ name: c, namespace: n, version: '1', localPath: WHAT }]",
        ),
        ("/etc/hostname", "files: [{ source: WHAT, target: f }]"),
    ] {
        let component = format!("- name: m\n  {}\n", key.replace("WHAT", what));
        definition(&sandbox, "p", &component);
        for command in [
            &["dev", "lint", "p"][..],
            &["build", "--dry-run", "p", "--offline"],
            &["build", "p", "--offline"],
            &["package", "create", "p", "--confirm"],
        ] {
            let said = sandbox.run(command);
            let expected = if command[0] == "dev" { 1 } else { 3 };
            assert_eq!(
                said.code,
                Some(expected),
                "{command:?} {key}: {}{}",
                said.stderr,
                said.stdout
            );
            let text = said.stdout + &said.stderr;
            assert!(
                text.contains("jackal.yaml:5:") || text.contains("link"),
                "{command:?}: {text}"
            );
        }
    }
}

#[test]
fn the_own_archive_the_cache_and_left_overs_are_never_packed() {
    let sandbox = Sandbox::new();
    packing(&sandbox, "p", ".");
    sandbox.write("p/keep", "k");
    let cache = sandbox.src().join("p/.cache/jackal");
    let create = |folder: &str, output: &str| {
        settle();
        let mut command =
            sandbox.command(&["package", "create", folder, "-o", output, "--confirm"]);
        let ended = super::sandbox::said(command.env("JACKAL_CACHE", &cache));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        fs::read(sandbox.src().join(output).join(ARCHIVE)).unwrap()
    };
    let first = create("p", "p");
    assert_eq!(create("p", "p"), first, "beside the sources");
    assert_eq!(create("p", "p/out/dist"), first, "in a folder made for it");
    assert_eq!(create("p", "elsewhere"), first, "archives of earlier runs");
    sandbox.write("p/.jackal-tmp-x1/half", "left by a killed run");
    assert_eq!(create("p", "elsewhere"), first, "what a killed run left");
    sandbox.write("p/out/dist/page.html", "h");
    let packed = create("p", "p/out/dist");
    assert_ne!(packed, first, "other files of that folder are the user's");
    // What a definition names itself is packed.
    packing(&sandbox, "q", &format!("../p/{ARCHIVE}"));
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    create("q", "named");
    let listed = listing(&sandbox, &format!("named/{ARCHIVE}"), "m");
    assert_eq!(listed.last().unwrap(), "600 m/files/0/t");
}

#[test]
fn a_build_inside_a_packed_folder_or_chart_runs_once() {
    let sandbox = Sandbox::new();
    definition(
        &sandbox,
        "p",
        "- name: m\n  files: [{ source: site, target: /s }]\n  charts: [{ name: c, namespace: n, localPath: chart }]\n",
    );
    sandbox.write("p/site/i", "i");
    sandbox.write(
        "p/chart/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 0.1.0\n",
    );
    fs::create_dir(sandbox.src().join(".git")).unwrap();
    for folder in ["p/site", "p/chart"] {
        let build = || {
            settle();
            let mut command = sandbox.command(&["build", "--offline"]);
            let ended = super::sandbox::said(command.current_dir(sandbox.src().join(folder)));
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            ended.stderr
        };
        build();
        let second = build();
        assert!(second.contains("0 executed"), "{folder}: {second}");
    }
}

#[test]
fn a_package_does_not_depend_on_the_umask_of_its_clone_unless_that_hides_it() {
    let archive = |umask: &str| {
        let sandbox = Sandbox::new();
        let make =
            "mkdir -p t/d && echo x > t/d/f && echo y > t/run && chmod +x t/run && mkdir t/empty";
        let mut shell = std::process::Command::new("sh");
        let mut shell = with_umask(shell.args(["-c", make]).env("PATH", "/usr/bin:/bin"), umask);
        assert!(shell.current_dir(sandbox.src()).status().unwrap().success());
        sandbox.write(
            "jackal.yaml",
            format!("{HEAD}- {{ name: m, files: [{{ source: t, target: /t }}] }}\n"),
        );
        settle();
        sandbox.build(&["--offline"]);
        listing(&sandbox, &format!("dist/{ARCHIVE}"), "m")
    };
    let usual = [
        "700 m",
        "700 m/files",
        "700 m/files/0",
        "700 m/files/0/t",
        "755 m/files/0/t/d",
        "644 m/files/0/t/d/f",
        "755 m/files/0/t/empty",
        "755 m/files/0/t/run",
    ];
    assert_eq!(archive("022"), usual);
    assert_eq!(archive("002"), usual);
    assert_eq!(
        archive("077")[4..],
        [
            "700 m/files/0/t/d",
            "600 m/files/0/t/d/f",
            "700 m/files/0/t/empty",
            "700 m/files/0/t/run",
        ]
    );
}

#[test]
fn a_definition_or_a_pipeline_is_named_by_its_file() {
    let sandbox = Sandbox::new();
    packing(&sandbox, "p", "f");
    sandbox.write("p/f", "f");
    let other = format!("{HEAD}- {{ name: m, files: [{{ source: f, target: /t }}] }}\n");
    sandbox.write("p/big.yaml", other.replace("name: p,", "name: big,"));
    let pipeline = "kind: JackalPipeline\nversion: 1\nname: x\ntasks:\n  only: { run: ['true'], inputs: [] }\n";
    sandbox.write("p/pipeline.yaml", pipeline);
    let built = |args: &[&str]| {
        let ended = sandbox.run(&[args, &["--offline", "-o", "o"]].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    assert!(built(&["build", "p/big.yaml"]).contains("-big-"));
    let both = built(&["build", "p", "p/big.yaml"]);
    assert!(both.contains("-big-") && both.contains("-p-"), "{both}");
    let create = built(&["package", "create", "p/big.yaml", "--confirm"]);
    assert!(create.contains("-big-"), "{create}");
    assert_eq!(sandbox.run(&["dev", "lint", "p/big.yaml"]).code, Some(0));
    assert_eq!(sandbox.build(&["p/pipeline.yaml"])[0].0, "p:only");
    let graph = sandbox.run(&["graph", "p/pipeline.yaml"]);
    assert!(graph.stdout.contains("only"), "{}", graph.stderr);
    let refused = sandbox.run(&["package", "create", "p/pipeline.yaml"]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stderr.contains("is a pipeline file"),
        "{}",
        refused.stderr
    );
    let lint = sandbox.run(&["dev", "lint", "p/pipeline.yaml"]);
    assert_eq!(lint.code, Some(0), "{}", lint.stdout);
}

#[test]
fn an_import_names_a_file_and_its_sources_are_beside_it() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p/zarf.yaml",
        "kind: ZarfPackageConfig\nmetadata: { name: p, version: '1', architecture: amd64 }\n\
         components:\n- { name: m, import: { path: sub/part.yaml } }\n- { name: n, import: { path: own.yaml } }\n",
    );
    let part = |name: &str| {
        format!(
            "kind: ZarfPackageConfig\nmetadata: {{ name: s }}\ncomponents: [{{ name: {name}, files: \
             [{{ source: f, target: /f }}] }}]\n"
        )
    };
    sandbox.write("p/sub/part.yaml", part("m"));
    sandbox.write("p/sub/f", "sub");
    sandbox.write("p/own.yaml", part("n"));
    sandbox.write("p/f", "own");
    sandbox.build(&["p", "--offline"]);
    assert_eq!(sandbox.run(&["dev", "lint", "p"]).code, Some(0));
    let circle = part("n").replace("files:", "import: { path: own.yaml }, files:");
    sandbox.write("p/own.yaml", circle);
    let ended = sandbox.run(&["build", "p", "--offline"]);
    assert!(
        ended
            .stderr
            .contains("import cycle: . -> own.yaml -> own.yaml"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_local_chart_has_the_version_and_the_dependencies_that_it_names() {
    let sandbox = Sandbox::new();
    definition(
        &sandbox,
        "p",
        "- name: m\n  charts:\n  - { name: top, namespace: n, localPath: top }\n  - { name: packed, namespace: n, \
         localPath: c-2.0.0.tgz }\n",
    );
    let chart = |name: &str, rest: &str| {
        let head = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n{rest}");
        sandbox.write(&format!("p/{name}/Chart.yaml"), head);
    };
    let needs = "dependencies: [{ name: sub, version: 0.1.0, repository: 'file://../sub' }]\n";
    chart("top", needs);
    let lint = || sandbox.run(&["dev", "lint", "p"]);
    let missing = lint();
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stdout.contains("missing key `version`"),
        "{}",
        missing.stdout
    );
    let mut packed = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let text = b"apiVersion: v2\nname: c\nversion: 2.0.0\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    packed
        .append_data(&mut header, "c/Chart.yaml", &text[..])
        .unwrap();
    sandbox.write(
        "p/c-2.0.0.tgz",
        packed.into_inner().unwrap().finish().unwrap(),
    );
    // Lint says what a build would refuse.
    let refused = lint();
    assert!(
        refused.stdout.contains("[refused-file]") && refused.stdout.contains("sub"),
        "{}",
        refused.stdout
    );
    chart("sub", "");
    assert_eq!(lint().code, Some(0), "{}", lint().stdout);
    sandbox.build(&["p", "--offline"]);
    let listed = listing(&sandbox, &format!("dist/{ARCHIVE}"), "m");
    assert_eq!(
        listed[2..],
        [
            "644 m/charts/packed-2.0.0.tgz",
            "644 m/charts/top-0.1.0.tgz"
        ]
    );
    settle();
    sandbox.write("p/sub/values.yaml", "a: 1\n");
    let ran = sandbox.build(&["p", "--offline"]);
    assert!(ran.contains(&(
        "component:m:chart:top-0.1.0".to_owned(),
        "executed".to_owned()
    )));
}

#[test]
fn one_package_of_a_workspace_is_the_same_work_as_all_of_them() {
    let sandbox = Sandbox::new();
    for name in ["a", "b"] {
        let text = format!("{HEAD}- {{ name: m, files: [{{ source: f, target: /f }}] }}\n");
        sandbox.write(
            &format!("{name}/jackal.yaml"),
            text.replace("name: p,", &format!("name: {name},")),
        );
        sandbox.write(&format!("{name}/f"), name);
    }
    settle();
    sandbox.build(&["--offline"]);
    let one = sandbox.build(&["b", "--offline", "-o", "else"]);
    assert!(one.iter().all(|(_, status)| status == "cached"), "{one:?}");
    assert!(
        sandbox
            .src()
            .join("else/jackal-package-b-amd64-1.tar.zst")
            .exists()
    );
}

#[test]
fn a_skeleton_takes_its_version_from_a_template_and_says_which_value_is_missing() {
    let sandbox = Sandbox::new();
    let text = format!(
        "{HEAD}- {{ name: m, files: [{{ source: '###JACKAL_PKG_TMPL_OWN###', target: /f }}] }}\n"
    );
    sandbox.write(
        "jackal.yaml",
        text.replace("version: '1'", "version: '###JACKAL_PKG_TMPL_VER###'"),
    );
    let make = ["package", "create", "--skeleton", "-o", "oci-layout:lay"];
    let missing = sandbox.run(&make);
    assert_eq!(missing.code, Some(3));
    assert!(
        missing.stderr.contains("help: pass --set VER=VALUE"),
        "{}",
        missing.stderr
    );
    sandbox.write("###JACKAL_PKG_TMPL_OWN###", "");
    let made = sandbox.run(&[&make[..], &["--set", "VER=1.2.3"]].concat());
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let index = fs::read_to_string(sandbox.src().join("lay/index.json")).unwrap();
    assert!(index.contains("1.2.3"), "{index}");
}

#[test]
fn a_private_manifest_and_data_stay_private() {
    let sandbox = Sandbox::new();
    sandbox.write("m.yaml", "kind: Secret\n");
    sandbox.write("d/k", "k");
    for path in ["m.yaml", "d/k"] {
        fs::set_permissions(sandbox.src().join(path), fs::Permissions::from_mode(0o600)).unwrap();
    }
    sandbox.write(
        "jackal.yaml",
        format!(
            "{HEAD}- name: m\n  manifests: [{{ name: x, namespace: n, files: [m.yaml] }}]\n  dataInjections: \
             [{{ source: d, target: {{ namespace: n, selector: s, container: c, path: /p }} }}]\n"
        ),
    );
    settle();
    sandbox.build(&["--offline"]);
    let listed = listing(&sandbox, &format!("dist/{ARCHIVE}"), "m");
    assert!(
        listed.contains(&"600 m/manifests/x-0.yaml".to_owned()),
        "{listed:?}"
    );
    assert!(
        listed.contains(&"600 m/data/0/p/k".to_owned()),
        "{listed:?}"
    );
    assert!(listed.contains(&"755 m/data/0/p".to_owned()), "{listed:?}");
}
