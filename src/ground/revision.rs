//! Which files of a checkout differ from a revision, as Git knows them.
//!
//! Git runs in a folder of its own, as in [`commit`](super::commit): nothing of the
//! checkout's configuration, hooks or filters is used, nothing is fetched, and nothing of
//! the checkout is written. Only trees are compared, and files of the checkout with its
//! index, so no content of the revision has to be in the repository.
//!
//! A checked-out submodule is compared in the same way, as a checkout of its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::commit::{CommitError, Git};
use super::repository::belongs;
use crate::disk;
use crate::workspace::{Checkout, Stands, checkout as checkout_of, git_facts};

/// Why changes since a revision cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    #[error(
        "`{0}` is not in a Git checkout, which --affected={1} requires: without a revision, --affected compares with the last good run"
    )]
    NoCheckout(PathBuf, String),
    /// Its commits may be those of another repository.
    #[error("`{0}` names a Git folder elsewhere, which does not name it back")]
    Elsewhere(PathBuf),
    #[error("--affected={0}: a revision does not begin with `-`")]
    Option(String),
    #[error("the checkout in `{0}` has no commit yet")]
    Unborn(PathBuf),
    #[error("--affected={revision}: there is no such revision in `{root}`")]
    Unknown { revision: String, root: PathBuf },
    #[error(
        "--affected={revision}: `{root}` has the commit {commit}, but not all of its folders: {message}"
    )]
    Incomplete {
        revision: String,
        commit: String,
        root: PathBuf,
        message: String,
    },
    #[error(transparent)]
    Git(#[from] CommitError),
    #[error("cannot make a Git folder to compare with")]
    Io(#[from] io::Error),
}

impl RevisionError {
    /// What helps, if anything is known to.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let (Self::Unknown { revision, .. } | Self::Incomplete { revision, .. }) = self else {
            return None;
        };
        // A branch is known to its remote without the name of the remote.
        let bare = revision.strip_prefix("origin/").unwrap_or(revision);
        let bare = bare.split(['^', '~', ':', '@']).next().unwrap_or(bare);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+-".contains(&byte);
        let bare = match bare {
            "" | "HEAD" | "FETCH_HEAD" => "BRANCH",
            bare if bare.starts_with('-') || !bare.bytes().all(plain) => "BRANCH",
            bare => bare,
        };
        Some(format!(
            "fetch it with `git fetch --depth=1 origin {bare}`, then pass --affected=FETCH_HEAD"
        ))
    }
}

/// What differs from a revision.
#[derive(Debug)]
pub struct ChangedFiles {
    /// The commit that the revision names.
    pub commit: String,
    /// Whether another commit is checked out.
    pub moved: bool,
    /// Paths in the checkout: what was changed, added, deleted, or is not tracked. One that
    /// was renamed is there with both names. A submodule that cannot be compared is one path.
    pub paths: BTreeSet<String>,
}

/// What differs from `revision`; `path` is the user's `PATH`, for Git.
///
/// # Errors
///
/// [`RevisionError`]
pub(crate) fn changes_since(
    checkout: &Checkout,
    revision: &str,
    path: &str,
) -> Result<ChangedFiles, RevisionError> {
    let root = || checkout.root.clone();
    if revision.starts_with('-') {
        return Err(RevisionError::Option(revision.to_owned()));
    }
    if !belongs(checkout) {
        return Err(RevisionError::Elsewhere(checkout.root.join(".git")));
    }
    let facts = git_facts(&checkout.root);
    let head = facts.get("sha");
    let head = head.ok_or_else(|| RevisionError::Unborn(root()))?;
    let git = Git::beside(checkout, head, path)?;
    name(checkout, &git)?;
    let commit = commit_of(&git, revision).ok_or_else(|| RevisionError::Unknown {
        revision: revision.to_owned(),
        root: root(),
    })?;
    let listed = git.bytes(&["ls-files", "-v", "-s", "-z"], None)?;
    let entries: Vec<Entry<'_>> = entries(&listed).collect();
    unmark(checkout, &git, &entries)?;
    // Files with new times but old content count as unchanged.
    git.ask(&["update-index", "-q", "--unmerged", "--refresh"], None)?;
    let differ = git.bytes(
        &[
            "diff-index",
            "--name-only",
            "-z",
            "--no-renames",
            // Git would use the configuration of a submodule to look into it.
            "--ignore-submodules=dirty",
            &commit,
            "--",
        ],
        None,
    );
    let differ = differ.map_err(|error| match error {
        CommitError::Failed { message, .. } => RevisionError::Incomplete {
            revision: revision.to_owned(),
            commit: commit.clone(),
            root: root(),
            message: message.lines().next().unwrap_or_default().to_owned(),
        },
        other => other.into(),
    })?;
    // The only rules that are read are the `.gitignore` files of the checkout.
    let others = ["ls-files", "--others", "--exclude-standard", "-z"];
    let untracked = git.bytes(&others, None)?;
    let all = differ.split(|byte| *byte == 0);
    let all = all.chain(untracked.split(|byte| *byte == 0));
    let paths = all.map(|path| {
        String::from_utf8_lossy(path)
            .trim_end_matches('/')
            .to_owned()
    });
    let mut paths: BTreeSet<String> = paths.filter(|path| !path.is_empty()).collect();
    for entry in entries.iter().filter(|entry| entry.mode == GITLINK) {
        paths.extend(in_submodule(&checkout.root, entry, path));
    }
    Ok(ChangedFiles {
        moved: commit != *head,
        commit,
        paths,
    })
}

