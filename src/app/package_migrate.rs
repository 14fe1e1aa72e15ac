//! `jackal package migrate`: writes a package of an earlier program in today's form.
//!
//! The files, and the configurations and layers of images, stay as they are. What was
//! changed is returned, and named in `build.migrations` of the definition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::migrate_error::PackageMigrateError;
use super::moved_parts::{Moved, Places, place_of, unreadable, whole};
use super::pull::file_name;
use super::read_error::PackageReadError;
use crate::action::Output;
use crate::archive::{self, Contents};
use crate::cas::Cas;
use crate::kinds::package::export::{
    ArchiveFormat, Destination, ExportError, Packing, export_archive,
};
use crate::layout::PackageFile;
use crate::oci::{Descriptor, Digest};
use crate::package::{
    Checksums, Component, Definition, Dialect, declared_parts, has_older_names, migrated,
};
use crate::source::{Opened, ReadOptions};
use crate::verify::VerifiedPackage;

/// What `build.migrations` says about the changes.
const FOLDERS: &str = "folders-to-tars";
const IMAGES: &str = "docker-archive-to-image-layout";
const NAMES: &str = "parts-to-numbered-names";
const CHECKSUMS: &str = "checksums-added";

/// Names of a path in the listing of a component.
const LISTED_NAMES: usize = 4;

/// A package in today's form.
#[derive(Debug)]
pub struct Migrated {
    pub archive: PathBuf,
    /// What was changed, in words; empty: the package was in today's form.
    pub changes: Vec<String>,
    /// The package before.
    pub package: VerifiedPackage,
}

/// Writes the package in today's form to `to`: an archive if that ends like one, else a
/// folder for it.
///
/// # Errors
///
/// [`PackageMigrateError`]; no archive was written.
pub fn package_migrate(
    opened: &Opened,
    read: &ReadOptions,
    to: &Path,
) -> Result<Migrated, PackageMigrateError> {
    let (cas, package, definition) = whole(opened, read)?;
    let name = to.to_string_lossy();
    let archive = match name.ends_with(".tar") || name.ends_with(".tar.zst") {
        true => to.to_owned(),
        false => to.join(file_name(&definition, package.dialect())?),
    };
    if archive.exists() {
        return Err(PackageMigrateError::Exists(archive));
    }
    let mut migration = Migration {
        opened,
        files: package.files().clone(),
        cas: &cas,
        changes: Vec::new(),
        records: Vec::new(),
    };
    migration.run(&package, &definition)?;
    let Migration { files, changes, .. } = migration;
    let dialect = package.dialect();
    let mut files: Vec<Output> = files
        .into_iter()
        .map(|(name, file)| Output::new(name, file))
        .collect();
    files.sort_by_key(|file| dialect.place_in_archive(&file.name));
    let members = files.into_iter().map(|file| {
        let packing = Packing::of_member(&file.name);
        let blob = Descriptor::blob(file.digest, file.size);
        let stored = stored(opened, &blob, &cas);
        stored.map_err(|error| ExportError::Member(crate::text::with_causes(&error)))?;
        Ok::<_, ExportError>((file, packing))
    });
    let format = match archive.extension().is_some_and(|end| end == "tar") {
        true => ArchiveFormat::Tar,
        false => ArchiveFormat::TarZst,
    };
    let to = Destination {
        mode: (opened.package.as_file()).map_or(0o644, PackageFile::mode),
        ..Destination::new(&archive, format)
    };
    export_archive(&cas, members, &to, &|| opened.stop.load(Ordering::SeqCst))?;
    Ok(Migrated {
        archive,
        changes,
        package,
    })
}

/// Puts a file of the package into the cache.
pub(super) fn stored(
    opened: &Opened,
    blob: &Descriptor,
    cas: &Arc<Cas>,
) -> Result<(), PackageMigrateError> {
    if !cas.contains(&blob.digest, blob.size)? {
        let stored = opened.package.store(blob, cas);
        stored.map_err(PackageReadError::from)?;
    }
    Ok(())
}

struct Migration<'m> {
    opened: &'m Opened,
    cas: &'m Arc<Cas>,
    files: BTreeMap<String, (Digest, u64)>,
    changes: Vec<String>,
    records: Vec<&'static str>,
}

