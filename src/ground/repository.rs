//! A small Git folder that answers what build scripts ask: the commit, its branch, its
//! tag, and whether tracked files differ from it.
//!
//! The host's Git makes it of the checkout's objects, in a folder of its own, with a
//! configuration of its own; see [`commit`](super::commit). Its bytes depend on the
//! commit, the branch, the nearest tags and the changed paths alone, not on how the
//! checkout was cloned. See adr/0056, "Commands see a small repository".

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::commit::{CommitError, Git};
use crate::disk;
use crate::workspace::{Checkout, Tag};

/// Its own settings. Abbreviations have one length, whatever the number of objects;
/// untracked files are what the task declares, or makes; renames would need files that
/// it does not have.
const CONFIG: &str = "\tfilemode = true\n\tbare = false\n\tlogallrefupdates = false\n\tabbrev = 7\n\
                      [status]\n\tshowUntrackedFiles = no\n\trenames = false\n\
                      [diff]\n\trenames = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";

/// Tracked files whose content Git itself reads.
const READ_BY_GIT: [&str; 3] = [".gitattributes", ".gitignore", ".gitmodules"];

/// Maximum number of tags that name one another.
const MAX_TAGS: usize = 16;

/// Why there is no such folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error(transparent)]
    Git(#[from] CommitError),
    /// The nearest tag may be in the part of the history that is missing.
    #[error(
        "the checkout is shallow, and `git describe` would need older commits than it has: run `git fetch --unshallow --tags`, or clone with the whole history"
    )]
    Shallow,
    /// Its commits may be those of another repository.
    #[error(
        "`{0}` names a Git folder elsewhere, which does not name it back: clone the repository, or make a work tree with `git worktree add`"
    )]
    Elsewhere(PathBuf),
    #[error("cannot make a Git folder for the command")]
    Io(#[from] io::Error),
}

/// A path that differs from the commit.
struct Changed {
    path: Vec<u8>,
    how: u8,
}

/// Whether the Git folder is in the checkout, or is elsewhere and names the checkout, as
/// those of work trees and submodules do. Else whoever wrote the file `.git` chose what a
/// command is shown of this machine.
pub(super) fn belongs(checkout: &Checkout) -> bool {
    let dot = checkout.root.join(".git");
    let same = |one: &Path, other: &Path| match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    match fs::symlink_metadata(&dot).map(|facts| facts.file_type()) {
        Ok(kind) if kind.is_dir() => return true,
        Ok(kind) if kind.is_file() => {}
        _ => return false,
    }
    let line = |path: &Path| disk::read_text(path, MAX_SETTINGS).unwrap_or_default();
    let named = line(&checkout.git.join("gitdir"));
    if same(Path::new(named.trim()), &dot) {
        return true;
    }
    let settings = line(&checkout.git.join("config"));
    let mut values = settings.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "worktree").then(|| checkout.git.join(value.trim()))
    });
    values.any(|tree| same(&tree, &checkout.root))
}

/// Largest file that names a work tree, in bytes.
const MAX_SETTINGS: u64 = 1 << 20;

