//! Debian packages that are files of a component: `.deb`.
//!
//! Source: deb(5).

use std::io::{Read, Seek as _};

use super::super::stanzas;
use super::{Cataloguer, Files, Finds, Found, Scope, Stanza, copyright, sums};
use crate::archive::{TarKind, TarReader, Window};
use crate::codec::{CodecError, Reader, Writer};
use crate::sbom::body::Body;
use crate::sbom::document::{Ecosystem, Evidence, Package};
use crate::sbom::inner::member;
use crate::sbom::layer::Extracted;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;
use crate::sbom::unpack::plain;

pub(in super::super) const FILES: Cataloguer = Cataloguer {
    ecosystem: DEB_FILE,
    scope: Scope::Components,
    finds: Finds::InExtracts {
        lists: |_, name| name.ends_with(".deb"),
        longest: 8 << 30,
        extract,
        find,
    },
};

const DEB_FILE: Ecosystem = Ecosystem {
    kind: "deb",
    language: "",
    found_by: "deb-archive-cataloger",
    metadata_type: "dpkg-archive-entry",
};

/// Longest file that is read of a package, in bytes: 16 MiB.
const LONGEST: u64 = 16 << 20;
/// Most bytes that are unpacked in search of the copyright file: 1 GiB.
const MOST: u64 = 1 << 30;

/// The texts that are read of a package.
#[derive(Default)]
struct Texts {
    control: String,
    sums: String,
    copyright: String,
}

/// Takes the description of the package out of the file.
fn extract(_: &str, body: &mut Body<'_>) -> Extracted {
    let mut magic = [0; 8];
    if body.rewind().is_err() || body.read_exact(&mut magic).is_err() || magic != *b"!<arch>\n" {
        return Extracted::Nothing;
    }
    let mut texts = Texts::default();
    let read = files_of(body, b"control.tar", |path, text| {
        match path {
            "control" => texts.control = text()?,
            "md5sums" => texts.sums = text()?,
            _ => {}
        }
        Some(texts.control.is_empty() || texts.sums.is_empty())
    });
    let stanza = stanzas(&texts.control).next();
    let name = stanza.and_then(|mut stanza| stanza.remove("Package"));
    let Some(name) = name else {
        let reason = read.err().unwrap_or("it has no description of the package");
        return Extracted::Unreadable(reason.to_owned());
    };
    let wanted = format!("usr/share/doc/{name}/copyright");
    // A package may have none, and its files may be damaged: it counts nonetheless.
    let _ = files_of(body, b"data.tar", |path, text| {
        if path == wanted {
            texts.copyright = text()?;
        }
        Some(path != wanted)
    });
    let mut out = Writer::default();
    out.text(&texts.control);
    out.text(&texts.sums);
    out.text(&texts.copyright);
    Extracted::Facts(out.into_bytes())
}

/// Visits the files of the tar archive that a package has as `part`, with what reads
/// them, until `visit` returns otherwise than `Some(true)`.
fn files_of(
    body: &mut Body<'_>,
    part: &[u8],
    mut visit: impl FnMut(&str, &mut dyn FnMut() -> Option<String>) -> Option<bool>,
) -> Result<(), &'static str> {
    body.rewind().map_err(|_| "it is cut short")?;
    let part = member(body, part).map_err(|_| "it is not a whole archive of ar")?;
    let tar = plain(part, Window::Small).map_err(|_| "its archive cannot be unpacked")?;
    let mut tar = TarReader::new(tar.take(MOST));
    while let Some(entry) = tar.next().map_err(|_| "its archive is damaged")? {
        if entry.kind != TarKind::File || entry.size > LONGEST {
            continue;
        }
        let path = entry.name_lossy();
        let path = path.trim_start_matches("./");
        let mut text = || {
            let mut bytes = Vec::new();
            (&mut tar).take(LONGEST).read_to_end(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        if visit(path, &mut text) != Some(true) {
            break;
        }
    }
    Ok(())
}

fn texts(extract: &[u8]) -> Result<Texts, CodecError> {
    let mut reader = Reader::new(extract);
    // Odd bytes were replaced by longer ones.
    let mut text = || reader.text(3 * LONGEST, "a text");
    Ok(Texts {
        control: text()?,
        sums: text()?,
        copyright: text()?,
    })
}

/// The package of one file.
fn find(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let Ok(texts) = texts(extract) else { return };
    let Some(stanza) = stanzas(&texts.control).next().map(Stanza) else {
        return;
    };
    let package = found.reading(|found| {
        // Packages in files require nothing of each other: they make no system.
        let (name, version) = (stanza.get("Package"), stanza.get("Version"));
        let mut package = Package::new(DEB_FILE, name, version);
        let mut files = Files::new();
        for line in texts.sums.lines() {
            sums(line, &mut files, found)?;
        }
        copyright::take(&texts.copyright, &mut package, found);
        let upstream = stanza.upstream();
        let qualifiers = [
            ("arch", stanza.get("Architecture")),
            ("upstream", &upstream),
        ];
        package.purl = purl("deb", "", name, version, &qualifiers);
        if found.is_full() {
            return None;
        }
        package.describe(&super::facts(&stanza, &files));
        Some(package)
    });
    if let Some(mut package) = package {
        let location = view.location(path, Evidence::Primary);
        package.locations.extend(location);
        found.push(package);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::findings;
    use super::*;
    use crate::sbom::layer::tar_of;

    /// A `.deb` of these members.
    fn deb(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, data) in members {
            let head = format!("{name:<16}{:<32}{:<10}`\n", 0, data.len());
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    #[test]
    fn a_file_has_one_package() {
        let control = tar_of(&[
            (
                "./control",
                b"Package: a\nVersion: 1:2\nSource: s (3)\nArchitecture: amd64\nDepends: c\n",
            ),
            ("./md5sums", b"d41d  usr/bin/a\n"),
            ("./conffiles", b"/etc/a\n"),
        ]);
        let data = tar_of(&[(
            "./usr/share/doc/a/copyright",
            b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: MIT\n",
        )]);
        let control = zstd::encode_all(&control[..], 1).unwrap();
        let whole = deb(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.zst", &control),
            ("data.tar", &data),
        ]);
        let found = findings(
            &FILES,
            &[("a.deb", &whole), ("b.deb", &whole[..90]), ("c.deb", b"x")],
        );
        let package = &found.packages[0];
        assert_eq!(package.purl, "pkg:deb/a@1:2?arch=amd64&upstream=s%403");
        assert_eq!(package.licenses.first().unwrap().value, "MIT");
        assert!(package.owns.is_empty() && package.requires.is_empty());
        let facts = package.metadata.as_ref().unwrap().get();
        assert!(facts.contains(r#""path":"/usr/bin/a""#), "{facts}");
        let unknown = &found.unknowns[0];
        assert_eq!(unknown.location.path, "/b.deb");
        assert_eq!(
            unknown.reason,
            "deb-archive-cataloger: it is not a whole archive of ar"
        );
        assert_eq!(found.unknowns.len(), 1);
    }
}
