//! Packages of Conan, for C and C++: what `conanfile.txt` and `conan.lock` declare, and
//! what a `conaninfo.txt` says about an installed one.

use serde_json::{Map, Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, pairs, text, texts};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Package};
use crate::sbom::purl::purl;

pub(super) const DECLARED: Cataloguer = Cataloguer {
    ecosystem: FILE,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| matches!(name, "conanfile.txt" | "conan.lock"),
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, FILE, found, |file, text, found| {
                match file.name() {
                    "conan.lock" => locked(file, text, found),
                    _ => {
                        declared(file, text, found);
                        Ok(())
                    }
                }
            });
        },
    },
};

pub(super) const INSTALLED: Cataloguer = Cataloguer {
    ecosystem: INFO,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name == "conaninfo.txt",
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, INFO, found, |file, text, found| {
                installed(file, text, found);
                Ok(())
            });
        },
    },
};

const FILE: Ecosystem = Ecosystem {
    kind: "conan",
    language: "c++",
    found_by: "conan-cataloger",
    metadata_type: "c-conan-file-entry",
};

const LOCK: Ecosystem = Ecosystem {
    metadata_type: "c-conan-lock-entry",
    ..FILE
};

const LOCK_2: Ecosystem = Ecosystem {
    metadata_type: "c-conan-lock-v2-entry",
    ..FILE
};

const INFO: Ecosystem = Ecosystem {
    found_by: "conan-info-cataloger",
    metadata_type: "c-conan-info-entry",
    ..FILE
};

/// `name/version@user/channel#recipe%time:package#revision`, of which only name and
/// version must be there.
#[derive(Default)]
struct Reference<'t> {
    name: &'t str,
    version: &'t str,
    user: &'t str,
    channel: &'t str,
    recipe: &'t str,
    time: &'t str,
    package: &'t str,
    revision: &'t str,
}

impl<'t> Reference<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        fn cut<'t>(text: &mut &'t str, at: char) -> &'t str {
            match text.split_once(at) {
                Some((before, after)) => {
                    *text = before;
                    after
                }
                None => "",
            }
        }
        let mut head = text.trim();
        let mut package = cut(&mut head, ':');
        let revision = cut(&mut package, '#');
        let mut recipe = cut(&mut head, '#');
        let time = cut(&mut recipe, '%');
        let mut user = cut(&mut head, '@');
        let channel = cut(&mut user, '/');
        let (name, version) = head.split_once('/')?;
        (!name.is_empty() && !version.is_empty()).then_some(Self {
            name,
            version,
            user,
            channel,
            recipe,
            time,
            package,
            revision,
        })
    }

    fn package(&self, file: &Lock<'_>, ecosystem: Ecosystem) -> Package {
        let mut package = file.package(ecosystem, self.name, self.version);
        // `_` stands for none.
        let [user, channel] = [self.user, self.channel].map(|part| part.trim_matches('_'));
        let channel = [("channel", channel)];
        package.purl = purl("conan", user, self.name, self.version, &channel);
        package
    }
}

/// The texts with values, as an object.
fn facts(pairs: &[(&str, &str)]) -> Map<String, Value> {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    pairs
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect()
}

/// The lines of the section `[name]`.
fn section<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.skip_while(move |line| line.trim_matches(['[', ']']) != name);
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn declared(file: &Lock<'_>, text: &str, found: &mut Found) {
    for line in section(text, "requires") {
        let line = line.split(" #").next().unwrap_or(line).trim();
        // A range is no version.
        if let Some(reference) = Reference::parse(line).filter(|one| !one.version.contains('[')) {
            let mut package = reference.package(file, FILE);
            package.describe(&json!({"ref": line}));
            found.push(package);
            if found.is_full() {
                break;
            }
        }
    }
}

