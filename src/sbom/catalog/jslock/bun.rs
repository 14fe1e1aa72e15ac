//! `bun.lock`, JSON with trailing commas, and `deno.lock`.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{BUN, DENO, DENO_REMOTE, LOCKED, package, ranges};
use crate::sbom::catalog::Found;
use crate::sbom::catalog::data::{self, Reason};
use crate::sbom::catalog::lock::{Lock, pairs, text, texts};
use crate::sbom::purl::purl;

/// What a package needs to run.
const NEEDS: [&str; 2] = ["dependencies", "optionalDependencies"];

/// What a package finds in its place when it runs.
const USED: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];

/// Longest place of a package from which others are looked up, in bytes: names have at
/// most 214, and places a few of them.
const MAX_KEY: usize = 1000;

/// Most folders around a package in which others are looked up.
const MAX_DEPTH: usize = 48;

/// Reads `bun.lock`. The keys of its `packages` are the places of packages, such as
/// `a/b` for the `b` that `a` needs; the values lists of `name@version` and more,
/// among which what it needs is an object and the checksum the last text.
pub(super) fn read_bun(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json_with_comments(source)?;
    let places: Places<'_> = pairs(&json, "packages").collect();
    let unused = development(&json, &places);
    for (key, value) in pairs(&json, "packages") {
        if unused.contains(key) {
            continue;
        }
        let Some((name, version)) = value[0].as_str().and_then(name_and_version) else {
            continue;
        };
        // A folder of the project, whose version is not written.
        if version.starts_with("workspace:") {
            continue;
        }
        let listed = found.reading(|found| {
            let mut package = package(lock, BUN, name, version);
            let facts = facts_of(value);
            let needs = needed(&places, key, facts, &NEEDS);
            package.provides.push(lock.key(key));
            package.requires = lock.keys(needs, found);
            // Only what is from a registry has four parts, the last a checksum.
            let integrity = value[3].as_str();
            package.describe(&json!({
                "integrity": integrity.unwrap_or_default(),
                "dependencies": ranges(facts, "dependencies"),
                "optionalDependencies": ranges(facts, "optionalDependencies"),
                "peerDependencies": ranges(facts, "peerDependencies"),
                "bin": ranges(facts, "bin"),
                "os": text(facts, "os"),
                "cpu": text(facts, "cpu"),
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

/// What is known of a package but its name.
fn facts_of(value: &Value) -> &Value {
    let parts = value.as_array().into_iter().flatten();
    let mut objects = parts.filter(|part| part.is_object());
    objects.next().unwrap_or(&Value::Null)
}

/// Packages by their places.
type Places<'j> = HashMap<&'j str, &'j Value>;

/// The places of what the package at `key` needs according to `lists` of its facts.
fn needed<'j>(places: &Places<'j>, key: &str, facts: &Value, lists: &[&str]) -> Vec<&'j str> {
    let needs = lists.iter().flat_map(|list| pairs(facts, list));
    needs
        .filter_map(|(need, _)| resolve(places, key, need))
        .collect()
}

/// The place of what the package at `key` needs as `need`: inside, or beside itself or
/// what it is in.
fn resolve<'j>(places: &Places<'j>, key: &str, need: &str) -> Option<&'j str> {
    let known = |place: &str| places.get_key_value(place).map(|(key, _)| *key);
    if key.len() > MAX_KEY {
        return None;
    }
    let mut around = key;
    for _ in 0..MAX_DEPTH {
        if around.is_empty() {
            break;
        }
        if let Some(inside) = known(&format!("{around}/{need}")) {
            return Some(inside);
        }
        around = around.rsplit_once('/').map_or("", |(outer, _)| outer);
    }
    known(need)
}

/// The places of what only the development of the project needs.
fn development<'j>(json: &'j Value, places: &Places<'j>) -> HashSet<&'j str> {
    let reached = |lists: &[&str]| {
        let projects = pairs(json, "workspaces");
        let needs = projects.flat_map(|(_, project)| {
            let name = text(project, "name");
            needed(places, name, project, lists)
        });
        let mut next: Vec<&'j str> = needs.collect();
        let mut seen = HashSet::new();
        while let Some(key) = next.pop() {
            if seen.insert(key) {
                let facts = places
                    .get(key)
                    .map_or(&Value::Null, |value| facts_of(value));
                next.extend(needed(places, key, facts, &USED));
            }
        }
        seen
    };
    let used = reached(&USED);
    let mut unused = reached(&["devDependencies"]);
    unused.retain(|key| !used.contains(key));
    unused
}

/// Reads `deno.lock`, whose packages of npm are `name@version`, with the versions of
/// peers after an underscore.
pub(super) fn read_deno(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    // Version 3 has them in a mapping of their own.
    let all = match json["packages"].is_object() {
        true => &json["packages"],
        false => &json,
    };
    let mut versions: HashMap<&str, Vec<&str>> = HashMap::new();
    for (key, _) in pairs(all, "npm") {
        if let Some((name, _)) = name_and_version(key) {
            versions.entry(name).or_default().push(key);
        }
    }
    for (key, value) in pairs(all, "npm") {
        let Some((name, version)) = name_and_version(key) else {
            continue;
        };
        let version = version.split('_').next().unwrap_or(version);
        let listed = found.reading(|found| {
            let mut package = package(lock, LOCKED, name, version);
            package.provides.push(lock.key(key));
            // A need says its version only if there are several.
            let needs = texts(value, "dependencies").chain(texts(value, "optionalDependencies"));
            let keys = needs.map(|need| match versions.get(need).map(Vec::as_slice) {
                Some([only]) => *only,
                _ => need,
            });
            package.requires = lock.keys(keys, found);
            package.describe(&json!({
                "resolved": "",
                "integrity": text(value, "integrity"),
                "dependencies": null,
            }));
            package
        });
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
    read_jsr(lock, all, &versions, found);
    read_remote(lock, &json, found);
    Ok(())
}

/// Lists the packages of the JavaScript Registry, which has the scopes of npm.
fn read_jsr(lock: &Lock<'_>, all: &Value, versions: &HashMap<&str, Vec<&str>>, found: &mut Found) {
    let mut own: HashMap<&str, &str> = HashMap::new();
    for (key, _) in pairs(all, "jsr") {
        if let Some((name, _)) = name_and_version(key) {
            own.insert(name, key);
        }
    }
    for (key, value) in pairs(all, "jsr") {
        let Some((name, version)) = name_and_version(key) else {
            continue;
        };
        let listed = found.reading(|found| {
            let mut package = lock.package(DENO, name, version);
            let (scope, base) = name.rsplit_once('/').unwrap_or(("", name));
            let registry = [("repository_url", "https://jsr.io")];
            package.purl = purl("npm", scope, base, version, &registry);
            let jsr = |key: &str| format!("jsr:{key}");
            package.provides.push(lock.key(&jsr(key)));
            // Such as `jsr:@std/fs@1` or `npm:a`.
            let needs = texts(value, "dependencies").filter_map(|need| {
                let (registry, need) = need.split_once(':')?;
                let name = name_and_version(need).map_or(need, |(name, _)| name);
                match registry {
                    "jsr" => Some(jsr(own.get(name)?)),
                    _ => versions.get(name)?.first().map(|key| (*key).to_owned()),
                }
            });
            let needs: Vec<String> = needs.collect();
            package.requires = lock.keys(needs.iter().map(String::as_str), found);
            let written: Vec<&str> = texts(value, "dependencies").collect();
            let written = (!written.is_empty()).then_some(written);
            package.describe(&json!({
                "integrity": text(value, "integrity"),
                "dependencies": written,
            }));
            package
        });
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
}

/// Lists the modules that are read from addresses such as
/// `https://deno.land/std@0.1.0/path/mod.ts`, each once. Addresses without a version
/// say nothing.
fn read_remote(lock: &Lock<'_>, json: &Value, found: &mut Found) {
    let mut seen = HashSet::new();
    for (url, sum) in pairs(json, "remote") {
        let Some((host, path)) = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
        else {
            continue;
        };
        let Some((module, rest)) = path.split_once('@') else {
            continue;
        };
        let version = rest.split('/').next().unwrap_or_default();
        if version.is_empty() || !seen.insert((host, module, version)) {
            continue;
        }
        let name = format!("{host}/{module}");
        let mut package = lock.package(DENO_REMOTE, &name, version);
        let registry = format!("https://{host}");
        package.purl = purl("npm", "", &name, version, &[("repository_url", &registry)]);
        let sum = sum.as_str().unwrap_or_default();
        package.describe(&json!({"url": url, "integrity": sum}));
        found.push(package);
        if found.is_full() {
            break;
        }
    }
}

/// The parts of `name@version`, whose first character may be an `@`.
fn name_and_version(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((&text[..at], &text[at + 1..]))
}
