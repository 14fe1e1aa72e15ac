//! The keys that every task may have and that are the same for all verbs: limits,
//! scheduling and caching.
//!
//! Keys that are evaluated before the others (`if`, `platform`, `env`, `matrix`)
//! and what a task reads and writes are read in `check/task`.

mod paths;
mod retries;

use std::time::Duration;

use serde_json::{Value, json};

use paths::{input_folders, kept_paths, reports};
use retries::{retries, retries_schema};

use super::expression::Template;
use super::kinds::{
    Flag, Names, OneOf, Tasks, Text, Word, duration_schema, duration_schema_of, span,
};
use super::limits::{
    CACHES, Caching, DownloadCache, Resources, Retries, Sandbox, Secret, SecretSource,
};
use super::reader::Reader;
use super::record::{Key, Keys, Plain, Rendering, described, object, record};
use super::render::Renderer;
use super::services::Services;
use super::size;
use crate::archive::SafePath;
use crate::yaml::{Fields, Node, Value as Yaml};

/// Default time limit of one attempt of a command. Other verbs have none: how long an
/// image takes depends on its size and the network.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Time between asking a command to stop and killing it, of `run` tasks: package
/// actions, Git and kustomize have times of their own.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

record! {
    /// Keys of every task.
    pub struct Settings as "the task" {
        /// Tasks that must end before this one starts: `task`, or `task[axis=value]`.
        depends_on: DependsOn = "dependsOn",
        /// Environment variables to pass through. Only their names are part of the key.
        pass_through_env: Names = "passThroughEnv",
        /// Programs to look up on PATH. What identifies them is part of the key.
        tools: Names = "tools",
        /// Packages of the system that a command uses, such as libraries and their headers.
        /// Their versions, and those of what they depend on, are part of the key.
        packages: Names = "packages",
        /// Secret values for the command. Logs mask them, and they are not part of any
        /// key.
        secrets: Secrets = "secrets",
        /// Whether and how results are cached.
        cache: Caching = "cache",
        /// Time limit of one attempt. Verbs other than `run` have none by default.
        timeout: Timeout = "timeout",
        /// Time between asking a command to stop and killing it.
        grace: Grace = "grace",
        /// Whether to restrict a command to system files and the files it declares.
        /// `warn`, the default, restricts it if the kernel supports that.
        sandbox: OneOf<Sandbox> = "sandbox",
        /// Whether a command may use the network of this machine. Without it, a command
        /// in namespaces has only its own loopback.
        network: Flag<false> = "network",
        /// Commands that run beside the command, such as a database for a test: each
        /// starts once the one before is ready, and the command once all are. They are
        /// part of the key.
        services: Services = "services",
        /// Whether a command sees a small Git repository, which has the commit, its branch,
        /// its tags, and which tracked files differ from it. All of these are part of the
        /// key.
        git: Flag<false> = "git",
        /// Download caches of the command, which are not part of any key: names of tools,
        /// or folders in its home.
        caches: Caches = "caches",
        /// Whether everything in the folder and the home of a command is kept for its
        /// next run.
        incremental: Flag<false> = "incremental",
        /// Paths that are kept for the next run: relative to the pipeline file, or `~/...`
        /// in the home of the command.
        keep: Keep = "keep",
        /// JUnit XML files that a command writes about its tests, as patterns relative to the
        /// pipeline file. They are read also when the command fails.
        reports: Reports = "reports",
        /// Folders of inputs that a command renames or moves whole: they are copied for
        /// it, so that the file system of the sandbox allows that.
        writable: Writable = "writable",
        /// Retries after failures that may be temporary.
        retries: Retries = "retries",
        /// Resources that the task uses while it runs.
        resources: Resources = "resources",
        /// Pool in which the task uses a slot.
        pool: Pool = "pool",
        /// Lock that only one task of the run can hold at a time.
        mutex: Mutex = "mutex",
        /// Ready tasks with a higher priority start first.
        priority: Priority = "priority",
        /// Whether the run can succeed if this task fails.
        continue_on_error: ContinueOnError = "continueOnError",
        /// Working directory, relative to the pipeline file.
        workdir: Option<Text> = "workdir",
        /// A description for readers of the file.
        description: Note = "description",
        /// Tags for selecting tasks with `--task tag:WORD`.
        tags: Names = "tags",
    }
}

/// Keys that apply only to commands: on a task with another verb they are mistakes.
pub const OF_COMMANDS: [&str; 15] = [
    "caches",
    "git",
    "grace",
    "incremental",
    "keep",
    "network",
    "outputs",
    "packages",
    "reports",
    "sandbox",
    "secrets",
    "services",
    "tools",
    "workdir",
    "writable",
];

