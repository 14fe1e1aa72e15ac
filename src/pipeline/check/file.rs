//! Reads the keys of the file that are about all of its tasks or about the cache.

use crate::pipeline::limits::{CacheLimits, Caching, Defaults, Retries};
use crate::pipeline::reader::Reader;
use crate::pipeline::record::Plain;
use crate::pipeline::settings::{Timeout, bytes, span};
use crate::yaml::{Fields, Node};

/// The file's `defaults`, which are read before any task.
pub(super) fn defaults(node: &Node, r: &mut Reader) -> Defaults {
    let mut f = Fields::new(node, "`defaults`", &mut r.mistakes);
    let made = Defaults {
        timeout: <Timeout as Plain>::read(&mut f, "timeout", r),
        retries: <Retries as Plain>::read(&mut f, "retries", r),
        platform: r.one(&mut f, "platform"),
        cache: <Caching as Plain>::read(&mut f, "cache", r),
        shell: f.string("shell", &mut r.mistakes),
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
