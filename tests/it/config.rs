//! Configuration file and environment variables.

use super::sandbox::{Sandbox, said};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1\"\n  \
         description: '###JACKAL_PKG_TMPL_A### ###JACKAL_PKG_TMPL_B### ###JACKAL_PKG_TMPL_C###'\n\
         components:\n- name: tool\n  files:\n  - source: tool.sh\n    target: /bin/tool\n",
    );
    sandbox.write("tool.sh", "#!/bin/sh\n");
    sandbox
}

const CREATE: [&str; 3] = ["package", "create", "--confirm"];

#[test]
fn a_flag_overrides_a_variable_and_a_variable_the_file() {
    let sandbox = sandbox();
    sandbox.write(
        "jackal-config.toml",
        "architecture = 'file-arch'\n[package.create]\noutput = 'from-file'\nskip_sbom = true\n\
         [package.create.set]\na = 'file, a'\nb = 'file b'\nc = 'file c'\n",
    );
    let out = said(
        sandbox
            .command(&CREATE)
            .args(["--set", "B=flag b"])
            .env("JACKAL_ARCHITECTURE", "env-arch"),
    );
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let announced = "reading settings from jackal-config.toml";
    assert!(out.stderr.contains(announced), "{}", out.stderr);
    let archive = "from-file/jackal-package-demo-env-arch-1.tar.zst";
    let definition = sandbox.run(&["package", "inspect", archive]).stdout;
    let filled = "description: file, a flag b file c";
    assert!(definition.contains(filled), "{definition}");
    let files = sandbox
        .run(&["package", "inspect", "files", archive])
        .stdout;
    assert!(!files.contains("sboms.tar"), "{files}");

    let out = said(
        sandbox
            .command(&CREATE)
            .args(["-a", "flag-arch", "-o", "from-flag"])
            .env("JACKAL_ARCHITECTURE", "env-arch")
            .env("JACKAL_PACKAGE_CREATE_SKIP_SBOM", "0")
            .env(
                "JACKAL_PACKAGE_CREATE_SET",
                r#"{"a": "1", "b": "2", "c": "3"}"#,
            ),
    );
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    let archive = "from-flag/jackal-package-demo-flag-arch-1.tar.zst";
    let definition = sandbox.run(&["package", "inspect", archive]).stdout;
    assert!(definition.contains("description: 1 2 3"), "{definition}");
    let files = sandbox
        .run(&["package", "inspect", "files", archive])
        .stdout;
    assert!(files.contains("sboms.tar"), "{files}");
}

#[test]
fn a_flag_overrides_settings_that_conflict_with_it() {
    let sandbox = sandbox();
    sandbox.write(
        "jackal-config.json",
        r#"{"package": {"create": {"sbom_output": "sboms", "set": {"a": "", "b": "", "c": ""}}}}"#,
    );
    let out = said(sandbox.command(&CREATE).arg("--skip-sbom"));
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(!sandbox.src().join("sboms").exists());
}

#[test]
fn the_file_is_found_by_variable_then_in_the_folder_then_at_home() {
    let sandbox = sandbox();
    let home = sandbox.src().join("home");
    let set = "    set: {a: a, b: b, c: c}\n";
    let file = |output| format!("package:\n  create:\n    output: {output}\n{set}");
    sandbox.write("home/.jackal/jackal-config.yaml", file("at-home"));
    let run = |named: Option<&str>| {
        let mut command = sandbox.command(&CREATE);
        command.env("HOME", &home);
        if let Some(named) = named {
            command.env("JACKAL_CONFIG", named);
        }
        said(&mut command)
    };
    assert_eq!(run(None).code, Some(0));
    assert!(sandbox.src().join("at-home").is_dir());
    sandbox.write("jackal-config.yml", file("here"));
    assert_eq!(run(None).code, Some(0));
    assert!(sandbox.src().join("here").is_dir());
    sandbox.write("own.yaml", file("named"));
    assert_eq!(run(Some("own.yaml")).code, Some(0));
    assert!(sandbox.src().join("named").is_dir());
    for (named, told) in [
        ("gone.toml", "no such file"),
        ("tool.sh", "ending in .toml"),
    ] {
        let out = run(Some(named));
        assert_eq!(out.code, Some(2));
        assert!(out.stderr.contains(told), "{}", out.stderr);
    }
}