impl Migration<'_> {
    fn run(
        &mut self,
        package: &VerifiedPackage,
        definition: &Definition,
    ) -> Result<(), PackageMigrateError> {
        let is_unlisted = !package.has_checksums();
        let was_folders = (self.opened.package.as_file()).is_some_and(PackageFile::was_folders);
        if was_folders {
            self.records.push(FOLDERS);
            let tars = self.files.keys().filter(|name| name.ends_with(".tar"));
            let made = tars.map(|tar| {
                let folder = tar.strip_suffix(".tar").unwrap_or(tar);
                format!("the folder `{folder}/` is now `{tar}`")
            });
            self.changes.extend(made);
            if self.files.contains_key(Dialect::IMAGE_INDEX) {
                self.records.push(IMAGES);
                self.changes.push(
                    "`images.tar` is now the image layout `images/`, with new manifests; configurations and layers are the same"
                        .to_owned(),
                );
            }
        }
        let version = definition.build.version.as_deref().unwrap_or_default();
        if has_older_names(version) {
            for component in &definition.components {
                self.component(component, is_unlisted)?;
            }
        }
        if self.changes.is_empty() && !is_unlisted {
            return Ok(());
        }
        if is_unlisted {
            self.records.push(CHECKSUMS);
            self.changes
                .push("`checksums.txt` lists the files as they were found".to_owned());
        }
        let exempt = package.dialect().exempt_files();
        let mut checksums = Checksums::default();
        for (name, (digest, _)) in &self.files {
            if !exempt.contains(&name.as_str()) {
                checksums.insert(name, *digest)?;
            }
        }
        let text = String::from_utf8_lossy(package.definition());
        let text = migrated(&text, &checksums.aggregate().hex(), &self.records)?;
        let added = [
            (package.dialect().definition_file(), text.into_bytes()),
            (Dialect::CHECKSUMS, checksums.render().into_bytes()),
        ];
        for (name, bytes) in added {
            let Output { name, digest, size } = self.cas.store(name, &bytes)?;
            self.files.insert(name, (digest, size));
        }
        Ok(())
    }

    /// Writes the tar of a component again if its parts have older names, or if it was not
    /// written like those of today.
    fn component(
        &mut self,
        component: &Component,
        is_unlisted: bool,
    ) -> Result<(), PackageMigrateError> {
        let name = Dialect::component_tar(&component.name);
        let Some((digest, size)) = self.files.get(&name).copied() else {
            return Ok(());
        };
        stored(self.opened, &Descriptor::blob(digest, size), self.cas)?;
        let contents = Contents::Component(&component.name);
        let listed = archive::list(self.cas.open_blob(&digest)?, contents);
        let listed = listed.map_err(|what| unreadable(&name, std::io::Error::other(what)))?;
        let mut older = Places::new();
        for part in declared_parts(component) {
            let has = |path: &&String| {
                // A listing has no more names of a path.
                let path = format!("{}/{path}", component.name);
                let names: Vec<&str> = path.split('/').take(LISTED_NAMES).collect();
                listed.contains(&names.join("/"))
            };
            let found = part.older.iter().find(has);
            if let Some(found) = found.filter(|found| **found != part.path) {
                older.entry(found.clone()).or_default().push(part.path);
            }
        }
        let moved = Moved::of(
            self.cas,
            (&name, &component.name),
            digest,
            &older,
            |below| {
                // `files/0` is the folder of a part today.
                let place = place_of(&older, below);
                place.filter(|(_, paths)| {
                    is_unlisted || !paths.iter().any(|path| is_within(below, path))
                })
            },
        );
        let Moved { tars, renamed } = moved?;
        if renamed.is_empty() && !is_unlisted {
            return Ok(());
        }
        let signed = Dialect::ALL
            .iter()
            .flat_map(|dialect| [dialect.signature_file(), dialect.bundle_file()]);
        if signed.into_iter().any(|file| self.files.contains_key(file)) {
            return Err(PackageMigrateError::Signed);
        }
        if !renamed.is_empty() && !self.records.contains(&NAMES) {
            self.records.push(NAMES);
        }
        let named = renamed.iter();
        let named = named.map(|(older, paths)| {
            let paths = paths.join("` and `");
            format!("`{older}` in `{name}` is now `{paths}`")
        });
        self.changes.extend(named);
        let mut ingest = self.cas.ingest()?;
        let written = tars.write(&name, &mut ingest);
        written.map_err(|source| unreadable(&name, source))?;
        let (digest, size) = ingest.commit()?;
        self.files.insert(name, (digest, size));
        Ok(())
    }
}

/// Whether `path` is `folder`, on the way to it, or in it.
fn is_within(path: &str, folder: &str) -> bool {
    let below = |a: &str, b: &str| {
        a.strip_prefix(b)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(path, folder) || below(folder, path)
}
