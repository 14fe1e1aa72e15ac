//! Clones Git repositories with the host's `git`, as tars whose bytes depend only on
//! the commits.
//!
//! Everything else that differs between clones is removed or normalised: hooks,
//! reflogs, times in the index, the division into packs. See adr/0011, "clones are
//! normalised". Source: docs/spec/package.md, "Git repositories".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::Output;
use crate::archive::{TarError, TarWriter};
use crate::cas::{Cas, CasError};
use crate::disk::{self, DiskError};
use crate::ground::process::{Ending, Process, ProcessError, Stream};
use crate::ground::{failures, of_cas};
use crate::kinds::TREE;
use crate::oci::Digest;
use crate::package::{LFS_POINTER, RepoUrl, Wanted};
use crate::workspace::{self, Kind, WalkError};

/// The name of the remote in a clone.
const REMOTE: &str = "online-upstream";

/// The target of `HEAD` during the fetch: Git does not fetch into a branch that is
/// checked out.
const UNBORN: &str = "jackal-unborn";

/// Prefix of the branch for a tag or commit.
const BRANCH: &str = "jackal-ref-";

/// Prefix of the entries in a clone's tar.
const TOP: &str = "repo";

/// Maximum number of branches and tags that are searched for Git LFS pointers.
const MAX_TREES: usize = 200;

/// Time limit of one Git command: enough for the history of Linux, 5 GB, at 3 MB/s. A
/// task can set a shorter `timeout`.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Time between TERM and KILL: Git only removes its lock files then.
const GRACE: Duration = Duration::from_secs(5);

/// Maximum number of lines of Git's output in a message: its error and hints come
/// last.
const MAX_MESSAGE_LINES: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("repository `{url}`: git {command} failed: {message}")]
    Git {
        url: String,
        command: String,
        /// The end of its error output.
        message: String,
    },
    /// The requested reference does not exist.
    #[error("repository `{url}` has no {wanted}: correct the reference after the `@`")]
    Absent {
        url: String,
        /// A tag, branch or reference.
        wanted: String,
    },
    /// The pinned state is no longer available.
    #[error(
        "repository `{url}` no longer matches the pin in jackal.lock ({pinned}): \
         run `jackal update` to move the pin"
    )]
    Moved { url: String, pinned: String },
    /// A Git command timed out.
    #[error("repository `{url}`: git {command} took longer than 30 minutes")]
    Slow { url: String, command: String },
    /// Git could not be run.
    #[error("cannot run git")]
    Process(#[from] ProcessError),
    /// The clone cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Io(#[from] DiskError),
    /// The tar cannot be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Cas(#[from] CasError),
}

/// The host's Git and its environment.
#[derive(Clone, Debug)]
pub struct Git {
    pub program: PathBuf,
    /// This program, through which Git starts.
    pub through: Option<PathBuf>,
    /// Environment variables for credentials and proxies.
    pub env: BTreeMap<String, String>,
}

