//! Reads an archive, and those inside it, into the facts that packages are made of.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek as _};

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use super::directory::{self, Entry};
use super::manifest::Manifest;
use super::pom::{MAX_POM, Pom, Project};
use super::properties;
use crate::archive::Growth;
use crate::sbom::body::Body;
use crate::sbom::layer::Extracted;
use crate::sbom::license_text;

/// Names of files that are archives of Java.
const KINDS: [&str; 13] = [
    "jar", "war", "ear", "par", "sar", "nar", "jpi", "hpi", "kar", "far", "lpkg", "rar", "zap",
];

/// Maximum number of archives in one another.
const MAX_DEPTH: usize = 8;

/// Maximum number of archives in one file; known ones have a thousand.
const MAX_ARCHIVES: usize = 10_000;

/// Maximum number of files of one archive that are read.
const MAX_ENTRIES: usize = 20_000;

/// Longest manifest that is read, in bytes: 8 MiB. Signed ones list every file.
const MAX_MANIFEST: u64 = 8 << 20;

/// Longest list of properties that is read, in bytes: 1 MiB.
const MAX_PROPERTIES: u64 = 1 << 20;

/// Most facts about one file, in bytes: 16 MiB.
const MAX_FACTS: usize = 16 << 20;

/// The same as it is stored: with escapes and names of fields.
const MAX_STORED: usize = 2 * MAX_FACTS;

/// Most licences of one archive: one that is made of others has the texts of all.
const MAX_LICENSES: usize = 40;

/// What a pair of texts takes in addition to these, in bytes.
const PAIR_COST: usize = 64;

/// What an entry of an archive takes in addition to its name, in bytes.
const ENTRY_COST: usize = 80;

/// What was found in one archive.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Archive {
    /// Path inside the file, with `:` between an archive and what is in it; empty for
    /// the file itself.
    pub(super) path: String,
    /// Place of the archive around it in the list.
    pub(super) parent: Option<usize>,
    pub(super) sha1: String,
    pub(super) manifest: Option<Manifest>,
    /// The lists of properties with their paths.
    pub(super) properties: Vec<(String, Vec<(String, String)>)>,
    /// The descriptions with their paths.
    pub(super) poms: Vec<(String, Project)>,
    /// The ids of the licences whose texts are at the root or beside the manifest, or the
    /// digests of unknown ones.
    pub(super) licenses: BTreeSet<String>,
}

/// What was found in one file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) archives: Vec<Archive>,
    /// What could not be read.
    pub(super) unreadable: Option<String>,
}

/// Whether a file with this name is an archive of Java.
pub(in crate::sbom::catalog) fn is_archive(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, kind)| KINDS.contains(&kind))
}

/// Whether a file that is no whole archive should be one: other programs, too, use some
/// of the names.
fn is_certain(name: &str, body: &mut Body<'_>) -> bool {
    let mut mark = [0; 2];
    let begins = body.rewind().and_then(|()| body.read_exact(&mut mark));
    let is_zip = begins.is_ok() && mark == *b"PK" && is_archive(name);
    is_zip
        || [".jar", ".war", ".ear"]
            .iter()
            .any(|kind| name.ends_with(kind))
}

/// Whether a file with this name may have archives of Java in it.
pub(super) fn is_container(name: &str) -> bool {
    is_archive(name) || name.ends_with(".zip")
}

pub(super) fn extract(name: &str, body: &mut Body<'_>) -> Extracted {
    let mut reading = Reading {
        facts: Facts::default(),
        unpacked: Growth::INNER.of(body.size()),
        held: 0,
    };
    let sha1 = if is_archive(name) {
        match digest(body) {
            Ok(sha1) => sha1,
            Err(error) => return Extracted::Unreadable(error.to_string()),
        }
    } else {
        String::new()
    };
    if let Err(error) = reading.archive(body, String::new(), None, sha1, 0) {
        return match is_certain(name, body) {
            true => Extracted::Unreadable(format!("it is not a whole zip archive: {error}")),
            false => Extracted::Nothing,
        };
    }
    let is_empty = reading.facts.archives.iter().all(Archive::is_empty);
    if is_empty && reading.facts.unreadable.is_none() {
        return Extracted::Nothing;
    }
    match store(&reading.facts) {
        Some(bytes) => Extracted::Facts(bytes),
        None => Extracted::Unreadable("what it lists is too long".to_owned()),
    }
}

/// The facts in the form of an extract.
fn store(facts: &Facts) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(facts).ok()?;
    if json.len() > MAX_STORED {
        return None;
    }
    zstd::bulk::compress(&json, 1).ok()
}

