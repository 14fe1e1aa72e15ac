//! What a command left outside of its outputs, when one of them is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::DeclaredOutput;
use super::stage;

/// Maximum number of entries looked at in the home and temporary folders: caches of
/// tools hold many.
const MAX_VISITED: usize = 20_000;

/// `dropped`, the files that it left in its workspace, and those in its home and
/// temporary folders that have the name of an output: `~/bin/app`, `/tmp/app`.
pub(super) fn of(stage: &Path, dropped: Vec<String>, outputs: &[DeclaredOutput]) -> Vec<String> {
    let names: BTreeSet<&str> = outputs
        .iter()
        .filter_map(|output| output.path.trim_end_matches('/').rsplit('/').next())
        .collect();
    let mut found = dropped;
    let mut visited = 0;
    for (folder, shown) in [(stage::HOME, "~"), (stage::TEMPORARY, "/tmp")] {
        let mut open = vec![(stage.join(folder), shown.to_owned())];
        while let Some((folder, shown)) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                visited += 1;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let path = format!("{shown}/{name}");
                if names.contains(name.as_ref()) {
                    found.push(path);
                } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && visited < MAX_VISITED
                {
                    open.push((entry.path(), path));
                }
            }
        }
    }
    found
}
