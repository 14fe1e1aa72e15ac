//! The repository that a command sees, as inputs of its own.

use std::collections::BTreeMap;

use super::RunWork;
use crate::cas::tree::{Tree, TreeEntry, TreeKind};
use crate::ground::commit::path_in;
use crate::ground::inputs::Inputs;
use crate::ground::repository::{RepositoryError, repository};
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::oci::Digest;
use crate::workspace;

/// The name of the folder that Git looks for.
const NAME: &str = ".git";

/// Folders that Git looks for in it, whether they have files or not.
const FOLDERS: [&str; 3] = ["objects", "objects/pack", "refs"];

/// How many folders the repository's is above that of the pipeline.
pub(super) fn above(work: &RunWork) -> Option<usize> {
    let checkout = work.git.then(|| workspace::checkout(&work.folder))??;
    let below = work.folder.strip_prefix(&checkout.root).ok()?;
    Some(below.components().count())
}

/// Keeps Git from the settings of the machine, which are in no key, and with Landlock are
/// a file that it may not open.
pub(super) fn set_variables(env: &mut BTreeMap<String, String>) {
    let name = "GIT_CONFIG_NOSYSTEM".to_owned();
    env.entry(name).or_insert_with(|| "1".to_owned());
}

/// Adds the files of a small Git folder to the inputs: then the key has all that the
/// command can learn from it.
pub(super) fn add(site: &Site, work: &RunWork, inputs: &mut Inputs) -> Result<(), Failure> {
    let place = work.place.of("git");
    let refuse = |message: String| Failure::new(Class::Configuration, message);
    let absent = || {
        refuse(format!(
            "{place}`git: true` needs a Git checkout with a commit, and `{}` is in none: clone the repository with Git, or remove `git`",
            work.folder.display()
        ))
    };
    let checkout = workspace::checkout(&work.folder).ok_or_else(absent)?;
    let facts = workspace::git_facts(&work.folder);
    let sha = facts.get("sha").ok_or_else(absent)?;
    let path = path_in(&site.options.environment);
    let branch = facts.get("branch").map(String::as_str);
    let files = repository(&checkout, sha, branch, path).map_err(|error| match error {
        RepositoryError::Shallow => refuse(format!("{place}{error}")),
        error => Failure::caused_by(Class::Environment, &error),
    })?;
    let mut entries: Vec<TreeEntry> = FOLDERS
        .iter()
        .map(|folder| TreeEntry {
            path: (*folder).to_owned(),
            kind: TreeKind::Directory,
        })
        .collect();
    for (path, bytes) in files {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        // Of most builds, nothing is written.
        if !site.cas.contains(&digest, size)? {
            site.cas.store(NAME, &bytes)?;
        }
        entries.push(TreeEntry {
            path,
            kind: TreeKind::File {
                digest,
                size,
                executable: false,
            },
        });
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let up = "../".repeat(above(work).unwrap_or(0));
    inputs.recorded(&format!("{up}{NAME}"), &Tree { entries })?;
    Ok(())
}