/// The files of the folder, by path; `branch` is the one that is checked out.
///
/// # Errors
///
/// [`RepositoryError`]
pub(crate) fn repository(
    checkout: &Checkout,
    sha: &str,
    branch: Option<&str>,
    path: &str,
) -> Result<BTreeMap<String, Vec<u8>>, RepositoryError> {
    if !belongs(checkout) {
        return Err(RepositoryError::Elsewhere(checkout.root.join(".git")));
    }
    let changed = changed(&Git::beside(checkout, sha, path)?.status()?);
    let git = Git::apart(checkout, sha, path)?;
    let own = git.folder();
    let shallow = fs::read_to_string(checkout.common.join("shallow")).unwrap_or_default();
    disk::create(&own.join("shallow"))?.write_all(shallow.as_bytes())?;
    let tags = checkout.tags().into_iter().filter(is_plain).collect();
    let tags = nearest(&git, tags)?;
    let history = History::of(&git, sha, &tags, &shallow)?;
    // From here on, history is whole, as far as it goes.
    disk::remove(&own.join("shallow"))?;
    let tree = git.ask(&["rev-parse", &format!("{sha}^{{tree}}")], None)?;
    let mut objects: BTreeSet<String> = history.commits.iter().cloned().collect();
    objects.extend([sha.to_owned(), tree.trim().to_owned()]);
    objects.extend(tags.iter().flat_map(|tag| tag.chain.clone()));
    let mut modes = BTreeMap::new();
    for entry in of_tree(&git.bytes(&["ls-tree", "-r", "-t", "-z", sha], None)?) {
        let name = entry.path.rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default();
        if entry.mode == "040000" || READ_BY_GIT.iter().any(|own| own.as_bytes() == name) {
            objects.insert(entry.object.to_owned());
        }
        modes.insert(entry.path.to_owned(), entry.mode.to_owned());
    }
    let mut replaced = Vec::new();
    for (commit, parents) in &history.partial {
        let other = replacement(&git, commit, parents)?;
        objects.insert(other.clone());
        replaced.push((commit.clone(), other));
    }
    let mut files = pack(&git, &objects)?;
    files.insert("index".to_owned(), index(&git, sha, &changed, &modes)?);
    let format = match sha.len() {
        64 => "[core]\n\trepositoryformatversion = 1\n",
        _ => "[core]\n\trepositoryformatversion = 0\n",
    };
    let extension = match sha.len() {
        64 => "[extensions]\n\tobjectformat = sha256\n",
        _ => "",
    };
    let config = format!("{format}{CONFIG}{extension}");
    files.insert("config".to_owned(), config.into_bytes());
    let head = match branch {
        Some(branch) => format!("ref: refs/heads/{branch}\n"),
        None => format!("{sha}\n"),
    };
    files.insert("HEAD".to_owned(), head.into_bytes());
    let references = references(sha, branch, &tags, &replaced);
    files.insert("packed-refs".to_owned(), references.into_bytes());
    if !history.cut.is_empty() {
        let cut: String = history.cut.iter().map(|sha| format!("{sha}\n")).collect();
        files.insert("shallow".to_owned(), cut.into_bytes());
    }
    Ok(files)
}

/// Whether a tag can be a line of a list.
fn is_plain(tag: &Tag) -> bool {
    let name = tag.name.bytes();
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.clone().all(|byte| byte > b' ' && byte != 0x7f)
        && !tag.object.is_empty()
        && hexadecimal(&tag.object)
}

/// The output of `git status --porcelain -z` as paths.
fn changed(status: &[u8]) -> Vec<Changed> {
    let entries = status.split(|byte| *byte == 0);
    let entries = entries.filter(|entry| entry.len() > 3);
    let mut changed: Vec<Changed> = entries
        .map(|entry| Changed {
            how: match (entry[0], entry[1]) {
                (b'D', _) | (_, b'D') => b'D',
                (b'A', _) | (_, b'A') => b'A',
                _ => b'M',
            },
            path: entry[3..].to_vec(),
        })
        .collect();
    changed.sort_by(|one, other| one.path.cmp(&other.path));
    changed
}

/// A tag that `git describe` names.
struct Nearest {
    name: String,
    /// The object that it names, and what that leads to; the commit last.
    chain: Vec<String>,
}

impl Nearest {
    fn commit(&self) -> &str {
        self.chain.last().map_or("", String::as_str)
    }
}