impl Settings {
    /// Time limit of one attempt of a command.
    #[must_use]
    pub fn command_timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// Whether results may be cached.
    #[must_use]
    pub fn cached(&self) -> bool {
        self.cache.keep && (self.secrets.is_empty() || self.cache.with_secrets)
    }
}

/// The schema of a number of bytes.
pub fn size_schema() -> Value {
    json!({
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(B|[kKMGT]B|[KMGT]iB)?$",
        "minimum": 0,
    })
}

/// The schema of a whole number.
pub fn whole_schema(minimum: i64) -> Value {
    json!({"type": "integer", "minimum": minimum})
}

fn string() -> Value {
    json!({"type": "string"})
}

/// The number of bytes at `key`.
pub fn bytes(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<u64> {
    let node = f.node(key)?;
    match size::parse(node.scalar().unwrap_or_default()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            r.at(node.span, error.to_string(), "Write it as 2GiB.");
            None
        }
    }
}

/// A whole number within bounds.
fn number(
    f: &mut Fields<'_>,
    key: &'static str,
    within: std::ops::RangeInclusive<i64>,
    r: &mut Reader,
) -> Option<i64> {
    let node = f.node(key)?;
    let number = f.integer(key, &mut r.mistakes)?;
    if within.contains(&number) {
        return Some(number);
    }
    let help = format!(
        "Write a number from {} to {}.",
        within.start(),
        within.end()
    );
    r.at(node.span, format!("`{key}` is out of range"), help);
    None
}

/// Declares the kind of one key: its value, its schema, other keys that are read
/// with it, and how it is read.
macro_rules! kind {
    ($kind:ty: $value:ty, $schema:expr, [$($also:expr),*], |$f:pat_param, $key:pat_param, $r:pat_param| $read:expr) => {
        impl Plain for $kind {
            type Value = $value;

            fn schema() -> Value {
                $schema
            }

            fn also() -> Vec<(&'static str, Value)> {
                vec![$($also),*]
            }

            fn read($f: &mut Fields<'_>, $key: &'static str, $r: &mut Reader) -> $value {
                $read
            }
        }
    };
}

kind!(Span: Option<Duration>, duration_schema(), [], |f, key, r| span(f, key, r));
kind!(Timeout: Option<Duration>, duration_schema_of(TIMEOUT), [minutes_schema()], |f, key, r| timeout(f, key, r));
kind!(Grace: Duration, duration_schema_of(DEFAULT_GRACE), [], |f, key, r| span(f, key, r).unwrap_or(DEFAULT_GRACE));
kind!(Caching: Self, caching_schema(), [], |f, key, r| {
    let default = r.defaults.cache.clone();
    f.node(key).map_or(default, |node| caching(node, r))
});
kind!(Retries: Self, retries_schema(), [], |f, key, r| {
    let default = r.defaults.retries.clone();
    f.node(key).map_or(default, |node| retries(node, r))
});
kind!(Resources: Self, resources_schema(), [], |f, key, r| {
    f.node(key).map_or(Self::default(), |node| resources(node, r))
});
kind!(Secrets: Vec<(String, Secret)>, secrets_schema(), [], |f, key, r| secrets(f, key, r));
kind!(Caches: Vec<DownloadCache>, caches_schema(), [], |f, key, r| {
    Reader::nodes(f, key).into_iter().filter_map(|node| download_cache(node, r)).collect()
});
kind!(Keep: Vec<String>, <Names as Plain>::schema(), [], |f, key, r| kept_paths(f, key, r));
kind!(Reports: Vec<String>, <Names as Plain>::schema(), [], |f, key, r| reports(f, key, r));
kind!(Writable: Vec<String>, <Names as Plain>::schema(), [], |f, key, r| input_folders(f, key, r));
kind!(Pool: Option<String>, string(), [], |f, key, r| pool(f, key, r));
kind!(Priority: i32, json!({"type": "integer"}), [], |f, key, r| {
    let number = number(f, key, -1_000_000..=1_000_000, r).unwrap_or(0);
    i32::try_from(number).unwrap_or(0)
});
kind!(
    ContinueOnError: bool,
    json!({"type": "boolean"}),
    [
        alias("continue-on-error", <Self as Plain>::schema(), "continueOnError"),
        alias("allowFailure", <Self as Plain>::schema(), "continueOnError")
    ],
    |f, key, r| {
        let keys = [key, "continue-on-error", "allowFailure"];
        let found = keys.iter().filter_map(|key| f.bool(key, &mut r.mistakes));
        found.collect::<Vec<_>>().first().copied().unwrap_or(false)
    }
);
kind!(Note: Option<String>, string(), [], |f, key, r| f.string(key, &mut r.mistakes));

pub enum Span {}
pub enum Timeout {}
pub enum Grace {}
pub enum Secrets {}
pub enum Caches {}
pub enum Keep {}
pub enum Reports {}
pub enum Writable {}
pub enum Pool {}
pub enum Priority {}
pub enum ContinueOnError {}
pub enum Note {}
pub enum Mutex {}
pub enum DependsOn {}

