//! Verifies, inspects and extracts finished packages.
//!
//! Each operation reads only the parts of the package that it needs, and uses only what
//! `verify` has accepted.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::read_error::PackageReadError;
use super::stage::{Existing, Stage};
use crate::archive::SafePath;
use crate::package::{Definition, Dialect, Strictness};
use crate::source::{Heartbeat, Opened};
use crate::verify::{Scope, VerifiedPackage};
use crate::yaml::SourceText;

/// The SBOM archive's path in a package.
pub(super) const SBOMS: &str = Dialect::SBOMS;

/// The folder that it is unpacked to.
const SBOM_FOLDER: &str = "sboms";

/// Reads and verifies the whole package.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn package_verify(opened: &Opened) -> Result<VerifiedPackage, PackageReadError> {
    let evidence = opened.package.read_all()?;
    Ok(opened.judge(evidence, Scope::Whole)?)
}

/// Reads and verifies only the documents of a package.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn package_documents(opened: &Opened) -> Result<VerifiedPackage, PackageReadError> {
    let evidence = opened
        .package
        .read_some(&[], &mut |_, _| Ok(Box::new(io::sink())))?;
    Ok(opened.judge(evidence, Scope::Given)?)
}

/// When a published package was last found to be current, verified like the package.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn package_heartbeat(opened: &Opened) -> Result<Heartbeat, PackageReadError> {
    let name = package_definition(&package_documents(opened)?)?
        .metadata
        .name;
    Ok(opened.heartbeat(&name)?)
}

/// The definition of a verified package, typed.
///
/// # Errors
///
/// [`PackageReadError::Definition`]
pub fn package_definition(package: &VerifiedPackage) -> Result<Definition, PackageReadError> {
    let text = String::from_utf8_lossy(package.definition()).into_owned();
    let source = SourceText::new(package.dialect().definition_file(), text);
    Ok(Definition::parse(&source, Strictness::Existing)?)
}

/// Writes the SBOM documents to a folder called like the package below `to`; returns
/// that folder.
///
/// # Errors
///
/// [`PackageReadError`]; a folder that existed stays as it was.
pub fn package_sboms(
    opened: &Opened,
    to: &Path,
    existing: Existing,
) -> Result<PathBuf, PackageReadError> {
    unless_stopped(opened, sboms(opened, to, existing))
}

fn sboms(opened: &Opened, to: &Path, existing: Existing) -> Result<PathBuf, PackageReadError> {
    if !opened.package.files()?.contains_key(SBOMS) {
        return Err(PackageReadError::NoSbom(opened.name.clone()));
    }
    let stage = Stage::beside(&to.join(SBOM_FOLDER), opened)?;
    let verified = stage.fetch(&[SBOMS.to_owned()])?;
    let name = package_definition(&verified)?.metadata.name;
    let safe = SafePath::parse(&name).is_ok_and(|safe| safe.as_str() == name);
    if !safe || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(PackageReadError::Name(name));
    }
    let target = to.join(name);
    existing.check(&target)?;
    stage.unpack(SBOMS)?;
    stage.keep(Some(SBOM_FOLDER), &target, existing)?;
    Ok(target)
}

/// Options of `jackal package extract`.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    pub to: PathBuf,
    /// Files or folders of the package to extract; empty: all.
    pub only: Vec<String>,
    /// Whether to unpack the tars of components and SBOMs.
    pub unarchive: bool,
    /// Replaces an existing folder that jackal made, unless something in it has changed.
    pub force: bool,
}

/// Verifies a package, or the selected files of it, and writes them to a folder.
///
/// The folder gets its name only after everything in it has been written and verified.
///
/// # Errors
///
/// [`PackageReadError`]; no new files are left behind.
pub fn package_extract(
    opened: &Opened,
    options: &ExtractOptions,
) -> Result<VerifiedPackage, PackageReadError> {
    unless_stopped(opened, extract(opened, options))
}

fn extract(opened: &Opened, options: &ExtractOptions) -> Result<VerifiedPackage, PackageReadError> {
    let existing = match options.force {
        true => Existing::ReplaceOurs,
        false => Existing::Refuse,
    };
    existing.check(&options.to)?;
    let stage = Stage::beside(&options.to, opened)?;
    let names = if options.only.is_empty() {
        // Everything is verified before anything is written.
        let whole = judged_first(opened)?;
        let files = whole.files().keys().cloned();
        files.chain(documents(whole.dialect())).collect()
    } else {
        chosen(opened, options)?
    };
    let content: BTreeSet<String> = names.into_iter().collect();
    let content: Vec<String> = content.into_iter().collect();
    let verified = stage.fetch(&content)?;
    if options.unarchive {
        for name in content
            .iter()
            .filter(|name| Dialect::tar_contents(name).is_some())
        {
            stage.unpack(name)?;
        }
    }
    stage.keep(None, &options.to, existing)?;
    Ok(verified)
}

/// Verifies all files before they are written to the stage: local files by reading
/// them, remote files by the digests that the download will be checked against.
fn judged_first(opened: &Opened) -> Result<VerifiedPackage, PackageReadError> {
    let evidence = opened.package.survey()?;
    Ok(opened.judge(evidence, Scope::Whole)?)
}

fn documents(dialect: Dialect) -> [String; 2] {
    [
        dialect.definition_file().to_owned(),
        Dialect::CHECKSUMS.to_owned(),
    ]
}

/// Members that are selected by name or by a folder above them.
fn chosen(opened: &Opened, options: &ExtractOptions) -> Result<Vec<String>, PackageReadError> {
    let members = opened.package.files()?;
    let mut chosen = Vec::new();
    for wanted in &options.only {
        let below = format!("{}/", wanted.trim_end_matches('/'));
        let before = chosen.len();
        let fits = |name: &&String| *name == wanted || name.starts_with(&below);
        chosen.extend(members.keys().filter(fits).cloned());
        if chosen.len() == before {
            let source = opened.name.clone();
            return Err(PackageReadError::NoFile(source, wanted.clone()));
        }
    }
    Ok(chosen)
}

/// The result `done`, or an interruption error if a signal arrived.
fn unless_stopped<T>(
    opened: &Opened,
    done: Result<T, PackageReadError>,
) -> Result<T, PackageReadError> {
    done.map_err(|error| match opened.stop.load(Ordering::SeqCst) {
        true => PackageReadError::Interrupted,
        false => error,
    })
}
