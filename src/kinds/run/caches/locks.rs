//! Lock files of tools: which downloads they state, and how each is checked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};
use toml::de::DeTable;

use super::{GO, NPM};
use crate::ground::inputs::Inputs;
use crate::oci::{Digest, Hasher};

/// Maximum size of a lock file, in bytes: 64 MiB.
const MAX_LOCK_BYTES: u64 = 64 << 20;

/// Maximum number of files in a module of Go that is shared.
const MAX_MEMBERS: usize = 100_000;

/// Maximum size of what a module of Go unpacks to, in bytes: 500 MiB, Go's own limit.
const MAX_MODULE_BYTES: u64 = 500 << 20;

/// A download that a lock file states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Identifies its content.
    pub name: String,
    pub place: Place,
    pub check: Check,
}

/// Where a tool keeps a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Relative to the home of the command.
    At(String),
    /// In Cargo's folder for the registry `source`, whose name only Cargo knows.
    InRegistry { source: String, file: String },
}

/// How a download is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Sha256(Digest),
    Sha512(Vec<u8>),
    /// The hash `h1:` of a single `go.mod`.
    GoMod(String),
    /// The same of all files in a zip.
    GoZip(String),
}

impl Expected {
    /// Whether the file is the download.
    pub(super) fn is(&self, file: &Path) -> io::Result<bool> {
        Ok(match &self.check {
            Check::Sha256(digest) => sha256(File::open(file)?)? == *digest,
            Check::Sha512(digest) => {
                let mut hasher = Sha512::new();
                let mut file = File::open(file)?;
                let mut buffer = vec![0; 128 << 10];
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        count => hasher.update(&buffer[..count]),
                    }
                }
                hasher.finalize()[..] == digest[..]
            }
            Check::GoMod(expected) => {
                let line = format!("{}  go.mod\n", sha256(File::open(file)?)?.hex());
                h1(&line) == *expected
            }
            Check::GoZip(expected) => zip_hash(file)?.is_some_and(|found| found == *expected),
        })
    }
}

fn sha256(mut content: impl io::Read) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    io::copy(&mut content, &mut hasher)?;
    Ok(hasher.finish())
}

/// Go's hash of a list of files. Source: golang.org/x/mod/sumdb/dirhash, `Hash1`.
fn h1(lines: &str) -> String {
    STANDARD.encode(Digest::of(lines.as_bytes()).as_bytes())
}

/// The hash of the files of a zip; `None`: it is larger than any module, has a name that
/// would read as several lines, which Go refuses too, or can be read in several ways.
fn zip_hash(file: &Path) -> io::Result<Option<String>> {
    let mut archive = zip::ZipArchive::new(File::open(file)?).map_err(io::Error::other)?;
    if archive.len() > MAX_MEMBERS || listed(&mut File::open(file)?)? != Some(archive.len()) {
        return Ok(None);
    }
    let (mut files, mut left) = (Vec::new(), MAX_MODULE_BYTES);
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(io::Error::other)?;
        let name = member.name().map_err(io::Error::other)?.into_owned();
        if name.contains('\n') {
            return Ok(None);
        }
        let mut hasher = Hasher::default();
        let count = io::copy(&mut member.take(left + 1), &mut hasher)?;
        let Some(rest) = left.checked_sub(count) else {
            return Ok(None);
        };
        left = rest;
        files.push((name, hasher.finish()));
    }
    files.sort();
    let lines = files
        .iter()
        .map(|(name, digest)| format!("{}  {name}\n", digest.hex()));
    Ok(Some(h1(&lines.collect::<String>())))
}

/// The bytes at the end of a zip without a comment, and of each entry of its list before
/// names. Source: APPNOTE.TXT of PKWARE, 4.3.12 and 4.3.16.
const END_BYTES: u64 = 22;
const ENTRY_BYTES: usize = 46;

