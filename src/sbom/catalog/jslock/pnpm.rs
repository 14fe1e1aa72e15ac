//! `pnpm-lock.yaml`, versions 5 to 9.
//!
//! The keys of `packages` are `/name/1.2.3_peers` before version 6,
//! `/name@1.2.3(peers)` until version 8, and `name@1.2.3` in version 9, which has what
//! a package needs under `snapshots`, by `name@1.2.3(peers)`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{PNPM, package};
use crate::sbom::catalog::Found;
use crate::sbom::catalog::data::{self, Reason};
use crate::sbom::catalog::lock::{Lock, pairs, text};

/// A package that the file lists.
#[derive(Default)]
struct Entry<'y> {
    integrity: &'y str,
    /// Whether only development needs it.
    dev: bool,
    /// What it needs, by the name that it uses.
    needs: BTreeMap<&'y str, Need<'y>>,
}

struct Need<'y> {
    target: Identity<'y>,
    /// The version without the packages beside it, or the address in its place.
    written: &'y str,
    optional: bool,
}

/// Name and version.
type Identity<'y> = (&'y str, &'y str);

pub(super) fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    let format = text(&yaml, "lockfileVersion").split('.').next();
    let format: u32 = format
        .and_then(|n| n.parse().ok())
        .ok_or("its version is unknown")?;
    let entries = entries(&yaml, format);
    for ((name, version), entry) in &entries {
        if entry.dev {
            continue;
        }
        let listed = found.reading(|found| {
            let mut package = package(lock, PNPM, name, version);
            let key = |(name, version): Identity<'_>| format!("{name}@{version}");
            package.provides.push(lock.key(&key((name, version))));
            let needs = entry.needs.values().map(|need| key(need.target));
            let needs: Vec<String> = needs.collect();
            package.requires = lock.keys(needs.iter().map(String::as_str), found);
            let needs = entry.needs.iter().filter(|(_, need)| !need.optional);
            let needs: Map<String, Value> = needs
                .map(|(name, need)| ((*name).to_owned(), json!(need.written)))
                .collect();
            package.describe(&json!({
                "resolution": {"integrity": entry.integrity},
                "dependencies": needs,
            }));
            package
        });
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

fn entries(yaml: &Value, format: u32) -> BTreeMap<Identity<'_>, Entry<'_>> {
    let mut entries: BTreeMap<Identity<'_>, Entry<'_>> = BTreeMap::new();
    for (key, value) in pairs(yaml, "packages") {
        let Some(identity) = identity(key, value, format) else {
            continue;
        };
        // One version may be there once for each set of peers.
        let fresh = !entries.contains_key(&identity);
        let entry = entries.entry(identity).or_default();
        entry.integrity = text(&value["resolution"], "integrity");
        entry.dev = (fresh || entry.dev) && text(value, "dev") == "true";
        needs(value, format, &mut entry.needs);
    }
    for (key, value) in pairs(yaml, "snapshots") {
        let whole = &yaml["packages"][without_peers(key, format)];
        if let Some(identity) = identity(key, whole, format) {
            needs(
                value,
                format,
                &mut entries.entry(identity).or_default().needs,
            );
        }
    }
    entries
}

/// Notes what `value` needs.
fn needs<'y>(value: &'y Value, format: u32, into: &mut BTreeMap<&'y str, Need<'y>>) {
    for key in ["dependencies", "optionalDependencies"] {
        for (name, version) in pairs(value, key) {
            let Some(version) = version.as_str() else {
                continue;
            };
            let need = Need {
                target: target(name, version, format),
                written: without_peers(version, format),
                optional: key != "dependencies",
            };
            into.insert(name, need);
        }
    }
}

/// The name and version of the package at `key`.
fn identity<'y>(key: &'y str, value: &'y Value, format: u32) -> Option<Identity<'y>> {
    let (own, version) = (text(value, "name"), text(value, "version"));
    let (name, written) = split(key, format).unwrap_or((key, ""));
    let name = if own.is_empty() { name } else { own };
    // Of a package that is not from a registry, the key has the address.
    let version = if version.is_empty() { written } else { version };
    (!name.is_empty() && !version.is_empty()).then_some((name, version))
}

/// Name and version in a key.
fn split(key: &str, format: u32) -> Option<Identity<'_>> {
    let key = match format {
        6.. => without_peers(key, format),
        _ => key,
    };
    let key = match key.find('/') {
        // A key of another registry begins with its host.
        Some(at) if format < 9 && key[..at].contains('.') => &key[at + 1..],
        _ => key.trim_start_matches('/'),
    };
    let from = match key.starts_with('@') {
        true => key.find('/')? + 1,
        false => 0,
    };
    let divider = if format < 6 { '/' } else { '@' };
    let at = from + key[from..].find(divider)?;
    Some((&key[..at], without_peers(&key[at + 1..], format)))
}

/// A version, or a key from version 6 on, without the peers at its end.
fn without_peers(text: &str, format: u32) -> &str {
    let divider = if format < 6 { '_' } else { '(' };
    text.split(divider).next().unwrap_or(text)
}

/// The package that a need for `version` of `name` is about.
fn target<'y>(name: &'y str, version: &'y str, format: u32) -> Identity<'y> {
    // An alias has the key of the package.
    let alias = match format {
        9.. => {
            let plain = without_peers(version, format);
            plain.get(1..).is_some_and(|rest| rest.contains('@'))
        }
        _ => version.starts_with('/'),
    };
    let other = alias.then(|| split(version, format)).flatten();
    other.unwrap_or((name, without_peers(version, format)))
}