/// The facts in an extract.
pub(super) fn load(extract: &[u8]) -> Option<Facts> {
    let input = zstd::stream::Decoder::new(extract).ok()?;
    let mut json = Vec::new();
    input.take(MAX_STORED as u64).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

fn digest(input: &mut impl Read) -> io::Result<String> {
    let mut hashing = Hashing::new(input);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.finish())
}

struct Hashing<R> {
    inner: R,
    hasher: Sha1,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        let hasher = Sha1::new();
        Self { inner, hasher }
    }

    fn finish(self) -> String {
        let sum = self.hasher.finalize();
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl Archive {
    fn is_empty(&self) -> bool {
        self.manifest.is_none() && self.properties.is_empty() && self.poms.is_empty()
    }
}

/// What an entry is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Manifest,
    Properties,
    Pom,
    Archive,
    License,
}

fn part(name: &str) -> Option<Part> {
    let base = name.rsplit('/').next().unwrap_or(name);
    if name.eq_ignore_ascii_case("META-INF/MANIFEST.MF") {
        Some(Part::Manifest)
    } else if base.ends_with("pom.properties") {
        Some(Part::Properties)
    } else if base.ends_with("pom.xml") {
        Some(Part::Pom)
    } else if is_archive(base) {
        Some(Part::Archive)
    } else if matches!(name.strip_suffix(base), Some("" | "META-INF/"))
        && license_text::is_named(base)
    {
        Some(Part::License)
    } else {
        None
    }
}

/// The place of the manifest: of several, the one whose name is written as usual.
fn manifest_of(wanted: &[(Part, Entry)]) -> Option<usize> {
    let manifests = || (0..wanted.len()).filter(|place| wanted[*place].0 == Part::Manifest);
    let usual = |place: &usize| wanted[*place].1.name == "META-INF/MANIFEST.MF";
    let mut usuals = manifests().filter(usual);
    match (usuals.next(), usuals.next(), manifests().count()) {
        (Some(place), None, _) => Some(place),
        (None, _, 1) => manifests().next(),
        _ => None,
    }
}

/// One file being read, within limits for it and all archives inside.
struct Reading {
    facts: Facts,
    /// How many bytes may still be unpacked.
    unpacked: u64,
    /// Size of the facts so far, and of the names of entries that are still to be read,
    /// in bytes.
    held: usize,
}

impl Reading {
    /// Reads an archive at the `path` inside the file.
    fn archive(
        &mut self,
        body: &mut Body<'_>,
        path: String,
        parent: Option<usize>,
        sha1: String,
        depth: usize,
    ) -> io::Result<()> {
        let mut wanted: Vec<(Part, Entry)> = Vec::new();
        let (held, mut names) = (self.held, 0);
        directory::entries(body, |entry| {
            if let Some(part) = part(&entry.name) {
                names += ENTRY_COST + entry.name.len();
                wanted.push((part, entry));
            }
            wanted.len() < MAX_ENTRIES && held + names <= MAX_FACTS
        })?;
        self.held += names;
        if wanted.len() == MAX_ENTRIES || self.held > MAX_FACTS {
            self.note(&path, "it has too many descriptions and archives");
        }
        let mut archive = Archive {
            path,
            parent,
            sha1,
            ..Archive::default()
        };
        let manifest = manifest_of(&wanted);
        for (place, (part, entry)) in wanted.iter().enumerate() {
            if self.held > MAX_FACTS {
                self.note(&archive.path, "it has too many descriptions");
                break;
            }
            match part {
                Part::Manifest if manifest == Some(place) => {
                    let bytes = self.whole(body, entry, MAX_MANIFEST, &archive.path);
                    archive.manifest = bytes.map(|bytes| Manifest::parse(&bytes));
                    let pairs = archive.manifest.as_ref().map_or(0, Manifest::len);
                    self.held += PAIR_COST * pairs;
                }
                Part::Properties => {
                    if let Some(bytes) = self.whole(body, entry, MAX_PROPERTIES, &archive.path) {
                        let pairs = properties::parse(&bytes);
                        self.held += PAIR_COST * pairs.len();
                        archive.properties.push((entry.name.clone(), pairs));
                    }
                }
                Part::Pom => {
                    let bytes = self.whole(body, entry, MAX_POM, &archive.path);
                    if let Some(pom) = bytes.and_then(|bytes| Pom::parse(&bytes)) {
                        archive.poms.push((entry.name.clone(), pom.project()));
                    }
                }
                Part::License if archive.licenses.len() < MAX_LICENSES => {
                    // One that is too long is none, and no fault of the archive.
                    let fits = entry.size <= license_text::LONGEST;
                    let read = |_| self.whole(body, entry, license_text::LONGEST, &archive.path);
                    let bytes = fits.then_some(()).and_then(read).unwrap_or_default();
                    let ids = license_text::recognize(&bytes);
                    self.held = self.held.saturating_sub(bytes.len()) + ids.len();
                    archive.licenses.extend(ids.lines().map(str::to_owned));
                }
                Part::Manifest | Part::Archive | Part::License => {}
            }
        }
        let own = self.facts.archives.len();
        let outer = archive.path.clone();
        self.facts.archives.push(archive);
        for (_, entry) in wanted.iter().filter(|(part, _)| *part == Part::Archive) {
            let path = match outer.as_str() {
                "" => entry.name.clone(),
                outer => format!("{outer}:{}", entry.name),
            };
            self.inner(body, entry, path, own, depth + 1);
        }
        self.held -= names;
        Ok(())
    }