fn locked(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let json = data::json(source)?;
    for (id, node) in pairs(&json["graph_lock"], "nodes") {
        let Some(reference) = Reference::parse(text(node, "ref")) else {
            continue;
        };
        let mut package = reference.package(file, LOCK);
        let mut known = facts(&[
            ("ref", text(node, "ref")),
            ("package_id", text(node, "package_id")),
            ("prev", text(node, "prev")),
            ("path", text(node, "path")),
            ("context", text(node, "context")),
        ]);
        let options = text(node, "options")
            .lines()
            .filter_map(|line| line.split_once('='));
        let options = options.map(|(key, value)| json!({"key": key, "value": value}));
        let options: Vec<Value> = options.collect();
        if !options.is_empty() {
            known.insert("options".to_owned(), json!(options));
        }
        package.describe(&Value::Object(known));
        package.provides.push(file.key(id));
        package.requires = file.keys(texts(node, "requires"), found);
        found.push(package);
        if found.is_full() {
            break;
        }
    }
    // What is needed to build is no part of the program.
    for line in texts(&json, "requires") {
        let Some(reference) = Reference::parse(line) else {
            continue;
        };
        let mut package = reference.package(file, LOCK_2);
        package.describe(&Value::Object(facts(&[
            ("ref", line),
            ("packageID", reference.package),
            ("username", reference.user),
            ("channel", reference.channel),
            ("recipeRevision", reference.recipe),
            ("packageRevision", reference.revision),
            ("timestamp", reference.time),
        ])));
        found.push(package);
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

/// The package itself, which its path names, and those that it needs.
fn installed(file: &Lock<'_>, text: &str, found: &mut Found) {
    // .../NAME/VERSION/USER/CHANNEL/package/ID/conaninfo.txt
    let mut parts = file.folder().rsplit('/');
    let [id, package, channel, user, version, name] =
        std::array::from_fn(|_| parts.next().unwrap_or_default());
    if package != "package" || name.is_empty() {
        return;
    }
    let full = match (user, channel) {
        ("_", "_") => format!("{name}/{version}"),
        _ => format!("{name}/{version}@{user}/{channel}"),
    };
    let itself = Reference::parse(&full).map(|one| (one, full.as_str(), id));
    let keys = section(text, "full_requires").filter_map(|line| line.split(':').next());
    let mut keys = file.keys(keys, found);
    let needed = section(text, "full_requires").filter_map(|line| {
        let reference = Reference::parse(line)?;
        let id = reference.package;
        Some((reference, line, id))
    });
    for (reference, full, id) in itself.into_iter().chain(needed) {
        let mut package = reference.package(file, INFO);
        package.describe(&Value::Object(facts(&[("ref", full), ("package_id", id)])));
        if (reference.name, reference.version) == (name, version) {
            // Lines that name the package again add nothing.
            package.requires = std::mem::take(&mut keys);
        } else {
            let key = full.split(':').next();
            package.provides.extend(key.map(|key| file.key(key)));
        }
        found.push(package);
        if found.is_full() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    fn purls(packages: &[Package]) -> Vec<&str> {
        packages
            .iter()
            .map(|package| package.purl.as_str())
            .collect()
    }

    #[test]
    fn declared_packages_have_exact_versions() {
        let text = b"# x\n[requires]\ncatch2/2.13.8\nspdlog/1.9@u/stable # why\nmagic/[>=0.8]\nz/1#rev\n\n[tool_requires]\ncmake/3\n";
        let found = find_in(&DECLARED, &[("p/conanfile.txt", text)]);
        assert_eq!(
            purls(&found),
            [
                "pkg:conan/catch2@2.13.8",
                "pkg:conan/u/spdlog@1.9?channel=stable",
                "pkg:conan/z@1"
            ]
        );
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"ref":"spdlog/1.9@u/stable"}"#
        );
    }

    #[test]
    fn locks_of_both_formats_are_read() {
        let old = br#"{"graph_lock": {"nodes": {"0": {"requires": ["1"]},
            "1": {"ref": "a/1@u/c#ff", "options": "x=True\ny=1", "package_id": "7a", "prev": "e1", "requires": ["2"], "context": "host"},
            "2": {"ref": "b/2#aa", "package_id": "e9"}}}}"#;
        let new = br#"{"version": "0.5", "requires": ["s/1.0@m/st#83%16.5:id#pr"], "build_requires": ["cmake/3#a"]}"#;
        let found = find_in(&DECLARED, &[("a/conan.lock", old), ("b/conan.lock", new)]);
        assert_eq!(
            purls(&found),
            [
                "pkg:conan/u/a@1?channel=c",
                "pkg:conan/b@2",
                "pkg:conan/m/s@1.0?channel=st"
            ]
        );
        assert_eq!(found[0].requires, found[1].provides);
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"context":"host","options":[{"key":"x","value":"True"},{"key":"y","value":"1"}],"package_id":"7a","prev":"e1","ref":"a/1@u/c#ff"}"#
        );
        assert_eq!(
            found[2].metadata.as_ref().unwrap().get(),
            r#"{"channel":"st","packageID":"id","packageRevision":"pr","recipeRevision":"83","ref":"s/1.0@m/st#83%16.5:id#pr","timestamp":"16.5","username":"m"}"#
        );
        assert_eq!(
            findings(&DECLARED, &[("conan.lock", b"{")]).unknowns.len(),
            1
        );
    }

    #[test]
    fn an_installed_package_is_named_by_its_path() {
        let text = b"[settings]\n os=Linux\n[full_requires]\n    zlib/1.2.12:a1b2\n[options]\n";
        let files: &[(&str, &[u8])] = &[
            (
                "root/.conan/data/mfast/1.2.2/_/_/package/9d/conaninfo.txt",
                text,
            ),
            ("p/conaninfo.txt", b"[full_requires]\n"),
        ];
        let found = find_in(&INSTALLED, files);
        assert_eq!(
            purls(&found),
            ["pkg:conan/mfast@1.2.2", "pkg:conan/zlib@1.2.12"]
        );
        assert_eq!(found[0].requires, found[1].provides);
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"package_id":"a1b2","ref":"zlib/1.2.12:a1b2"}"#
        );
    }

    #[test]
    fn lines_that_name_the_package_itself_need_nothing_again() {
        let text = format!("[full_requires]\n{}z/1:a\n", "a/1:i\n".repeat(50));
        let path = "data/a/1/_/_/package/i/conaninfo.txt";
        let found = find_in(&INSTALLED, &[(path, text.as_bytes())]);
        assert_eq!(found.len(), 52);
        let needs: Vec<usize> = found.iter().map(|package| package.requires.len()).collect();
        assert_eq!(needs.iter().sum::<usize>(), 51, "{needs:?}");
    }
}
