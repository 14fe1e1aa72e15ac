//! Cargo, Go, CMake and Make.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::draft::{Delivered, Draft, Run, Task, WITHOUT_OUTPUTS, owned};
use super::files::Folder;
use crate::kinds::run::MAKEFILES;

/// A program for all users.
fn program(source: &str) -> Delivered {
    let name = Path::new(source)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    Delivered {
        source: source.to_owned(),
        target: format!("/usr/local/bin/{name}"),
        executable: true,
    }
}

pub(super) fn cargo(folder: &Folder) -> Option<Draft> {
    let text = folder.text("Cargo.toml")?;
    let manifest = DeTable::parse(&text).ok()?;
    let manifest = manifest.get_ref();
    let members = members(folder, manifest);
    let mut inputs = folder.present(&[
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "rust-toolchain",
        ".cargo/**",
        "build.rs",
        "src/**",
        "benches/**",
        "examples/**",
        "tests/**",
        "vendor/**",
    ]);
    inputs.extend(members.iter().map(|member| format!("{member}/**")));
    let mut programs = binaries(folder, "", manifest);
    for member in &members {
        if let Some(text) = folder.text(&format!("{member}/Cargo.toml"))
            && let Ok(manifest) = DeTable::parse(&text)
        {
            programs.extend(binaries(folder, member, manifest.get_ref()));
        }
    }
    programs.sort();
    programs.dedup();
    let locked = if folder.has("Cargo.lock") {
        " --locked"
    } else {
        ""
    };
    let vendored = folder.has("vendor");
    let fetched = match locked {
        "" => "crates",
        _ => "crates; their checksums are in Cargo.lock",
    };
    let network = (!vendored).then(|| fetched.to_owned());
    let (tools, caches) = (
        owned(&["cargo", "cc"]),
        match vendored {
            true => Vec::new(),
            false => owned(&["cargo"]),
        },
    );
    let outputs: Vec<String> = programs
        .iter()
        .map(|name| format!("target/release/{name}"))
        .collect();
    let build = Task {
        name: "build".to_owned(),
        run: Run::program(&format!("cargo build --release{locked}")),
        inputs: inputs.clone(),
        outputs: outputs.clone(),
        tools: tools.clone(),
        caches: caches.clone(),
        network: network.clone(),
        ..Task::default()
    };
    let test = Task {
        name: "test".to_owned(),
        remarks: owned(&[WITHOUT_OUTPUTS]),
        run: Run::program(&format!("cargo test{locked}")),
        inputs,
        tools,
        caches,
        network,
        ..Task::default()
    };
    let mut notes = Vec::new();
    if locked.is_empty() {
        notes.push("Cargo.lock is missing: create it with `cargo generate-lockfile`, and add --locked to the commands".to_owned());
    }
    Some(Draft {
        at: folder.at.clone(),
        tasks: vec![build, test],
        delivered: outputs.iter().map(|output| program(output)).collect(),
        notes,
        ..Draft::default()
    })
}

fn texts(value: Option<&DeValue<'_>>) -> Vec<String> {
    match value {
        Some(DeValue::Array(items)) => items
            .iter()
            .filter_map(|item| Some(item.get_ref().as_str()?.to_owned()))
            .collect(),
        _ => Vec::new(),
    }
}

/// The folders of a workspace's members.
fn members(folder: &Folder, manifest: &DeTable<'_>) -> Vec<String> {
    let workspace = manifest.get("workspace").map(|value| value.get_ref());
    let Some(DeValue::Table(workspace)) = workspace else {
        return Vec::new();
    };
    let members = workspace.get("members").map(|value| value.get_ref());
    let mut found = Vec::new();
    for member in texts(members) {
        match member.strip_suffix("/*") {
            Some(above) => {
                let Ok(above_folder) = folder.below(above) else {
                    continue;
                };
                let inner = above_folder.folders().into_iter();
                let inner = inner.map(|name| format!("{above}/{name}"));
                found.extend(inner.filter(|path| folder.has(&format!("{path}/Cargo.toml"))));
            }
            None if folder.has(&format!("{member}/Cargo.toml")) && member != "." => {
                found.push(member);
            }
            None => {}
        }
    }
    found
}

/// The names of the programs of a crate.
fn binaries(folder: &Folder, at: &str, manifest: &DeTable<'_>) -> Vec<String> {
    let name_of = |value: &DeValue<'_>| match value {
        DeValue::Table(table) => Some(table.get("name")?.get_ref().as_str()?.to_owned()),
        _ => None,
    };
    let mut names = Vec::new();
    if let Some(DeValue::Array(listed)) = manifest.get("bin").map(|value| value.get_ref()) {
        names.extend(listed.iter().filter_map(|one| name_of(one.get_ref())));
    }
    let path = |path: &str| match at {
        "" => path.to_owned(),
        at => format!("{at}/{path}"),
    };
    if names.is_empty() && folder.has(&path("src/main.rs")) {
        let package = manifest.get("package").map(|value| value.get_ref());
        names.extend(package.and_then(name_of));
    }
    names
}

