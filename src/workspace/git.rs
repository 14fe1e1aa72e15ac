//! Reads commit and branch of a Git checkout without running Git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::{look, read_text};

/// Largest file that holds one reference or path, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Largest list of packed references, in bytes: 64 MiB, half a million of them.
const MAX_PACKED: u64 = 64 << 20;

/// Facts about the checkout that contains `folder`: `sha`, `shortSha` and, if a branch
/// is checked out, `branch`. Empty outside a checkout and before the first commit.
#[must_use]
pub fn git_facts(folder: &Path) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let Some(Checkout { git, common, .. }) = checkout(folder) else {
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

/// The folders of a checkout.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The folder of its files.
    pub root: PathBuf,
    /// Its own Git folder.
    pub git: PathBuf,
    /// The Git folder that objects and branches are in.
    pub common: PathBuf,
}

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Without `refs/tags/`.
    pub name: String,
    /// The hash of a commit, or of an object that names one.
    pub object: String,
    /// The commit, where it is known without reading the object.
    pub commit: Option<String>,
}

/// What the name of a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The hash of an object.
    Object(String),
    Reference(String),
}

impl Checkout {
    /// Every reference that a name may stand for, such as `refs/heads/main` and
    /// `FETCH_HEAD`. Names that Git itself would refuse are left out.
    #[must_use]
    pub fn references(&self) -> BTreeMap<String, Stands> {
        let packed = read_text(&self.common.join("packed-refs"), MAX_PACKED).unwrap_or_default();
        let lines = packed.lines().filter_map(|line| line.split_once(' '));
        let mut found: BTreeMap<String, Stands> = lines
            .filter(|(object, name)| is_object(object) && is_name(name))
            .map(|(object, name)| (name.to_owned(), Stands::Object(object.to_owned())))
            .collect();
        each_loose(&self.common, "refs", 0, &mut |name, text| {
            let stands = match text.strip_prefix("ref: ") {
                Some(other) if is_name(other) => Stands::Reference(other.to_owned()),
                None if is_object(text) => Stands::Object(text.to_owned()),
                _ => return,
            };
            if is_name(&name) {
                found.insert(name, stands);
            }
        });
        for name in ["FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD"] {
            // The first that was fetched counts.
            let text = read_text(&self.git.join(name), MAX_LINE).unwrap_or_default();
            let object = text.split_whitespace().next().unwrap_or_default();
            if is_object(object) {
                found.insert(name.to_owned(), Stands::Object(object.to_owned()));
            }
        }
        found
    }

    /// Every tag, sorted by name.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let packed = read_text(&self.common.join("packed-refs"), MAX_PACKED);
        let mut tags = packed_tags(&packed.unwrap_or_default());
        each_loose(&self.common, "refs/tags", 0, &mut |name, text| {
            let name = name.strip_prefix("refs/tags/").unwrap_or(&name).to_owned();
            let tag = Tag {
                name: name.clone(),
                object: text.to_owned(),
                commit: None,
            };
            tags.insert(name, tag);
        });
        tags.into_values().collect()
    }
}

fn packed_tags(text: &str) -> BTreeMap<String, Tag> {
    let mut tags: BTreeMap<String, Tag> = BTreeMap::new();
    // Then a reference without a line of its own for the commit names the commit.
    let peeled = text.lines().next();
    let peeled = peeled.is_some_and(|line| line.contains(" fully-peeled"));
    let mut last: Option<String> = None;
    for line in text.lines() {
        if let Some(commit) = line.strip_prefix('^') {
            let tag = last.take().and_then(|name| tags.get_mut(&name));
            if let Some(tag) = tag {
                tag.commit = Some(commit.to_owned());
            }
            continue;
        }
        last = None;
        if let Some((object, name)) = line.split_once(" refs/tags/") {
            last = Some(name.to_owned());
            let tag = Tag {
                name: name.to_owned(),
                object: object.to_owned(),
                commit: peeled.then(|| object.to_owned()),
            };
            tags.insert(name.to_owned(), tag);
        }
    }
    tags
}

fn is_object(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the name of a reference can be a line and a path below a Git folder.
fn is_name(name: &str) -> bool {
    let mut parts = name.split('/');
    name.starts_with("refs/")
        && name.bytes().all(|byte| byte > b' ' && byte != 0x7f)
        && parts.all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// Maximum number of folders in a reference's name.
const MAX_DEPTH: usize = 32;

/// Calls `add` with each reference below the folder `name` that has a file of its own, and
/// the text of that. They override packed ones.
fn each_loose(common: &Path, name: &str, depth: usize, add: &mut impl FnMut(String, &str)) {
    let folder = look::read_dir(&common.join(name));
    for entry in folder.into_iter().flatten().flatten() {
        let Ok(last) = entry.file_name().into_string() else {
            continue;
        };
        let name = format!("{name}/{last}");
        if entry.file_type().is_ok_and(|found| found.is_dir()) {
            if depth < MAX_DEPTH {
                each_loose(common, &name, depth + 1, add);
            }
        } else if let Ok(text) = read_text(&entry.path(), MAX_LINE) {
            add(name, text.trim());
        }
    }
}

/// The checkout that `folder` is in.
#[must_use]
pub fn checkout(folder: &Path) -> Option<Checkout> {
    let dot = folder
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|path| look::exists(path))?;
    let root = dot.parent()?.to_owned();
    if look::is_dir(&dot) {
        return Some(Checkout {
            root,
            git: dot.clone(),
            common: dot,
        });
    }
    // In a work tree, this file names its Git folder, which names the common one.
    let text = read_text(&dot, MAX_LINE).ok()?;
    let git = root.join(text.trim().strip_prefix("gitdir: ")?);
    let common = read_text(&git.join("commondir"), MAX_LINE)
        .map_or_else(|_| git.clone(), |text| git.join(text.trim()));
    Some(Checkout { root, git, common })
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
