//! `poetry.lock`, `uv.lock`, `script.py.lock` and `pdm.lock`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DECLARED, Lock, PYPI, Reason, package};
use crate::sbom::catalog::lock::{items, pairs, text, texts};
use crate::sbom::catalog::pylock::requirements::Requirement;
use crate::sbom::catalog::python::normal;
use crate::sbom::catalog::{Found, data};
use crate::sbom::document::Ecosystem;

const POETRY: Ecosystem = Ecosystem {
    metadata_type: "python-poetry-lock-entry",
    ..DECLARED
};

const UV: Ecosystem = Ecosystem {
    metadata_type: "python-uv-lock-entry",
    ..DECLARED
};

const PDM: Ecosystem = Ecosystem {
    metadata_type: "python-pdm-lock-entry",
    ..DECLARED
};

/// Puts a package into `found`, with `needs` as the names of what it needs.
fn list(
    lock: &Lock<'_>,
    ecosystem: Ecosystem,
    item: &Value,
    needs: impl Iterator<Item = String>,
    facts: &Value,
    found: &mut Found,
) {
    let (name, version) = (text(item, "name"), text(item, "version"));
    if name.is_empty() {
        return;
    }
    let listed = found.reading(|found| {
        let mut listed = package(lock, ecosystem, name, version);
        let own = [listed.name.clone(), format!("{}=={version}", listed.name)];
        listed.provides = lock.keys(own.iter().map(String::as_str), found);
        let needs: Vec<String> = needs.collect();
        listed.requires = lock.keys(needs.iter().map(String::as_str), found);
        listed.describe(facts);
        listed
    });
    found.push(listed);
}