#[test]
fn an_invalid_setting_is_an_error_with_its_place() {
    let sandbox = sandbox();
    sandbox.write("jackal-config.toml", "[package.create]\nflavour = 'x'\n");
    let out = sandbox.run(&CREATE);
    assert_eq!(out.code, Some(3));
    let told = "jackal-config.toml:2:1: unknown setting `package.create.flavour`";
    assert!(out.stderr.contains(told), "{}", out.stderr);
    // Commands without settings do not read the file.
    assert_eq!(sandbox.run(&["schema", "package"]).code, Some(0));

    std::fs::remove_file(sandbox.src().join("jackal-config.toml")).unwrap();
    let variable = "JACKAL_PACKAGE_CREATE_MAX_PACKAGE_SIZE";
    let out = said(sandbox.command(&CREATE).env(variable, "big"));
    assert_eq!(out.code, Some(2));
    let told = format!("{variable} is `big`, expected a whole number");
    assert!(out.stderr.contains(&told), "{}", out.stderr);
}

#[test]
fn a_checkout_can_neither_set_nor_hide_what_the_user_trusts() {
    let sandbox = sandbox();
    let home = sandbox.src().join("home");
    let run = |args: &[&str], named: Option<&str>| {
        let mut command = sandbox.command(args);
        command.env("HOME", &home).env_remove("JACKAL_CACHE");
        if let Some(named) = named {
            command.env("JACKAL_CONFIG", named);
        }
        said(&mut command)
    };
    for (key, line) in [
        ("jackal_cache", "jackal_cache = 'shipped'\n"),
        ("package.public_key", "package.public_key = 'cosign.pub'\n"),
        (
            "package.create.signing_key",
            "package.create.signing_key = 'cosign.key'\n",
        ),
        (
            "package.create.registry_override",
            "package.create.registry_override = {\"docker.io\" = 'r.example'}\n",
        ),
        (
            "package.publish.signing_key_password",
            "package.publish.signing_key_password = 'x'\n",
        ),
    ] {
        sandbox.write("jackal-config.toml", line);
        for args in [
            &["build"][..],
            &CREATE,
            &["package", "verify", "x.tar.zst"],
            &["cache", "du"],
        ] {
            let out = run(args, None);
            assert_eq!(out.code, Some(3), "{key} {args:?}: {}", out.stderr);
            let told = format!("`{key}` is only read from your own");
            assert!(
                out.stderr.contains("jackal-config.toml:1:"),
                "{}",
                out.stderr
            );
            assert!(out.stderr.contains(&told), "{key} {args:?}: {}", out.stderr);
        }
        assert!(!sandbox.src().join("shipped").exists());
    }
    // The user's own file says where the cache is, also if the folder has a file.
    let own = sandbox.src().join("own-cache");
    let text = format!("jackal_cache = '{}'\narchitecture = 'own'\n", own.display());
    sandbox.write("home/.jackal/jackal-config.toml", text);
    let set = "[package.create.set]\na = 'a'\nb = 'b'\nc = 'c'\n";
    sandbox.write(
        "jackal-config.toml",
        format!("architecture = 'here'\n{set}"),
    );
    let out = run(&CREATE, None);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(own.join("v1").is_dir());
    assert!(
        sandbox
            .src()
            .join("jackal-package-demo-here-1.tar.zst")
            .is_file()
    );
    // A link to the own file is that file; a file that a variable names is, too.
    std::fs::remove_file(sandbox.src().join("jackal-config.toml")).unwrap();
    std::os::unix::fs::symlink(
        "home/.jackal/jackal-config.toml",
        sandbox.src().join("jackal-config.toml"),
    )
    .unwrap();
    assert_eq!(run(&["cache", "du"], None).code, Some(0));
    sandbox.write("mine.toml", "jackal_cache = 'mine'\n");
    assert_eq!(run(&["cache", "du"], Some("mine.toml")).code, Some(0));
    assert!(sandbox.src().join("mine/v1").is_dir());
}

#[test]
fn a_cache_that_others_may_write_is_refused_or_only_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.package();
    let cache = sandbox.cache();
    let mode = |mode| {
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(sandbox.run(&["build", "-o", "one"]).code, Some(0));
    mode(0o777);
    let out = sandbox.run(&["build", "-o", "two"]);
    assert_eq!(out.code, Some(4), "{}", out.stderr);
    for part in ["mode 777", "--cache-dir", "--shared-cache"] {
        assert!(out.stderr.contains(part), "{}", out.stderr);
    }
    let shared = ["--shared-cache", cache.to_str().unwrap()];
    let hit = ["build", "--dry-run"];
    let out = sandbox.run(&[&hit[..], &shared].concat());
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(!out.stdout.contains("runs"), "{}", out.stdout);
    sandbox.write("tool.sh", "#!/bin/sh\n# other\n");
    super::sandbox::settle();
    let out = sandbox.run(&[&["build", "-o", "three"], &shared[..]].concat());
    assert_eq!(out.code, Some(4), "{}", out.stderr);
    assert!(out.stderr.contains("is read-only"), "{}", out.stderr);
    mode(0o700);
    assert_eq!(sandbox.run(&["build", "-o", "two"]).code, Some(0));
}