/// How many entries the list at the end of a zip has; `None`: it has a comment or bytes
/// that belong to nothing, in which programs may find another list.
fn listed(zip: &mut (impl io::Read + io::Seek)) -> io::Result<Option<usize>> {
    let size = zip.seek(io::SeekFrom::End(0))?;
    let Some(start) = size.checked_sub(END_BYTES) else {
        return Ok(None);
    };
    zip.seek(io::SeekFrom::Start(start))?;
    let mut end = [0; END_BYTES as usize];
    zip.read_exact(&mut end)?;
    let half =
        |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let word = |at: usize| {
        u64::from(u32::from_le_bytes([
            end[at],
            end[at + 1],
            end[at + 2],
            end[at + 3],
        ]))
    };
    let (length, at) = (word(12), word(16));
    if !end.starts_with(b"PK\x05\x06") || half(&end, 20) != 0 || at + length != start {
        return Ok(None);
    }
    zip.seek(io::SeekFrom::Start(at))?;
    let mut list = Vec::new();
    zip.take(length.min(MAX_LOCK_BYTES))
        .read_to_end(&mut list)?;
    let (mut rest, mut count) = (list.as_slice(), 0);
    while rest.len() >= ENTRY_BYTES && rest.starts_with(b"PK\x01\x02") {
        let names = half(rest, 28) + half(rest, 30) + half(rest, 32);
        let Some(next) = rest.get(ENTRY_BYTES + names..) else {
            return Ok(None);
        };
        (rest, count) = (next, count + 1);
    }
    Ok((rest.is_empty() && count == half(&end, 10)).then_some(count))
}

/// The texts of the inputs that are called `name`.
fn texts(inputs: &Inputs, names: &[&str]) -> Vec<String> {
    let files = inputs.tree.files().into_iter();
    let named = files.filter(|(path, file)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        names.contains(&name) && file.size <= MAX_LOCK_BYTES
    });
    let read = |(path, _): (String, _)| {
        let mut text = String::new();
        // A file that cannot be read fails when it is staged.
        inputs.open(&path).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    };
    named.filter_map(read).collect()
}

/// Crates with a checksum in `Cargo.lock`.
pub(super) fn cargo(inputs: &Inputs) -> Vec<Expected> {
    let locks = texts(inputs, &["Cargo.lock"]);
    locks.iter().flat_map(|text| crates(text)).collect()
}

fn crates(lock: &str) -> Vec<Expected> {
    let Ok(table) = DeTable::parse(lock) else {
        return Vec::new();
    };
    let packages = table.get_ref().get("package");
    let packages = packages.and_then(|value| value.get_ref().as_array());
    let of = |package: &toml::Spanned<toml::de::DeValue<'_>>| {
        let package = package.get_ref().as_table()?;
        let text = |key: &str| package.get(key)?.get_ref().as_str();
        let digest = Digest::from_hex(text("checksum")?).ok()?;
        Some(Expected {
            name: format!("sha256-{}", digest.hex()),
            place: Place::InRegistry {
                source: text("source")?.to_owned(),
                file: format!("{}-{}.crate", text("name")?, text("version")?),
            },
            check: Check::Sha256(digest),
        })
    };
    packages
        .into_iter()
        .flat_map(|all| all.iter())
        .filter_map(of)
        .collect()
}

/// Modules in `go.sum`.
pub(super) fn go(inputs: &Inputs) -> Vec<Expected> {
    let sums = texts(inputs, &["go.sum", "go.work.sum"]);
    sums.iter()
        .flat_map(|text| text.lines())
        .filter_map(module)
        .collect()
}

/// A line of `go.sum`: module, version with or without `/go.mod`, and hash.
fn module(line: &str) -> Option<Expected> {
    let mut words = line.split_whitespace();
    let (module, version, hash) = (words.next()?, words.next()?, words.next()?);
    let hash = hash.strip_prefix("h1:")?.to_owned();
    let (version, is_mod) = match version.strip_suffix("/go.mod") {
        Some(version) => (version, true),
        None => (version, false),
    };
    let end = if is_mod { "mod" } else { "zip" };
    let folder = format!("{GO}/cache/download/{}/@v", escaped(module));
    Some(Expected {
        name: format!("go-{end}-{hash}"),
        place: Place::At(format!("{folder}/{}.{end}", escaped(version))),
        check: if is_mod {
            Check::GoMod(hash)
        } else {
            Check::GoZip(hash)
        },
    })
}

/// As a path on file systems that do not tell upper case from lower case. Source:
/// golang.org/x/mod/module, `EscapePath`.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(character.to_ascii_lowercase());
    }
    escaped
}

/// Packages with a SHA-512 digest in npm's lock files.
pub(super) fn npm(inputs: &Inputs) -> Vec<Expected> {
    let locks = texts(inputs, &["package-lock.json", "npm-shrinkwrap.json"]);
    let mut found = Vec::new();
    for text in locks {
        if let Ok(json) = serde_json::from_str(&text) {
            integrities(&json, &mut found);
        }
    }
    found
}