/// The mode of a submodule.
const GITLINK: &str = "160000";

/// A line of `git ls-files -v -s -z`.
struct Entry<'l> {
    /// How it is marked.
    mark: u8,
    mode: &'l str,
    object: &'l str,
    path: &'l [u8],
}

impl Entry<'_> {
    fn place(&self, root: &Path) -> PathBuf {
        root.join(OsStr::from_bytes(self.path))
    }
}

fn entries(listed: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    listed.split(|byte| *byte == 0).filter_map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let facts = str::from_utf8(&line[..tab]).ok()?;
        let mut facts = facts.split(' ');
        Some(Entry {
            mark: *facts.next()?.as_bytes().first()?,
            mode: facts.next()?,
            object: facts.next()?,
            path: &line[tab + 1..],
        })
    })
}

/// Makes Git look at files that its user told it not to look at. In a sparse checkout,
/// files that are not there are no deleted ones.
fn unmark(checkout: &Checkout, git: &Git<'_>, entries: &[Entry<'_>]) -> Result<(), RevisionError> {
    let is_there = |entry: &&Entry<'_>| fs::symlink_metadata(entry.place(&checkout.root)).is_ok();
    let assumed = entries
        .iter()
        .filter(|entry| entry.mark.is_ascii_lowercase());
    let skipped = entries
        .iter()
        .filter(|entry| entry.mark.eq_ignore_ascii_case(&b'S'))
        .filter(is_there);
    let marked: [(&str, Vec<_>); 2] = [
        ("--no-assume-unchanged", assumed.collect()),
        ("--no-skip-worktree", skipped.collect()),
    ];
    for (option, entries) in marked {
        if entries.is_empty() {
            continue;
        }
        let list = git.folder().join(&option[2..]);
        let mut paths: Vec<u8> = Vec::new();
        for entry in entries {
            paths.extend(entry.path);
            paths.push(0);
        }
        disk::create(&list)?.write_all(&paths)?;
        let arguments = ["update-index", option, "-z", "--stdin"];
        git.ask(&arguments, Some(File::open(&list)?))?;
    }
    Ok(())
}

/// What differs in a submodule from its commit in the index; `path` is the user's `PATH`.
/// If that cannot be found out, the submodule itself.
fn in_submodule(root: &Path, entry: &Entry<'_>, path: &str) -> Vec<String> {
    let folder = entry.place(root);
    let is_folder = fs::symlink_metadata(&folder).is_ok_and(|facts| facts.is_dir());
    let is_empty = || fs::read_dir(&folder).is_ok_and(|mut all| all.next().is_none());
    if !is_folder || is_empty() {
        // It is not checked out, or Git has listed it.
        return Vec::new();
    }
    let name = String::from_utf8_lossy(entry.path);
    let own = checkout_of(&folder).filter(|own| own.root == folder);
    let changes = own.and_then(|own| changes_since(&own, entry.object, path).ok());
    match changes {
        Some(changes) => {
            let paths = changes.paths.into_iter();
            paths.map(|path| format!("{name}/{path}")).collect()
        }
        None => vec![name.into_owned()],
    }
}

/// Gives Git the names of the checkout's commits, and where its history ends.
fn name(checkout: &Checkout, git: &Git<'_>) -> io::Result<()> {
    let own = git.folder();
    let mut packed = disk::create(&own.join("packed-refs"))?;
    for (name, stands) in checkout.references() {
        match stands {
            Stands::Object(object) if name.starts_with("refs/") => {
                writeln!(packed, "{object} {name}")?;
            }
            Stands::Object(object) => writeln!(disk::create(&own.join(name))?, "{object}")?,
            Stands::Reference(other) => {
                let file = own.join(name);
                fs::create_dir_all(file.parent().unwrap_or(own))?;
                writeln!(disk::create(&file)?, "ref: {other}")?;
            }
        }
    }
    match fs::read(checkout.common.join("shallow")) {
        Ok(shallow) => disk::create(&own.join("shallow"))?.write_all(&shallow),
        Err(_) => Ok(()),
    }
}

