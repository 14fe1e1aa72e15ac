//! Requirements that pin one version: `requirements.txt` and `setup.py`.
//!
//! Source: pip.pypa.io, "Requirements File Format", and PEP 508.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::json;

use super::{DECLARED, Lock, Reason, package};
use crate::sbom::catalog::Found;
use crate::sbom::document::Ecosystem;

const REQUIREMENTS: Ecosystem = Ecosystem {
    metadata_type: "python-pip-requirements-entry",
    ..DECLARED
};

/// Longest requirement that is read, in bytes.
const MAX_LINE: usize = 64 << 10;

/// One requirement.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Requirement<'t> {
    pub(super) name: &'t str,
    extras: Vec<&'t str>,
    /// Such as `== 1.0` or `>= 1, < 2`.
    constraint: &'t str,
    url: &'t str,
    markers: &'t str,
}

impl<'t> Requirement<'t> {
    /// Parses `name[extra,…] constraint ; markers` or `name[extra,…] @ url ; markers`.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
        let (name, mut rest) = text.split_at(end.unwrap_or(text.len()));
        rest = rest.trim_start();
        let mut extras = Vec::new();
        if let Some(inner) = rest.strip_prefix('[') {
            let (list, after) = inner.split_once(']')?;
            extras.extend(
                list.split(',')
                    .map(str::trim)
                    .filter(|extra| !extra.is_empty()),
            );
            rest = after.trim_start();
        }
        let starts = |c: char| c.is_ascii_alphanumeric();
        if !name.starts_with(starts) || !name.ends_with(starts) {
            return None;
        }
        let (before, markers) = match rest.starts_with('@') {
            // An address may have a semicolon.
            true => rest.split_once(" ;").or_else(|| rest.split_once("; ")),
            false => rest.split_once(';'),
        }
        .unwrap_or((rest, ""));
        let before = before.trim();
        let (constraint, url) = match before.strip_prefix('@') {
            Some(url) => ("", url.trim()),
            None => (before.trim_matches(['(', ')']).trim(), ""),
        };
        Some(Self {
            name,
            extras,
            constraint,
            url,
            markers: markers.trim(),
        })
    }

    /// The only version that it allows.
    pub(super) fn pin(&self) -> Option<&'t str> {
        let rest = self.constraint.strip_prefix("==")?;
        let version = rest.strip_prefix('=').unwrap_or(rest).trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".+!-_".contains(c);
        (!version.is_empty() && version.chars().all(plain)).then_some(version)
    }
}

pub(super) fn read(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let mut joined = String::new();
    for line in source.lines() {
        // A comment begins a line or follows a blank.
        let comment = line.match_indices('#').map(|(at, _)| at);
        let mut comment = comment.filter(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let line = comment.next().map_or(line, |at| &line[..at]);
        if joined.len() + line.len() > MAX_LINE {
            joined.clear();
            continue;
        }
        if let Some(begun) = line.trim_end().strip_suffix('\\') {
            joined.push_str(begun);
            continue;
        }
        joined.push_str(line);
        one(lock, &joined, found);
        joined.clear();
        if found.is_full() {
            break;
        }
    }
    one(lock, &joined, found);
    Ok(())
}

/// Takes one line, continuations joined.
fn one(lock: &Lock<'_>, line: &str, found: &mut Found) {
    let line = line.trim();
    if line.is_empty() || line.starts_with('-') {
        return;
    }
    // Options of one requirement, such as `--hash`.
    let line = line.split(" --").next().unwrap_or(line);
    let Some(requirement) = Requirement::parse(line) else {
        return;
    };
    let Some(version) = requirement.pin() else {
        return;
    };
    let mut listed = package(lock, REQUIREMENTS, requirement.name, version);
    let mut facts = json!({
        "name": requirement.name,
        "versionConstraint": requirement.constraint,
    });
    if !requirement.extras.is_empty() {
        facts["extras"] = json!(requirement.extras);
    }
    if !requirement.url.is_empty() {
        facts["url"] = json!(requirement.url);
    }
    if !requirement.markers.is_empty() {
        facts["markers"] = json!(requirement.markers);
    }
    listed.describe(&facts);
    found.push(listed);
}

/// Takes texts such as `'name==1.0'` out of a `setup.py`.
pub(super) fn read_setup(lock: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    static PIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"['"]\s*([A-Za-z0-9][A-Za-z0-9._-]*(?:\s*\[[^\]'"\n]*\])?\s*==[^'"\n]*)['"]"#)
            .ok()
    });
    let pins = PIN.iter().flat_map(|pattern| pattern.captures_iter(source));
    for pin in pins.filter_map(|pin| pin.get(1)) {
        // A template, whose version is not written.
        if pin.as_str().contains(['%', '{']) {
            continue;
        }
        let requirement = Requirement::parse(pin.as_str());
        let Some((name, version)) =
            requirement.and_then(|requirement| Some((requirement.name, requirement.pin()?)))
        else {
            continue;
        };
        found.push(package(lock, DECLARED, name, version));
        if found.is_full() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(text: &str) -> Vec<(String, String)> {
        use crate::sbom::catalog::find_in;
        use crate::sbom::catalog::pylock::CATALOGUER;
        let found = find_in(&CATALOGUER, &[("a/requirements-dev.txt", text.as_bytes())]);
        found.into_iter().map(|p| (p.name, p.version)).collect()
    }

    #[test]
    fn pins_are_found_in_every_form() {
        let text = "# c\nA_b==1.0 # x\nc[x, y] == 2.0+cu1 ; python_version < '3'\nd===3 \\\n  --hash=sha256:aa \\\n  --hash=sha256:bb\n\
            e>=1\nf==1.*\ng==1,<2\n-r other.txt\n--index-url https://x\nh @ https://x/h==1.whl\n./i==1\nj==1!2.0\nk (==4)\nl\n";
        let expected = [
            ("a-b", "1.0"),
            ("c", "2.0+cu1"),
            ("d", "3"),
            ("j", "1!2.0"),
            ("k", "4"),
        ];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(pins(text), expected);
    }

    #[test]
    fn a_requirement_is_taken_apart() {
        let whole = Requirement::parse("a.b [x,y]>=1 ; os_name=='nt'").unwrap();
        assert_eq!((whole.name, whole.constraint), ("a.b", ">=1"));
        assert_eq!(
            (whole.extras, whole.markers),
            (vec!["x", "y"], "os_name=='nt'")
        );
        let address = Requirement::parse("a @ https://x/y;z ; m").unwrap();
        assert_eq!((address.url, address.markers), ("https://x/y;z", "m"));
        for wrong in ["", "-e .", "[x]", "a[x", "./a", "_a==1"] {
            assert!(Requirement::parse(wrong).is_none(), "{wrong}");
        }
    }
}
