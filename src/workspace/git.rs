//! Reads commit and branch of a Git checkout without running Git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::read_text;

/// Largest file that holds one reference or path, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Largest list of packed references, in bytes: 64 MiB, half a million of them.
const MAX_PACKED: u64 = 64 << 20;

/// Facts about the checkout that contains `folder`: `sha`, `shortSha` and, if a branch
/// is checked out, `branch`. Empty outside a checkout and before the first commit.
#[must_use]
pub fn git_facts(folder: &Path) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let Some((git, common)) = git_folders(folder) else {
        return facts;
    };
    let Ok(head) = read_text(&git.join("HEAD"), MAX_LINE) else {
        return facts;
    };
    let head = head.trim();
    let sha = match head.strip_prefix("ref: ") {
        None => Some(head.to_owned()),
        Some(reference) => {
            if let Some(branch) = reference.strip_prefix("refs/heads/") {
                facts.insert("branch".to_owned(), branch.to_owned());
            }
            resolve(&common, reference)
        }
    };
    match sha {
        Some(sha) if sha.len() >= 40 && sha.bytes().all(|b| b.is_ascii_hexdigit()) => {
            facts.insert("shortSha".to_owned(), sha[..7].to_owned());
            facts.insert("sha".to_owned(), sha);
        }
        _ => {}
    }
    facts
}

/// The Git folder of the checkout, and the one with its branches.
fn git_folders(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let dot = folder
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|path| path.exists())?;
    if dot.is_dir() {
        return Some((dot.clone(), dot));
    }
    // In a work tree, this file names its Git folder, which names the common one.
    let text = read_text(&dot, MAX_LINE).ok()?;
    let git = dot.parent()?.join(text.trim().strip_prefix("gitdir: ")?);
    let common = read_text(&git.join("commondir"), MAX_LINE)
        .map_or_else(|_| git.clone(), |text| git.join(text.trim()));
    Some((git, common))
}

fn resolve(common: &Path, reference: &str) -> Option<String> {
    if reference.split('/').any(|part| part == "..") {
        return None;
    }
    if let Ok(text) = read_text(&common.join(reference), MAX_LINE) {
        return Some(text.trim().to_owned());
    }
    let packed = read_text(&common.join("packed-refs"), MAX_PACKED).ok()?;
    packed.lines().find_map(|line| {
        let (sha, name) = line.split_once(' ')?;
        (name == reference).then(|| sha.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_branch_is_found_loose_packed_and_from_a_work_tree() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join("repo/.git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let below = dir.path().join("repo/a");
        fs::create_dir(&below).unwrap();
        assert_eq!(git_facts(&below).get("sha"), None);
        fs::write(
            git.join("packed-refs"),
            format!("# x\n{SHA} refs/heads/main\n"),
        )
        .unwrap();
        let facts = git_facts(&below);
        assert_eq!(
            (facts["sha"].as_str(), facts["branch"].as_str()),
            (SHA, "main")
        );
        let tree = git.join("worktrees/w");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("HEAD"), format!("{SHA}\n")).unwrap();
        fs::write(tree.join("commondir"), "../..\n").unwrap();
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(".git"), format!("gitdir: {}\n", tree.display())).unwrap();
        let facts = git_facts(&other);
        assert_eq!(facts["shortSha"], "0123456");
        assert!(!facts.contains_key("branch"));
    }

    #[test]
    fn outside_of_a_checkout_there_are_no_facts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(git_facts(dir.path()).is_empty());
    }
}