/// The commit that `revision` names, if the repository has it.
fn commit_of(git: &Git<'_>, revision: &str) -> Option<String> {
    let peeled = format!("{revision}^{{commit}}");
    let asked = ["rev-parse", "--verify", "-q", "--end-of-options", &peeled];
    let found = git.ask(&asked, None).ok()?;
    let found = found.lines().last()?.trim().to_owned();
    // A full hash is taken as it is, whether there is such an object or not.
    git.ask(&["cat-file", "-e", &found], None).ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;
    use crate::workspace::checkout;

    fn git(folder: &Path, arguments: &[&str]) {
        let ended = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(["-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    }

    /// A repository with the commits `one` and `two`, in a folder of its own.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("r");
        fs::create_dir(&root).unwrap();
        git(&root, &["init", "-q"]);
        for name in ["kept", "changed", "deleted", "moved", "touched", "-x"] {
            fs::write(root.join(name), name).unwrap();
        }
        fs::write(root.join(".gitignore"), "ignored\n").unwrap();
        git(&root, &["add", "."]);
        git(&root, &["commit", "-qm", "one"]);
        git(&root, &["tag", "-a", "-m", "t", "one"]);
        fs::write(root.join("committed"), "c").unwrap();
        git(&root, &["add", "."]);
        git(&root, &["commit", "-qm", "two"]);
        (dir, root)
    }

    fn changes(root: &Path, revision: &str) -> Result<Vec<String>, RevisionError> {
        let found = changes_since(&checkout(root).unwrap(), revision, "/usr/bin:/bin")?;
        Ok(found.paths.into_iter().collect())
    }

    #[test]
    fn committed_staged_other_untracked_deleted_and_renamed_files_differ() {
        let (_dir, root) = repository();
        assert_eq!(changes(&root, "HEAD").unwrap(), [""; 0]);
        assert_eq!(changes(&root, "one").unwrap(), ["committed"]);
        fs::write(root.join("staged"), "s").unwrap();
        git(&root, &["add", "staged"]);
        git(&root, &["mv", "moved", "renamed"]);
        fs::write(root.join("changed"), "other").unwrap();
        fs::remove_file(root.join("deleted")).unwrap();
        fs::write(root.join("untracked"), "u").unwrap();
        fs::write(root.join("ignored"), "i").unwrap();
        fs::write(root.join("touched"), "touched").unwrap();
        let now = [
            "changed",
            "deleted",
            "moved",
            "renamed",
            "staged",
            "untracked",
        ];
        for revision in ["HEAD", "main", "refs/heads/main", "@", "one~0^{}"] {
            let mut expected: Vec<&str> = now.to_vec();
            if revision.starts_with("one") {
                expected.insert(1, "committed");
            }
            assert_eq!(changes(&root, revision).unwrap(), expected, "{revision}");
        }
    }

    #[test]
    fn edits_of_files_that_git_was_told_not_to_look_at_differ() {
        let (_dir, root) = repository();
        let sparse = ["update-index", "--skip-worktree", "kept", "moved"];
        git(&root, &["update-index", "--split-index"]);
        git(&root, &sparse);
        let assumed = ["update-index", "--assume-unchanged", "changed", "moved"];
        git(&root, &assumed);
        git(&root, &["update-index", "--assume-unchanged", "deleted"]);
        assert_eq!(changes(&root, "HEAD").unwrap(), [""; 0]);
        let before = fs::read(root.join(".git/index")).unwrap();
        for name in ["kept", "changed", "moved"] {
            fs::write(root.join(name), "edited").unwrap();
        }
        fs::remove_file(root.join("deleted")).unwrap();
        let expected = ["changed", "deleted", "kept", "moved"];
        assert_eq!(changes(&root, "HEAD").unwrap(), expected);
        // As in a sparse checkout.
        fs::remove_file(root.join("kept")).unwrap();
        fs::remove_file(root.join("moved")).unwrap();
        assert_eq!(changes(&root, "HEAD").unwrap(), ["changed", "deleted"]);
        assert_eq!(fs::read(root.join(".git/index")).unwrap(), before);
    }

    #[test]
    fn edits_in_a_submodule_differ_and_one_that_cannot_be_compared_differs_as_a_whole() {
        let (dir, root) = repository();
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        git(&other, &["init", "-q"]);
        fs::write(other.join("f"), "1").unwrap();
        git(&other, &["add", "."]);
        git(&other, &["commit", "-qm", "f"]);
        let allowed = ["-c", "protocol.file.allow=always"];
        let add = [
            "submodule",
            "--quiet",
            "add",
            other.to_str().unwrap(),
            "sub",
        ];
        git(&root, &[&allowed[..], &add].concat());
        git(&root, &["commit", "-qm", "sub"]);
        assert_eq!(changes(&root, "HEAD").unwrap(), [""; 0]);
        assert_eq!(
            changes(&root, "one").unwrap(),
            [".gitmodules", "committed", "sub"]
        );
        fs::write(root.join("sub/f"), "2").unwrap();
        assert_eq!(changes(&root, "HEAD").unwrap(), ["sub/f"]);
        fs::write(root.join("sub/new"), "n").unwrap();
        assert_eq!(changes(&root, "HEAD").unwrap(), ["sub/f", "sub/new"]);
        // Without its Git folder, nothing says what the files were.
        fs::remove_file(root.join("sub/.git")).unwrap();
        assert_eq!(changes(&root, "HEAD").unwrap(), ["sub"]);
        fs::remove_dir_all(root.join("sub")).unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        assert_eq!(changes(&root, "HEAD").unwrap(), [""; 0]);
    }

    #[test]
    fn a_revision_is_never_an_option_and_one_that_is_missing_says_how_to_fetch_it() {
        let (_dir, root) = repository();
        let refused = changes(&root, "--output=/tmp/x").unwrap_err();
        assert!(matches!(refused, RevisionError::Option(_)), "{refused}");
        let missing = "0123456789012345678901234567890123456789";
        for (revision, branch) in [
            ("origin/main", "main"),
            ("release/1~2", "release/1"),
            (missing, missing),
            ("HEAD~7", "BRANCH"),
            ("$(x)", "BRANCH"),
        ] {
            let error = changes(&root, revision).unwrap_err();
            let help = error.help().unwrap();
            let expected = format!("`git fetch --depth=1 origin {branch}`");
            assert!(help.contains(&expected), "{revision}: {help}");
        }
    }

    #[test]
    fn shallow_and_partial_clones_are_enough_where_they_have_the_revision() {
        let (dir, root) = repository();
        let from = format!("file://{}", root.display());
        git(&root, &["config", "uploadpack.allowFilter", "true"]);
        let (shallow, partial) = (dir.path().join("shallow"), dir.path().join("partial"));
        let to = shallow.to_str().unwrap();
        git(dir.path(), &["clone", "-q", "--depth=1", &from, to]);
        let error = changes(&shallow, "one").unwrap_err();
        assert!(matches!(error, RevisionError::Unknown { .. }), "{error}");
        git(&shallow, &["fetch", "-q", "--depth=1", "origin", "one"]);
        assert_eq!(changes(&shallow, "FETCH_HEAD").unwrap(), ["committed"]);
        assert_eq!(changes(&shallow, "origin/HEAD").unwrap(), [""; 0]);

        fs::write(root.join("changed"), "two").unwrap();
        git(&root, &["commit", "-qam", "three"]);
        let to = partial.to_str().unwrap();
        git(
            dir.path(),
            &["clone", "-q", "--filter=blob:none", &from, to],
        );
        // The old content of the file is not there, and is not fetched.
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(changes(&partial, "one").unwrap(), ["changed", "committed"]);
        fs::write(partial.join("changed"), "changed").unwrap();
        assert_eq!(changes(&partial, "HEAD").unwrap(), ["changed"]);
    }

    #[test]
    fn the_configuration_of_a_checkout_starts_no_program() {
        let (_dir, root) = repository();
        let mark = root.join("../ran");
        let run = format!("touch {}; false", mark.display());
        let config = root.join(".git/config");
        let mut text = fs::read_to_string(&config).unwrap();
        text.push_str(&format!(
            "[core]\nfsmonitor = \"{run}\"\nhooksPath = .\n[filter \"x\"]\nclean = \"{run}\"\n\
             required = true\n[diff \"x\"]\ntextconv = \"{run}\"\ncommand = \"{run}\"\n"
        ));
        fs::write(config, text).unwrap();
        fs::write(root.join(".gitattributes"), "* filter=x diff=x\n").unwrap();
        let hook = root.join(".git/hooks/post-index-change");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, format!("#!/bin/sh\n{run}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("changed"), "2").unwrap();
        assert_eq!(
            changes(&root, "HEAD").unwrap(),
            [".gitattributes", "changed"]
        );
        assert!(!mark.exists());
    }
}
