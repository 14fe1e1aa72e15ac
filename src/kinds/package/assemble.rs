//! Assembles a package: checksums and definition.
//!
//! Source: docs/spec/package.md, "Build section", "Files of a package",
//! "checksums.txt". Only refers to blobs in the CAS and
//! copies none.

use std::io::{self, Read, Write};

use crate::action::Output;
use crate::archive::{SeekableError, TarError};
use crate::cas::{Cas, CasError};
use crate::ground::{failures, of_cas, of_io};
use crate::kinds::package::BuildFacts;
use crate::kinds::package::frames::frames;
use crate::package::{
    Build, Checksums, ChecksumsError, Definition, Dialect, MIGRATIONS, VersionRequirement, time,
};

/// Older programs compare their version with it; Zarf no longer writes it.
///
/// Source: docs/spec/package.md, "Build section".
fn last_non_breaking(dialect: Dialect) -> String {
    match dialect {
        Dialect::Jackal => "v0.27.0".to_owned(),
        Dialect::Zarf => String::new(),
    }
}

/// Why a package could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A path cannot be listed in the checksums.
    #[error(transparent)]
    Checksums(#[from] ChecksumsError),
    /// The SBOM archive cannot be written.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A member cannot be compressed.
    #[error(transparent)]
    Compress(#[from] SeekableError),
    /// A member cannot be read.
    #[error("`{path}` cannot be read from the cache")]
    Io {
        /// Path in the package.
        path: String,
        source: io::Error,
    },
    /// A part has the name of a generated file.
    #[error("`{0}` is written by jackal itself and cannot be a part of the package")]
    Reserved(String),
    /// The time is out of range.
    #[error("{0} seconds is outside the years 1970 to 9999: correct SOURCE_DATE_EPOCH")]
    Time(i64),
}

/// Writes `checksums.txt` and the definition of a package of `parts`, which have
/// their paths in the package for names.
///
/// Returns every file of the package by path, in the archive's order: the definition,
/// `checksums.txt` and `sboms.tar` first, so that a reader can get them without the
/// rest.
///
/// # Errors
///
/// [`PackageError`]
pub fn package(
    cas: &Cas,
    mut definition: Definition,
    mut parts: Vec<Output>,
    facts: &BuildFacts,
    (version, architecture): (&str, &str),
) -> Result<Vec<Output>, PackageError> {
    let dialect =
        Dialect::of_kind(&definition.kind).map_or(Dialect::Jackal, |(dialect, _)| dialect);
    let mut checksums = Checksums::default();
    for part in &parts {
        if dialect.exempt_files().contains(&part.name.as_str()) {
            return Err(PackageError::Reserved(part.name.clone()));
        }
        checksums.insert(&part.name, part.digest)?;
    }
    definition.metadata.aggregate_checksum = checksums.aggregate().hex();
    definition.build = Build {
        terminal: Some(facts.terminal.clone().unwrap_or_default()),
        user: Some(facts.user.clone().unwrap_or_default()),
        architecture: Some(architecture.to_owned()),
        timestamp: Some(
            time::rfc1123z(facts.timestamp).ok_or(PackageError::Time(facts.timestamp))?,
        ),
        version: Some(version.to_owned()),
        migrations: MIGRATIONS.map(str::to_owned).to_vec(),
        last_non_breaking_version: last_non_breaking(dialect),
        // These describe how the definition was read; the caller sets them.
        registry_overrides: std::mem::take(&mut definition.build.registry_overrides),
        flavor: std::mem::take(&mut definition.build.flavor),
        differential: definition.build.differential,
        differential_package_version: std::mem::take(
            &mut definition.build.differential_package_version,
        ),
        differential_package_checksum: std::mem::take(
            &mut definition.build.differential_package_checksum,
        ),
        version_requirements: requirements(&definition),
        ..Build::default()
    };
    let mut members = vec![
        cas.store(dialect.definition_file(), definition.to_yaml().as_bytes())?,
        cas.store(Dialect::CHECKSUMS, checksums.render().as_bytes())?,
    ];
    parts.sort_by_key(|part| dialect.place_in_archive(&part.name));
    members.append(&mut parts);
    Ok(members)
}

/// What a program must be able to do to deploy the package.
fn requirements(definition: &Definition) -> Vec<VersionRequirement> {
    let mut charts = definition.components.iter().flat_map(|one| &one.charts);
    let templated = charts.any(|chart| !chart.templated_values_files.is_empty());
    let requirement = templated.then(|| VersionRequirement {
        version: "v0.78.0".to_owned(),
        reason: "templatedValuesFiles of charts".to_owned(),
        ..VersionRequirement::default()
    });
    requirement.into_iter().collect()
}

/// Compresses a member's content and its tar padding into frames, and stores them as
/// one blob: for each frame its two lengths, then its bytes.
///
/// The frames depend only on the content, not on the number of threads.
///
/// # Errors
///
/// [`PackageError`]
pub fn compress_member(cas: &Cas, member: &Output) -> Result<Output, PackageError> {
    let mut ingest = cas.ingest()?;
    compress(cas, member, |len, frame| {
        ingest
            .write_all(&(frame.len() as u64).to_le_bytes())
            .and_then(|()| ingest.write_all(&len.to_le_bytes()))
            .and_then(|()| ingest.write_all(frame))
            .map_err(|source| PackageError::Io {
                path: member.name.clone(),
                source,
            })
    })?;
    Ok(ingest.output(&member.name)?)
}

/// Passes the frames of a member and its padding to `take`, each with the length of its
/// content.
pub(crate) fn compress<E: From<PackageError>>(
    cas: &Cas,
    member: &Output,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let content = cas.open_blob(&member.digest).map_err(PackageError::from)?;
    let whole = member.size.next_multiple_of(512);
    let padding = io::repeat(0).take(whole - member.size);
    let made = frames(content.chain(padding), whole, |len, frame| {
        take(len, frame).map_err(Stopped::Taking)
    });
    made.map_err(|stopped| match stopped {
        Stopped::Taking(error) => error,
        Stopped::Making(SeekableError::Io(source)) => {
            let path = member.name.clone();
            PackageError::Io { path, source }.into()
        }
        Stopped::Making(error) => PackageError::from(error).into(),
    })
}

enum Stopped<E> {
    Making(SeekableError),
    Taking(E),
}

impl<E> From<SeekableError> for Stopped<E> {
    fn from(error: SeekableError) -> Self {
        Self::Making(error)
    }
}

failures! {
    PackageError: |error| match error {
        PackageError::Cas(error) => of_cas(error),
        PackageError::Io { source, .. } => of_io(source),
        PackageError::Compress(SeekableError::Io(error)) => of_io(error),
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::MAX_COMPRESSED_INPUT;
    use crate::oci::Descriptor;

    fn cas() -> (tempfile::TempDir, Cas) {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        (dir, cas)
    }

    #[test]
    fn the_definition_vouches_for_the_checksums_and_they_for_the_parts() {
        let (_dir, cas) = cas();
        let part = Output::of("components/demo.tar", &Descriptor::of("", b"tar"));
        let facts = BuildFacts::default();
        let made = package(
            &cas,
            Definition::default(),
            vec![part],
            &facts,
            ("1", "amd64"),
        );
        let members = made.unwrap();
        let names: Vec<_> = members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            ["jackal.yaml", "checksums.txt", "components/demo.tar"]
        );
        let mut yaml = String::new();
        let mut blob = cas.open_blob(&members[0].digest).unwrap();
        blob.read_to_string(&mut yaml).unwrap();
        assert!(yaml.contains(&members[1].digest.hex()), "{yaml}");
        assert!(
            yaml.contains("timestamp: Thu, 01 Jan 1970 00:00:00 +0000"),
            "{yaml}"
        );
        assert!(yaml.contains("user: \"\""), "{yaml}");
    }

    #[test]
    fn frames_hold_the_content_and_its_padding() {
        let (_dir, cas) = cas();
        let bytes = vec![7; MAX_COMPRESSED_INPUT + 1000];
        let descriptor = Descriptor::of("x", &bytes);
        cas.put(&descriptor, &bytes[..]).unwrap();
        let frames = compress_member(&cas, &Output::of("m", &descriptor)).unwrap();
        let mut blob = Vec::new();
        cas.open_blob(&frames.digest)
            .unwrap()
            .read_to_end(&mut blob)
            .unwrap();
        let (mut at, mut found) = (0, Vec::new());
        while at < blob.len() {
            let len = u64::from_le_bytes(blob[at..at + 8].try_into().unwrap()) as usize;
            found.extend(zstd::decode_all(&blob[at + 16..at + 16 + len]).unwrap());
            at += 16 + len;
        }
        assert_eq!(found.len(), bytes.len().next_multiple_of(512));
        assert_eq!(&found[..bytes.len()], &bytes[..]);
    }
}
