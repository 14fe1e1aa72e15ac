//! Limits of a task, and how its results are cached, as plain values.

use std::time::Duration;

use super::expression::Template;

/// What the cache may hold after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheLimits {
    /// In bytes.
    pub max_size: Option<u64>,
    /// Since the last use.
    pub max_age: Option<Duration>,
}

impl CacheLimits {
    /// The larger of both, where both set one.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            max_size: self.max_size.max(other.max_size),
            max_age: self.max_age.max(other.max_age),
        }
    }
}

/// Whether and how a task's results are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caching {
    /// False for `cache: false`.
    pub keep: bool,
    /// Results stay on this machine: `cache: local`.
    pub local: bool,
    /// Part of the key.
    pub salt: String,
    /// Mutable references are resolved again after this time.
    pub fresh: Option<Duration>,
    /// Results of a task with secrets are cached as well.
    pub with_secrets: bool,
}

impl Default for Caching {
    fn default() -> Self {
        Self {
            keep: true,
            local: false,
            salt: String::new(),
            fresh: None,
            with_secrets: false,
        }
    }
}

/// Whether and when a failed attempt is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles from then on.
    pub backoff: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// Only after these failures; empty: after any that is not permanent.
    pub only: Vec<RetryOn>,
}

impl Retries {
    /// This many attempts after the first, with waits of 1 s, 2 s, 4 s ... at most
    /// 30 s.
    #[must_use]
    pub fn plain(attempts: u32) -> Self {
        Self {
            attempts,
            backoff: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            only: Vec::new(),
        }
    }
}

/// A failure after which a task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// The connection failed, or the server had an internal error.
    Network,
    /// The attempt exceeded its timeout.
    Timeout,
    /// The command exited with this code.
    Exit(i32),
}

/// Whether a command can only see what its task declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Always; without kernel support the task fails.
    Strict,
    /// If the kernel supports it.
    #[default]
    Warn,
    /// Never.
    None,
}

/// A store of downloads that a command uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadCache {
    /// One of [`CACHES`], or any name with a path.
    pub name: String,
    /// Its folder in the home of the command, where it is not the tool's usual one.
    pub path: Option<String>,
}

/// Tools whose store of downloads is known.
pub const CACHES: [&str; 10] = [
    "cargo", "go", "npm", "pip", "uv", "maven", "gradle", "yarn", "pnpm", "nuget",
];

/// A secret of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where its value comes from.
    pub from: SecretSource,
    /// Where the command sees it as a file; `None`: it is a variable.
    pub path: Option<String>,
}

/// The source of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the run.
    Env(String),
    /// A file, relative to the pipeline file, or below the user's home after `~/`.
    File(String),
}

/// What a task occupies while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Processors.
    pub cpu: u32,
    /// Bytes.
    pub memory: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu: 1, memory: 0 }
    }
}

/// Settings of tasks that do not override them: the file's `defaults`.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Time limit of one attempt.
    pub timeout: Option<Duration>,
    /// Retries.
    pub retries: Retries,
    /// `os/arch[/variant]` or `any`.
    pub platform: Option<Template>,
    /// Caching.
    pub cache: Caching,
    /// The shell that runs scripts.
    pub shell: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout: None,
            retries: Retries::plain(0),
            platform: None,
            cache: Caching::default(),
            shell: None,
        }
    }
}
