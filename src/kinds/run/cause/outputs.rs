//! What a command made instead of a missing output.

use std::collections::BTreeSet;

use super::super::command::RunError;
use super::Scene;
use crate::ground::{Cause, CauseKind};

/// Maximum number of paths that are named.
const MAX_NAMED: usize = 3;

pub(super) fn causes(scene: &Scene<'_>, error: &RunError, left: &[String]) -> Vec<Cause> {
    let place = scene.work.place.at("outputs");
    let RunError::Missing { path } = error else {
        return Vec::new();
    };
    let bare = path.trim_end_matches('/');
    let declared = scene.work.outputs.iter();
    let folder = declared
        .into_iter()
        .any(|output| output.path == *path && output.directory);
    let declared = if folder {
        format!("{bare}/")
    } else {
        bare.to_owned()
    };
    let near = closest(bare, folder, left);
    let names: Vec<String> = near.iter().map(|path| format!("`{path}`")).collect();
    let cause = match near.first() {
        None => Cause {
            kind: CauseKind::MissingOutput,
            message: "it made no other file".to_owned(),
            help: format!(
                "correct `outputs`{place}, whose paths are relative to the pipeline file, or make it optional: `{{ path: {declared}, optional: true }}`"
            ),
        },
        Some(first) => Cause {
            kind: CauseKind::MissingOutput,
            message: format!("it made {} instead", names.join(", ")),
            help: match first.starts_with('~') {
                true => format!("let the command write to `{bare}`: {first} is not kept"),
                false => format!("write `{first}` in `outputs`{place}, or correct the command"),
            },
        },
    };
    vec![cause]
}

/// The files, or folders, of `left` that are most like `path`.
fn closest(path: &str, folder: bool, left: &[String]) -> Vec<String> {
    let names: BTreeSet<String> = match folder {
        false => left.iter().cloned().collect(),
        true => left.iter().flat_map(|path| folders(path)).collect(),
    };
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let ending = |path: &str| name(path).rsplit_once('.').map(|(_, end)| end.to_owned());
    let mut ranked: Vec<(bool, bool, usize, String)> = names
        .into_iter()
        .map(|other| {
            (
                name(&other) != name(path),
                ending(&other) != ending(path),
                strsim::damerau_levenshtein(&other, path),
                other,
            )
        })
        .collect();
    ranked.sort();
    let found = ranked.into_iter().map(|(.., path)| path);
    let shown = found.map(|path| match folder {
        true => format!("{path}/"),
        false => path,
    });
    shown.take(MAX_NAMED).collect()
}

/// The folders above a path.
fn folders(path: &str) -> Vec<String> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.map(|at| path[..at].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_most_like_the_output_is_named_first() {
        let left = ["a.o", "build/app", "app.exe", "src/x.o"].map(str::to_owned);
        assert_eq!(closest("bin/app", false, &left)[0], "build/app");
        assert_eq!(closest("b.o", false, &left)[..2], ["a.o", "src/x.o"]);
        assert_eq!(closest("out", true, &left), ["src/", "build/"]);
        assert!(closest("out", true, &left[..1]).is_empty());
    }
}
