//! Ruby gems: installed ones, source folders of gems, and `Gemfile.lock`.

use serde_json::json;

use super::data::{self, Reason};
use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

/// Gems that are installed: Ruby writes their description when it installs them.
pub(super) const INSTALLED: Cataloguer = Cataloguer {
    ecosystem: GEM,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| is_gemspec(name) && is_installed(folder),
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| gemspec(view, path, GEM, found),
    },
};

/// Gems in the making, whose description is a program.
pub(super) const DECLARED: Cataloguer = Cataloguer {
    ecosystem: SOURCE,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |folder, name| is_gemspec(name) && !is_installed(folder),
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| gemspec(view, path, SOURCE, found),
    },
};

pub(super) const LOCKED: Cataloguer = Cataloguer {
    ecosystem: BUNDLED,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| matches!(name, "Gemfile.lock" | "Gemfile.next.lock"),
        supports: |_, _| false,
        longest: data::MAX_BYTES,
        find: |view, path, found: &mut Found| lock::read(view, path, BUNDLED, found, read),
    },
};

const GEM: Ecosystem = Ecosystem {
    kind: "gem",
    language: "ruby",
    found_by: "ruby-installed-gemspec-cataloger",
    metadata_type: "ruby-gemspec",
};

const SOURCE: Ecosystem = Ecosystem {
    found_by: "ruby-gemspec-cataloger",
    ..GEM
};

const BUNDLED: Ecosystem = Ecosystem {
    found_by: "ruby-gemfile-cataloger",
    metadata_type: "",
    ..GEM
};

fn is_gemspec(name: &str) -> bool {
    name.ends_with(".gemspec")
}

fn is_installed(folder: &str) -> bool {
    folder.split('/').any(|part| part == "specifications")
}

/// Maximum number of texts in one list of a description.
const MAX_ITEMS: usize = 20_000;

fn gemspec(view: &View, path: &str, ecosystem: Ecosystem, found: &mut Found) {
    let Some(text) = view.text(path) else {
        return;
    };
    let gem = describe(&text);
    // Of a gem in the making, the version is often the value of an expression.
    if gem.name.is_empty() || gem.version.is_empty() {
        return;
    }
    let held = gem.files.iter().chain(&gem.authors).map(String::len);
    let held = held.map(|bytes| bytes + 64).sum();
    let listed = found.reading(|found| {
        if !found.text(held) {
            return None;
        }
        let mut package = Package::new(ecosystem, &gem.name, &gem.version);
        let location = view.location(path, Evidence::Primary);
        package.locations.extend(location);
        package.purl = purl("gem", "", &gem.name, &gem.version, &[]);
        package
            .licenses
            .extend(gem.licenses.iter().cloned().map(License::new));
        let mut facts = json!({"name": gem.name, "version": gem.version});
        for (key, list) in [("files", &gem.files), ("authors", &gem.authors)] {
            if !list.is_empty() {
                facts[key] = json!(list);
            }
        }
        if !gem.homepage.is_empty() {
            facts["homepage"] = json!(gem.homepage);
        }
        package.describe(&facts);
        Some(package)
    });
    if let Some(listed) = listed {
        found.push(listed);
    }
}

#[derive(Default)]
struct Gem {
    name: String,
    version: String,
    homepage: String,
    files: Vec<String>,
    authors: Vec<String>,
    licenses: Vec<String>,
}

/// Reads assignments of literals, such as `s.name = "rake".freeze`.
fn describe(text: &str) -> Gem {
    let mut gem = Gem::default();
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        let Some((key, value)) = assignment(line) else {
            rest = rest.get(line.len() + 1..).unwrap_or_default();
            continue;
        };
        // A list may go on in the lines below, which are read once.
        let value = &rest[line.len() - value.len()..];
        let (texts, after) = literals(value);
        let one = || texts.first().cloned();
        match key {
            "name" => gem.name = one().unwrap_or(gem.name),
            "version" => gem.version = one().unwrap_or(gem.version),
            "homepage" => gem.homepage = one().unwrap_or(gem.homepage),
            "files" => gem.files = texts,
            "author" | "authors" => gem.authors = texts,
            "license" | "licenses" => gem.licenses = texts,
            _ => {}
        }
        rest = after.find('\n').map_or("", |end| &after[end + 1..]);
    }
    gem
}

/// The attribute and the value of `variable.attribute = value`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (left, value) = line.split_once('=')?;
    let (variable, key) = left.trim().split_once('.')?;
    let is_word = |text: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !text.is_empty() && text.chars().all(word)
    };
    let plain = is_word(variable) && is_word(key) && !value.starts_with(['=', '~', '>']);
    plain.then(|| (key, value.trim_start()))
}