pub(super) fn go(folder: &Folder) -> Option<Draft> {
    let text = folder.text("go.mod")?;
    let fetches = text
        .lines()
        .any(|line| line.trim_start().starts_with("require"))
        && !folder.has("vendor");
    let mut inputs = folder.present(&["go.mod", "go.sum", "go.work", "vendor/**"]);
    inputs.push("**/*.go".to_owned());
    let network = fetches.then(|| "modules; their checksums are in go.sum".to_owned());
    let caches = if fetches { owned(&["go"]) } else { Vec::new() };
    let module = text.lines().find_map(|line| line.strip_prefix("module "));
    let module = module.map(str::trim).unwrap_or_default().trim_matches('"');
    let last = module.rsplit('/').find(|part| !is_major(part));
    let name = super::files::plain(last.unwrap_or_default());
    let main = folder.has("cmd") || folder.has_any("go") && is_program(folder);
    let (command, outputs, delivered) = match (folder.has("cmd"), main) {
        (true, _) => {
            let programs = folder
                .below("cmd")
                .map(|cmd| cmd.folders())
                .unwrap_or_default();
            let paths: Vec<String> = programs.iter().map(|name| format!("bin/{name}")).collect();
            let delivered = paths.iter().map(|path| program(path)).collect();
            ("go build -o bin/ ./cmd/...".to_owned(), paths, delivered)
        }
        (false, true) => {
            let path = format!("bin/{name}");
            let delivered = vec![program(&path)];
            (format!("go build -o {path} ."), vec![path], delivered)
        }
        // A library: that it compiles is all there is to see.
        (false, false) => ("go build ./...".to_owned(), Vec::new(), Vec::new()),
    };
    let build = Task {
        name: "build".to_owned(),
        remarks: owned(&["Add what //go:embed names to the inputs."]),
        run: Run::program(&command),
        inputs: inputs.clone(),
        outputs,
        tools: owned(&["go"]),
        caches: caches.clone(),
        network: network.clone(),
    };
    let test = Task {
        name: "test".to_owned(),
        remarks: owned(&[WITHOUT_OUTPUTS]),
        run: Run::program("go test ./..."),
        inputs,
        tools: owned(&["go"]),
        caches,
        network,
        ..Task::default()
    };
    Some(Draft {
        at: folder.at.clone(),
        tasks: vec![build, test],
        delivered,
        ..Draft::default()
    })
}

/// Whether the part of a module's path is its major version, such as `v2`.
fn is_major(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

fn is_program(folder: &Folder) -> bool {
    let main = folder.text("main.go");
    main.is_some_and(|text| text.lines().any(|line| line.trim() == "package main"))
}

pub(super) fn cmake(folder: &Folder) -> Option<Draft> {
    let text = folder.text("CMakeLists.txt")?;
    let programs: Vec<String> = text
        .match_indices("add_executable(")
        .filter_map(|(at, found)| {
            let rest = text[at + found.len()..].split_whitespace().next()?;
            let name = rest.trim_end_matches(')');
            (!name.is_empty() && !name.contains('$') && !name.contains("test"))
                .then(|| format!("build/{name}"))
        })
        .collect();
    let tested = text.contains("enable_testing()");
    let test = if tested {
        " && ctest --test-dir build"
    } else {
        ""
    };
    let mut notes = Vec::new();
    if programs.is_empty() {
        notes.push(
            "CMakeLists.txt names no program: list what it builds in the outputs of `build`"
                .to_owned(),
        );
    }
    let build = Task {
        name: "build".to_owned(),
        remarks: owned(&["Only the outputs leave the sandbox, not the whole folder `build`."]),
        run: Run::Shell(format!(
            "cmake -S . -B build -G Ninja && cmake --build build{test}"
        )),
        inputs: owned(&["**", "!build/**"]),
        outputs: programs.clone(),
        tools: owned(&["cmake", "ninja", "cc", "c++"]),
        ..Task::default()
    };
    Some(Draft {
        at: folder.at.clone(),
        tasks: vec![build],
        delivered: programs.iter().map(|path| program(path)).collect(),
        notes,
        ..Draft::default()
    })
}

pub(super) fn make(folder: &Folder) -> Option<Draft> {
    let text = MAKEFILES.iter().find_map(|name| folder.text(name))?;
    let rules = text
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', ' ', '.']));
    let rules: Vec<(&str, &str)> = rules
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, rest)| !rest.starts_with('='))
        .collect();
    let file = |name: &str| !name.is_empty() && !name.contains(['$', '%', ' ', '=']);
    let first = rules.first().copied();
    let outputs: Vec<String> = match first {
        Some(("all", needs)) => needs
            .split_whitespace()
            .filter(|name| file(name))
            .map(str::to_owned)
            .collect(),
        Some((target, _)) if file(target.trim()) => vec![target.trim().to_owned()],
        _ => Vec::new(),
    };
    let phony = |name: &String| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(".PHONY:"));
        lines.any(|names| names.split_whitespace().any(|phony| phony == name))
    };
    let outputs: Vec<String> = outputs.into_iter().filter(|name| !phony(name)).collect();
    let mut notes = Vec::new();
    if outputs.is_empty() {
        notes.push(
            "the Makefile does not say what it builds: list it in the outputs of `build`"
                .to_owned(),
        );
    }
    let build = Task {
        name: "build".to_owned(),
        run: Run::program("make"),
        inputs: owned(&["**"]),
        outputs: outputs.clone(),
        tools: owned(&["make", "cc"]),
        ..Task::default()
    };
    Some(Draft {
        at: folder.at.clone(),
        tasks: vec![build],
        delivered: outputs.iter().map(|path| program(path)).collect(),
        notes,
        ..Draft::default()
    })
}