pub(super) fn read_poetry(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let toml = data::toml(source)?;
    for item in items(&toml, "package") {
        let mut dependencies = Vec::new();
        let mut needs = Vec::new();
        for (name, value) in pairs(item, "dependencies") {
            // One need may have several forms, for different systems.
            let forms = match value {
                Value::Array(forms) => forms.as_slice(),
                one => std::slice::from_ref(one),
            };
            for form in forms {
                dependencies.push(poetry_need(name, form));
            }
            needs.push(normal(name));
        }
        let extras =
            pairs(item, "extras").map(|(name, list)| json!({"name": name, "dependencies": list}));
        let extras: Vec<Value> = extras.collect();
        let index = match text(&item["source"], "url") {
            "" => PYPI,
            url => url,
        };
        let mut facts = json!({"index": index, "dependencies": listed(dependencies)});
        if !extras.is_empty() {
            facts["extras"] = json!(extras);
        }
        list(lock, POETRY, item, needs.into_iter(), &facts, found);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

/// One form of what a package needs: a constraint, or a table with one.
fn poetry_need(name: &str, form: &Value) -> Value {
    let version = form.as_str().unwrap_or_else(|| text(form, "version"));
    let mut need = json!({
        "name": name,
        "version": version,
        "optional": form["optional"] == true,
    });
    if !text(form, "markers").is_empty() {
        need["markers"] = json!(text(form, "markers"));
    }
    let extras: Vec<&str> = texts(form, "extras").collect();
    if !extras.is_empty() {
        need["extras"] = json!(extras);
    }
    need
}

pub(super) fn read_uv(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let toml = data::toml(source)?;
    for item in items(&toml, "package") {
        let mut dependencies = Vec::new();
        let mut needs = Vec::new();
        for need in items(item, "dependencies") {
            needs.push(uv_key(need));
            let mut one = json!({"name": text(need, "name"), "optional": false});
            if !text(need, "marker").is_empty() {
                one["markers"] = json!(text(need, "marker"));
            }
            let extras: Vec<&str> = texts(need, "extra").collect();
            if !extras.is_empty() {
                one["extras"] = json!(extras);
            }
            dependencies.push(one);
        }
        let mut extras = Vec::new();
        for (name, list) in pairs(item, "optional-dependencies") {
            let list = list.as_array().into_iter().flatten();
            needs.extend(list.clone().map(uv_key));
            let list: Vec<&str> = list.map(|need| text(need, "name")).collect();
            extras.push(json!({"name": name, "dependencies": list}));
        }
        let source = &item["source"];
        let index = [
            "registry",
            "url",
            "git",
            "path",
            "directory",
            "editable",
            "virtual",
        ];
        let index = index.iter().map(|key| text(source, key));
        let index = index
            .max_by_key(|index| !index.is_empty())
            .unwrap_or_default();
        let mut facts = json!({"index": index, "dependencies": listed(dependencies)});
        if !extras.is_empty() {
            facts["extras"] = json!(extras);
        }
        list(lock, UV, item, needs.into_iter(), &facts, found);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

/// The name of what is needed; with its version, which is written if there are several.
fn uv_key(need: &Value) -> String {
    let name = normal(text(need, "name"));
    match text(need, "version") {
        "" => name,
        version => format!("{name}=={version}"),
    }
}

/// A list; null if it is empty, as in what syft writes.
fn listed(list: Vec<Value>) -> Value {
    match list.is_empty() {
        true => Value::Null,
        false => Value::Array(list),
    }
}

pub(super) fn read_pdm(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let toml = data::toml(source)?;
    // Each set of extras of a distribution is listed beside the distribution itself.
    let mut forms: BTreeMap<(String, &str), Vec<&Value>> = BTreeMap::new();
    for item in items(&toml, "package") {
        let key = (normal(text(item, "name")), text(item, "version"));
        forms.entry(key).or_default().push(item);
    }
    for forms in forms.values() {
        let plain = |item: &&&Value| items(item, "extras").is_empty();
        let Some(main) = forms.iter().find(plain).or_else(|| forms.first()) else {
            continue;
        };
        let mut facts = json!({"summary": text(main, "summary"), "files": pdm_files(main)});
        if !text(main, "requires_python").is_empty() {
            facts["requiresPython"] = json!(text(main, "requires_python"));
        }
        pdm_form(main, &mut facts);
        let extras = forms.iter().filter(|item| !plain(item)).map(|item| {
            let names: Vec<&str> = texts(item, "extras").collect();
            let mut form = json!({"extras": names});
            if !items(item, "files").is_empty() {
                form["files"] = pdm_files(item);
            }
            pdm_form(item, &mut form);
            form
        });
        let extras: Vec<Value> = extras.collect();
        if !extras.is_empty() {
            facts["extras"] = json!(extras);
        }
        let needs = forms.iter().flat_map(|item| texts(item, "dependencies"));
        let needs = needs.filter_map(Requirement::parse);
        let needs = needs.map(|need| normal(need.name));
        list(lock, PDM, main, needs, &facts, found);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

/// Notes the marker and the needs of one form of a distribution.
fn pdm_form(item: &Value, facts: &mut Value) {
    if !text(item, "marker").is_empty() {
        facts["marker"] = json!(text(item, "marker"));
    }
    let needs: Vec<&str> = texts(item, "dependencies").collect();
    if !needs.is_empty() {
        facts["dependencies"] = json!(needs);
    }
}

fn pdm_files(item: &Value) -> Value {
    let files = items(item, "files").iter().map(|file| {
        let (algorithm, value) = text(file, "hash").split_once(':').unwrap_or_default();
        let url = match text(file, "url") {
            "" => text(file, "file"),
            url => url,
        };
        json!({"url": url, "digest": {"algorithm": algorithm, "value": value}})
    });
    listed(files.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::sbom::catalog::find_in;
    use crate::sbom::catalog::pylock::CATALOGUER;
    use crate::sbom::document::Package;

    fn find(name: &str, text: &str) -> Vec<Package> {
        find_in(&CATALOGUER, &[(name, text.as_bytes())])
    }

    fn list(found: &[Package]) -> Vec<(&str, &str)> {
        found.iter().map(|p| (&*p.name, &*p.version)).collect()
    }

    fn facts(package: &Package) -> Value {
        serde_json::from_str(package.metadata.as_ref().unwrap().get()).unwrap()
    }

    /// Whether the first one needs the second.
    fn needs(one: &Package, other: &Package) -> bool {
        one.requires
            .iter()
            .any(|name| other.provides.contains(name))
    }

    #[test]
    fn poetry() {
        let text = "[[package]]\nname = 'A_b'\nversion = '1.0'\n[package.dependencies]\nC = '>=1'\n\
            d = [{version = '>=1', markers = 'm', extras = ['e']}, {version = '>=2', optional = true}]\n[package.extras]\nx = ['c (>=1)']\n\
            [[package]]\nname = 'c'\nversion = '1.1'\n[package.source]\nurl = 'https://i'\n[[package]]\nname = 'd'\nversion = '2.0'\n";
        let found = find("poetry.lock", text);
        assert_eq!(list(&found), [("a-b", "1.0"), ("c", "1.1"), ("d", "2.0")]);
        assert!(needs(&found[0], &found[1]) && needs(&found[0], &found[2]));
        let expected = serde_json::json!({
            "index": "https://pypi.org/simple",
            "dependencies": [
                {"name": "C", "version": ">=1", "optional": false},
                {"name": "d", "version": ">=1", "optional": false, "markers": "m", "extras": ["e"]},
                {"name": "d", "version": ">=2", "optional": true},
            ],
            "extras": [{"name": "x", "dependencies": ["c (>=1)"]}],
        });
        assert_eq!(facts(&found[0]), expected);
        assert_eq!(facts(&found[1])["index"], "https://i");
    }

    #[test]
    fn uv_names_the_version_of_a_need_if_there_are_several() {
        let text = "version = 1\n[[package]]\nname = 'app'\nsource = { virtual = '.' }\ndependencies = [{ name = 'c', marker = 'm', extra = ['x'] }, { name = 'd', version = '2.0' }]\n\
            [package.optional-dependencies]\no = [{ name = 'e' }]\n[[package]]\nname = 'c'\nversion = '1'\nsource = { registry = 'r' }\n\
            [[package]]\nname = 'd'\nversion = '1.0'\n[[package]]\nname = 'd'\nversion = '2.0'\n[[package]]\nname = 'e'\nversion = '1'\n";
        for name in ["uv.lock", "a/tool.py.lock"] {
            let found = find(name, text);
            assert_eq!(list(&found)[..2], [("app", "UNKNOWN"), ("c", "1")]);
            let needed = found.iter().map(|other| needs(&found[0], other));
            assert_eq!(needed.collect::<Vec<_>>(), [false, true, false, true, true]);
            let expected = serde_json::json!({
                "index": ".",
                "dependencies": [
                    {"name": "c", "optional": false, "markers": "m", "extras": ["x"]},
                    {"name": "d", "optional": false},
                ],
                "extras": [{"name": "o", "dependencies": ["e"]}],
            });
            assert_eq!(facts(&found[0]), expected);
        }
    }

    #[test]
    fn pdm_has_one_distribution_with_its_extras() {
        let text = "[[package]]\nname = 'a'\nversion = '1'\nextras = ['x']\ndependencies = ['c>=1; m', 'a==1']\nfiles = [{file = 'a.whl', hash = 'sha256:aa'}]\n\
            [[package]]\nname = 'a'\nversion = '1'\nsummary = 'S'\nrequires_python = '>=3'\nfiles = []\n[[package]]\nname = 'c'\nversion = '1'\nmarker = 'm'\n";
        let found = find("pdm.lock", text);
        assert_eq!(list(&found), [("a", "1"), ("c", "1")]);
        assert!(needs(&found[0], &found[1]));
        let expected = serde_json::json!({
            "summary": "S", "files": null, "requiresPython": ">=3",
            "extras": [{
                "extras": ["x"], "dependencies": ["c>=1; m", "a==1"],
                "files": [{"url": "a.whl", "digest": {"algorithm": "sha256", "value": "aa"}}],
            }],
        });
        assert_eq!(facts(&found[0]), expected);
        assert_eq!(facts(&found[1])["marker"], "m");
    }

    #[test]
    fn pipenv_lists_what_runs() {
        let text = r#"{"_meta":{"sources":[{"name":"i","url":"https://i"}]},"develop":{"z":{"version":"==1"}},
            "default":{"a":{"version":"==1.0","hashes":["sha256:a"],"index":"i"},"b":{"git":"https://x"}}}"#;
        let found = find("Pipfile.lock", text);
        assert_eq!(list(&found), [("a", "1.0"), ("b", "UNKNOWN")]);
        let expected = serde_json::json!({"hashes": ["sha256:a"], "index": "https://i"});
        assert_eq!(facts(&found[0]), expected);
    }

    #[test]
    fn pins_in_a_setup_script() {
        let text = "setup(install_requires=['a==1.0', \"b [x] == 2\", 'c>=1', 'd==%s' % v, f'e=={v}', 'f==1.*'])";
        assert_eq!(list(&find("setup.py", text)), [("a", "1.0"), ("b", "2")]);
    }
}