impl Git {
    async fn run(
        &self,
        url: &RepoUrl,
        folder: &Path,
        arguments: &[&str],
    ) -> Result<String, RepositoryError> {
        let fixed = [
            "-c",
            "core.logAllRefUpdates=false",
            "-c",
            "core.autocrlf=false",
            "-c",
            "core.fileMode=true",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "credential.helper=store",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
            "-c",
            "fetch.writeCommitGraph=false",
            "-c",
            "pack.threads=1",
            "-c",
            "pack.writeReverseIndex=false",
            "-c",
            "advice.detachedHead=false",
            "-c",
            "transfer.fsckObjects=true",
        ];
        let mut argv = vec![self.program.to_string_lossy().into_owned()];
        argv.extend(fixed.iter().chain(arguments).map(|text| (*text).to_owned()));
        let mut env = self.env.clone();
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            // A URL must not select a remote helper, which could run commands.
            ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let process = Process {
            argv,
            env,
            cwd: folder.to_owned(),
            timeout: Some(TIMEOUT),
            grace: GRACE,
            confinement: None,
            root: None,
            observed: None,
            services: Vec::new(),
            through: self.through.clone(),
        };
        let finished = process.run(std::future::pending()).await?;
        let text = |stream| {
            let pieces = finished.log.iter().filter(|piece| piece.stream == stream);
            let bytes: Vec<u8> = pieces.flat_map(|piece| &piece.bytes).copied().collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let command = arguments.first().copied().unwrap_or_default().to_owned();
        match finished.ending {
            Ending::Exited(0) => Ok(text(Stream::Stdout)),
            Ending::TimedOut => Err(RepositoryError::Slow {
                url: url.to_string(),
                command,
            }),
            _ => {
                // Git's messages contain the URL with its credentials.
                let message = text(Stream::Stderr).replace(&url.address, &url.public_address());
                let lines: Vec<&str> = message
                    .trim()
                    .lines()
                    .rev()
                    .take(MAX_MESSAGE_LINES)
                    .collect();
                let message: Vec<&str> = lines.into_iter().rev().collect();
                Err(RepositoryError::Git {
                    url: url.to_string(),
                    command,
                    message: message.join("; "),
                })
            }
        }
    }

    /// Resolves the repository: to a commit for a single reference, else to a digest
    /// over all of its branches and tags.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`]
    pub async fn resolve(&self, url: &RepoUrl) -> Result<String, RepositoryError> {
        let reference = match &url.wanted {
            Wanted::Commit(commit) => return Ok(commit.clone()),
            Wanted::All => None,
            Wanted::Reference(reference) => Some(reference.clone()),
        };
        // The command needs no repository.
        let listed = self
            .run(url, Path::new("/"), &["ls-remote", "--", &url.address])
            .await?;
        let Some(reference) = reference else {
            let kept = |line: &&str| {
                let name = line.split('\t').nth(1).unwrap_or_default();
                let plain = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
                plain && !name.ends_with("^{}")
            };
            let mut lines: Vec<&str> = listed.lines().filter(kept).collect();
            lines.sort_unstable();
            return Ok(Digest::of(lines.join("\n").as_bytes()).to_string());
        };
        // The line after an annotated tag has its commit.
        let peeled = format!("{reference}^{{}}");
        let of = |wanted: &str| {
            let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
            lines
                .find(|(_, name)| *name == wanted)
                .map(|(commit, _)| commit.to_owned())
        };
        of(&peeled)
            .or_else(|| of(&reference))
            .ok_or_else(|| RepositoryError::Absent {
                url: url.to_string(),
                wanted: reference.clone(),
            })
    }

    /// Clones the repository as it is pinned into `folder`, which is empty, and
    /// stores it as a tar.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`]
    pub async fn clone_to(
        &self,
        url: &RepoUrl,
        pinned: &str,
        folder: &Path,
        cas: &Cas,
    ) -> Result<Output, RepositoryError> {
        self.check_out(url, pinned, folder).await?;
        store(folder, cas)
    }

    /// Files of the checked-out clone in `folder`, in any branch or tag, that are
    /// pointers of Git LFS; a few of them.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`]
    pub async fn pointers(
        &self,
        url: &RepoUrl,
        folder: &Path,
    ) -> Result<Vec<String>, RepositoryError> {
        let format = "--format=%(objectname)";
        let listed = self.run(url, folder, &["for-each-ref", format]).await?;
        let mut trees: Vec<&str> = listed.lines().collect();
        trees.sort_unstable();
        trees.dedup();
        trees.truncate(MAX_TREES);
        let search = async |pattern: &str, trees: &[&str], paths: &[&str]| {
            let fixed = ["grep", "-l", "-E", "--no-color", "-e", pattern];
            let arguments = [&fixed[..], trees, &["--"], paths].concat();
            match self.run(url, folder, &arguments).await {
                Ok(found) => Ok(found),
                // It found nothing.
                Err(RepositoryError::Git { message, .. }) if message.is_empty() => {
                    Ok(String::new())
                }
                Err(error) => Err(error),
            }
        };
        let attributes = [":(glob)**/.gitattributes"];
        let found = search("filter=lfs", &trees, &attributes).await?;
        let mut large: Vec<&str> = found
            .lines()
            .filter_map(|line| line.split(':').next())
            .collect();
        large.dedup();
        if large.is_empty() {
            return Ok(Vec::new());
        }
        let pointer = format!("^{}$", LFS_POINTER.replace('.', r"\."));
        let found = search(&pointer, &large, &[]).await?;
        let paths = found.lines().filter_map(|line| line.split_once(':'));
        let mut paths: Vec<String> = paths.map(|(_, path)| path.to_owned()).collect();
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Clones the repository as it is pinned into `folder`, which is empty.
    ///
    /// # Errors
    ///
    /// [`RepositoryError`]
    pub async fn check_out(
        &self,
        url: &RepoUrl,
        pinned: &str,
        folder: &Path,
    ) -> Result<(), RepositoryError> {
        let git = async |arguments: &[&str]| self.run(url, folder, arguments).await;
        git(&["init", "-q", "--template=", "-b", UNBORN, "."]).await?;
        git(&["remote", "add", REMOTE, &url.address]).await?;
        let moved = || RepositoryError::Moved {
            url: url.to_string(),
            pinned: pinned.to_owned(),
        };
        let fetch = async |specs: &[&str]| {
            // An empty refmap prevents fetching other branches of the remote.
            let fixed = [
                "fetch",
                "-q",
                "--no-tags",
                "--no-write-fetch-head",
                "--refmap=",
                REMOTE,
            ];
            let arguments: Vec<&str> = fixed.iter().chain(specs).copied().collect();
            git(&arguments).await
        };
        let head = match &url.wanted {
            Wanted::All => {
                fetch(&["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]).await?;
                if self.resolve(url).await? != pinned {
                    return Err(moved());
                }
                self.default_branch(url, folder).await?
            }
            Wanted::Commit(commit) => {
                let remote = format!("+refs/heads/*:refs/remotes/{REMOTE}/*");
                fetch(&[&remote, "+refs/tags/*:refs/tags/*"]).await?;
                let branch = format!("{BRANCH}{commit}");
                git(&["update-ref", &format!("refs/heads/{branch}"), commit])
                    .await
                    .map_err(|_| RepositoryError::Absent {
                        url: url.to_string(),
                        wanted: format!("commit {commit} in a branch or tag"),
                    })?;
                // Other changes in the repository do not affect this commit.
                self.forget_others(url, folder, &branch).await?;
                branch
            }
            Wanted::Reference(reference) => {
                fetch(&[&format!("+{reference}:{reference}")]).await?;
                let branch = match (
                    reference.strip_prefix("refs/heads/"),
                    reference.strip_prefix("refs/tags/"),
                ) {
                    (Some(branch), _) => branch.to_owned(),
                    (_, Some(tag)) => format!("{BRANCH}{tag}"),
                    _ => format!("{BRANCH}{}", reference.replace('/', "-")),
                };
                if reference.starts_with("refs/tags/") {
                    let peeled = format!("{reference}^{{commit}}");
                    if git(&["rev-parse", &peeled]).await?.trim() != pinned {
                        return Err(moved());
                    }
                } else {
                    // The branch may have moved on; its history still contains the
                    // commit.
                    git(&["update-ref", reference, pinned])
                        .await
                        .map_err(|_| moved())?;
                }
                git(&["update-ref", &format!("refs/heads/{branch}"), pinned]).await?;
                branch
            }
        };
        // Credentials in the URL must not be stored in the package.
        git(&["remote", "set-url", REMOTE, &url.public_address()]).await?;
        git(&["symbolic-ref", "HEAD", &format!("refs/heads/{head}")]).await?;
        git(&["checkout", "-q", "-f", "HEAD", "--", "."])
            .await
            .map(drop)
            .or_else(empty)?;
        self.settle(url, folder).await
    }

    /// The branch that the remote's `HEAD` names.
    async fn default_branch(
        &self,
        url: &RepoUrl,
        folder: &Path,
    ) -> Result<String, RepositoryError> {
        let listed = self
            .run(
                url,
                folder,
                &["ls-remote", "--symref", "--", &url.address, "HEAD"],
            )
            .await?;
        let named = listed.lines().find_map(|line| {
            let name = line.strip_prefix("ref: refs/heads/")?;
            Some(name.split('\t').next().unwrap_or(name).to_owned())
        });
        Ok(named.unwrap_or_else(|| "main".to_owned()))
    }

    /// Keeps only one branch and the objects that it needs.
    async fn forget_others(
        &self,
        url: &RepoUrl,
        folder: &Path,
        branch: &str,
    ) -> Result<(), RepositoryError> {
        let kept = format!("refs/heads/{branch}");
        let listed = self
            .run(url, folder, &["for-each-ref", "--format=%(refname)"])
            .await?;
        for reference in listed.lines().filter(|name| *name != kept) {
            self.run(url, folder, &["update-ref", "-d", reference])
                .await?;
        }
        Ok(())
    }

    async fn settle(&self, url: &RepoUrl, folder: &Path) -> Result<(), RepositoryError> {
        // An index with only the tree: no times, no inodes.
        let has_head = self.run(url, folder, &["rev-parse", "-q", "--verify", "HEAD"]);
        if has_head.await.is_ok() {
            self.run(url, folder, &["read-tree", "HEAD"]).await?;
        }
        self.run(url, folder, &["repack", "-q", "-a", "-d", "-f", "-F"])
            .await?;
        self.run(url, folder, &["prune-packed", "-q"]).await?;
        self.run(url, folder, &["prune", "--expire=now"]).await?;
        self.run(url, folder, &["pack-refs", "--all"]).await?;
        for left in [
            "FETCH_HEAD",
            "ORIG_HEAD",
            "logs",
            "hooks",
            "info/refs",
            "objects/info",
        ] {
            let path = folder.join(".git").join(left);
            let gone = match std::fs::symlink_metadata(&path) {
                Err(_) => continue,
                Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
            };
            gone.map_err(disk::at(&path))?;
        }
        Ok(())
    }
}

/// Ignores the error of a checkout in an empty repository.
fn empty(error: RepositoryError) -> Result<(), RepositoryError> {
    match &error {
        RepositoryError::Git { message, .. } if message.contains("did not match any file") => {
            Ok(())
        }
        _ => Err(error),
    }
}

fn store(folder: &Path, cas: &Cas) -> Result<Output, RepositoryError> {
    let mut tar = TarWriter::new(cas.ingest()?);
    for entry in workspace::list(folder, ".")? {
        let below = entry.path.trim_start_matches("./");
        let path = match below {
            "." => TOP.to_owned(),
            below => format!("{TOP}/{below}"),
        };
        let full = folder.join(&entry.path);
        match &entry.kind {
            Kind::Directory => tar.directory(&path, 0o755)?,
            Kind::Link { target } => tar.symlink(&path, target)?,
            Kind::File { executable } => {
                // Packs are read-only; executable bits come from Git.
                let mode = if *executable { 0o755 } else { 0o644 };
                let mut file = std::fs::File::open(&full).map_err(disk::at(&full))?;
                tar.file(&path, mode, entry.stat.size, &mut file)?;
            }
        }
    }
    Ok(tar.finish()?.output(TREE)?)
}

failures! {
    RepositoryError: |error| match error {
        RepositoryError::Cas(error) => of_cas(error),
        RepositoryError::Absent { .. } | RepositoryError::Moved { .. } => Class::Configuration,
        RepositoryError::Slow { .. } => Class::Timeout,
        _ => Class::Environment,
    }, again: |error| match error {
        RepositoryError::Git { .. } => Some(Again::Network),
        RepositoryError::Slow { .. } => Some(Again::Timeout),
        _ => None,
    };
}
