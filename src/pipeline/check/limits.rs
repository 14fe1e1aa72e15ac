//! Reads what bounds a task: time, attempts, resources, what is kept of it, and
//! what the file says of all tasks at once.

use std::time::Duration;

use super::reader::Reader;
use crate::pipeline::expression::Template;
use crate::pipeline::model::{CacheLimits, Caching, Resources, Retries, RetryOn, Sandbox, Secret};
use crate::pipeline::{duration, size};
use crate::yaml::{Fields, Node, Value};

/// Time of one attempt when the file says nothing.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Time between asking a command to stop and killing it.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Most attempts: with waits that double, more is a mistake.
const MAX_ATTEMPTS: i64 = 100;

/// What tasks have that say nothing themselves.
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) retries: Retries,
    pub(super) platform: Option<Template>,
    pub(super) cache: Caching,
    pub(super) shell: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT,
            retries: Retries::plain(0),
            platform: None,
            cache: Caching::kept(),
            shell: None,
        }
    }
}

pub(super) fn defaults(node: &Node, r: &mut Reader) -> Defaults {
    let mut f = Fields::new(node, "defaults", &mut r.mistakes);
    let otherwise = Defaults::default();
    let made = Defaults {
        timeout: timeout(&mut f, r).unwrap_or(otherwise.timeout),
        retries: f
            .node("retries")
            .map_or(otherwise.retries, |n| retries(n, r)),
        platform: r.one(&mut f, "platform"),
        cache: f.node("cache").map_or(otherwise.cache, |n| caching(n, r)),
        shell: f.string("shell", &mut r.mistakes),
    };
    f.finish(&mut r.mistakes);
    made
}

/// The file's own `cache`: its salt, and what the cache may hold.
pub(super) fn cache(node: &Node, r: &mut Reader) -> (String, CacheLimits) {
    let mut f = Fields::new(node, "cache", &mut r.mistakes);
    let salt = f.string("salt", &mut r.mistakes).unwrap_or_default();
    let max_size = f.node("maxSize").and_then(|n| bytes(n, r));
    let limits = CacheLimits {
        max_size,
        max_age: span(&mut f, "maxAge", r),
    };
    if let Some(n) = f.node("verify")
        && n.scalar() != Some("always")
    {
        let message = "every blob is verified when it is read, and that cannot be turned off";
        r.at(n.span, message, "Write `verify: always`, or remove it.");
    }
    f.finish(&mut r.mistakes);
    (salt, limits)
}