#[test]
fn a_login_in_an_address_is_in_no_output_and_in_no_file() {
    let sandbox = Sandbox::new();
    for args in [
        &[
            "package",
            "verify",
            "oci://u:hush-canary@127.0.0.1:1/demo:1",
        ][..],
        &[
            "package",
            "pull",
            "oci://u:hush-canary@127.0.0.1:1/demo:1",
            "-o",
            "x",
        ],
        &[
            "package",
            "list-tags",
            "oci://u:hush-canary@127.0.0.1:1/demo",
        ],
        &["package", "list-tags", "u:hush-canary@127.0.0.1:1/demo"],
        &["doctor", "oci://u:hush-canary@127.0.0.1:1/demo"],
        &["doctor", "u:hush-canary@127.0.0.1:1/demo"],
        &["package", "verify", "u:hush-canary@127.0.0.1:1/demo"],
        &[
            "package",
            "inspect",
            "https://u:hush-canary@127.0.0.1:1/p.tar.zst",
        ],
        &[
            "build",
            "--cache-from",
            "oci://u:hush-canary@127.0.0.1:1/demo:1",
        ],
        &["build", "--cache-from", "u:hush-canary@127.0.0.1:1/demo:1"],
        &[
            "package",
            "create",
            "--oops=https://u:hush-canary@127.0.0.1",
        ],
    ] {
        let out = sandbox.run(args);
        assert_ne!(out.code, Some(0), "{args:?}");
        let text = format!("{}{}", out.stdout, out.stderr);
        assert!(!text.contains("hush-canary"), "{args:?}: {text}");
    }
    sandbox.write(
        "p/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0}\ncomponents:\n\
         - name: c\n  files: [{source: 'http://u:###JACKAL_PKG_TMPL_TOK###@127.0.0.1:1/n', target: n}]\n",
    );
    let args = [
        "package",
        "create",
        "p",
        "--confirm",
        "--set",
        "TOK=hush-canary",
    ];
    let reports = ["--summary", "s.json", "--events", "e.json"];
    let out = sandbox.run(&[&args[..], &reports].concat());
    assert_ne!(out.code, Some(0));
    assert!(!out.stderr.contains("hush-canary"), "{}", out.stderr);
    let mut open = vec![sandbox.src().join("..")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(11).any(|bytes| bytes == b"hush-canary");
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[test]
fn only_the_user_sends_results_out_of_the_checkout() {
    let sandbox = sandbox();
    let outside = sandbox.src().join("../outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink("../outside", sandbox.src().join("away")).unwrap();
    let set = "set = {a = 'a', b = 'b', c = 'c'}\n";
    let create = |own: Option<&str>, args: &[&str]| {
        let mut command = sandbox.command(&CREATE);
        command.args(args);
        if let Some(own) = own {
            command.env("JACKAL_PACKAGE_CREATE_OUTPUT", own);
        }
        said(&mut command)
    };
    let written = || {
        let found = std::fs::read_dir(&outside).unwrap().count();
        std::fs::remove_dir_all(&outside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        found
    };
    let named = outside.to_str().unwrap();
    for key in ["output", "sbom_output"] {
        for value in [named, "../outside", "oci://127.0.0.1:1/x"] {
            let text = format!("[package.create]\n{key} = '{value}'\n{set}");
            sandbox.write("jackal-config.toml", text);
            let out = create(None, &[]);
            assert_eq!(out.code, Some(3), "{key} {value}: {}", out.stderr);
            let told = format!(
                "jackal-config.toml:2:{}: `package.create.{key}`",
                key.len() + 4
            );
            assert!(out.stderr.contains(&told), "{}", out.stderr);
            assert_eq!(written(), 0, "{key} {value}");
        }
        // A link below the folder leads out as well.
        let text = format!("[package.create]\n{key} = 'away'\n{set}");
        sandbox.write("jackal-config.toml", text);
        let out = create(None, &[]);
        assert_eq!(out.code, Some(3), "{key}: {}", out.stderr);
        assert!(
            out.stderr
                .contains("`away` is a symbolic link to `../outside`"),
            "{}",
            out.stderr
        );
        assert_eq!(written(), 0, "{key}");
    }
    sandbox.write(
        "jackal-config.toml",
        format!("[package.create]\noutput = 'away'\n{set}"),
    );
    for (own, args) in [
        (None, &["-o", "away"][..]),
        (None, &["-o", named]),
        (Some("away"), &[]),
        (Some(named), &[]),
    ] {
        let out = create(own, args);
        assert_eq!(out.code, Some(0), "{own:?} {args:?}: {}", out.stderr);
        assert_eq!(written(), 1, "{own:?} {args:?}");
    }
}
