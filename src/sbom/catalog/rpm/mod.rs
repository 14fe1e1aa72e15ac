//! Packages of rpm, from its databases: a table of `SQLite` (`rpmdb.sqlite`), `ndb`
//! (`Packages.db`), a hash table of Berkeley DB (`Packages`), or the list that images
//! without a package manager have (`container-manifest-2`).

mod bdb;
mod file;
mod header;
mod manifest;
mod ndb;
mod package;
mod store;

use std::collections::HashSet;

use super::system::System;
use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::document::Ecosystem;
use crate::sbom::squash::View;
use header::tag;

pub(super) use file::FILES;
pub(super) use manifest::MANIFEST;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: RPM,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |folder, name| {
            let named = matches!(
                name,
                "Packages" | "Packages.db" | "rpmdb.sqlite" | store::LOG
            );
            named && FOLDERS.iter().any(|known| ends(folder, known))
        },
        longest: 1 << 30,
        extract: store::extract,
        find,
    },
};

const RPM: Ecosystem = Ecosystem {
    kind: "rpm",
    language: "",
    found_by: "rpm-db-cataloger",
    metadata_type: "rpm-db-entry",
};

/// Where databases are, from the root of the system.
const FOLDERS: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

/// Whether `folder` is `known`, at any depth.
fn ends(folder: &str, known: &str) -> bool {
    let before = folder.strip_suffix(known);
    before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// Finds all packages of one database.
fn find(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let (folder, name) = split(path);
    if name == store::LOG {
        return;
    }
    let log = format!("{folder}/{}", store::LOG);
    let log = view.extract(&log).filter(|_| name == "rpmdb.sqlite");
    let system = System::of(view, folder, &FOLDERS);
    let mut packages = store::Packages::new(extract, log);
    // Packages may require files. Of all paths, only those count as names.
    let mut wanted = HashSet::new();
    packages.each(|header| {
        let requires = header.texts(tag::REQUIRES);
        for path in requires.filter(|name| name.starts_with(b"/")) {
            if !wanted.contains(path) && found.text(path.len()) {
                wanted.insert(path.to_vec());
            }
        }
    });
    packages.each(|header| {
        if found.is_full() {
            return;
        }
        let package =
            found.reading(|found| package::installed(&system, path, &header, &wanted, found));
        if let Some(package) = package {
            found.push(package);
        }
    });
    if let Some(damage) = &packages.damage {
        found.unreadable(view, path, RPM, damage);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::super::{find_in, findings};
    use super::header::{Value, made};
    use super::*;
    use crate::sbom::document::Package;

    const RELEASE: &[u8] = b"ID=rhel\nVERSION_ID=9.3\n";

    /// The header of a package with two files.
    fn header(name: &str) -> Vec<u8> {
        let long = "v".repeat(if name == "a" { 600 } else { 1 });
        made(&[
            (tag::NAME, Value::Text(name)),
            (tag::VERSION, Value::Text("1.2")),
            (tag::RELEASE, Value::Text("3.el9")),
            (tag::EPOCH, Value::Words(&[0])),
            (tag::ARCH, Value::Text("x86_64")),
            (tag::LICENSE, Value::Text("MIT")),
            (tag::VENDOR, Value::Text(&long)),
            (tag::SOURCE_RPM, Value::Text("s-1.2-3.el9.src.rpm")),
            (tag::SIZE, Value::Words(&[77])),
            (tag::PROVIDES, Value::Texts(&[name, "lib.so"])),
            (
                tag::REQUIRES,
                Value::Texts(&["(a if b)", "/usr/bin/here", "lib.so"]),
            ),
            (tag::DIR_INDEXES, Value::Words(&[0, 1])),
            (tag::BASE_NAMES, Value::Texts(&["here", "gone"])),
            (tag::DIR_NAMES, Value::Texts(&["/usr/bin/", "/usr/lib/"])),
            (tag::FILE_MODES, Value::Shorts(&[0o100_755, 0o100_644])),
            (tag::FILE_FLAGS, Value::Words(&[17, 0])),
            (tag::DIGEST_ALGORITHM, Value::Words(&[8])),
        ])
    }

    /// A database of these packages in the format ndb.
    fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
        let (mut slots, mut blobs) = (Vec::new(), Vec::new());
        for (number, header) in (1_u32..).zip(headers) {
            let at = (4096 + blobs.len() as u32) / 16;
            blobs.extend_from_slice(b"BlbS");
            for word in [number, 1, header.len() as u32] {
                blobs.extend_from_slice(&word.to_le_bytes());
            }
            blobs.extend_from_slice(header);
            blobs.resize(blobs.len().next_multiple_of(16), 0);
            let end = (4096 + blobs.len() as u32) / 16;
            slots.extend_from_slice(b"Slot");
            for word in [number, at, end - at] {
                slots.extend_from_slice(&word.to_le_bytes());
            }
        }
        let mut bytes = b"RpmP".to_vec();
        for word in [0_u32, 1, 1, 0, 0, 0, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend(slots);
        bytes.resize(4096, 0);
        bytes.extend(blobs);
        bytes
    }

    /// A hash table with one long item and one short one.
    fn bdb(long: &[u8], short: &[u8], big: bool) -> Vec<u8> {
        let put = |page: &mut [u8], at: usize, word: u32| {
            page[at..at + 4].copy_from_slice(&match big {
                true => word.to_be_bytes(),
                false => word.to_le_bytes(),
            });
        };
        let half = |page: &mut [u8], at: usize, word: usize| {
            let word = word as u16;
            page[at..at + 2].copy_from_slice(&match big {
                true => word.to_be_bytes(),
                false => word.to_le_bytes(),
            });
        };
        let mut pages = vec![vec![0; 1024]; 2];
        put(&mut pages[0], 12, 0x0006_1561);
        put(&mut pages[0], 20, 1024);
        let parts: Vec<&[u8]> = long.chunks(500).collect();
        for (index, part) in parts.iter().enumerate() {
            let mut page = vec![0; 1024];
            let last = index + 1 == parts.len();
            put(&mut page, 16, if last { 0 } else { index as u32 + 3 });
            half(&mut page, 22, part.len());
            page[25] = 7;
            page[26..26 + part.len()].copy_from_slice(part);
            pages.push(page);
        }
        let last = pages.len() as u32 - 1;
        put(&mut pages[0], 32, last);
        let mut key = [1; 5];
        put(&mut key, 1, 7);
        let mut off = vec![0; 12];
        off[0] = 3;
        put(&mut off, 4, 2);
        put(&mut off, 8, long.len() as u32);
        let mut end = 1024;
        let here = [&[1][..], short].concat();
        let items = [&key[..], &off, &key, &here];
        half(&mut pages[1], 20, items.len());
        pages[1][25] = 13;
        for (index, item) in items.iter().enumerate() {
            end -= item.len();
            pages[1][end..end + item.len()].copy_from_slice(item);
            half(&mut pages[1], 26 + 2 * index, end);
        }
        pages.concat()
    }

    fn check(package: &Package) {
        assert_eq!(package.version, "0:1.2-3.el9");
        let purl = "pkg:rpm/redhat/a@1.2-3.el9?arch=x86_64&distro=rhel-9.3&epoch=0&upstream=s-1.2-3.el9.src.rpm";
        assert_eq!(package.purl, purl);
        assert_eq!(package.owns, ["/usr/bin/here"]);
        assert_eq!(package.provides, ["/usr/bin/here", "a", "lib.so"]);
        assert_eq!(package.requires, ["/usr/bin/here", "lib.so"]);
        let facts: Json = serde_json::from_str(package.metadata.as_ref().unwrap().get()).unwrap();
        assert_eq!(facts["epoch"], 0);
        assert_eq!(facts["files"][0]["mode"], 0o100_755);
        assert_eq!(facts["files"][0]["flags"], "cn");
        assert_eq!(facts["files"][0]["digest"]["algorithm"], "sha256");
        assert_eq!(facts["requires"][0], "(a if b)");
    }

    #[test]
    fn packages_of_each_store_are_found() {
        let (a, b) = (header("a"), header("b"));
        let stores = [
            (
                "usr/lib/sysimage/rpm/Packages.db",
                ndb(&[a.clone(), b.clone()]),
            ),
            ("var/lib/rpm/Packages", bdb(&a, &b, false)),
            ("var/lib/rpm/Packages", bdb(&a, &b, true)),
        ];
        for (path, store) in &stores {
            let files = [
                ("etc/os-release", RELEASE),
                ("usr/bin/here", b""),
                (path, store),
            ];
            let found = find_in(&CATALOGUER, &files);
            assert_eq!(found.len(), 2, "{path}");
            check(&found[0]);
            assert_eq!(found[0].locations[0].path, format!("/{path}"));
        }
    }

    #[test]
    fn a_root_inside_a_component_has_its_own_distribution() {
        let store = ndb(&[header("a")]);
        let files: &[(&str, &[u8])] = &[
            ("files/0/etc/os-release", RELEASE),
            ("files/0/usr/bin/here", b""),
            ("files/0/usr/lib/sysimage/rpm/Packages.db", &store),
        ];
        let found = find_in(&CATALOGUER, files);
        assert!(
            found[0].purl.starts_with("pkg:rpm/redhat/a@"),
            "{}",
            found[0].purl
        );
        assert_eq!(found[0].owns, ["/files/0/usr/bin/here"]);
        assert!(found[0].requires[1].ends_with("\0lib.so"));
    }

    #[test]
    fn damaged_stores_are_listed_and_end() {
        let (a, b) = (header("a"), header("b"));
        let whole = bdb(&a, &b, false);
        let mut cycle = whole.clone();
        cycle[2 * 1024 + 16..2 * 1024 + 20].copy_from_slice(&2_u32.to_le_bytes());
        let mut shared = ndb(&[a.clone(), a.clone()]);
        let first: Vec<u8> = shared[40..48].to_vec();
        shared[56..64].copy_from_slice(&first);
        let cases = [
            (
                "var/lib/rpm/Packages",
                cycle,
                1,
                "1 of its packages cannot be read: its pages lead in a cycle",
            ),
            (
                "var/lib/rpm/Packages",
                whole[..1500].to_vec(),
                0,
                "it is cut short",
            ),
            (
                "var/lib/rpm/Packages",
                vec![1; 4096],
                0,
                "it is not a hash table of Berkeley DB",
            ),
            (
                "var/lib/rpm/Packages.db",
                shared,
                1,
                "1 of its packages cannot be read: the blob of a package is damaged",
            ),
            (
                "var/lib/rpm/Packages.db",
                vec![0xff; 4096],
                0,
                "it is not an ndb database",
            ),
            (
                "var/lib/rpm/rpmdb.sqlite",
                vec![0xff; 4096],
                0,
                "it is not an SQLite database",
            ),
        ];
        for (path, store, packages, reason) in &cases {
            let found = findings(&CATALOGUER, &[(path, store)]);
            assert_eq!(found.packages.len(), *packages, "{path}: {reason}");
            assert_eq!(
                found.unknowns[0].reason,
                format!("rpm-db-cataloger: {reason}")
            );
        }
    }

    #[test]
    fn a_manifest_is_a_list_of_packages() {
        let line = "filesystem\t1.1-10.cm2\t1653816591\t1653753130\tMicrosoft Corporation\t(none)\t7596\tx86_64\t0\tfilesystem-1.1-10.cm2.src.rpm\n";
        let text = format!("{line}broken\n");
        let found = findings(
            &CATALOGUER,
            &[("var/lib/rpmmanifest/container-manifest-2", text.as_bytes())],
        );
        assert_eq!(found.packages[0].name, "filesystem");
        assert_eq!(found.unknowns.len(), 1);
    }
}
