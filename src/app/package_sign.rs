//! `jackal package sign`: signs an existing archive or folder.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attest::{self, AttestError, Attested};
use super::package_read::package_definition;
use super::read_error::PackageReadError;
use crate::action::Output;
use crate::cas::{Cas, CasError};
use crate::disk::{self, DiskError, NewFile};
use crate::kinds::package::export::{
    ArchiveFormat, Destination, ExportError, Packing, export_archive,
};
use crate::layout::{self, Beside, LayoutError, PackageFile, Spliced};
use crate::package::manifest::{self, ArtifactError};
use crate::release::{self, Artifact, DocumentsError, signature_statement};
use crate::signers::{Seal, Signer, SignerError, seal};
use crate::signing::{Claims, Subject};
use crate::source::{OpenError, Opened, ReadOptions};
use crate::verify::{Scope, VerifiedPackage};

/// The signer, and where to write the result.
#[derive(Clone, Debug)]
pub struct PackageSignOptions {
    pub signer: Arc<Signer>,
    /// Where the signature is written in the package; `None`: only beside it.
    pub seal: Option<Seal>,
    /// SBOM documents to sign as well.
    pub attest: Vec<Attested>,
    /// The folder for the signed package; `None`: where it is.
    pub output: Option<PathBuf>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum PackageSignError {
    /// The package cannot be read or is damaged.
    #[error(transparent)]
    Read(#[from] PackageReadError),
    #[error(transparent)]
    Sign(#[from] SignerError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Io(#[from] DiskError),
    /// It is a part of a split archive.
    #[error("`{0}` is a part of a split archive")]
    Split(PathBuf),
    /// It is not on this machine.
    #[error("`{0}` is not on this machine")]
    Elsewhere(String),
    #[error(transparent)]
    Cas(#[from] CasError),
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Its SBOMs cannot be attested.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    #[error(transparent)]
    Attest(#[from] AttestError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

#[derive(Debug)]
pub struct Resigned {
    /// The verified package before it was signed.
    pub package: VerifiedPackage,
    /// The package's file or folder, and the file with its bundles.
    pub files: Vec<PathBuf>,
    /// Number of dropped bundles, which were about the unsigned package.
    pub dropped: usize,
}

/// Verifies every file of the package at `path` and signs it.
///
/// # Errors
///
/// [`PackageSignError`]; the package is then unchanged.
pub fn package_sign(
    opened: &Opened,
    read: &ReadOptions,
    options: &PackageSignOptions,
) -> Result<Resigned, PackageSignError> {
    let file = opened.package.as_file();
    let file = file.ok_or_else(|| PackageSignError::Elsewhere(opened.name.clone()))?;
    let path = file.path();
    let evidence = opened.package.read_all().map_err(PackageReadError::from)?;
    let judged = opened.judge(evidence, Scope::Whole);
    let package = judged.map_err(PackageReadError::from)?;
    if !package.has_checksums() {
        return Err(PackageReadError::NoChecksums(opened.name.clone()).into());
    }
    let dialect = package.dialect();
    let files = match options.seal {
        None => Vec::new(),
        Some(how) => seal(dialect, package.definition(), &options.signer, how)?,
    };
    let definition = files
        .iter()
        .find(|(name, _)| *name == dialect.definition_file());
    let definition = definition.map_or(package.definition(), |(_, bytes)| bytes);
    let subject = Subject::new(
        dialect.definition_file(),
        &crate::oci::Digest::of(definition),
    );
    let (subjects, predicates) = match &options.attest[..] {
        [] => (vec![subject.clone()], Vec::new()),
        wanted => {
            let cas = cache(read)?;
            let artifact = artifact(opened, &package, &cas, &files)?;
            let subjects = release::subjects(&artifact, definition, dialect);
            (subjects, attest::predicates(&cas, &artifact, wanted)?)
        }
    };
    let bundle = options
        .signer
        .statement(&signature_statement(vec![subject]))?;
    // Checked before anything is written: the bundles may be unreadable or too many.
    let mut bundles = match layout::bundles_beside(path) {
        beside if beside.is_file() => layout::read_bundles(&beside)?,
        _ => Vec::new(),
    };
    let before = bundles.len();
    if definition[..] != *package.definition() {
        // Bundles about the unsigned package no longer apply.
        let digest = ("sha256", crate::oci::Digest::of(definition).hex());
        bundles.retain(|bundle| Claims::name(bundle, &digest));
    }
    let dropped = before - bundles.len();
    let attested = attest::signed(&options.signer, &subjects, predicates, &bundles)?;
    bundles.extend(attested);
    if !bundles.contains(&bundle.clone().into_bytes()) {
        bundles.insert(0, bundle.into_bytes());
    }
    layout::check_bundles(path, &bundles)?;
    let target = match &options.output {
        Some(folder) => folder.join(whole_name(path)),
        None => path.to_owned(),
    };
    // The two paths may name the same file.
    let target = match (fs::canonicalize(&target), fs::canonicalize(path)) {
        (Ok(there), Ok(here)) if there == here => path.to_owned(),
        _ => target,
    };
    // In place, the bundles that are kept were chosen above.
    let beside = match target == path {
        true => None,
        false => {
            let definition = crate::oci::Digest::of(definition);
            Some(Beside::plan(&target, &bundles, definition, false)?)
        }
    };
    if !files.is_empty() {
        write(file, &package, &files, &target, read)?;
    } else if target != path {
        copy(file, &target)?;
    }
    let beside = match beside {
        Some(beside) => beside.write()?,
        None => layout::write_bundles(&target, &bundles)?,
    };
    Ok(Resigned {
        package,
        files: [target].into_iter().chain(beside).collect(),
        dropped,
    })
}

fn cache(read: &ReadOptions) -> Result<Arc<Cas>, PackageSignError> {
    let cache = read.cache.as_ref().ok_or(OpenError::NoCache);
    let cache = cache.map_err(PackageReadError::from)?;
    Ok(Arc::new(Cas::open(cache)?))
}

/// What a package on this machine will be in a registry, with `files` as its signature.
fn artifact(
    opened: &Opened,
    package: &VerifiedPackage,
    cas: &Arc<Cas>,
    files: &[(String, Vec<u8>)],
) -> Result<Artifact, PackageSignError> {
    let copyable = opened.package.copyable(cas);
    let (_, copyable) = copyable.map_err(PackageReadError::from)?;
    let definition = package_definition(package)?;
    let architecture = definition.build.architecture.as_deref().unwrap_or_default();
    let held = package.files().iter();
    let held = held.map(|(name, (digest, size))| (name.clone(), *digest, *size));
    let made = manifest::artifact(package.dialect(), &definition, architecture, held)?;
    let artifact = Artifact::made(made, copyable.content);
    match files {
        [] => Ok(artifact),
        files => artifact
            .with_seal(package.dialect(), files.to_vec())
            .map_err(|what| DocumentsError::Package(what).into()),
    }
}

/// The file's name, without the number of a part.
fn whole_name(path: &Path) -> PathBuf {
    let beside = layout::bundles_beside(path);
    PathBuf::from(beside.file_stem().unwrap_or_default()).with_extension("")
}

/// The archive without changes, as a single file.
fn copy(file: &PackageFile, to: &Path) -> Result<(), PackageSignError> {
    if file.path().is_dir() {
        return into_folder(file.path(), to, &[], &[]);
    }
    replace(to, file.mode(), |out| file.copy_to(out).map(|()| true))?;
    Ok(())
}

/// Writes a file completely, or not at all if `write` returns false or fails.
fn replace(
    to: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<&mut NewFile>) -> Result<bool, LayoutError>,
) -> Result<bool, PackageSignError> {
    let mut file = NewFile::with_mode(to, mode)?;
    let mut out = BufWriter::with_capacity(1 << 20, &mut file);
    let whole = write(&mut out)?;
    out.flush().map_err(disk::at(to))?;
    drop(out);
    if !whole {
        return Ok(false);
    }
    file.keep()?;
    Ok(true)
}

fn write(
    file: &PackageFile,
    package: &VerifiedPackage,
    files: &[(String, Vec<u8>)],
    target: &Path,
    read: &ReadOptions,
) -> Result<(), PackageSignError> {
    let dialect = package.dialect();
    let mut without = vec![dialect.signature_file(), dialect.bundle_file()];
    without.extend(files.iter().map(|(name, _)| name.as_str()));
    if file.path().is_dir() {
        return into_folder(file.path(), target, &without, files);
    }
    if target == file.path() && file.is_split() {
        return Err(PackageSignError::Split(target.to_owned()));
    }
    let spliced = replace(target, file.mode(), |out| {
        Ok(layout::splice(file, &without, files, out)? == Spliced::Done)
    })?;
    match spliced {
        true => Ok(()),
        false => repack(file, package, &without, files, target, read),
    }
}

/// Repacks the archive through the cache.
fn repack(
    file: &PackageFile,
    package: &VerifiedPackage,
    without: &[&str],
    files: &[(String, Vec<u8>)],
    target: &Path,
    read: &ReadOptions,
) -> Result<(), PackageSignError> {
    let cas = cache(read)?;
    layout::read_into(file, &cas)?;
    let mut members: Vec<Output> = package
        .files()
        .iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, content)| Output::new(name, *content))
        .collect();
    for (name, bytes) in files {
        members.push(cas.store(name, bytes)?);
    }
    members.sort_by_key(|member| package.dialect().place_in_archive(&member.name));
    let members = members.into_iter().map(|member| {
        let packing = Packing::of_member(&member.name);
        Ok((member, packing))
    });
    let format = match file.is_compressed() {
        true => ArchiveFormat::TarZst,
        false => ArchiveFormat::Tar,
    };
    let to = Destination {
        mode: file.mode(),
        ..Destination::new(target, format)
    };
    export_archive(&cas, members, &to, &|| false)?;
    Ok(())
}

fn into_folder(
    from: &Path,
    to: &Path,
    without: &[&str],
    files: &[(String, Vec<u8>)],
) -> Result<(), PackageSignError> {
    if from != to {
        let other = "a folder is signed in place: omit --output, or sign a copy";
        return Err(disk::at(to)(std::io::Error::other(other)).into());
    }
    for (name, bytes) in files {
        let path = to.join(name);
        disk::write(&path, bytes)?;
    }
    let written = |name: &str| files.iter().any(|(written, _)| written == name);
    for name in without.iter().filter(|name| !written(name)) {
        let path = to.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(disk::at(&path)(error).into());
            }
            _ => {}
        }
    }
    Ok(())
}
