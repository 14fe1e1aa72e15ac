//! Packages of PEAR and PECL that are installed: `.registry/*.reg`, each a value that PHP
//! serialised.

use serde_json::json;

use super::data::Reason;
use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PEAR,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| {
            name.ends_with(".reg") && format!("/{folder}/").contains("/php/.registry/")
        },
        supports: |_, _| false,
        longest: 4 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, PEAR, found, |file, _, found| {
                // Lengths are in bytes, so that a text must stay as it is.
                registered(file, &view.bytes(path).unwrap_or_default(), found)
            });
        },
    },
};

const PEAR: Ecosystem = Ecosystem {
    kind: "php-pear",
    language: "php",
    found_by: "php-pear-serialized-cataloger",
    metadata_type: "php-pear-entry",
};

fn registered(file: &Lock<'_>, bytes: &[u8], found: &mut Found) -> Result<(), Reason> {
    let fields = fields(bytes)?;
    let get = |path: &[&str]| {
        let mut found = fields.iter().filter(|(known, _)| known == path);
        found.next().map_or("", |(_, value)| *value)
    };
    let name = get(&["name"]);
    if name.is_empty() {
        return Ok(());
    }
    let (channel, version) = (get(&["channel"]), get(&["version", "release"]));
    let mut package = file.package(PEAR, name, version);
    package.purl = purl("pear", channel, name, version, &[]);
    let license = match get(&["license"]) {
        "" => get(&["license", "_content"]),
        license => license,
    };
    let mut facts = json!({"name": name, "channel": channel, "version": version});
    if !license.is_empty() {
        package.licenses.insert(License::new(license.to_owned()));
        facts["license"] = json!([license]);
    }
    package.describe(&facts);
    found.push(package);
    Ok(())
}

/// Deepest nesting of arrays that is read.
const MAX_DEPTH: usize = 64;

const DAMAGED: Reason = "it is not a value that PHP serialised";

/// The texts at most two keys deep in the array that `bytes` is, with their keys. What
/// is not UTF-8 is left out.
///
/// `a:1:{s:1:"k";s:1:"v";}` is an array, `i:1;`, `b:1;`, `d:0.5;` and `N;` are others.
fn fields(bytes: &[u8]) -> Result<Vec<(Vec<&str>, &str)>, Reason> {
    let mut fields = Vec::new();
    // The key of each open array whose value is being read.
    let mut keys: Vec<Option<&[u8]>> = Vec::new();
    let mut rest = bytes;
    loop {
        let value = match rest.first() {
            Some(b'}') if !keys.is_empty() => {
                keys.pop();
                rest = &rest[1..];
                None
            }
            Some(b'a') => {
                let at = memchr::memchr(b'{', rest).ok_or(DAMAGED)?;
                if keys.len() == MAX_DEPTH {
                    return Err("it is nested too deeply");
                }
                keys.push(None);
                rest = &rest[at + 1..];
                continue;
            }
            Some(b's') => Some(text(&mut rest).ok_or(DAMAGED)?),
            Some(b'i' | b'b' | b'd' | b'N') => {
                let at = memchr::memchr(b';', rest).ok_or(DAMAGED)?;
                let value = rest.get(2..at).unwrap_or_default();
                rest = &rest[at + 1..];
                Some(value)
            }
            _ => return Err(DAMAGED),
        };
        let depth = keys.len();
        let Some(last) = keys.last_mut() else {
            return Ok(fields);
        };
        match (value, last.take()) {
            // A key, and then its value.
            (Some(key), None) => *last = Some(key),
            (Some(value), Some(key)) if depth <= 2 => {
                let path = keys[..depth - 1].iter().flatten().copied().chain([key]);
                let path: Option<Vec<&str>> = path.map(|key| str::from_utf8(key).ok()).collect();
                fields.extend(path.zip(str::from_utf8(value).ok()));
            }
            // What ended was an array, and the value.
            _ => {}
        }
    }
}

/// Takes a text such as `s:1:"v";`.
fn text<'t>(rest: &mut &'t [u8]) -> Option<&'t [u8]> {
    let bytes = rest.strip_prefix(b"s:")?;
    let colon = memchr::memchr(b':', bytes)?;
    let length: usize = str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let inner = bytes[colon..].strip_prefix(b":\"")?;
    let (value, after) = inner.split_at_checked(length)?;
    *rest = after.strip_prefix(b"\";")?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    /// A name that is not UTF-8 comes before the fields that count.
    fn registry(license: &[u8]) -> Vec<u8> {
        let mut text =
            b"a:6:{s:4:\"lead\";a:2:{s:4:\"name\";s:2:\"\xe9x\";i:0;a:1:{i:0;N;}}".to_vec();
        text.extend(b"s:4:\"name\";s:9:\"Structure\";s:7:\"channel\";s:12:\"pear.php.net\";");
        text.extend(
            b"s:7:\"version\";a:2:{s:7:\"release\";s:5:\"1.1.1\";s:3:\"api\";s:5:\"1.1.0\";}",
        );
        text.extend(b"s:7:\"license\";");
        text.extend(license);
        text.extend(b"s:8:\"filelist\";a:1:{s:5:\"a.php\";b:1;}}");
        text
    }

    #[test]
    fn a_registered_package_is_found() {
        let plain = registry(b"s:4:\"LGPL\";");
        let linked = registry(
            b"a:2:{s:7:\"attribs\";a:1:{s:3:\"uri\";s:1:\"x\";}s:8:\"_content\";s:3:\"BSD\";}",
        );
        let files: &[(&str, &[u8])] = &[
            ("usr/share/php/.registry/structure.reg", &plain),
            ("usr/share/php/.registry/.channel.x/y.reg", &linked),
            ("usr/share/php/.channels/no.reg", &plain),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].purl, "pkg:pear/pear.php.net/Structure@1.1.1");
        assert_eq!(found[0].licenses.first().unwrap().value, "BSD");
        assert_eq!(
            found[1].metadata.as_ref().unwrap().get(),
            r#"{"channel":"pear.php.net","license":["LGPL"],"name":"Structure","version":"1.1.1"}"#
        );
    }

    #[test]
    fn damaged_values_are_listed() {
        let long = "a:1:{".repeat(1 << 16);
        for text in [
            "",
            "a:1:{s:9:\"k\";",
            "s:99999999999999999999:\"",
            "a:1:{i:0;s:4:\"a\";}",
            "a",
            "i",
            &long,
        ] {
            let files = [("php/.registry/x.reg", text.as_bytes())];
            assert_eq!(
                findings(&CATALOGUER, &files).unknowns.len(),
                1,
                "{text:.20}"
            );
        }
        assert!(find_in(&CATALOGUER, &[("php/.registry/x.reg", b"i:3;")]).is_empty());
    }
}
