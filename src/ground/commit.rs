//! Facts about a commit that only Git knows: its time, its tag, and whether tracked
//! files differ from it.
//!
//! Git runs in a Git folder of its own, with the checkout's objects and a copy of its
//! index: an untrusted checkout may contain a configuration that starts programs, so
//! it is not read. Nothing of the checkout is written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::disk::{self, TemporaryFolder, look, scratch_folder};
use crate::workspace::{Checkout, Tag};

/// Why Git could not report these facts.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(
        "cannot run git, which `--affected=REVISION`, `git: true`, `git.tag`, `git.commitTime` and `git.dirty` require"
    )]
    Run(#[source] io::Error),
    #[error("git {command} failed in `{root}`: {message}")]
    Failed {
        command: String,
        root: PathBuf,
        message: String,
    },
}

/// Where Git is looked for: the user's `PATH`, or where systems have it.
pub(crate) fn path_in(environment: &BTreeMap<String, String>) -> &str {
    environment
        .get("PATH")
        .map_or("/usr/bin:/bin", String::as_str)
}

/// `tag` (empty if the commit has none), `commitTime` in seconds since 1970, and `dirty`
/// of the commit `sha` of a checkout. `path` is the user's `PATH`, for the program.
///
/// # Errors
///
/// [`CommitError`]
pub(crate) fn commit_facts(
    checkout: &Checkout,
    sha: &str,
    path: &str,
) -> Result<BTreeMap<String, String>, CommitError> {
    let git = Git::beside(checkout, sha, path).map_err(CommitError::Run)?;
    let commit = git.ask(&["cat-file", "commit", sha], None)?;
    let time = commit_time(&commit).ok_or_else(|| CommitError::Failed {
        command: "cat-file".to_owned(),
        root: checkout.root.clone(),
        message: "the commit has no time".to_owned(),
    })?;
    let dirty = !git.status()?.is_empty();
    let tag = git.tag(checkout.tags(), sha)?.unwrap_or_default();
    Ok([
        ("commitTime", time.to_string()),
        ("dirty", dirty.to_string()),
        ("tag", tag),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// The committer's time in the text of a commit.
fn commit_time(commit: &str) -> Option<i64> {
    let mut head = commit.lines().take_while(|line| !line.is_empty());
    let line = head.find_map(|line| line.strip_prefix("committer "))?;
    line.rsplit(' ').nth(1)?.parse().ok()
}

/// Git in a folder of its own.
pub(super) struct Git<'c> {
    checkout: &'c Checkout,
    path: &'c str,
    folder: TemporaryFolder,
    /// Where objects are written.
    objects: PathBuf,
}

impl<'c> Git<'c> {
    /// With the objects of the checkout and a copy of its index.
    pub(super) fn beside(checkout: &'c Checkout, sha: &str, path: &'c str) -> io::Result<Self> {
        let git = Self::without_index(checkout, sha, path)?;
        copy_index(&checkout.git, git.folder())?;
        Ok(git)
    }

    fn without_index(checkout: &'c Checkout, sha: &str, path: &'c str) -> io::Result<Self> {
        let folder = scratch_folder()?;
        let own = folder.path();
        for name in ["objects", "refs"] {
            fs::create_dir(own.join(name))?;
        }
        writeln!(disk::create(&own.join("HEAD"))?, "{sha}")?;
        let config = match sha.len() {
            64 => "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectformat = sha256\n",
            _ => "[core]\nrepositoryformatversion = 0\n",
        };
        disk::create(&own.join("config"))?.write_all(config.as_bytes())?;
        Ok(Self {
            checkout,
            path,
            folder,
            objects: checkout.common.join("objects"),
        })
    }

    /// With objects of its own beside those of the checkout, and without an index.
    pub(super) fn apart(checkout: &'c Checkout, sha: &str, path: &'c str) -> io::Result<Self> {
        let mut git = Self::without_index(checkout, sha, path)?;
        let objects = git.folder.path().join("objects");
        fs::create_dir(objects.join("info"))?;
        let mut others = disk::create(&objects.join("info/alternates"))?;
        others.write_all(git.objects.as_os_str().as_encoded_bytes())?;
        others.write_all(b"\n")?;
        git.objects = objects;
        Ok(git)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The tracked paths that differ from the commit, as `git status --porcelain -z`
    /// lists them.
    pub(super) fn status(&self) -> Result<Vec<u8>, CommitError> {
        let arguments = [
            "status",
            "--porcelain",
            "-z",
            "--no-renames",
            "--untracked-files=no",
            "--ignore-submodules=dirty",
        ];
        self.bytes(&arguments, None)
    }

    pub(super) fn ask(
        &self,
        arguments: &[&str],
        input: Option<File>,
    ) -> Result<String, CommitError> {
        let output = self.bytes(arguments, input)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    pub(super) fn bytes(
        &self,
        arguments: &[impl AsRef<OsStr>],
        input: Option<File>,
    ) -> Result<Vec<u8>, CommitError> {
        let own = self.folder.path();
        look::beyond_files();
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.checkout.root)
            .env_clear()
            .env("PATH", self.path)
            .env("HOME", own)
            .env("LC_ALL", "C")
            .env("GIT_DIR", own)
            .env("GIT_WORK_TREE", &self.checkout.root)
            .env("GIT_OBJECT_DIRECTORY", &self.objects)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(input.map_or_else(Stdio::null, Stdio::from));
        let ended = command.output().map_err(CommitError::Run)?;
        if !ended.status.success() {
            return Err(CommitError::Failed {
                command: arguments[0].as_ref().to_string_lossy().into_owned(),
                root: self.checkout.root.clone(),
                message: String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
            });
        }
        Ok(ended.stdout)
    }

    /// The tag of the commit; of several, the highest version, or else the last name.
    fn tag(&self, tags: Vec<Tag>, sha: &str) -> Result<Option<String>, CommitError> {
        let (known, unknown): (Vec<Tag>, Vec<Tag>) =
            tags.into_iter().partition(|tag| tag.commit.is_some());
        let mut of_commit: Vec<String> = known
            .into_iter()
            .filter(|tag| tag.commit.as_deref() == Some(sha))
            .map(|tag| tag.name)
            .collect();
        if !unknown.is_empty() {
            let list = self.folder.path().join("tags");
            let mut file = disk::create(&list).map_err(CommitError::Run)?;
            for tag in &unknown {
                writeln!(file, "{}^{{commit}}", tag.object).map_err(CommitError::Run)?;
            }
            let file = File::open(&list).map_err(CommitError::Run)?;
            let found = self.ask(&["cat-file", "--batch-check=%(objectname)"], Some(file))?;
            let same = unknown.into_iter().zip(found.lines());
            let same = same.filter(|(_, commit)| *commit == sha);
            of_commit.extend(same.map(|(tag, _)| tag.name));
        }
        of_commit.sort_by_cached_key(|name| version(name));
        Ok(of_commit.pop())
    }
}

/// Copies the index of the Git folder `from`, if it has one.
fn copy_index(from: &Path, to: &Path) -> io::Result<()> {
    let (index, copy) = (from.join("index"), to.join("index"));
    if !index.is_file() {
        return Ok(());
    }
    fs::copy(&index, &copy)?;
    // Files as young as the index are compared by content.
    let written = fs::metadata(&index)?.modified()?;
    File::options()
        .append(true)
        .open(&copy)?
        .set_modified(written)?;
    // A split index names its other part, which has to lie beside it. Git changes the time
    // of that file when it reads it, so a link would not do.
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_part = name.as_encoded_bytes().starts_with(b"sharedindex.");
        if is_part && entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// A key by which `v1.10` is higher than `v1.9`, and any version than another name.
pub(crate) fn version(name: &str) -> (bool, Vec<(u64, String)>) {
    let bare = name.trim_start_matches('v');
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let start = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (word, digits) = rest.split_at(start);
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let number = digits[..end].parse().unwrap_or(u64::MAX);
        let number = if end == 0 { 0 } else { number };
        parts.push((0, word.to_owned()));
        parts.push((number, String::new()));
        rest = &digits[end..];
    }
    (bare.starts_with(|c: char| c.is_ascii_digit()), parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{checkout, git_facts};

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let own = Self(tempfile::tempdir().unwrap());
            own.git(&["init", "-q"]);
            fs::write(own.0.path().join("f"), "1").unwrap();
            own.git(&["add", "f"]);
            own.git(&["commit", "-qm", "c"]);
            own
        }

        fn git(&self, arguments: &[&str]) {
            let ended = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
                .args(arguments)
                .current_dir(self.0.path())
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("HOME", self.0.path())
                .env("GIT_COMMITTER_DATE", "@1700000000 +0100")
                .output()
                .unwrap();
            assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        }

        fn facts(&self) -> BTreeMap<String, String> {
            let checkout = checkout(self.0.path()).unwrap();
            let sha = &git_facts(self.0.path())["sha"];
            commit_facts(&checkout, sha, "/usr/bin:/bin").unwrap()
        }
    }

    #[test]
    fn time_tag_and_dirt_of_a_commit_are_those_of_git() {
        let own = Repository::new();
        let facts = own.facts();
        assert_eq!(facts["commitTime"], "1700000000");
        assert_eq!(
            (facts["tag"].as_str(), facts["dirty"].as_str()),
            ("", "false")
        );
        own.git(&["tag", "v1.9"]);
        own.git(&["tag", "-a", "-m", "t", "v1.10"]);
        own.git(&["tag", "latest"]);
        assert_eq!(own.facts()["tag"], "v1.10");
        own.git(&["pack-refs", "--all"]);
        own.git(&["gc", "-q"]);
        assert_eq!(own.facts()["tag"], "v1.10", "packed");
        fs::write(own.0.path().join("new"), "n").unwrap();
        assert_eq!(own.facts()["dirty"], "false", "an untracked file");
        fs::write(own.0.path().join("f"), "2").unwrap();
        assert_eq!(own.facts()["dirty"], "true");
        own.git(&["commit", "-qam", "d"]);
        let facts = own.facts();
        assert_eq!(
            (facts["tag"].as_str(), facts["dirty"].as_str()),
            ("", "false")
        );
        fs::write(own.0.path().join("f"), "3").unwrap();
        own.git(&["add", "f"]);
        assert_eq!(own.facts()["dirty"], "true", "a staged change");
    }

    #[test]
    fn a_split_index_is_read_like_a_whole_one() {
        let own = Repository::new();
        own.git(&["update-index", "--split-index"]);
        assert_eq!(own.facts()["dirty"], "false");
        fs::write(own.0.path().join("f"), "2").unwrap();
        assert_eq!(own.facts()["dirty"], "true");
    }

    #[test]
    fn the_configuration_of_a_checkout_starts_no_program() {
        let own = Repository::new();
        let mark = own.0.path().join("ran");
        let config = own.0.path().join(".git/config");
        let mut text = fs::read_to_string(&config).unwrap();
        let run = format!("touch {}; false", mark.display());
        text.push_str(&format!(
            "[core]\nfsmonitor = \"{run}\"\n[filter \"x\"]\nclean = \"{run}\"\nrequired = true\n"
        ));
        fs::write(config, text).unwrap();
        fs::write(own.0.path().join(".git/info/attributes"), "* filter=x\n").unwrap();
        fs::write(own.0.path().join(".gitattributes"), "* filter=x\n").unwrap();
        fs::write(own.0.path().join("f"), "2").unwrap();
        assert_eq!(own.facts()["dirty"], "true");
        assert!(!mark.exists());
    }

    #[test]
    fn a_version_is_higher_than_another_name_and_counts_by_numbers() {
        let mut names = ["v1.10.0", "v1.9.9", "latest", "2.0", "release-3"];
        names.sort_by_cached_key(|name| version(name));
        assert_eq!(names, ["latest", "release-3", "2.0", "v1.9.9", "v1.10.0"]);
    }
}