/// The quoted text or the list of them with which `value` begins, and what follows.
/// Nothing, if it is an expression.
fn literals(value: &str) -> (Vec<String>, &str) {
    let Some(inner) = value.strip_prefix('[') else {
        return match literal(value) {
            Some((text, after)) => (vec![text], after),
            None => (Vec::new(), value),
        };
    };
    let mut texts = Vec::new();
    let mut rest = inner.trim_start();
    while texts.len() < MAX_ITEMS {
        let Some((text, after)) = literal(rest) else {
            break;
        };
        texts.push(text);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    (texts, rest)
}

/// The quoted text with which `value` begins, and what follows it. A text with parts
/// that are computed is none.
fn literal(value: &str) -> Option<(String, &str)> {
    let value = value.strip_prefix("Gem::Version.new(").unwrap_or(value);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut text = String::new();
    let mut chars = value.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return None,
            '#' if quote == '"' && value[at + 1..].starts_with('{') => return None,
            '\\' => match chars.next()? {
                (_, 'u') if quote == '"' => {
                    let hex = value.get(at + 2..at + 6)?;
                    text.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                    chars.nth(3)?;
                }
                (_, 'n') if quote == '"' => text.push('\n'),
                (_, c) => text.push(c),
            },
            c if c == quote => {
                let rest = &value[at + 1..];
                let rest = rest.strip_prefix(".freeze").unwrap_or(rest);
                return Some((text, rest));
            }
            c => text.push(c),
        }
    }
    None
}

/// Reads `Gemfile.lock`: gems have four blanks before them, and what they need six.
fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let mut last: Option<Package> = None;
    let mut section = "";
    for line in source.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if indent == 0 {
            section = content.trim_end();
            continue;
        }
        if !matches!(section, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE") {
            continue;
        }
        let (name, version) = content.trim_end().split_once(" (").unwrap_or((content, ""));
        let version = version.trim_end_matches(')');
        match indent {
            4 if !version.is_empty() => {
                last.take().into_iter().for_each(|gem| found.push(gem));
                if found.is_full() {
                    return Ok(());
                }
                let mut gem = lock.package(BUNDLED, name, version);
                gem.purl = purl("gem", "", name, version, &[]);
                gem.provides.push(lock.key(name));
                last = Some(gem);
            }
            6 => {
                let key = lock.key(name.trim_end_matches('!').trim());
                if let Some(gem) = &mut last
                    && found.text(key.len())
                {
                    gem.requires.push(key);
                }
            }
            _ => {}
        }
    }
    last.into_iter().for_each(|gem| found.push(gem));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn an_installed_gem_is_found_with_its_facts() {
        let spec = b"# -*- encoding: utf-8 -*-\n# stub: a_b 1.2.0 ruby lib\n\nGem::Specification.new do |s|\n  s.name = \"a_b\".freeze\n  s.version = \"1.2.0\"\n\n\
            \x20 s.required_rubygems_version = Gem::Requirement.new(\">= 0\".freeze) if s.respond_to? :required_rubygems_version=\n  s.authors = [\"J\\u00F6rg\".freeze, 'B'.freeze]\n\
            \x20 s.homepage = \"https://x\".freeze\n  s.licenses = [\"MIT\".freeze]\n  s.files = [\"a\".freeze,\n    \"b\"]\n  s.summary = \"s.name = 'c'\"\nend\n";
        let found = find_in(
            &INSTALLED,
            &[("gems/specifications/default/a_b-1.2.0.gemspec", spec)],
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:gem/a_b@1.2.0");
        assert!(found[0].licenses.contains(&License::new("MIT".to_owned())));
        let facts = r#"{"authors":["J\u00f6rg","B"],"files":["a","b"],"homepage":"https://x","name":"a_b","version":"1.2.0"}"#;
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
        let told = found[0].metadata.as_ref().unwrap().get();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(told).unwrap(),
            facts
        );
    }

    #[test]
    fn a_gem_in_the_making_needs_a_literal_version() {
        let computed = b"Gem::Specification.new do |spec|\n  spec.name = 'a'\n  spec.version = A::VERSION\nend\n";
        let joined = b"Gem::Specification.new do |spec|\n  spec.name = 'a'\n  spec.version = \"1.#{x}\"\nend\n";
        let literal = b"Gem::Specification.new do |spec|\n  spec.name          = 'a'\n  spec.version       = '1.0'\n  spec.files = Dir['x']\n  spec.license = 'MIT'\nend\n";
        let files: &[(&str, &[u8])] = &[
            ("one/a.gemspec", computed),
            ("two/a.gemspec", joined),
            ("three/a.gemspec", literal),
        ];
        let found = find_in(&DECLARED, files);
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].version, found[0].licenses.len()), ("1.0", 1));
    }

    #[test]
    fn gems_of_a_lock_file_and_what_they_need() {
        let text = b"GIT\n  remote: https://x\n  specs:\n    g (0.1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n      b (>= 2)\n      c\n    b (2.0-x86_64-linux)\n\n\
            PLATFORMS\n  ruby\n\nDEPENDENCIES\n  a\n    z (1)\n\nCHECKSUMS\n  a (1.0) sha256=x\n\nBUNDLED WITH\n   2.4\n";
        let found = find_in(&LOCKED, &[("Gemfile.next.lock", text)]);
        let list: Vec<(&str, &str)> = found.iter().map(|p| (&*p.name, &*p.version)).collect();
        assert_eq!(
            list,
            [("g", "0.1"), ("a", "1.0"), ("b", "2.0-x86_64-linux")]
        );
        assert_eq!(found[1].requires[0], found[2].provides[0]);
        assert!(found[0].metadata.is_none());
    }

    #[test]
    fn broken_texts_end() {
        for text in [
            "s.name = \"",
            "s.name = \"\\",
            "s.name = '\\u",
            "s.files = [\"a\", ",
            "s.name = \"\\u12\"",
            "s.=[",
            "s.files = [",
        ] {
            assert!(describe(text).name.is_empty(), "{text}");
        }
        let many = "s.files = [\n".repeat(10_000);
        assert!(describe(&many).files.is_empty());
    }
}