fn integrities(json: &serde_json::Value, found: &mut Vec<Expected>) {
    match json {
        serde_json::Value::Object(fields) => {
            let stated = fields.get("integrity").and_then(|value| value.as_str());
            found.extend(stated.and_then(content));
            fields.values().for_each(|value| integrities(value, found));
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|value| integrities(value, found));
        }
        _ => {}
    }
}

/// Where npm keeps content. Source: the package `cacache`, `content/path.js`.
fn content(integrity: &str) -> Option<Expected> {
    let mut hashes = integrity.split_whitespace();
    let hash = hashes.find_map(|hash| hash.strip_prefix("sha512-"))?;
    let digest = STANDARD
        .decode(hash)
        .ok()
        .filter(|digest| digest.len() == 64)?;
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, second, rest) = (&hex[..2], &hex[2..4], &hex[4..]);
    Some(Expected {
        name: format!("sha512-{hex}"),
        place: Place::At(format!(
            "{NPM}/_cacache/content-v2/sha512/{first}/{second}/{rest}"
        )),
        check: Check::Sha512(digest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lock_files_state_paths_and_digests() {
        let checksum = Digest::of(b"c").hex();
        let lock = format!(
            "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"itoa\"\n\
             version = \"1.0.19\"\nsource = \"registry+https://r\"\nchecksum = \"{checksum}\"\n"
        );
        let found = crates(&lock);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].place,
            Place::InRegistry {
                source: "registry+https://r".into(),
                file: "itoa-1.0.19.crate".into()
            }
        );
        let line =
            "github.com/BurntSushi/toml v1.2.0 h1:Rt8g24XnyGTyglgET/PRUNlrUeu9F5L+7FilkXfZgs0=";
        let found = module(line).unwrap();
        let path = "go/pkg/mod/cache/download/github.com/!burnt!sushi/toml/@v/v1.2.0.zip";
        assert_eq!(found.place, Place::At(path.into()));
        let integrity = format!("sha1-x sha512-{}", STANDARD.encode(Sha512::digest(b"x")));
        let found = content(&integrity).unwrap();
        assert_eq!(found.check, Check::Sha512(Sha512::digest(b"x").to_vec()));
    }

    #[test]
    fn go_modules_are_checked_as_go_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        // From go.sum and the module proxy.
        let text = "module \"rsc.io/quote\"\n\nrequire \"rsc.io/sampler\" v1.3.0\n";
        std::fs::write(&file, text).unwrap();
        let line = "rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=";
        let expected = module(line).unwrap();
        assert!(expected.is(&file).unwrap());
        std::fs::write(&file, format!("{text}\n")).unwrap();
        assert!(!expected.is(&file).unwrap());
        let mut zip = zip::ZipWriter::new(File::create(&file).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        for (name, content) in [("m@v1/b", "2"), ("m@v1/a", "1")] {
            zip.start_file(name, options).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let hash = |text: &str| Digest::of(text.as_bytes()).hex();
        let lines = format!("{}  m@v1/a\n{}  m@v1/b\n", hash("1"), hash("2"));
        assert_eq!(zip_hash(&file).unwrap(), Some(h1(&lines)));
        // An entry twice, of which readers take the first, the last or both; and what is
        // before or after the zip.
        let whole = std::fs::read(&file).unwrap();
        let mut twice = whole.clone();
        for at in 0..twice.len() - 5 {
            if twice[at..].starts_with(b"m@v1/b") {
                twice[at + 5] = b'a';
            }
        }
        for other in [
            twice,
            [b"x", &whole[..]].concat(),
            [&whole[..], b"x"].concat(),
        ] {
            std::fs::write(&file, other).unwrap();
            assert!(!zip_hash(&file).is_ok_and(|found| found.is_some()));
        }
        // One file whose name is the rest of the list.
        let (name, _) = lines
            .split_once("  ")
            .map(|(_, rest)| rest.rsplit_once('\n').unwrap())
            .unwrap();
        let mut zip = zip::ZipWriter::new(File::create(&file).unwrap());
        zip.start_file(name, options).unwrap();
        zip.write_all(b"1").unwrap();
        zip.finish().unwrap();
        assert_eq!(zip_hash(&file).unwrap(), None);
    }
}