    /// Reads the archive `entry` of an archive.
    fn inner(
        &mut self,
        body: &mut Body<'_>,
        entry: &Entry,
        path: String,
        parent: usize,
        depth: usize,
    ) {
        self.held += path.len();
        if depth > MAX_DEPTH {
            return self.note(&path, "archives are too deep in one another");
        }
        if self.facts.archives.len() >= MAX_ARCHIVES || self.held > MAX_FACTS {
            return self.note(&path, "there are too many archives");
        }
        if entry.size > self.unpacked {
            return self.note(&path, "what it unpacks to is too long");
        }
        let aside = body.aside();
        let mut read = || -> io::Result<(Body<'_>, String)> {
            let mut input = Hashing::new(entry.open(body)?.take(entry.size));
            let inner = Body::read(&mut input, entry.size, aside)?;
            Ok((inner, input.finish()))
        };
        let done = read().map_err(|error| (error, true));
        let done = done.and_then(|(mut inner, sha1)| {
            self.unpacked = self.unpacked.saturating_sub(inner.size());
            let read = self.archive(&mut inner, path.clone(), Some(parent), sha1, depth);
            read.map_err(|error| (error, is_certain(&path, &mut inner)))
        });
        if let Err((error, true)) = done {
            self.note(&path, &error.to_string());
        }
    }

    /// The content of `entry`; `None` if it cannot be read, which is noted.
    fn whole(
        &mut self,
        body: &mut Body<'_>,
        entry: &Entry,
        most: u64,
        path: &str,
    ) -> Option<Vec<u8>> {
        let most = most.min(self.unpacked);
        let mut bytes = Vec::new();
        let read = entry
            .open(body)
            .and_then(|input| input.take(most + 1).read_to_end(&mut bytes));
        self.unpacked = self.unpacked.saturating_sub(bytes.len() as u64);
        match read {
            Ok(_) if bytes.len() as u64 > most => {
                self.note(path, &format!("`{}` is too long", entry.name));
                None
            }
            Ok(_) => {
                self.held += bytes.len() + entry.name.len();
                Some(bytes)
            }
            Err(error) => {
                self.note(path, &format!("`{}`: {error}", entry.name));
                None
            }
        }
    }

    /// Notes the first thing that could not be read.
    fn note(&mut self, path: &str, reason: &str) {
        let facts = &mut self.facts;
        facts.unreadable.get_or_insert_with(|| match path {
            "" => reason.to_owned(),
            path => format!("`{path}`: {reason}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::body::in_memory;

    #[test]
    fn names_of_entries_are_counted_while_they_are_held() {
        let names: Vec<String> = (0..100).map(|n| format!("{n}/pom.properties")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"a=b"[..])).collect();
        let zip = directory::zipped(&files, zip::write::SimpleFileOptions::default());
        for (held, lists) in [(0, 100), (MAX_FACTS - 1000, 0)] {
            let mut reading = Reading {
                facts: Facts::default(),
                unpacked: 1 << 20,
                held,
            };
            let mut body = Body::read(&mut &zip[..], zip.len() as u64, &in_memory).unwrap();
            let read = reading.archive(&mut body, String::new(), None, String::new(), 0);
            assert!(read.is_ok());
            assert_eq!(reading.facts.archives[0].properties.len(), lists);
            assert_eq!(reading.facts.unreadable.is_some(), lists == 0);
            // Only what was read is held at the end.
            assert!(reading.held < held + 100 * 100);
        }
    }
}
