//! Arch Linux packages, from pacman's folder: `desc` says what a package is, `files`
//! and `mtree` what it has.
//!
//! Source: `local` in pacman's libalpm, and mtree(5).

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use super::system::System;
use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::purl::{distro_of, purl};
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: ALPM,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |folder, name| name == "desc" && is_local(folder),
        supports: |folder, name| matches!(name, "files" | "mtree") && is_local(folder),
        longest: 32 << 20,
        find,
    },
};

const ALPM: Ecosystem = Ecosystem {
    kind: "alpm",
    language: "",
    found_by: "alpm-db-cataloger",
    metadata_type: "alpm-db-entry",
};

/// Where the folders of packages are.
const LOCAL: &str = "var/lib/pacman/local";

/// Most bytes that an mtree unpacks to: 32 MiB.
const MTREE: u64 = 32 << 20;

/// What a file takes while it is held as a value of JSON, in bytes.
const FILE_COST: usize = 700;

/// Whether `folder` is that of a package.
fn is_local(folder: &str) -> bool {
    let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    let before = parent.strip_suffix(LOCAL);
    before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// Sections of a file: each begins with a name in percent signs.
fn sections(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut last = "";
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line
            .strip_prefix('%')
            .and_then(|line| line.strip_suffix('%'))
        {
            Some(name) => last = name,
            None => sections.entry(last).or_default().push(line),
        }
    }
    sections
}

fn find(view: &View, path: &str, found: &mut Found) {
    let (folder, _) = split(path);
    let (parent, _) = split(folder);
    let system = System::of(view, parent, &[LOCAL]);
    let package = found.reading(|found| one(&system, folder, found));
    if let Some(package) = package.filter(|_| !found.is_full()) {
        found.push(package);
    }
}

fn one(system: &System<'_>, folder: &str, found: &mut Found) -> Option<Package> {
    let view = system.view;
    let text = view.text(&format!("{folder}/desc"))?;
    let lists = view.text(&format!("{folder}/files")).unwrap_or_default();
    // The lists are held as lines.
    if !found.text(8 * (text.len() + lists.len())) {
        return None;
    }
    let (desc, lists) = (sections(&text), sections(&lists));
    let get = |name: &str| desc.get(name).map_or("", |lines| lines[0]);
    let all = |name: &str| desc.get(name).cloned().unwrap_or_default();
    let (name, version) = (get("NAME"), get("VERSION"));
    if name.is_empty() {
        return None;
    }
    let mut package = Package::new(ALPM, name, version);
    for (file, evidence) in [
        ("desc", Evidence::Primary),
        ("files", Evidence::Supporting),
        ("mtree", Evidence::Supporting),
    ] {
        let location = view.location(&format!("{folder}/{file}"), evidence);
        package.locations.extend(location);
    }
    let licenses = all("LICENSE").into_iter();
    package.licenses = licenses.map(|name| License::new(name.to_owned())).collect();
    let (id, word) = distro_of(&system.distro);
    if id == "arch" {
        let qualifiers = [
            ("arch", get("ARCH")),
            ("distro", word.as_str()),
            ("upstream", get("BASE")),
        ];
        package.purl = purl("alpm", "arch", name, version, &qualifiers);
    }
    let bare = |name: &&str| {
        let bare = name.split(['<', '>', '=']).next().unwrap_or_default();
        system.name(bare)
    };
    package.requires = all("DEPENDS").iter().map(bare).collect();
    package.provides = all("PROVIDES").iter().map(bare).collect();
    package.provides.push(system.name(name));
    let files = mtree(view, folder, found)?;
    for path in lists.get("FILES").into_iter().flatten() {
        package
            .owns
            .push(system.absolute(path.trim_end_matches('/')));
    }
    let backup = lists.get("BACKUP").into_iter().flatten();
    let backup = backup.filter_map(|line| {
        let (path, sum) = line.split_once(char::is_whitespace)?;
        Some(json!({
            "path": format!("/{path}"), "time": "0001-01-01T00:00:00Z",
            "digest": [{"algorithm": "md5", "value": sum.trim()}],
        }))
    });
    let mut facts = json!({
        "basepackage": get("BASE"), "package": name, "version": version,
        "description": get("DESC"), "architecture": get("ARCH"),
        "size": get("SIZE").parse::<u64>().unwrap_or(0), "packager": get("PACKAGER"),
        "url": get("URL"), "validation": get("VALIDATION"),
        "reason": get("REASON").parse::<u64>().unwrap_or(0),
        "files": files, "backup": backup.collect::<Vec<_>>(),
    });
    for (key, section) in [("provides", "PROVIDES"), ("depends", "DEPENDS")] {
        if !all(section).is_empty() {
            facts[key] = json!(all(section));
        }
    }
    package.describe(&facts);
    Some(package)
}

