//! Packages of rpm that are files of a component: `.rpm`.
//!
//! Source: "RPM V4 Package Format" of the rpm manual.

use std::io::{Read, Seek, SeekFrom};

use serde_json::json;

use super::header::{Damage, Header, MAX_HEADER, tag};
use super::package;
use super::store::{Kept, Packages};
use crate::sbom::body::Body;
use crate::sbom::catalog::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, Evidence, License};
use crate::sbom::layer::Extracted;
use crate::sbom::squash::View;

pub(in super::super) const FILES: Cataloguer = Cataloguer {
    ecosystem: RPM_FILE,
    scope: Scope::Components,
    finds: Finds::InExtracts {
        lists: |_, name| name.ends_with(".rpm"),
        longest: 8 << 30,
        extract,
        find,
    },
};

const RPM_FILE: Ecosystem = Ecosystem {
    kind: "rpm",
    language: "",
    found_by: "rpm-archive-cataloger",
    metadata_type: "rpm-archive",
};

/// Length of the lead, which every file begins with, in bytes.
const LEAD: u64 = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];

/// Takes the header of the package out of the file.
fn extract(_: &str, body: &mut Body<'_>) -> Extracted {
    let mut magic = [0; 4];
    if body.rewind().is_err() || body.read_exact(&mut magic).is_err() || magic != LEAD_MAGIC {
        return Extracted::Nothing;
    }
    let kept = main_header(body).map_err(str::to_owned).and_then(|header| {
        let mut kept = Kept::new().map_err(|error| error.to_string())?;
        kept.package((0, 0, 0), &header);
        kept.finish()
    });
    match kept {
        Ok(facts) => Extracted::Facts(facts),
        Err(reason) => Extracted::Unreadable(reason),
    }
}

/// The second of two headers: the first has signatures.
fn main_header(body: &mut Body<'_>) -> Result<Vec<u8>, Damage> {
    let signatures = header_at(body, LEAD)?;
    let end = LEAD + 8 + signatures.len() as u64;
    header_at(body, end.next_multiple_of(8))
}

/// The header at byte `at`, without its magic number.
fn header_at(body: &mut Body<'_>, at: u64) -> Result<Vec<u8>, Damage> {
    let mut head = [0; 16];
    let read = body.seek(SeekFrom::Start(at));
    let read = read.and_then(|_| body.read_exact(&mut head));
    read.map_err(|_| "it is cut short")?;
    if head[..4] != HEADER_MAGIC {
        return Err("its header is damaged");
    }
    let word = |at: usize| {
        u64::from(u32::from_be_bytes([
            head[at],
            head[at + 1],
            head[at + 2],
            head[at + 3],
        ]))
    };
    let length = 16 * word(8) + word(12);
    if length > MAX_HEADER as u64 {
        return Err("its header is too long");
    }
    let mut header = head[8..].to_vec();
    match body.take(length).read_to_end(&mut header) {
        Ok(count) if count as u64 == length => Ok(header),
        _ => Err("it is cut short"),
    }
}

/// The package of one file.
fn find(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    Packages::new(extract, None).each(|header| {
        let package = found.reading(|found| one(&header, found));
        if let Some(mut package) = package {
            package
                .locations
                .extend(view.location(path, Evidence::Primary));
            found.push(package);
        }
    });
}

fn one(header: &Header<'_>, found: &mut Found) -> Option<crate::sbom::document::Package> {
    let mut identity = package::Identity::of(header);
    if identity.name.is_empty() {
        return None;
    }
    // A version that has none is of epoch zero.
    identity.epoch = identity.epoch.or(Some(0));
    let mut package = identity.package(RPM_FILE);
    package.purl = identity.package_url(&json!({}));
    let mut files = Vec::new();
    for file in package::files_of(header) {
        if !found.text(package::FILE_COST + 4 * file.path.len()) {
            return None;
        }
        let mut facts = file.facts();
        if facts["digest"]["value"] == "" {
            facts["digest"]["algorithm"] = json!("");
        }
        files.push(facts);
    }
    let license = header.text(tag::LICENSE);
    if !license.is_empty() && found.text(license.len()) {
        package.licenses.insert(License::new(license));
    }
    // Packages in files require nothing of each other: they make no system.
    let mut facts = identity.facts();
    let size = header.number(tag::LONG_SIZE).or(header.number(tag::SIZE));
    facts["size"] = json!(size.unwrap_or(0));
    facts["vendor"] = json!(header.text(tag::VENDOR));
    if header.has(tag::MODULARITY) {
        facts["modularityLabel"] = json!(header.text(tag::MODULARITY));
    }
    facts["files"] = json!(files);
    package.describe(&facts);
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::super::header::{Value, made};
    use super::*;
    use crate::sbom::catalog::findings;

    fn file(header: &[u8]) -> Vec<u8> {
        let mut file = LEAD_MAGIC.to_vec();
        file.resize(96, 0);
        for header in [&made(&[(1000, Value::Texts(&["x"; 3]))])[..], header] {
            file.resize(file.len().next_multiple_of(8), 0);
            file.extend([0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
            file.extend_from_slice(header);
        }
        file
    }

    #[test]
    fn a_file_has_the_package_of_its_second_header() {
        let whole = file(&made(&[
            (tag::NAME, Value::Text("a")),
            (tag::VERSION, Value::Text("1")),
            (tag::RELEASE, Value::Text("2")),
            (tag::ARCH, Value::Text("noarch")),
            (tag::DIR_INDEXES, Value::Words(&[0])),
            (tag::BASE_NAMES, Value::Texts(&["b"])),
            (tag::DIR_NAMES, Value::Texts(&["/usr/"])),
        ]));
        let found = findings(
            &FILES,
            &[
                ("a.rpm", &whole),
                ("cut.rpm", &whole[..whole.len() - 1]),
                ("other.rpm", b"text"),
            ],
        );
        assert_eq!(found.packages.len(), 1);
        let package = &found.packages[0];
        assert_eq!(package.version, "0:1-2");
        assert_eq!(package.purl, "pkg:rpm/a@1-2?arch=noarch&epoch=0");
        assert!(package.metadata.as_ref().unwrap().get().contains("/usr/b"));
        assert_eq!(found.unknowns.len(), 1);
        assert_eq!(
            found.unknowns[0].reason,
            "rpm-archive-cataloger: it is cut short"
        );
    }
}
