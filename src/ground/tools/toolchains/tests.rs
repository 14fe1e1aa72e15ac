//! Managers and toolchains on layouts that are made here, as the managers' documentation
//! describes them: none of them is installed for these tests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A home with what is in it, and a folder of the workspace.
struct Machine {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        };
        fs::create_dir_all(machine.at("work/sub")).unwrap();
        for (path, text) in files {
            machine.put(path, text);
        }
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => {
                fs::write(&path, text).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    /// What is found for the program that `PATH` has at `at`.
    fn ask(&self, at: &str, version: Option<&str>) -> Result<Managed, Failure> {
        let at = self.at(at);
        managed(&Query {
            name: at.file_name().unwrap().to_str().unwrap(),
            version,
            real: &fs::canonicalize(&at).unwrap(),
            at: &at,
            home: &self.at("home"),
            folder: &self.at("work/sub"),
            variable: &|name| self.variables.get(name).cloned(),
        })
    }

    /// The program that is found, from the home.
    fn found(&self, at: &str, version: Option<&str>) -> String {
        match self.ask(at, version).map_err(|failure| failure.to_string()) {
            Ok(Managed::Found(found)) => {
                let below = found.program.strip_prefix(self.at("home")).unwrap();
                below.to_str().unwrap().to_owned()
            }
            Ok(Managed::Elsewhere) => "elsewhere".to_owned(),
            Ok(Managed::No) => "no".to_owned(),
            Err(message) => message,
        }
    }
}

