//! Programs that a log says are missing.

use super::super::programs;
use super::Scene;
use crate::ground::{Cause, CauseKind};

/// The programs that the log says are missing, and that the task does not declare.
pub(super) fn causes(scene: &Scene<'_>, log: &str) -> Vec<Cause> {
    let declared = programs::names(scene.work);
    let mut names: Vec<&str> = Vec::new();
    for name in log.lines().filter_map(missing) {
        if !names.contains(&name) && !declared.contains(name) {
            names.push(name);
        }
    }
    names.iter().filter_map(|name| cause(scene, name)).collect()
}

fn cause(scene: &Scene<'_>, name: &str) -> Option<Cause> {
    let place = scene.work.place.at("tools");
    let folder = programs::folder(scene.work);
    let search = programs::search(scene.site, scene.work, &folder);
    if search.find(name).is_ok() {
        return Some(Cause {
            kind: CauseKind::UndeclaredTool,
            message: format!("`{name}` is installed, but is not a tool of the task"),
            help: format!("add `{name}` to `tools`{place}"),
        });
    }
    // A script of the workspace may be meant.
    if scene.work.folder.join(name).exists() {
        return None;
    }
    Some(Cause {
        kind: CauseKind::MissingTool,
        message: format!("the program `{name}` is not on PATH"),
        help: format!("install `{name}`, and add it to `tools`{place}"),
    })
}

/// The program that a line says is missing: as shells, `env`, `make`, and the libraries
/// of Go, Node.js, Python and Rust write it.
fn missing(line: &str) -> Option<&str> {
    let line = line.trim();
    let lower = line.to_ascii_lowercase();
    let name = if let Some(before) = [": command not found", ": not found"]
        .iter()
        .find_map(|end| lower.strip_suffix(end))
    {
        let before = &line[..before.len()];
        // A shell's line begins with its own name.
        before.rsplit_once(": ")?.1
    } else if let Some(at) = lower.find("command not found: ") {
        &line[at + "command not found: ".len()..]
    } else if lower.contains("executable file not found") || lower.starts_with("cannot start `") {
        quoted(line)?
    } else if let Some(at) = lower.find("spawn ") {
        line[at + "spawn ".len()..].split_once(" ENOENT")?.0
    } else if lower.starts_with("error: linker `") && lower.contains("not found") {
        quoted(line)?
    } else if lower.contains("[errno 2] no such file or directory: ") {
        quoted(&line[lower.find("directory: ")?..])?
    } else if let Some(before) = lower.strip_suffix(": no such file or directory") {
        let before = &line[..before.len()];
        let (program, rest) = before.split_once(": ")?;
        let program = program.rsplit('/').next()?;
        let starts_programs = program == "env" || program.starts_with("make");
        starts_programs.then(|| quoted(rest).unwrap_or(rest))?
    } else {
        return None;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let word = name.trim();
    (!word.is_empty() && !word.starts_with('-') && word.chars().all(plain)).then_some(word)
}

/// The first quoted part of a line.
fn quoted(line: &str) -> Option<&str> {
    let is_quote = |c: char| "\"'`‘".contains(c);
    let ends = |c: char| "\"'`’".contains(c);
    let (_, rest) = line.split_once(is_quote)?;
    rest.split_once(ends).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_is_missing_is_found_in_common_messages() {
        for (line, expected) in [
            ("sh: 1: node: not found", Some("node")),
            ("script: 3: protoc-gen-go: not found", Some("protoc-gen-go")),
            ("bash: line 1: g++: command not found", Some("g++")),
            ("zsh:1: command not found: cargo", Some("cargo")),
            ("/bin/sh: jq: not found", Some("jq")),
            (
                "cgo: C compiler \"gcc\" not found: exec: \"gcc\": executable file not found in $PATH",
                Some("gcc"),
            ),
            (
                "/usr/bin/env: ‘node’: No such file or directory",
                Some("node"),
            ),
            ("env: python3: No such file or directory", Some("python3")),
            ("make: cc: No such file or directory", Some("cc")),
            ("make[2]: ld: No such file or directory", Some("ld")),
            ("Error: spawn esbuild ENOENT", Some("esbuild")),
            ("error: linker `cc` not found", Some("cc")),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'git'",
                Some("git"),
            ),
            (
                "cannot start `gmake`: No such file or directory (os error 2)",
                Some("gmake"),
            ),
            ("cat: file: No such file or directory", None),
            ("make: *** No rule to make target 'x'", None),
            ("module not found", None),
            ("sh: 1: ./tool.sh: not found", None),
            ("", None),
        ] {
            assert_eq!(missing(line), expected, "{line}");
        }
    }
}