/// The files that the package's mtree lists, which is compressed.
fn mtree(view: &View, folder: &str, found: &mut Found) -> Option<Vec<Value>> {
    let Some(bytes) = view.bytes(&format!("{folder}/mtree")) else {
        return Some(Vec::new());
    };
    let mut text = Vec::new();
    let gzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
    if gzip.take(MTREE).read_to_end(&mut text).is_err() && text.is_empty() {
        text = bytes;
    }
    let text = String::from_utf8_lossy(&text);
    listed(&text, found)
}

/// The files that the text of an mtree lists, if `found` has memory for them.
fn listed(text: &str, found: &mut Found) -> Option<Vec<Value>> {
    let mut files = Vec::new();
    let mut defaults = Values::default();
    for line in text.lines() {
        if let Some(set) = line.strip_prefix("/set ") {
            defaults = Values::parse(set);
        }
        let Some(path) = line
            .strip_prefix("./")
            .filter(|path| !path.starts_with('.'))
        else {
            continue;
        };
        let (path, words) = path.split_once(' ').unwrap_or((path, ""));
        let values = Values::parse(words).or(defaults);
        if !found.text(FILE_COST + 2 * (path.len() + values.bytes())) {
            return None;
        }
        files.push(entry(path, values));
    }
    Some(files)
}

/// What is used of the words about a file, such as `size=5`.
const KEYS: [&str; 6] = ["type", "time", "size", "link", "md5digest", "sha256digest"];

/// The values of these keys.
#[derive(Clone, Copy, Default)]
struct Values<'t>([Option<&'t str>; KEYS.len()]);

impl<'t> Values<'t> {
    /// The values in `words`; of several for one key, the first.
    fn parse(words: &'t str) -> Self {
        let mut values = Self::default();
        for (key, value) in words
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            if let Some(place) = KEYS.iter().position(|known| *known == key) {
                values.0[place].get_or_insert(value);
            }
        }
        values
    }

    /// These values, and others where there is none.
    fn or(self, others: Self) -> Self {
        Self(std::array::from_fn(|place| {
            self.0[place].or(others.0[place])
        }))
    }

    fn get(self, key: &str) -> Option<&'t str> {
        let place = KEYS.iter().position(|known| *known == key);
        place.and_then(|place| self.0[place])
    }

    /// What the values take.
    fn bytes(self) -> usize {
        self.0.iter().flatten().map(|value| value.len()).sum()
    }
}

fn entry(path: &str, values: Values<'_>) -> Value {
    let get = |key| values.get(key);
    let mut file = json!({"path": format!("/{}", unescaped(path))});
    if let Some(kind) = get("type").filter(|kind| *kind != "file") {
        file["type"] = json!(kind);
    }
    file["time"] = json!(time(get("time").unwrap_or_default()));
    for key in ["size", "link"] {
        if let Some(value) = get(key) {
            file[key] = json!(value);
        }
    }
    let digests = [("md5", "md5digest"), ("sha256", "sha256digest")];
    let digests = digests
        .into_iter()
        .filter_map(|(algorithm, key)| Some(json!({"algorithm": algorithm, "value": get(key)?})));
    let digests: Vec<Value> = digests.collect();
    if !digests.is_empty() {
        file["digest"] = json!(digests);
    }
    file
}