#[test]
fn rustup_selects_by_variable_then_file_then_default() {
    let mut machine = Machine::new(&[
        ("home/.cargo/bin/rustup", "rustup"),
        ("home/.cargo/bin/cargo", "-> rustup"),
        ("home/.cargo/bin/cargo-deny", "another program"),
        (
            "home/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/cargo",
            "",
        ),
        (
            "home/.rustup/toolchains/stable-aarch64-unknown-linux-gnu/bin/cargo",
            "",
        ),
        (
            "home/.rustup/toolchains/1.80.0-x86_64-unknown-linux-gnu/bin/cargo",
            "",
        ),
        ("home/.rustup/toolchains/mine/bin/cargo", ""),
        (
            "home/.rustup/settings.toml",
            "default_toolchain = \"stable-x86_64-unknown-linux-gnu\"\n",
        ),
    ]);
    let shim = "home/.cargo/bin/cargo";
    let of = |name: &str| match name {
        "mine" => ".rustup/toolchains/mine/bin/cargo".to_owned(),
        name => format!(".rustup/toolchains/{name}-x86_64-unknown-linux-gnu/bin/cargo"),
    };
    assert_eq!(machine.found(shim, None), of("stable"));
    machine.put(
        "work/rust-toolchain.toml",
        "[toolchain]\nchannel = \"1.80.0\"\n",
    );
    assert_eq!(machine.found(shim, None), of("1.80.0"));
    let Ok(Managed::Found(found)) = machine.ask(shim, None) else {
        panic!("nothing was found");
    };
    assert_eq!(found.selected.as_deref(), Some("1.80.0"));
    assert!(found.reasons[0].contains("work/rust-toolchain.toml selects"));
    machine.put("work/sub/rust-toolchain", "mine\n");
    assert_eq!(machine.found(shim, None), of("mine"), "the nearest counts");
    machine
        .variables
        .insert("RUSTUP_TOOLCHAIN", "stable".to_owned());
    assert_eq!(machine.found(shim, None), of("stable"));
    assert_eq!(machine.found(shim, Some("1.80")), of("1.80.0"));
    assert_eq!(machine.found("home/.cargo/bin/rustup", None), "no");
    assert_eq!(machine.found("home/.cargo/bin/cargo-deny", None), "no");
    machine
        .variables
        .insert("RUSTUP_TOOLCHAIN", "beta".to_owned());
    let refused = machine.found(shim, None);
    for part in ["rustup, which has no beta", "RUSTUP_TOOLCHAIN", "mine"] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn rustup_override_counts_for_its_folder_unless_a_file_is_nearer() {
    let machine = Machine::new(&[
        ("home/.cargo/bin/rustup", "rustup"),
        ("home/.cargo/bin/cargo", "-> rustup"),
        ("home/.rustup/toolchains/mine/bin/cargo", ""),
        ("home/.rustup/toolchains/other/bin/cargo", ""),
        ("home/.rustup/toolchains/usual/bin/cargo", ""),
        ("work/rust-toolchain", "other\n"),
    ]);
    let settings = |folder: &str| {
        format!(
            "default_toolchain = \"usual\"\n[overrides]\n\"/elsewhere\" = \"usual\"\n{:?} = \"mine\"\n",
            machine.at(folder)
        )
    };
    let shim = "home/.cargo/bin/cargo";
    let of = |name: &str| format!(".rustup/toolchains/{name}/bin/cargo");
    machine.put("home/.rustup/settings.toml", &settings("work"));
    assert_eq!(machine.found(shim, None), of("mine"));
    let Ok(Managed::Found(found)) = machine.ask(shim, None) else {
        panic!("nothing was found");
    };
    assert!(
        found.reasons[0].contains("the override for"),
        "{:?}",
        found.reasons
    );
    machine.put("home/.rustup/settings.toml", &settings("work/other"));
    assert_eq!(machine.found(shim, None), of("other"));
    machine.put("work/sub/rust-toolchain", "usual\n");
    machine.put("home/.rustup/settings.toml", &settings("work"));
    assert_eq!(machine.found(shim, None), of("usual"), "the file is nearer");
}

#[test]
fn names_of_nvm_stand_for_versions() {
    let machine = Machine::new(&[
        ("home/.nvm/versions/node/v18.1.0/bin/node", ""),
        ("home/.nvm/versions/node/v20.2.0/bin/node", ""),
        ("home/.nvm/versions/node/v21.0.0/bin/node", ""),
        ("home/.nvm/alias/default", "lts/*\n"),
        ("home/.nvm/alias/lts/*", "lts/iron\n"),
        ("home/.nvm/alias/lts/iron", "v20.2.0\n"),
        ("home/.nvm/alias/lts/hydrogen", "v18.1.0\n"),
        ("home/.nvm/alias/team", "lts/-1\n"),
        ("home/.nvm/alias/round", "round\n"),
    ]);
    for (wanted, version) in [
        ("lts/*", "v20.2.0"),
        ("default", "v20.2.0"),
        ("lts/iron", "v20.2.0"),
        ("lts/-1", "v18.1.0"),
        ("team", "v18.1.0"),
        ("18", "v18.1.0"),
        ("node", "v21.0.0"),
    ] {
        machine.put("work/.nvmrc", wanted);
        let found = machine.found("home/.nvm/versions/node/v18.1.0/bin/node", None);
        assert_eq!(
            found,
            format!(".nvm/versions/node/{version}/bin/node"),
            "{wanted}"
        );
    }
    for wanted in ["round", "../../secret", "lts/none", "lts/-2", "lts/-x"] {
        machine.put("work/.nvmrc", wanted);
        let found = machine.found("home/.nvm/versions/node/v18.1.0/bin/node", None);
        assert!(found.contains("nvm, which has no "), "{found}");
    }
}

#[test]
fn names_of_fnm_are_links_to_versions() {
    let at = |version: &str| {
        let path = "home/.local/share/fnm/node-versions";
        format!("{path}/{version}/installation/bin/node")
    };
    let (old, new) = (at("v18.1.0"), at("v20.2.0"));
    let machine = Machine::new(&[
        (&old, ""),
        (&new, ""),
        (
            "home/.local/share/fnm/aliases/default",
            "-> ../node-versions/v20.2.0/installation",
        ),
        (
            "home/.local/share/fnm/aliases/lts-latest",
            "-> ../node-versions/v20.2.0/installation",
        ),
        (
            "home/.local/share/fnm/aliases/lts-hydrogen",
            "-> ../node-versions/v18.1.0",
        ),
        (
            "home/.local/share/fnm/aliases/gone",
            "-> ../node-versions/v16.1.0/installation",
        ),
        (
            "run/fnm/1",
            "-> ../../home/.local/share/fnm/node-versions/v18.1.0/installation",
        ),
    ]);
    for (wanted, path) in [
        ("default", &new),
        ("lts/*", &new),
        ("lts/Hydrogen", &old),
        ("lts-hydrogen", &old),
        ("20", &new),
    ] {
        machine.put("work/.node-version", wanted);
        let found = machine.found("run/fnm/1/bin/node", None);
        assert_eq!(Some(found.as_str()), path.strip_prefix("home/"), "{wanted}");
    }
    for wanted in ["gone", "lts/iron", "../aliases/default"] {
        machine.put("work/.node-version", wanted);
        let found = machine.found("run/fnm/1/bin/node", None);
        assert!(found.contains("fnm, which has no "), "{found}");
    }
}

#[test]
fn volta_looks_into_files_that_a_package_extends_and_takes_the_npm_of_node() {
    let machine = Machine::new(&[
        ("home/.volta/bin/npm", ""),
        ("home/.volta/bin/node", ""),
        ("home/.volta/tools/image/node/18.1.0/bin/node", ""),
        ("home/.volta/tools/image/node/18.1.0/bin/npm", ""),
        ("home/.volta/tools/image/node/20.1.0/bin/node", ""),
        ("home/.volta/tools/image/node/20.1.0/bin/npm", ""),
        ("home/.volta/tools/image/npm/9.1.0/bin/npm", ""),
        ("home/.volta/tools/image/npm/10.1.0/bin/npm", ""),
        (
            "home/.volta/tools/user/platform.json",
            r#"{"node": {"runtime": "18.1.0", "npm": null}, "npm": "9.1.0"}"#,
        ),
        ("work/package.json", "{}"),
    ]);
    let found = || {
        ["node", "npm"].map(|name| {
            let found = machine.found(&format!("home/.volta/bin/{name}"), None);
            found.trim_start_matches(".volta/tools/image/").to_owned()
        })
    };
    assert_eq!(found(), ["node/18.1.0/bin/node", "npm/9.1.0/bin/npm"]);
    machine.put("work/package.json", r#"{"volta": {"node": "20.1.0"}}"#);
    assert_eq!(found(), ["node/20.1.0/bin/node", "node/20.1.0/bin/npm"]);
    let package = |volta: &str| format!(r#"{{"volta": {volta}}}"#);
    machine.put(
        "work/sub/package.json",
        &package(r#"{"npm": "10.1.0", "extends": "../package.json"}"#),
    );
    assert_eq!(found(), ["node/20.1.0/bin/node", "npm/10.1.0/bin/npm"]);
    // A circle of `extends`, or a file that does not exist, selects nothing.
    for other in ["package.json", "../none.json"] {
        let text = package(&format!(r#"{{"extends": "{other}"}}"#));
        machine.put("work/sub/package.json", &text);
        assert_eq!(found(), ["node/18.1.0/bin/node", "npm/9.1.0/bin/npm"]);
    }
}

#[test]
fn pyenv_selects_by_file_or_leaves_it_to_the_system() {
    let machine = Machine::new(&[
        ("home/.pyenv/shims/python3", "#!/usr/bin/env bash\n"),
        ("home/.pyenv/versions/3.11.7/bin/python3", ""),
        ("home/.pyenv/versions/3.9.18/bin/python3", ""),
        ("home/.pyenv/versions/3.11.10/bin/python3", ""),
        ("home/.pyenv/version", "3.9.18\n"),
    ]);
    let shim = "home/.pyenv/shims/python3";
    let of = |version: &str| format!(".pyenv/versions/{version}/bin/python3");
    assert_eq!(machine.found(shim, None), of("3.9.18"));
    assert_eq!(machine.found(shim, Some("3.11")), of("3.11.10"));
    machine.put("work/.python-version", "# why\n3.11\n");
    assert_eq!(
        machine.found(shim, None),
        of("3.11.10"),
        "the newest that fits"
    );
    machine.put("work/sub/.python-version", "3.13\n3.11.7\n");
    assert_eq!(
        machine.found(shim, None),
        of("3.11.7"),
        "the first that is installed"
    );
    let direct = "home/.pyenv/versions/3.9.18/bin/python3";
    assert_eq!(
        machine.found(direct, None),
        of("3.9.18"),
        "its path says it"
    );
    machine.put("work/sub/.python-version", "system\n");
    assert_eq!(machine.found(shim, None), "elsewhere");
    machine.put("work/sub/.python-version", "3.13\n");
    let refused = machine.found(shim, None);
    assert!(
        refused.contains("no 3.13") && refused.contains("3.9.18"),
        "{refused}"
    );
    let refused = machine.found(shim, Some("3.14"));
    assert!(refused.contains("no version 3.14"), "{refused}");
}

#[test]
fn managers_without_shims_keep_what_path_has_unless_a_file_selects() {
    let machine = Machine::new(&[
        ("home/.nvm/versions/node/v18.1.0/bin/node", ""),
        ("home/.nvm/versions/node/v20.2.0/bin/node", ""),
        (
            "home/.local/share/fnm/node-versions/v18.1.0/installation/bin/node",
            "",
        ),
        (
            "home/.local/share/fnm/node-versions/v20.2.0/installation/bin/node",
            "",
        ),
        (
            "run/fnm/1",
            "-> ../../home/.local/share/fnm/node-versions/v18.1.0/installation",
        ),
        ("home/.sdkman/candidates/java/17.0.1-tem/bin/java", ""),
        ("home/.sdkman/candidates/java/21.0.1-tem/bin/java", ""),
        ("home/.sdkman/candidates/java/current", "-> 17.0.1-tem"),
        (
            "home/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12",
            "",
        ),
        (
            "home/.local/bin/python3.12",
            "-> ../share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12",
        ),
    ]);
    let all = |more: &str| {
        let found = [
            "home/.nvm/versions/node/v18.1.0/bin/node",
            "run/fnm/1/bin/node",
            "home/.sdkman/candidates/java/current/bin/java",
        ]
        .map(|at| machine.found(at, None));
        assert!(found.iter().all(|found| found.contains(more)), "{found:?}");
    };
    all("1");
    let on_path = machine.found("run/fnm/1/bin/node", None);
    assert_eq!(
        on_path,
        ".local/share/fnm/node-versions/v18.1.0/installation/bin/node"
    );
    machine.put("work/.nvmrc", "20\n");
    machine.put("work/.sdkmanrc", "# comment\njava=21.0.1-tem\n");
    all("2");
    assert_eq!(
        machine.found("home/.sdkman/candidates/java/current/bin/java", None),
        ".sdkman/candidates/java/21.0.1-tem/bin/java"
    );
    assert_eq!(
        machine.found("home/.local/bin/python3.12", None),
        ".local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12"
    );
}

#[test]
fn managers_of_many_tools_find_the_one_that_has_the_program() {
    let mut machine = Machine::new(&[
        ("home/.asdf/shims/node", ""),
        ("home/.asdf/installs/nodejs/20.1.0/bin/node", ""),
        ("home/.asdf/installs/nodejs/18.1.0/bin/node", ""),
        ("home/.asdf/installs/python/3.12.1/bin/python3", ""),
        ("home/.tool-versions", "nodejs 18.1.0\n"),
        ("home/.local/share/mise/shims/go", ""),
        ("home/.local/share/mise/installs/go/1.22.0/bin/go", ""),
        ("home/.local/share/mise/installs/go/1.23.0/bin/go", ""),
        ("home/.local/share/mise/installs/go/latest", "-> 1.23.0"),
        ("home/.config/mise/config.toml", "[tools]\ngo = \"1.22\"\n"),
        ("home/.volta/bin/npm", ""),
        ("home/.volta/tools/image/npm/10.1.0/bin/npm", ""),
        ("home/.volta/tools/image/npm/9.1.0/bin/npm", ""),
        (
            "home/.volta/tools/user/platform.json",
            "{\"npm\": \"9.1.0\"}",
        ),
        ("home/.goenv/shims/go", ""),
        ("home/.goenv/versions/1.20.1/bin/go", ""),
        ("home/.goenv/version", "1.20.1\n"),
    ]);
    let found = |machine: &Machine| {
        [
            "home/.asdf/shims/node",
            "home/.local/share/mise/shims/go",
            "home/.volta/bin/npm",
            "home/.goenv/shims/go",
        ]
        .map(|at| machine.found(at, None))
    };
    assert_eq!(
        found(&machine),
        [
            ".asdf/installs/nodejs/18.1.0/bin/node",
            ".local/share/mise/installs/go/1.22.0/bin/go",
            ".volta/tools/image/npm/9.1.0/bin/npm",
            ".goenv/versions/1.20.1/bin/go",
        ]
    );
    machine.put("work/.tool-versions", "nodejs 20.1.0 # newest\n");
    machine.put("work/mise.toml", "[tools]\ngo = { version = \"1.23\" }\n");
    machine.put("work/package.json", "{\"volta\": {\"npm\": \"10.1.0\"}}");
    assert_eq!(
        found(&machine),
        [
            ".asdf/installs/nodejs/20.1.0/bin/node",
            ".local/share/mise/installs/go/1.23.0/bin/go",
            ".volta/tools/image/npm/10.1.0/bin/npm",
            ".goenv/versions/1.20.1/bin/go",
        ]
    );
    machine
        .variables
        .insert("ASDF_NODEJS_VERSION", "18.1.0".to_owned());
    assert!(found(&machine)[0].contains("18.1.0"));
}

#[test]
fn toolchains_are_known_by_what_is_in_them() {
    let machine = Machine::new(&[
        ("go/bin/go", ""),
        ("go/VERSION", "go1.26.1\ntime x\n"),
        ("go/src/runtime/a.go", ""),
        ("go/test/a.go", ""),
        ("jdk/bin/java", ""),
        (
            "jdk/release",
            "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"21.0.2\"\n",
        ),
        ("maven/bin/mvn", ""),
        ("maven/lib/maven-core-3.9.6.jar", ""),
        ("gradle/bin/gradle", ""),
        ("gradle/lib/gradle-base-services-8.5.jar", ""),
        ("dotnet/dotnet", ""),
        ("dotnet/sdk/8.0.100/x", ""),
        ("dotnet/sdk/10.0.100/x", ""),
        ("node/bin/node", ""),
        (
            "node/include/node/node_version.h",
            "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 1\n#define NODE_PATCH_VERSION 2\n",
        ),
        ("python/bin/python3", ""),
        ("python/lib/python3.12/os.py", ""),
        ("rust/bin/cargo", ""),
        (
            "rust/lib/rustlib/multirust-channel-manifest.toml",
            "[pkg.rustc]\nversion = \"1.90.0 (abc 2025-01-01)\"\n",
        ),
        ("other/bin/tool", ""),
    ]);
    let found = |at: &str| {
        let found = layouts::find(&machine.at(at))?;
        Some((found.kind, found.version.unwrap_or_default()))
    };
    for (at, kind, version) in [
        ("go/bin/go", "Go", "1.26.1"),
        ("jdk/bin/java", "JDK", "21.0.2"),
        ("maven/bin/mvn", "Maven", "3.9.6"),
        ("gradle/bin/gradle", "Gradle", "8.5"),
        ("dotnet/dotnet", ".NET", "10.0.100"),
        ("node/bin/node", "Node.js", "20.1.2"),
        ("python/bin/python3", "Python", "3.12"),
        ("rust/bin/cargo", "Rust", "1.90.0"),
    ] {
        assert_eq!(
            found(at),
            Some((kind.to_owned(), version.to_owned())),
            "{at}"
        );
    }
    assert_eq!(found("other/bin/tool"), None);
    let go = layouts::find(&machine.at("go/bin/go")).unwrap();
    assert_eq!(go.parts, ["VERSION", "bin", "src"]);
    let root = machine.at("go").to_string_lossy().into_owned();
    assert!(go.env.contains(&("GOROOT", root)));
}

#[test]
fn go_mod_selects_a_downloaded_toolchain_or_is_an_error() {
    let machine = Machine::new(&[
        ("go/bin/go", ""),
        ("go/VERSION", "go1.26.1\n"),
        ("go/src/runtime/a.go", ""),
        ("work/go.mod", "module x\n\ngo 1.20\n"),
    ]);
    let ask = || {
        let at = machine.at("go/bin/go");
        unmanaged(&Query {
            name: "go",
            version: None,
            at: &at,
            real: &at,
            home: &machine.at("home"),
            folder: &machine.at("work/sub"),
            variable: &|_| None,
        })
    };
    let found = ask().unwrap().unwrap();
    assert_eq!(found.program, machine.at("go/bin/go"));
    assert_eq!(found.selected.as_deref(), Some("1.20"));
    machine.put("work/go.mod", "module x\n\ngo 1.27\n\ntoolchain go1.27.2\n");
    let refused = ask().unwrap_err().to_string();
    for part in ["go.mod requires Go 1.27.2", "1.26.1"] {
        assert!(refused.contains(part), "{refused}");
    }
    let downloaded = "home/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.27.2.linux-amd64";
    for (path, text) in [
        ("bin/go", ""),
        ("VERSION", "go1.27.2\n"),
        ("src/runtime/a", ""),
    ] {
        machine.put(&format!("{downloaded}/{path}"), text);
    }
    let found = ask().unwrap().unwrap();
    assert_eq!(found.version.as_deref(), Some("1.27.2"));
    assert!(found.program.starts_with(machine.at(downloaded)));
}
