//! Commit and branch of a Git checkout, read without running Git.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Facts about the checkout that `folder` is in: `sha`, `shortSha` and, if a
/// branch is checked out, `branch`. Empty outside of one, and before the first
/// commit.
#[must_use]
pub fn git_facts(folder: &Path) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let Some((git, common)) = git_folders(folder) else {
        return facts;
    };
    let Ok(head) = fs::read_to_string(git.join("HEAD")) else {
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

/// The checkout's own folder, and the one that branches are kept in.
fn git_folders(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let dot = folder
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|path| path.exists())?;
    if dot.is_dir() {
        return Some((dot.clone(), dot));
    }
    // A work tree: the file names its folder, which names the common one.
    let text = fs::read_to_string(&dot).ok()?;
    let git = dot.parent()?.join(text.trim().strip_prefix("gitdir: ")?);
    let common = fs::read_to_string(git.join("commondir"))
        .map_or_else(|_| git.clone(), |text| git.join(text.trim()));
    Some((git, common))
}

fn resolve(common: &Path, reference: &str) -> Option<String> {
    if reference.split('/').any(|part| part == "..") {
        return None;
    }
    if let Ok(text) = fs::read_to_string(common.join(reference)) {
        return Some(text.trim().to_owned());
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (sha, name) = line.split_once(' ')?;
        (name == reference).then(|| sha.to_owned())
    })
}

#[cfg(test)]
mod tests {
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
