//! `jackal sbom`: the documents of a folder or file, an image, or a package.

mod archive;
mod compare;
mod image;
mod tree;
mod viewer;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

pub(super) use archive::SbomArchive;
pub use compare::{listed, listed_in, sbom_diff};
pub use image::{ImageSbom, attached_sboms, image_sbom, layout_sbom, sbom_of_build};
pub use tree::{TreeError, tree_sbom};
pub use viewer::package_page;

use super::read_error::PackageReadError;
use crate::archive::{Compression, TarReader};
use crate::disk::look;
use crate::oci::place;
use crate::package::Dialect;
use crate::sbom::format::{Format, Production};
use crate::sbom::{names, unread as unread_files};
use crate::source::Opened;

/// What a document is wanted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SbomSubject {
    /// A package on disk or in a registry.
    Package,
    /// A folder or file on disk.
    Tree(PathBuf),
    /// A document on disk.
    Document(PathBuf),
    /// An image in a registry.
    Image(String),
    /// A layout or archive on disk, and which image of it.
    Layout(PathBuf, Option<String>),
    /// A document in a format that is only written.
    Foreign(&'static str),
    /// A path where nothing is.
    Missing,
}

impl SbomSubject {
    /// What `text` names, seen from the folder `here`.
    #[must_use]
    pub fn of(text: &str, here: &Path) -> Self {
        if text.is_empty() {
            return Self::Missing;
        }
        // As syft names them.
        if let Some(rest) = ["dir:", "file:"]
            .iter()
            .find_map(|form| text.strip_prefix(form))
        {
            return Self::Tree(here.join(rest));
        }
        // As packages are named elsewhere.
        if [place::REGISTRY, place::LAYOUT, "https://"]
            .iter()
            .any(|form| text.starts_with(form))
        {
            return Self::Package;
        }
        let path = here.join(text);
        if let Some((_, rest)) = place::on_disk(text) {
            // A reference may follow the path.
            let (path, wanted) = match rest.split_once(':') {
                Some((path, wanted)) if !look::exists(&here.join(rest)) => (path, Some(wanted)),
                _ => (rest, None),
            };
            return Self::Layout(here.join(path), wanted.map(str::to_owned));
        }
        if !look::exists(&path) {
            return match text.starts_with(['.', '/', '~']) {
                true => Self::Missing,
                false => Self::Image(text.to_owned()),
            };
        }
        if look::is_dir(&path) {
            let has = |name: &str| look::is_file(&path.join(name));
            let mut dialects = Dialect::ALL.iter();
            let package =
                has(Dialect::CHECKSUMS) && dialects.any(|dialect| has(dialect.definition_file()));
            return match (package, has("oci-layout")) {
                (true, _) => Self::Package,
                (_, true) => Self::Layout(path, None),
                _ => Self::Tree(path),
            };
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".tar") && begins_a_package(&path) {
            return Self::Package;
        }
        match name
            .ends_with(".json")
            .then(|| begins_like(&path))
            .flatten()
        {
            Some(Form::Syft) => Self::Document(path),
            Some(Form::Other(format)) => Self::Foreign(format),
            None => Self::Tree(path),
        }
    }
}

/// Whether a tar, or the first part of one, begins with what packages begin with.
fn begins_a_package(path: &Path) -> bool {
    let first = || -> io::Result<bool> {
        let mut file = BufReader::new(look::open(path)?);
        let head = io::BufRead::fill_buf(&mut file)?;
        let plain: Box<dyn Read> = match Compression::of(head) {
            Some(Compression::Zstd) => Compression::Zstd.decode(file)?,
            Some(_) => return Ok(false),
            None => Box::new(file),
        };
        let mut tar = TarReader::new(plain);
        while let Some(entry) = tar.next()? {
            let name = entry.name_lossy();
            let name = name.trim_start_matches("./").trim_end_matches('/');
            if !matches!(name, "" | "." | Dialect::CHECKSUMS) {
                return Ok(Dialect::of_definition_file(name).is_some());
            }
        }
        Ok(false)
    };
    // A file that cannot be read is reported by what reads it whole.
    first().unwrap_or_default()
}