impl Word for Sandbox {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("strict", Self::Strict),
        ("warn", Self::Warn),
        ("none", Self::None),
    ];
}

/// A key with an older name.
fn alias(name: &'static str, schema: Value, of: &str) -> (&'static str, Value) {
    (name, described(schema, &format!("An alias for {of}.")))
}

impl Key for DependsOn {
    type Written = Vec<Template>;
    type Rendered = Vec<String>;

    fn schema() -> Value {
        Tasks::schema()
    }

    fn also() -> Vec<(&'static str, Value)> {
        let alias = |name| alias(name, Tasks::schema(), "dependsOn");
        vec![alias("needs"), alias("deps")]
    }

    fn read(f: &mut Fields<'_>, _: &'static str, r: &mut Reader) -> Option<Vec<Template>> {
        let keys = ["dependsOn", "needs", "deps"].iter();
        Some(keys.flat_map(|key| r.references(f, key)).collect())
    }

    fn unset() -> Vec<String> {
        Vec::new()
    }

    fn render(written: &Vec<Template>, key: &str, by: &Renderer<'_>) -> Rendering<Vec<String>> {
        by.references(key, written)
    }
}

impl Key for Mutex {
    type Written = Option<Template>;
    type Rendered = Option<String>;

    fn schema() -> Value {
        string()
    }

    fn also() -> Vec<(&'static str, Value)> {
        vec![alias("concurrency", string(), "mutex")]
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        let older = r.one(f, "concurrency");
        Some(r.one(f, key).or(older))
    }

