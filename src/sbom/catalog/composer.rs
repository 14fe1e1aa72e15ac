//! PHP packages of composer: installed ones, and those of `composer.lock`.

use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const INSTALLED: Cataloguer = Cataloguer {
    ecosystem: INSTALL,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name == "installed.json",
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| {
            // Other programs have a file of that name; only a list of packages counts.
            lock::read(view, path, INSTALL, found, |lock, text, found| {
                let json = data::json(text).unwrap_or_default();
                let list = json["packages"].as_array().or_else(|| json.as_array());
                packages(lock, INSTALL, list.map_or(&[], Vec::as_slice), found);
                Ok(())
            });
        },
    },
};

pub(super) const LOCKED: Cataloguer = Cataloguer {
    ecosystem: LOCK,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "composer.lock",
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, LOCK, found, read),
    },
};

const INSTALL: Ecosystem = Ecosystem {
    kind: "php-composer",
    language: "php",
    found_by: "php-composer-installed-cataloger",
    metadata_type: "php-composer-installed-entry",
};

const LOCK: Ecosystem = Ecosystem {
    found_by: "php-composer-lock-cataloger",
    metadata_type: "php-composer-lock-entry",
    ..INSTALL
};

/// What a project needs to run: `packages-dev` is left out.
fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    packages(lock, LOCK, lock::items(&json, "packages"), found);
    Ok(())
}

fn packages(lock: &Lock<'_>, ecosystem: Ecosystem, list: &[Value], found: &mut Found) {
    for item in list {
        let (name, version) = (text(item, "name"), text(item, "version"));
        if name.is_empty() || version.is_empty() {
            continue;
        }
        let listed = found.reading(|found| {
            let mut package = lock.package(ecosystem, name, version);
            let (vendor, base) = name.rsplit_once('/').unwrap_or(("", name));
            package.purl = purl("composer", vendor, base, version, &[]);
            let licenses = strings(&item["license"]);
            package
                .licenses
                .extend(licenses.into_iter().map(License::new));
            let instead = ["provide", "replace"]
                .iter()
                .flat_map(|key| pairs(item, key));
            let own = std::iter::once(name).chain(instead.map(|(name, _)| name));
            package.provides = lock.keys(own, found);
            let needs = pairs(item, "require").map(|(name, _)| name);
            package.requires = lock.keys(needs.filter(|name| name.contains('/')), found);
            package.describe(&facts(item));
            package
        });
        found.push(listed);
        if found.is_full() {
            break;
        }
    }
}

/// What is known of a package. Readers refuse a document with a field of another type.
fn facts(item: &Value) -> Value {
    let mut facts = Map::new();
    for key in ["name", "version"] {
        facts.insert(key.to_owned(), json!(text(item, key)));
    }
    for key in ["source", "dist"] {
        let origin = &item[key];
        let mut told = json!({
            "type": text(origin, "type"),
            "url": text(origin, "url"),
            "reference": text(origin, "reference"),
        });
        if !text(origin, "shasum").is_empty() {
            told["shasum"] = json!(text(origin, "shasum"));
        }
        facts.insert(key.to_owned(), told);
    }
    for key in ["require", "provide", "require-dev", "suggest"] {
        let pairs = pairs(item, key).filter(|(_, value)| value.is_string());
        let map: Map<String, Value> = pairs.map(|(k, v)| (k.to_owned(), v.clone())).collect();
        if !map.is_empty() {
            facts.insert(key.to_owned(), Value::Object(map));
        }
    }
    for key in ["bin", "keywords"] {
        let list = strings(&item[key]);
        if !list.is_empty() {
            facts.insert(key.to_owned(), json!(list));
        }
    }
    for key in [
        "type",
        "notification-url",
        "description",
        "homepage",
        "time",
    ] {
        if !text(item, key).is_empty() {
            facts.insert(key.to_owned(), json!(text(item, key)));
        }
    }
    let authors: Vec<Value> = lock::items(item, "authors").iter().map(author).collect();
    if !authors.is_empty() {
        facts.insert("authors".to_owned(), json!(authors));
    }
    Value::Object(facts)
}

fn author(author: &Value) -> Value {
    let mut told = json!({"name": text(author, "name")});
    for key in ["email", "homepage"] {
        if !text(author, key).is_empty() {
            told[key] = json!(text(author, key));
        }
    }
    told
}

/// One text, or a list of them.
fn strings(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    const PACKAGES: &str = r#"[
        {"name":"a/b","version":"v1.0","license":["MIT"],"require":{"php":">=8","c/d":"^1"},
         "source":{"type":"git","url":"u","reference":"r"},"dist":{"type":"zip","url":"d","reference":"r","shasum":"x"},
         "authors":[{"name":"N","role":"x","email":"e"}],"bin":"run","suggest":[],"time":"2020","extra":{"x":1}},
        {"name":"e/f","version":"dev-main","replace":{"c/d":"self.version"},"description":3}]"#;

    #[test]
    fn what_runs_is_listed_with_its_facts() {
        let text =
            format!(r#"{{"packages":{PACKAGES},"packages-dev":[{{"name":"x/y","version":"1"}}]}}"#);
        let found = find_in(&LOCKED, &[("composer.lock", text.as_bytes())]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].purl, "pkg:composer/a/b@v1.0");
        assert_eq!(
            found[0].licenses.first(),
            Some(&License::new("MIT".to_owned()))
        );
        assert_eq!(found[0].requires, [found[1].provides[1].clone()]);
        let facts = found[0].metadata.as_ref().unwrap().get();
        let facts: Value = serde_json::from_str(facts).unwrap();
        let expected = json!({
            "name": "a/b", "version": "v1.0", "bin": ["run"], "time": "2020",
            "require": {"php": ">=8", "c/d": "^1"},
            "source": {"type": "git", "url": "u", "reference": "r"},
            "dist": {"type": "zip", "url": "d", "reference": "r", "shasum": "x"},
            "authors": [{"name": "N", "email": "e"}],
        });
        assert_eq!(facts, expected);
    }

    #[test]
    fn both_forms_of_the_installed_list_are_read_and_other_files_are_not() {
        for text in [PACKAGES.to_owned(), format!(r#"{{"packages":{PACKAGES}}}"#)] {
            let files = [("vendor/composer/installed.json", text.as_bytes())];
            assert_eq!(find_in(&INSTALLED, &files).len(), 2);
        }
        let other: &[(&str, &[u8])] = &[
            ("a/installed.json", b"{\"a\":1}"),
            ("b/installed.json", b"no"),
        ];
        assert!(find_in(&INSTALLED, other).is_empty());
    }
}