/// The tags that `git describe` finds with and without `--tags`.
fn nearest(git: &Git<'_>, tags: Vec<Tag>) -> Result<Vec<Nearest>, RepositoryError> {
    let mut list = disk::create(&git.folder().join("packed-refs"))?;
    for tag in &tags {
        writeln!(list, "{} refs/tags/{}", tag.object, tag.name)?;
    }
    drop(list);
    let mut found: Vec<Nearest> = Vec::new();
    for which in [&["--tags"][..], &[]] {
        let asked = [&["describe", "--abbrev=0"][..], which].concat();
        let name = match git.ask(&asked, None) {
            Ok(name) => name.trim().to_owned(),
            // There is none.
            Err(CommitError::Failed { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let tag = tags.iter().find(|tag| tag.name == name);
        if let Some(tag) = tag.filter(|_| found.iter().all(|known| known.name != name)) {
            let mut chain = vec![tag.object.clone()];
            while chain.len() < MAX_TAGS {
                let last = chain[chain.len() - 1].as_str();
                if git.ask(&["cat-file", "-t", last], None)?.trim() != "tag" {
                    break;
                }
                let text = git.ask(&["cat-file", "tag", last], None)?;
                let target = text
                    .lines()
                    .next()
                    .and_then(|line| line.strip_prefix("object "));
                match target {
                    Some(target) => chain.push(target.to_owned()),
                    None => break,
                }
            }
            found.push(Nearest { name, chain });
        }
    }
    Ok(found)
}

/// The commits between the tags and the one that is checked out.
#[derive(Default)]
struct History {
    commits: BTreeSet<String>,
    /// Those whose parents are all left out.
    cut: BTreeSet<String>,
    /// Those with some parents that are left out, with the others.
    partial: BTreeMap<String, Vec<String>>,
}

impl History {
    fn of(
        git: &Git<'_>,
        sha: &str,
        tags: &[Nearest],
        shallow: &str,
    ) -> Result<Self, RepositoryError> {
        let missing: BTreeSet<&str> = shallow.split_whitespace().collect();
        let mut parents: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for tag in tags {
            let without = format!("^{}", tag.commit());
            let listed = git.ask(&["rev-list", "--parents", sha, &without], None)?;
            for line in listed.lines() {
                let mut words = line.split(' ').map(str::to_owned);
                parents.extend(words.next().map(|commit| (commit, words.collect())));
            }
        }
        let is_missing = |commit: &String| missing.contains(commit.as_str());
        if !missing.is_empty() && (tags.is_empty() || parents.keys().any(is_missing)) {
            return Err(RepositoryError::Shallow);
        }
        let mut history = Self::default();
        let ends = tags.iter().map(|tag| tag.commit().to_owned());
        let all: BTreeSet<String> = parents.keys().cloned().chain(ends).collect();
        for (commit, parents) in &parents {
            let (inside, outside): (Vec<_>, Vec<_>) = parents
                .iter()
                .cloned()
                .partition(|parent| all.contains(parent));
            match (inside.is_empty(), outside.is_empty()) {
                (_, true) => {}
                (true, false) => drop(history.cut.insert(commit.clone())),
                (false, false) => drop(history.partial.insert(commit.clone(), inside)),
            }
        }
        let ends = all.iter().filter(|commit| !parents.contains_key(*commit));
        history.cut.extend(ends.cloned());
        if tags.is_empty() {
            history.cut.insert(sha.to_owned());
        }
        history.commits = all;
        Ok(history)
    }
}

/// The commit without the parents that are left out: Git reads it in the place of the
/// whole one, which keeps its name.
fn replacement(git: &Git<'_>, commit: &str, parents: &[String]) -> Result<String, RepositoryError> {
    let whole = git.bytes(&["cat-file", "commit", commit], None)?;
    let mut kept = Vec::with_capacity(whole.len());
    let mut in_head = true;
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        in_head &= line != b"\n";
        let parent = line.strip_prefix(b"parent ").filter(|_| in_head);
        let parent = parent.map(|parent| parent.trim_ascii_end());
        let is_kept = |parent: &[u8]| parents.iter().any(|kept| kept.as_bytes() == parent);
        if parent.is_none_or(is_kept) {
            kept.extend(line);
        }
    }
    let input = input(git, "commit", &kept)?;
    let made = git.ask(
        &["hash-object", "-t", "commit", "-w", "--stdin"],
        Some(input),
    )?;
    Ok(made.trim().to_owned())
}

/// A file with `bytes`, opened to be read.
fn input(git: &Git<'_>, name: &str, bytes: &[u8]) -> io::Result<File> {
    let path = git.folder().join(format!("input-{name}"));
    disk::remove(&path)?;
    disk::create(&path)?.write_all(bytes)?;
    File::open(path)
}

/// One pack of the objects. Without compression and deltas, its bytes do not depend on
/// how the checkout has them, or on a library.
fn pack(
    git: &Git<'_>,
    objects: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<u8>>, RepositoryError> {
    let names: String = objects.iter().map(|name| format!("{name}\n")).collect();
    let input = input(git, "objects", names.as_bytes())?;
    let base = git.folder().join("pack");
    let arguments: Vec<&OsStr> = [
        "-c",
        "core.compression=0",
        "-c",
        "pack.compression=0",
        "-c",
        "pack.writeReverseIndex=false",
        "pack-objects",
        "-q",
        "--threads=1",
        "--window=0",
        "--no-reuse-object",
        "--no-reuse-delta",
    ]
    .map(OsStr::new)
    .into_iter()
    .chain([base.as_os_str()])
    .collect();
    let name = git.bytes(&arguments, Some(input))?;
    let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
    let mut files = BTreeMap::new();
    for end in ["pack", "idx"] {
        let bytes = fs::read(git.folder().join(format!("pack-{name}.{end}")))?;
        files.insert(format!("objects/pack/pack-{name}.{end}"), bytes);
    }
    Ok(files)
}

/// An entry of `git ls-tree -z`.
struct Listed<'t> {
    mode: &'t str,
    object: &'t str,
    path: &'t [u8],
}

fn of_tree(listed: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    listed.split(|byte| *byte == 0).filter_map(|entry| {
        let tab = memchr::memchr(b'\t', entry)?;
        let mut words = std::str::from_utf8(&entry[..tab]).ok()?.split(' ');
        let (mode, object) = (words.next()?, words.nth(1)?);
        Some(Listed {
            mode,
            object,
            path: &entry[tab + 1..],
        })
    })
}

/// An index of the commit with the changed paths. No entry is compared with a file: few
/// of the files are inputs, and what the command makes of them is its own.
fn index(
    git: &Git<'_>,
    sha: &str,
    changed: &[Changed],
    modes: &BTreeMap<Vec<u8>, String>,
) -> Result<Vec<u8>, RepositoryError> {
    git.ask(&["read-tree", sha], None)?;
    // No object has these names: nothing says what the files contain.
    let (other, none) = ("1".repeat(sha.len()), "0".repeat(sha.len()));
    let mut lines = Vec::new();
    for Changed { path, how } in changed {
        let mode = modes.get(path).map_or("100644", String::as_str);
        let line = match how {
            b'D' => format!("0 {none}\t"),
            _ => format!("{mode} {other}\t"),
        };
        lines.extend(line.as_bytes());
        lines.extend(path);
        lines.push(0);
    }
    let lines = input(git, "index", &lines)?;
    git.ask(&["update-index", "-z", "--index-info"], Some(lines))?;
    let paths = input(git, "paths", &git.bytes(&["ls-files", "-z"], None)?)?;
    git.ask(
        &["update-index", "-z", "--skip-worktree", "--stdin"],
        Some(paths),
    )?;
    Ok(fs::read(git.folder().join("index"))?)
}

/// The references, as Git lists them in a file.
fn references(
    sha: &str,
    branch: Option<&str>,
    tags: &[Nearest],
    replaced: &[(String, String)],
) -> String {
    let mut lines = BTreeMap::new();
    if let Some(branch) = branch {
        lines.insert(format!("refs/heads/{branch}"), format!("{sha} "));
    }
    for (commit, other) in replaced {
        lines.insert(format!("refs/replace/{commit}"), format!("{other} "));
    }
    let mut peeled = BTreeMap::new();
    for tag in tags {
        let name = format!("refs/tags/{}", tag.name);
        lines.insert(name.clone(), format!("{} ", tag.chain[0]));
        if tag.chain.len() > 1 {
            peeled.insert(name, format!("^{}\n", tag.commit()));
        }
    }
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for (name, object) in lines {
        text.push_str(&format!("{object}{name}\n"));
        text.push_str(peeled.get(&name).map_or("", String::as_str));
    }
    text
}