/// The format of a document.
enum Form {
    Syft,
    Other(&'static str),
}

/// The format that a file begins like, if it is one of documents.
fn begins_like(path: &Path) -> Option<Form> {
    let mut head = Vec::new();
    let mut file = BufReader::new(look::open(path).ok()?).take(4096);
    file.read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let has = |key: &str| head.contains(&format!("\"{key}\""));
    match head.trim_start().starts_with('{') {
        true if has("artifacts") => Some(Form::Syft),
        true if has("bomFormat") => Some(Form::Other("CycloneDX")),
        true if has("spdxVersion") || head.contains("spdx.org/rdf/") => Some(Form::Other("SPDX")),
        _ => None,
    }
}

/// One document of a package.
#[derive(Debug)]
pub struct SbomDocument {
    /// Its file's name in the package, without `.json`.
    pub name: String,
    pub json: Vec<u8>,
}

/// The documents of a package whose name `select` is or contains; all without one. Nothing
/// else of the package is fetched.
///
/// # Errors
///
/// [`PackageReadError`]: it has no SBOM, or none that is selected.
pub fn package_documents_of(
    opened: &Opened,
    select: Option<&str>,
    take: &mut dyn FnMut(SbomDocument) -> io::Result<()>,
) -> Result<(), PackageReadError> {
    let archive = SbomArchive::fetch(opened)?;
    let names = archive.names()?;
    let chosen = |name: &str| select.is_none_or(|wanted| is_selected(name, wanted, &names));
    if !names.iter().any(|name| chosen(name)) {
        return Err(PackageReadError::NoDocument {
            package: opened.name.clone(),
            wanted: select.unwrap_or_default().to_owned(),
            names,
        });
    }
    archive.each(&mut |name, input| {
        if !chosen(name) {
            return Ok(());
        }
        let mut json = Vec::new();
        input.read_to_end(&mut json)?;
        let name = name.to_owned();
        take(SbomDocument { name, json })
    })
}

/// Largest SBOM document, in bytes: 1 GiB. Those of the largest known images have a few
/// hundred megabytes, if they list every file.
const MAX_DOCUMENT_BYTES: u64 = 1 << 30;

/// Reads a document on disk.
///
/// # Errors
///
/// It cannot be read, or is larger than any document.
pub fn read_document(path: &Path) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut input = look::open(path)?.take(MAX_DOCUMENT_BYTES + 1);
    input.read_to_end(&mut json)?;
    match json.len() as u64 > MAX_DOCUMENT_BYTES {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(json),
    }
}

/// The files that a scan could not read, with the reasons, and whether it found anything.
///
/// # Errors
///
/// The document is not syft-JSON.
pub fn unread(json: &[u8]) -> serde_json::Result<(Vec<String>, bool)> {
    #[derive(Deserialize)]
    struct Document {
        artifacts: Vec<IgnoredAny>,
        #[serde(default)]
        files: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        location: Place,
        #[serde(default)]
        unknowns: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Place {
        path: String,
    }
    let document: Document = serde_json::from_slice(json)?;
    let found = document.files.iter().flat_map(|file| {
        let path = &file.location.path;
        let reasons = file.unknowns.iter();
        reasons.map(move |reason| unread_files::line(path, reason))
    });
    Ok((found.collect(), !document.artifacts.is_empty()))
}

/// The warning about a document that lacks these files, if there are any.
#[must_use]
pub fn unread_warning(unread: &[String]) -> Option<String> {
    unread_files::warning(unread)
}

/// A document in another format. A table ends with the files that could not be read, of
/// which the other formats have a place only in syft-JSON. `created` is RFC 3339 in UTC.
///
/// # Errors
///
/// It is not syft-JSON.
pub fn sbom_as(document: &SbomDocument, format: Format, created: &str) -> io::Result<Vec<u8>> {
    let production = Production::ours(created);
    let mut out = Vec::new();
    format.write(&document.json, &production, &mut out)?;
    if format == Format::Table {
        let (unread, _) = unread(&document.json)?;
        for (at, line) in unread.iter().enumerate() {
            let head = if at == 0 { "\nNot read:\n" } else { "" };
            out.extend(format!("{head}  {line}\n").bytes());
        }
    }
    Ok(out)
}

/// Whether `wanted` means the document `name`: the whole name, as it is or as a reference
/// that was made a file's name, or, if no whole name is meant, a part of it.
fn is_selected(name: &str, wanted: &str, names: &[String]) -> bool {
    let written = names::normalise(wanted);
    let whole = |name: &str| name == wanted || name == written || short(name) == written;
    whole(name) || (!names.iter().any(|name| whole(name)) && name.contains(&written))
}

/// The name without what all components' documents begin with.
fn short(name: &str) -> &str {
    let ends = ["jackal-component-", "zarf-component-"];
    let found = ends.iter().find_map(|begin| name.strip_prefix(begin));
    found.unwrap_or(name)
}

/// A file without a name, gone when it is closed.
fn unnamed(input: &mut dyn Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(input, &mut file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_selected_by_whole_names_first() {
        let names = ["docker.io_library_nginx_1.25", "jackal-component-nginx"].map(str::to_owned);
        let chosen = |wanted: &str| -> Vec<bool> {
            let of = names.iter();
            of.map(|name| is_selected(name, wanted, &names)).collect()
        };
        assert_eq!(chosen("nginx"), [false, true]);
        assert_eq!(chosen("docker.io/library/nginx:1.25"), [true, false]);
        assert_eq!(chosen("nginx:1"), [true, false]);
        assert_eq!(chosen("other"), [false, false]);
    }
}