fn span(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Duration> {
    let node = f.node(key)?;
    match duration::parse(node.scalar().unwrap_or_default()) {
        Ok(span) => Some(span),
        Err(error) => {
            r.at(node.span, error.to_string(), "Write it as 15m.");
            None
        }
    }
}

fn bytes(node: &Node, r: &mut Reader) -> Option<u64> {
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

pub(super) fn timeout(f: &mut Fields<'_>, r: &mut Reader) -> Option<Duration> {
    let written = span(f, "timeout", r);
    let minutes = number(f, "timeout-minutes", 1..=525_600, r);
    let minutes = minutes.map(|n| Duration::from_secs(n.unsigned_abs() * 60));
    written.or(minutes)
}

pub(super) fn grace(f: &mut Fields<'_>, r: &mut Reader) -> Option<Duration> {
    span(f, "grace", r)
}

/// `strict`, `warn` or `none`.
pub(super) fn sandbox(node: &Node, r: &mut Reader) -> Sandbox {
    match node.scalar() {
        Some("strict") => Sandbox::Strict,
        Some("warn") => Sandbox::Warn,
        Some("none") => Sandbox::None,
        _ => {
            let message = "`sandbox` is not one of its words";
            r.at(node.span, message, "Use strict, warn or none.");
            Sandbox::Warn
        }
    }
}

pub(super) fn priority(f: &mut Fields<'_>, r: &mut Reader) -> i32 {
    let number = number(f, "priority", -1_000_000..=1_000_000, r).unwrap_or(0);
    i32::try_from(number).unwrap_or(0)
}

/// `retries: 3`, or a mapping.
pub(super) fn retries(node: &Node, r: &mut Reader) -> Retries {
    if !matches!(node.value, Value::Mapping(_)) {
        let attempts = node
            .plain_type()
            .and(node.scalar())
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|number| (0..=MAX_ATTEMPTS).contains(number))
            .and_then(|number| u32::try_from(number).ok());
        if attempts.is_none() {
            let help = format!("Write a number from 0 to {MAX_ATTEMPTS}, or a mapping.");
            r.at(node.span, "`retries` is not a number of attempts", help);
        }
        return Retries::plain(attempts.unwrap_or(0));
    }
    let mut f = Fields::new(node, "retries", &mut r.mistakes);
    let attempts = number(&mut f, "attempts", 0..=MAX_ATTEMPTS, r).unwrap_or(0);
    let plain = Retries::plain(u32::try_from(attempts).unwrap_or(0));
    let made = Retries {
        backoff: span(&mut f, "backoff", r).unwrap_or(plain.backoff),
        max_delay: span(&mut f, "maxDelay", r).unwrap_or(plain.max_delay),
        only: Reader::nodes(&mut f, "only")
            .into_iter()
            .filter_map(|n| retry_on(n, r))
            .collect(),
        ..plain
    };
    f.finish(&mut r.mistakes);
    made
}

fn retry_on(node: &Node, r: &mut Reader) -> Option<RetryOn> {
    let text = node.scalar().unwrap_or_default();
    let code = text
        .strip_prefix("exit:")
        .and_then(|code| code.parse().ok());
    match (text, code) {
        ("network", _) => Some(RetryOn::Network),
        ("timeout", _) => Some(RetryOn::Timeout),
        (_, Some(code)) => Some(RetryOn::Exit(code)),
        _ => {
            let message = format!("`{text}` is no failure to retry after");
            r.at(node.span, message, "Use network, timeout or exit:75.");
            None
        }
    }
}

/// `true`, `false`, `local`, or a mapping.
pub(super) fn caching(node: &Node, r: &mut Reader) -> Caching {
    let kept = Caching::kept();
    if !matches!(node.value, Value::Mapping(_)) {
        let keep = match node.scalar() {
            Some("true" | "local") => true,
            Some("false") => false,
            Some("remote") => {
                let message = "a remote cache is not available yet";
                r.at(node.span, message, "Write `cache: true` until then.");
                true
            }
            _ => {
                let help = "Write true, false, or a mapping of salt, fresh and allow.";
                r.at(node.span, "`cache` is neither true nor false", help);
                true
            }
        };
        return Caching { keep, ..kept };
    }
    let mut f = Fields::new(node, "cache", &mut r.mistakes);
    let mut with_secrets = false;
    for n in Reader::nodes(&mut f, "allow") {
        match n.scalar() {
            Some("secrets") => with_secrets = true,
            _ => r.at(
                n.span,
                "`allow` knows one word only",
                "Write `allow: [secrets]`.",
            ),
        }
    }
    let made = Caching {
        salt: f.string("salt", &mut r.mistakes).unwrap_or_default(),
        fresh: span(&mut f, "fresh", r),
        with_secrets,
        ..kept
    };
    f.finish(&mut r.mistakes);
    made
}

/// `{ NAME: { env: X } | { file: P } }`.
pub(super) fn secrets(f: &mut Fields<'_>, r: &mut Reader) -> Vec<(String, Secret)> {
    let mut secrets = Vec::new();
    for (name, node) in r.pairs(f, "secrets") {
        let mut g = Fields::new(node, "the secret", &mut r.mistakes);
        let env = g.string("env", &mut r.mistakes);
        let file = g.string("file", &mut r.mistakes);
        g.finish(&mut r.mistakes);
        match (env, file) {
            (Some(env), None) => secrets.push((name, Secret::Env(env))),
            (None, Some(file)) => secrets.push((name, Secret::File(file))),
            _ => r.at(
                node.span,
                format!("the secret `{name}` needs exactly one of `env` and `file`"),
                "Say where it comes from: `{ env: NAME }`.",
            ),
        }
    }
    secrets
}

pub(super) fn resources(f: &mut Fields<'_>, r: &mut Reader) -> Resources {
    let mut made = Resources { cpu: 1, memory: 0 };
    let Some(node) = f.node("resources") else {
        return made;
    };
    let mut g = Fields::new(node, "resources", &mut r.mistakes);
    if let Some(cpu) = number(&mut g, "cpu", 1..=4096, r) {
        made.cpu = u32::try_from(cpu).unwrap_or(1);
    }
    if let Some(n) = g.node("memory") {
        made.memory = bytes(n, r).unwrap_or(0);
    }
    g.finish(&mut r.mistakes);
    made
}

/// Permission bits in octal digits, quoted so that no YAML reads a number.
pub(super) fn mode(node: &Node, r: &mut Reader) -> Option<u32> {
    let bits = node
        .scalar()
        .and_then(|text| u32::from_str_radix(text, 8).ok())
        .filter(|bits| *bits <= 0o7777 && node.plain_type().is_none());
    if bits.is_none() {
        let help = "Write octal digits in quotes, such as '0755'.";
        r.at(node.span, "`mode` is not a file mode", help);
    }
    bits
}