    fn unset() -> Option<String> {
        None
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Option<String>> {
        by.optional(key, written.as_ref())
    }
}

fn minutes_schema() -> (&'static str, Value) {
    (
        "timeout-minutes",
        described(whole_schema(1), "The same limit in minutes."),
    )
}

fn timeout(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Duration> {
    let written = span(f, key, r);
    let minutes = number(f, "timeout-minutes", 1..=525_600, r);
    let minutes = minutes.map(|n| Duration::from_secs(n.unsigned_abs() * 60));
    written.or(minutes).or(r.defaults.timeout)
}

fn pool(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<String> {
    let pool = f.string(key, &mut r.mistakes);
    if let (Some(name), Some(node)) = (&pool, f.node(key))
        && !r.pools.contains(name)
    {
        let message = format!("no pool named `{name}`");
        r.at(node.span, message, "Add it under `pools`.");
    }
    pool
}

fn caches_schema() -> Value {
    let keys = Keys::default()
        .with::<Text>("name", "A name for it.")
        .with::<Text>("path", "Its folder in the home of the command.");
    let form = object("A folder of downloads that only this task uses.", keys);
    let one = json!({"enum": CACHES});
    json!({"oneOf": [one, {"type": "array", "items": {"oneOf": [one, form]}}]})
}

/// `cargo`, or `{ name, path }`.
fn download_cache(node: &Node, r: &mut Reader) -> Option<DownloadCache> {
    if let Some(name) = node.scalar() {
        if !CACHES.contains(&name) {
            let message = format!("`caches` has no tool called `{name}`");
            let help = format!(
                "Use one of {}, or `{{ name: {name}, path: FOLDER }}` with its folder in the home of the command.",
                CACHES.join(", ")
            );
            r.at(node.span, message, help);
        }
        return Some(DownloadCache {
            name: name.to_owned(),
            path: None,
        });
    }
    let mut f = Fields::new(node, "the cache", &mut r.mistakes);
    let name = f.string("name", &mut r.mistakes);
    let path = f.string("path", &mut r.mistakes);
    f.finish(&mut r.mistakes);
    let (Some(name), Some(path)) = (name, path) else {
        let help = "Write `{ name: gradle, path: .gradle }`, or the name of a tool.";
        r.at(node.span, "the cache lacks its name or path", help);
        return None;
    };
    match SafePath::parse(path.strip_prefix("~/").unwrap_or(&path)) {
        Ok(safe) => Some(DownloadCache {
            name,
            path: Some(safe.to_string()),
        }),
        Err(error) => {
            let message = format!("`{path}` is not a path of a cache: {error}");
            r.at(
                node.span,
                message,
                "Name a folder in the home of the command.",
            );
            None
        }
    }
}

fn secrets_schema() -> Value {
    let path = "Where the command sees it as a file: ~/ and a path in its home, or an absolute path. Without it, the secret is a variable.";
    let from = |key, about, text| {
        let keys = Keys::default().with::<Text>(key, text);
        object(about, keys.with::<Option<Text>>("path", path))
    };
    json!({
        "type": "object",
        "additionalProperties": {"oneOf": [
            from("env", "Secret from a variable.", "Environment variable of the run."),
            from("file", "Secret from a file.", "A file, relative to the pipeline file, or to the home after ~/."),
        ]},
    })
}

fn secrets(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<(String, Secret)> {
    let mut secrets = Vec::new();
    for (name, node) in r.pairs(f, key) {
        let mut g = Fields::new(node, "the secret", &mut r.mistakes);
        let env = g.string("env", &mut r.mistakes);
        let file = g.string("file", &mut r.mistakes);
        let path = g.string("path", &mut r.mistakes);
        g.finish(&mut r.mistakes);
        if let Some(path) = path.as_ref().filter(|path| !is_place(path)) {
            r.at(
                node.span,
                format!("the secret `{name}` cannot be a file at `{path}`"),
                "Write `~/` and a path in the command's home, or an absolute path without `..`.",
            );
        }
        let add = |from| secrets.push((name.clone(), Secret { from, path }));
        match (env, file) {
            (Some(env), None) => add(SecretSource::Env(env)),
            (None, Some(file)) => add(SecretSource::File(file)),
            _ => r.at(
                node.span,
                format!("the secret `{name}` needs exactly one of `env` and `file`"),
                "Set its source: `{ env: NAME }` or `{ file: PATH }`.",
            ),
        }
    }
    secrets
}

/// Whether a file can be shown at `path`.
fn is_place(path: &str) -> bool {
    let below = path.strip_prefix("~/").or_else(|| path.strip_prefix('/'));
    // What the system and the workspace have is not replaced.
    let taken = ["/jackal/", "/usr/", "/proc/", "/dev/", "/tmp/"];
    let is_free = !taken.iter().any(|taken| path.starts_with(taken));
    is_free
        && below.is_some_and(|below| {
            let mut names = below.split('/');
            names.all(|name| !["", ".", ".."].contains(&name))
        })
}

fn caching_schema() -> Value {
    let keys = Keys::default()
        .with::<Option<Text>>(
            "salt",
            "Part of the key: change it to discard every result.",
        )
        .with::<Span>("fresh", "Resolve mutable references again after this time.");
    let mut form = object("", keys);
    form["properties"]["allow"] = json!({
        "type": ["string", "array"],
        "enum": ["secrets", ["secrets"]],
        "description": "Cache results of a task that sees secrets.",
    });
    form["type"] = json!(["boolean", "string", "object"]);
    form
}

/// `true`, `false`, `local`, or a mapping.
fn caching(node: &Node, r: &mut Reader) -> Caching {
    if !matches!(node.value, Yaml::Mapping(_)) {
        let keep = match node.scalar() {
            Some("true" | "local") => true,
            Some("false") => false,
            Some("remote") => {
                r.unavailable(node, "`cache: remote`", "Write `cache: true`.");
                true
            }
            _ => {
                let help = "Write true, false, or a mapping of salt, fresh and allow.";
                r.at(node.span, "`cache` is neither true nor false", help);
                true
            }
        };
        return Caching {
            keep,
            local: node.scalar() == Some("local"),
            ..Caching::default()
        };
    }
    let mut f = Fields::new(node, "`cache`", &mut r.mistakes);
    let mut with_secrets = false;
    for node in Reader::nodes(&mut f, "allow") {
        with_secrets |= node.scalar() == Some("secrets");
        if node.scalar() != Some("secrets") {
            let help = "Write `allow: [secrets]`.";
            r.at(node.span, "`allow` can only list `secrets`", help);
        }
    }
    let fresh = span(&mut f, "fresh", r);
    if let (Some(Duration::ZERO), Some(node)) = (fresh, f.node("fresh")) {
        let help = "Write a time such as 1h, or run `jackal update` before the build.";
        r.at(node.span, "`fresh` is no time at all", help);
    }
    let made = Caching {
        local: false,
        keep: true,
        salt: f.string("salt", &mut r.mistakes).unwrap_or_default(),
        fresh,
        with_secrets,
    };
    f.finish(&mut r.mistakes);
    made
}

fn resources_schema() -> Value {
    let mut form = object("", Keys::default());
    form["properties"] = json!({
        "cpu": described(whole_schema(1), "Processors."),
        "memory": described(size_schema(), "Memory, such as 2GiB."),
    });
    form
}

fn resources(node: &Node, r: &mut Reader) -> Resources {
    let mut f = Fields::new(node, "`resources`", &mut r.mistakes);
    let cpu = number(&mut f, "cpu", 1..=4096, r).and_then(|cpu| u32::try_from(cpu).ok());
    let made = Resources {
        cpu: cpu.unwrap_or(1),
        memory: bytes(&mut f, "memory", r).unwrap_or(0),
    };
    f.finish(&mut r.mistakes);
    made
}
