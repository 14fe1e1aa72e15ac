//! Reads the keys of the file that are about all of its tasks or about the cache.

use semver::{Version, VersionReq};

use crate::codes::Code;
use crate::pipeline::kinds::span;
use crate::pipeline::limits::{CacheLimits, Caching, Defaults, Retries};
use crate::pipeline::model::{Identity, Toolchain};
use crate::pipeline::reader::Reader;
use crate::pipeline::record::Plain;
use crate::pipeline::settings::{Timeout, bytes};
use crate::yaml::{Fields, Mistakes, Node, SourceText, Value};

/// The file's `defaults`, which are read before any task.
pub(super) fn defaults(node: &Node, r: &mut Reader) -> Defaults {
    let mut f = Fields::new(node, "`defaults`", &mut r.mistakes);
    // What is not set falls back to the reader's, which are those of the workspace.
    let made = Defaults {
        timeout: <Timeout as Plain>::read(&mut f, "timeout", r),
        retries: <Retries as Plain>::read(&mut f, "retries", r),
        platform: (r.one(&mut f, "platform")).or_else(|| r.defaults.platform.clone()),
        cache: <Caching as Plain>::read(&mut f, "cache", r),
        shell: (f.string("shell", &mut r.mistakes)).or_else(|| r.defaults.shell.clone()),
    };
    f.finish(&mut r.mistakes);
    made
}

/// The file's own `cache`: its salt, and what the cache may hold.
pub(super) fn cache(node: &Node, r: &mut Reader) -> (String, CacheLimits) {
    let mut f = Fields::new(node, "`cache`", &mut r.mistakes);
    let salt = f.string("salt", &mut r.mistakes).unwrap_or_default();
    let limits = CacheLimits {
        max_size: bytes(&mut f, "maxSize", r),
        max_age: span(&mut f, "maxAge", r),
    };
    if let Some(n) = f.node("verify")
        && n.scalar() != Some("always")
    {
        let message = "verification of cached blobs cannot be turned off";
        r.at(n.span, message, "Write `verify: always`, or remove it.");
    }
    f.finish(&mut r.mistakes);
    (salt, limits)
}

/// Refuses a file that requires another version of jackal, before it is read any further:
/// what else is wrong with it may be a key of that version.
pub(super) fn requires(node: &Node, source: &SourceText) -> Result<(), Mistakes> {
    let Some(range) = node.get("requires") else {
        return Ok(());
    };
    let text = range.scalar().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let (message, help) = match (VersionReq::parse(text), Version::parse(version)) {
        (Ok(range), Ok(version)) if range.matches(&version) => return Ok(()),
        (Ok(_), _) => (
            format!("this file requires jackal {text}, and this is jackal {version}"),
            "Install a version in this range.",
        ),
        (Err(_), _) => (
            format!("`{text}` is not a range of versions"),
            "Write `requires: '>=0.2'`.",
        ),
    };
    let mut r = Reader::default();
    r.coded(Code::OtherVersion, range.span, message, help);
    Mistakes::none_or((), source, r.mistakes)
}

/// One of the file's `toolchains`.
pub(super) fn toolchain(node: &Node, r: &mut Reader) -> Toolchain {
    let mut f = Fields::new(node, "the toolchain", &mut r.mistakes);
    let mounts = f.strings("mounts", &mut r.mistakes);
    let path = f.strings("path", &mut r.mistakes);
    let env = r.pairs(&mut f, "env").into_iter();
    let env = env.map(|(name, value)| (name, value.scalar().unwrap_or_default().to_owned()));
    let env = env.collect();
    let is_command = f
        .node("identity")
        .is_some_and(|node| matches!(node.value, Value::Mapping(_)));
    let identity = match is_command {
        true => {
            let node = f.node("identity").unwrap_or(node);
            let mut g = Fields::new(node, "`identity`", &mut r.mistakes);
            let argv = g.strings("run", &mut r.mistakes);
            g.finish(&mut r.mistakes);
            if argv.is_empty() {
                let help = "Write `identity: { run: [PROGRAM, --version] }`.";
                r.at(node.span, "`identity` has no command", help);
            }
            Identity::Command(argv)
        }
        false => match f.strings("identity", &mut r.mistakes) {
            files if files.is_empty() => Identity::Content,
            files => Identity::Files(files),
        },
    };
    f.finish(&mut r.mistakes);
    if mounts.is_empty()
        || mounts
            .iter()
            .any(|mount| mount.trim_matches('/').is_empty())
    {
        r.at(
            node.span,
            "a toolchain needs folders to mount, and `/` is none",
            "Write `mounts: [~/sdk/1.2]`.",
        );
    }
    Toolchain {
        mounts,
        identity,
        path,
        env,
    }
}
