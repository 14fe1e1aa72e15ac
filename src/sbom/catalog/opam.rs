//! Packages of OCaml: the `*.opam` of a project, and `opam` files in general.

use serde_json::{Value, json};

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: OPAM,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "opam" || name.ends_with(".opam"),
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, OPAM, found, |file, text, found| {
                described(file, text, found);
                Ok(())
            });
        },
    },
};

const OPAM: Ecosystem = Ecosystem {
    kind: "opam",
    language: "ocaml",
    found_by: "opam-cataloger",
    metadata_type: "opam-package",
};

fn described(file: &Lock<'_>, source: &str, found: &mut Found) {
    let fields = fields(source);
    let all = |path: &str| -> Vec<&str> {
        let fields = fields.iter().filter(|(known, _)| known == path);
        fields.map(|(_, value)| value.as_str()).collect()
    };
    let get = |path: &str| all(path).first().copied().unwrap_or_default();
    // Other files of this name do not say what they are written in.
    if get("opam-version").is_empty() {
        return;
    }
    let folder = file.folder().rsplit('/').next().unwrap_or_default();
    // A repository has the file as `name.version/opam`.
    let (outer, later) = folder.split_once('.').unwrap_or((folder, ""));
    let own = file.name().strip_suffix(".opam");
    let name = match get("name") {
        "" => own.unwrap_or(outer),
        name => name,
    };
    let version = match get("version") {
        "" if own.is_none() => later,
        version => version,
    };
    let mut package = file.package(OPAM, name, version);
    package.purl = purl("opam", "", name, version, &[]);
    let licenses = all("license");
    let owned = licenses
        .iter()
        .map(|license| License::new((*license).to_owned()));
    package.licenses = owned.collect();
    // An empty list is null, as a program in Go writes it.
    let list = |list: Vec<&str>| match list.is_empty() {
        true => Value::Null,
        false => json!(list),
    };
    package.describe(&json!({
        "name": name, "version": version, "licenses": list(licenses), "url": get("url.src"),
        "checksum": list(all("url.checksum")), "homepage": get("homepage"),
        "dependencies": list(all("depends")),
    }));
    package.provides.push(file.key(name));
    found.push(package);
}

/// Most texts in a file, and deepest nesting of sections.
const MAX_FIELDS: usize = 20_000;
const MAX_DEPTH: usize = 16;

/// Most bytes of the paths of fields, and of one of them: all that is in a section has
/// its path. Longer ones are none of those looked for.
const MAX_PATHS: usize = 4 << 20;
const MAX_PATH: usize = 1024;

/// The texts in `source`, each with the path of its field. Conditions in braces behind a
/// value are left out. Ends where the source is damaged.
fn fields(source: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut paths = 0;
    // The last word, and the field whose value is being read.
    let (mut word, mut field) = ("", "");
    // How many brackets and conditions are open in the value.
    let (mut lists, mut conditions) = (0_usize, 0_usize);
    let (mut rest, mut begins_line) = (source, true);
    while let Some(first) = rest.chars().next() {
        if fields.len() == MAX_FIELDS || path.len() > MAX_DEPTH {
            break;
        }
        let is_outside = lists == 0 && conditions == 0;
        let Some(length) = token(rest, first) else {
            break;
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            '"' if conditions == 0 && !field.is_empty() => {
                let length = path.iter().map(|name| name.len() + 1).sum::<usize>() + field.len();
                if length <= MAX_PATH {
                    paths += length;
                    if paths > MAX_PATHS {
                        break;
                    }
                    let at: Vec<&str> = path.iter().copied().chain([field]).collect();
                    fields.push((at.join("."), token.trim_matches('"').to_owned()));
                }
            }
            ':' if is_outside => field = word,
            '[' | '(' => lists += 1,
            ']' | ')' => lists = lists.saturating_sub(1),
            // A section such as `url { ... }` is no value.
            '{' if is_outside && field.is_empty() => path.push(word),
            '{' => conditions += 1,
            '}' if conditions > 0 => conditions -= 1,
            '}' => {
                path.pop();
                field = "";
            }
            c if is_word(c) && is_outside => {
                word = token;
                if begins_line {
                    field = "";
                }
            }
            _ => {}
        }
        begins_line = first == '\n' || (begins_line && first.is_whitespace());
    }
    fields
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "-_+".contains(c)
}

/// The length of the token with which `rest` begins, in bytes; `None` if it has no end.
fn token(rest: &str, first: char) -> Option<usize> {
    if let Some(text) = rest.strip_prefix("\"\"\"") {
        return text.find("\"\"\"").map(|end| end + 6);
    }
    Some(match first {
        '#' => rest.find('\n').unwrap_or(rest.len()),
        '"' => {
            let mut escaped = false;
            let mut chars = rest.char_indices().skip(1);
            let (end, _) = chars.find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            })?;
            end + 1
        }
        c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        c => c.len_utf8(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    const BAP: &[u8] = br#"opam-version: "2.0" # "no"
license: ["MIT" "ISC"]
homepage: "https://h"
description: """A "quoted" text: [ {"""
depends: [
  "ocaml" {>= "4.08.0"}
  ("a" | "b" {with-test & "x" = "y"})
]
available: os != "win32"
url { src: "https://u" checksum: ["sha256=aa" "md5=bb"] }
extra-source "p.patch" {
  src: "https://no"
}
version: "2.5.0"
"#;

    #[test]
    fn a_package_is_described() {
        let found = find_in(&CATALOGUER, &[("src/bap.opam", BAP)]);
        assert_eq!(found[0].purl, "pkg:opam/bap@2.5.0");
        assert_eq!(found[0].licenses.len(), 2);
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"checksum":["sha256=aa","md5=bb"],"dependencies":["ocaml","a","b"],"homepage":"https://h","licenses":["MIT","ISC"],"name":"bap","url":"https://u","version":"2.5.0"}"#
        );
    }

    #[test]
    fn paths_of_fields_are_counted_and_not_long() {
        let held = |name: usize| {
            let texts = "\"t\" ".repeat(10_000);
            let fields = fields(&format!("{} {{ f: [{texts}] }}", "n".repeat(name)));
            fields.iter().map(|(path, _)| path.len()).sum::<usize>()
        };
        assert_eq!(held(MAX_PATH), 0);
        assert!(held(MAX_PATH - 2) > 0 && held(MAX_PATH - 2) <= MAX_PATHS);
    }

    #[test]
    fn a_folder_may_have_name_and_version_and_others_are_not_described() {
        let files: &[(&str, &[u8])] = &[
            ("r/foo.1.2~x/opam", b"opam-version: \"2.0\"\n"),
            ("bin/opam", b"\x7fELF"),
            ("a/b.opam", b"opam-version: \"2"),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:opam/foo@1.2~x");
        for hostile in [
            "{".repeat(1 << 19),
            "a{".repeat(1 << 18),
            "\"\\".repeat(1 << 18),
        ] {
            assert!(fields(&hostile).is_empty());
        }
    }
}
