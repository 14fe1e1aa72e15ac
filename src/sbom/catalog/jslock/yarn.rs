//! `yarn.lock` of yarn 1, which has a format of its own, and of later ones, which is
//! YAML.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{YARN, package};
use crate::sbom::catalog::Found;
use crate::sbom::catalog::data::{self, Reason};
use crate::sbom::catalog::lock::{Lock, pairs, text};

/// A package that the file lists.
#[derive(Default)]
struct Entry<'t> {
    /// The requests that it answers, such as `a@^1.0.0`.
    requests: Vec<&'t str>,
    name: &'t str,
    version: &'t str,
    resolved: &'t str,
    integrity: &'t str,
    /// Names and ranges of what it needs.
    needs: Vec<(&'t str, &'t str)>,
}

impl Entry<'_> {
    fn requests_for_needs(&self) -> impl Iterator<Item = String> {
        let needs = self.needs.iter();
        needs.flat_map(|(name, range)| requests_of(name, range))
    }

    /// The folder of a project; that of the `package.json` beside the file is `.`.
    fn project(&self) -> Option<&str> {
        Some(self.resolved.split_once("@workspace:")?.1)
    }
}

pub(super) fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let is_yaml = source.lines().any(|line| line.starts_with("__metadata:"));
    let yaml = match is_yaml {
        true => data::yaml(source)?,
        false => Value::Null,
    };
    let entries = match yaml.as_object() {
        Some(map) => of_yaml(map),
        None => of_yarn_1(source),
    };
    let project = lock.beside("package.json");
    let project = project.and_then(|json| data::json(&json).ok());
    let unused = project.map_or_else(HashSet::new, |project| development(&project, &entries));
    for (index, entry) in entries.iter().enumerate() {
        if entry.name.is_empty() || unused.contains(&index) {
            continue;
        }
        let listed = found.reading(|found| {
            let mut package = package(lock, YARN, entry.name, entry.version);
            package.provides = lock.keys(entry.requests.iter().copied(), found);
            let needs: Vec<String> = entry.requests_for_needs().collect();
            package.requires = lock.keys(needs.iter().map(String::as_str), found);
            let needs = entry.needs.iter();
            let needs: Map<String, Value> =
                needs.map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
            let needs = match is_yaml && needs.is_empty() {
                true => Value::Null,
                false => Value::Object(needs),
            };
            package.describe(&json!({
                "resolved": entry.resolved,
                "integrity": entry.integrity,
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

/// How the request for `range` of `name` may be written: older versions of yarn leave
/// out the registry in what a package needs.
fn requests_of(name: &str, range: &str) -> impl Iterator<Item = String> {
    let plain = format!("{name}@{range}");
    let full = (!range.contains(':')).then(|| format!("{name}@npm:{range}"));
    std::iter::once(plain).chain(full)
}

/// The name in `name@range`, whose first character may be an `@`.
fn name_of(request: &str) -> &str {
    let rest = request.get(1..).unwrap_or_default();
    rest.find('@').map_or(request, |at| &request[..=at])
}

/// The entries that only the development of `project` needs.
fn development(project: &Value, entries: &[Entry<'_>]) -> HashSet<usize> {
    let mut answers: HashMap<&str, usize> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        for request in &entry.requests {
            answers.insert(request, index);
        }
    }
    let of_project = |keys: &[&str]| {
        let needs = keys.iter().flat_map(|key| pairs(project, key));
        let needs = needs.filter_map(|(name, range)| Some((name, range.as_str()?)));
        let requests = needs.flat_map(|(name, range)| requests_of(name, range));
        requests.collect::<HashSet<String>>()
    };
    let reached = |mut next: Vec<usize>| {
        let mut seen = HashSet::new();
        while let Some(index) = next.pop() {
            if seen.insert(index) {
                let requests = entries[index].requests_for_needs();
                next.extend(requests.filter_map(|request| answers.get(request.as_str()).copied()));
            }
        }
        seen
    };
    let development = of_project(&["devDependencies"]);
    let running = of_project(&["dependencies", "optionalDependencies", "peerDependencies"]);
    let needed: HashSet<String> = entries.iter().flat_map(Entry::requests_for_needs).collect();
    // What is requested, but by no package of the file, other projects beside this one
    // need.
    let begins = |entry: &Entry<'_>| {
        let mut requests = entry.requests.iter();
        match entry.project() {
            Some(folder) => folder != ".",
            None => requests.any(|request| {
                running.contains(*request)
                    || !(development.contains(*request) || needed.contains(*request))
            }),
        }
    };
    let begins = (0..entries.len()).filter(|index| begins(&entries[*index]));
    let used = reached(begins.collect());
    let begins = development
        .iter()
        .filter_map(|request| answers.get(request.as_str()).copied());
    let mut unused = reached(begins.collect());
    unused.retain(|index| !used.contains(index));
    unused
}

fn of_yarn_1(source: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    // Whether the lines are in a list of what the package needs.
    let mut needs = false;
    for line in source.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let content = content.trim_end();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if indent == 0 {
            let header = content.trim_end_matches(':');
            let requests: Vec<&str> = header.split(", ").map(unquoted).collect();
            entries.push(Entry {
                name: requests.first().map_or("", |first| real_name(first)),
                requests,
                ..Entry::default()
            });
            needs = false;
            continue;
        }
        let Some(entry) = entries.last_mut() else {
            continue;
        };
        if indent == 2 && content.ends_with(':') {
            needs = matches!(content, "dependencies:" | "optionalDependencies:");
            continue;
        }
        let (key, value) = key_value(content);
        match (indent, key) {
            (2, "version") => entry.version = value,
            (2, "resolved") => entry.resolved = value,
            (2, "integrity") => entry.integrity = value,
            (4, name) if needs => entry.needs.push((name, value)),
            _ => {}
        }
    }
    entries
}

/// The name of the package that answers a request; an alias is `x@npm:name@range`.
fn real_name(request: &str) -> &str {
    let name = name_of(request);
    let range = request.get(name.len() + 1..).unwrap_or_default();
    match range.strip_prefix("npm:") {
        Some(alias) if alias.get(1..).is_some_and(|rest| rest.contains('@')) => name_of(alias),
        _ => name,
    }
}

/// The two words of a line, each of which may be quoted.
fn key_value(line: &str) -> (&str, &str) {
    let split = match line.strip_prefix('"') {
        Some(rest) => rest.split_once('"'),
        None => line.split_once(' '),
    };
    let (key, value) = split.unwrap_or((line, ""));
    (key, unquoted(value.trim_start()))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}

fn of_yaml(map: &Map<String, Value>) -> Vec<Entry<'_>> {
    let entries = map.iter().filter(|(key, _)| *key != "__metadata");
    let entries = entries.map(|(key, value)| {
        let resolution = text(value, "resolution");
        let needs = ["dependencies", "optionalDependencies"];
        let needs = needs.iter().flat_map(|key| pairs(value, key));
        let needs = needs.filter_map(|(name, range)| Some((name, range.as_str()?)));
        Entry {
            requests: key.split(", ").collect(),
            name: name_of(resolution),
            version: text(value, "version"),
            resolved: resolution,
            integrity: text(value, "checksum"),
            needs: needs.collect(),
        }
    });
    entries.collect()
}