/// A path whose odd bytes are written as a backslash and three octal digits.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds since 1970, as RFC 3339 has them in UTC.
fn time(seconds: &str) -> String {
    let whole = seconds.split('.').next().unwrap_or_default();
    // Until the year 9999.
    let seconds = whole.parse::<u64>().unwrap_or(0).min(253_402_300_799);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have their odd day at the end; 719468 days after the
    // first of them comes the year 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = match month {
        0..=9 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::find_in;
    use super::*;

    #[test]
    fn a_package_has_what_its_three_files_say() {
        let mut mtree = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        mtree
            .write_all(b"#mtree\n/set type=file uid=0\n./.PKGINFO time=1.0\n./usr/a\\040b time=1650000000.0 size=5 md5digest=a2 sha256digest=b2\n./usr type=dir time=951782400.0\n")
            .unwrap();
        let mtree = mtree.finish().unwrap();
        let files: &[(&str, &[u8])] = &[
            ("etc/os-release", b"ID=arch\nBUILD_ID=rolling\n"),
            (
                "var/lib/pacman/local/foo-1/desc",
                b"%NAME%\nfoo\n\n%VERSION%\n1:2-1\n\n%BASE%\nbase\n\n%ARCH%\nany\n\n%LICENSE%\nMIT\ncustom:x\n\n%DEPENDS%\nc>=2\n",
            ),
            ("var/lib/pacman/local/foo-1/files", b"%FILES%\nusr/\nusr/a b\n\n%BACKUP%\netc/c\taa\n"),
            ("var/lib/pacman/local/foo-1/mtree", &mtree),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].purl,
            "pkg:alpm/arch/foo@1:2-1?arch=any&distro=arch-rolling&upstream=base"
        );
        assert_eq!((found[0].licenses.len(), found[0].locations.len()), (2, 3));
        assert_eq!(found[0].owns, ["/usr", "/usr/a b"]);
        assert_eq!(found[0].requires, ["c"]);
        let facts: Value = serde_json::from_str(found[0].metadata.as_ref().unwrap().get()).unwrap();
        assert_eq!(facts["files"][0]["path"], "/usr/a b");
        assert_eq!(facts["files"][0]["time"], "2022-04-15T05:20:00Z");
        assert_eq!(facts["files"][0]["digest"][1]["value"], "b2");
        assert_eq!(facts["files"][1]["time"], "2000-02-29T00:00:00Z");
        assert_eq!(facts["backup"][0]["path"], "/etc/c");
    }

    #[test]
    fn files_are_counted_with_the_values_that_they_share() {
        let files = |set: String| {
            let text = format!("{set}\n{}", "./a size=1\n".repeat(100));
            listed(&text, &mut Found::within(1 << 20)).map(|files| files.len())
        };
        assert_eq!(files(format!("/set uid={}", "0".repeat(50_000))), Some(100));
        assert_eq!(files(format!("/set link={}", "l".repeat(50_000))), None);
        let values = Values::parse("size=2 size=3 x=1 time").or(Values::parse("size=4 link=l"));
        assert_eq!(
            (values.get("size"), values.get("link")),
            (Some("2"), Some("l"))
        );
        assert_eq!(values.bytes(), 2);
    }

    #[test]
    fn what_is_no_package_is_not_one() {
        let files: &[(&str, &[u8])] = &[
            ("var/lib/pacman/local/foo-1/desc", b"%VERSION%\n1\n"),
            ("var/lib/pacman/desc", b"%NAME%\nfoo\n"),
        ];
        assert!(find_in(&CATALOGUER, files).is_empty());
        assert_eq!(unescaped("a\\04"), "a\\04");
        assert_eq!(time("999999999999999999"), "9999-12-31T23:59:59Z");
    }
}
