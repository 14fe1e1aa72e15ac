//! Python distributions that a project declares: lock files of poetry, pipenv, uv and
//! pdm, pinned requirements, and pins in `setup.py`.

mod requirements;
mod toml_locks;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lock::{self, Lock, items, pairs, text, texts};
use super::python::normal;
use super::{Cataloguer, Finds, Found, Scope, data};
use crate::sbom::document::{Ecosystem, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;
use data::Reason;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: DECLARED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| kind(name).is_some(),
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find,
    },
};

const DECLARED: Ecosystem = Ecosystem {
    kind: "python",
    language: "python",
    found_by: "python-package-cataloger",
    metadata_type: "",
};

const PIPFILE: Ecosystem = Ecosystem {
    metadata_type: "python-pipfile-lock-entry",
    ..DECLARED
};

/// The index of what does not say where it is from.
const PYPI: &str = "https://pypi.org/simple";

type Read = fn(&Lock<'_>, &str, &mut Found) -> Result<(), Reason>;

/// How the file called `name` is read, if it declares distributions.
fn kind(name: &str) -> Option<Read> {
    Some(match name {
        "poetry.lock" => toml_locks::read_poetry,
        "Pipfile.lock" => read_pipfile,
        "uv.lock" => toml_locks::read_uv,
        "pdm.lock" => toml_locks::read_pdm,
        "setup.py" => requirements::read_setup,
        name if name.ends_with(".py.lock") => toml_locks::read_uv,
        name if name.ends_with(".txt") && name.contains("requirements") => requirements::read,
        _ => return None,
    })
}

fn find(view: &View, path: &str, found: &mut Found) {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some(reader) = kind(name) {
        lock::read(view, path, DECLARED, found, reader);
    }
}

/// A distribution of an index.
fn package(lock: &Lock<'_>, ecosystem: Ecosystem, name: &str, version: &str) -> Package {
    let name = normal(name);
    let mut package = lock.package(ecosystem, &name, version);
    package.purl = purl("pypi", "", &name, version, &[]);
    package
}

/// The addresses of sources by their names; of several with one name, the first.
fn sources(json: &Value) -> BTreeMap<&str, &str> {
    let mut urls = BTreeMap::new();
    for source in items(&json["_meta"], "sources") {
        urls.entry(text(source, "name"))
            .or_insert_with(|| text(source, "url"));
    }
    urls
}

fn read_pipfile(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    let sources = sources(&json);
    for (name, value) in pairs(&json, "default") {
        let version = text(value, "version").trim_start_matches('=');
        // What is from a repository or a folder has no version here.
        let mut listed = package(lock, PIPFILE, name, version);
        let hashes = value["hashes"].is_array();
        let hashes = hashes.then(|| texts(value, "hashes").collect::<Vec<&str>>());
        let index = text(value, "index");
        let index = match (sources.get(index), index) {
            (Some(url), _) => url,
            (None, "") => PYPI,
            (None, index) => index,
        };
        listed.describe(&json!({"hashes": hashes, "index": index}));
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_once_by_their_names() {
        let json = json!({"_meta": {"sources": [
            {"name": "a", "url": "first"}, {"name": "a", "url": "second"}, {"name": "b", "url": "u"},
        ]}});
        let found = sources(&json);
        assert_eq!(found.len(), 2);
        assert_eq!((found["a"], found["b"]), ("first", "u"));
    }
}
