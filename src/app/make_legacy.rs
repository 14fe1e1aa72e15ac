//! `jackal dev make-legacy`: writes a package as a program of an earlier version did.
//!
//! For tests of what reads such packages. The definition of a package in today's form, its
//! parts, images and SBOMs are put into the structure of that version: names, folders or
//! tars, and media types. Contents stay as they are, so these are not byte for byte what
//! such a program made.
//!
//! Source: docs/spec/package.md, "Earlier forms".

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::migrate_error::PackageMigrateError;
use super::moved_parts::{Moved, Places, place_of, unreadable, whole};
use super::package_migrate::stored;
use super::pull::file_name;
use crate::action::Output;
use crate::archive::{TarError, TarReader, TarWriter};
use crate::cas::Cas;
use crate::disk::{self, NewFile};
use crate::layout::Tars;
use crate::oci::annotation::{BASE_NAME, REF_NAME};
use crate::oci::{Descriptor, Digest, Index, Manifest, media_type};
use crate::package::{
    Checksums, Component, Definition, Dialect, declared_parts, earlier, manifest,
};
use crate::source::{Opened, ReadOptions};

/// How packages of a version were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    Never,
    /// The type of configuration that the client set by default, and layers with types by the ends of names.
    Ends,
    /// The same, with one type of layers.
    Blobs,
    /// A configuration of an image.
    Image,
    /// A type of its own, and an index.
    Index,
}

/// The structure of packages of a version.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// As `--format` takes it.
    name: &'static str,
    /// A version of this form.
    version: &'static str,
    /// Folders and one archive of images, instead of tars and a layout.
    has_folders: bool,
    has_checksums: bool,
    /// Which parts have their older places, by folder.
    older: &'static [&'static str],
    /// Whether `scripts` were migrated, and this noted.
    has_migrations: bool,
    published: Published,
}

const FORMS: [Form; 7] = [
    Form {
        name: "v0.22",
        version: "v0.22.2",
        has_folders: true,
        has_checksums: false,
        older: &["files/", "data/", "manifests/", "repos/"],
        has_migrations: false,
        published: Published::Never,
    },
    Form {
        name: "v0.24",
        version: "v0.24.3",
        has_folders: true,
        has_checksums: false,
        older: &["files/", "data/", "manifests/", "repos/"],
        has_migrations: true,
        published: Published::Never,
    },
    Form {
        name: "v0.25.0",
        version: "v0.25.0",
        has_folders: false,
        has_checksums: false,
        older: &["files/", "data/", "manifests/"],
        has_migrations: true,
        published: Published::Ends,
    },
    Form {
        name: "v0.25.1",
        version: "v0.25.1",
        has_folders: false,
        has_checksums: true,
        older: &["manifests/"],
        has_migrations: true,
        published: Published::Blobs,
    },
    Form {
        name: "v0.27",
        version: "v0.27.1",
        has_folders: false,
        has_checksums: true,
        older: &[],
        has_migrations: true,
        published: Published::Blobs,
    },
    Form {
        name: "v0.29",
        version: "v0.29.2",
        has_folders: false,
        has_checksums: true,
        older: &[],
        has_migrations: true,
        published: Published::Image,
    },
    Form {
        name: "v0.32",
        version: "v0.32.6",
        has_folders: false,
        has_checksums: true,
        older: &[],
        has_migrations: true,
        published: Published::Index,
    },
];

/// The forms that can be written.
#[must_use]
pub fn legacy_formats() -> Vec<&'static str> {
    FORMS.iter().map(|form| form.name).collect()
}

/// What was written.
#[derive(Debug)]
pub struct Legacy {
    pub archive: PathBuf,
    /// The image layout with what was published, and its tag.
    pub published: Option<(PathBuf, String)>,
}

/// Writes the package as `format` to the folder `to`, and what was published to
/// `published` in it.
///
/// # Errors
///
/// [`PackageMigrateError`]
pub fn make_legacy(
    opened: &Opened,
    read: &ReadOptions,
    format: &str,
    to: &Path,
) -> Result<Legacy, PackageMigrateError> {
    let form = FORMS.into_iter().find(|form| form.name == format);
    let form = form.unwrap_or(FORMS[FORMS.len() - 1]);
    let (cas, package, definition) = whole(opened, read)?;
    for (digest, size) in package.files().values() {
        stored(opened, &Descriptor::blob(*digest, *size), &cas)?;
    }
    let mut past = Past {
        form,
        cas: &cas,
        dialect: package.dialect(),
        files: package.files().clone(),
        parts: BTreeMap::new(),
    };
    past.files_of_then()?;
    for component in &definition.components {
        past.component(component)?;
    }
    let text = String::from_utf8_lossy(package.definition());
    past.documents(&text)?;
    std::fs::create_dir_all(to).map_err(disk::at(to))?;
    let mut name = file_name(&definition, package.dialect())?;
    if form.name == "v0.22" {
        name = name.replace(&format!("-{}.tar", definition.metadata.version), ".tar");
    }
    let archive = to.join(name);
    if archive.exists() {
        return Err(PackageMigrateError::Exists(archive));
    }
    past.archive(&archive)?;
    let published = match form.published {
        Published::Never => None,
        _ => Some(past.publish(&definition, &to.join("published"))?),
    };
    Ok(Legacy { archive, published })
}

struct Past<'p> {
    form: Form,
    cas: &'p Arc<Cas>,
    dialect: Dialect,
    files: BTreeMap<String, (Digest, u64)>,
    /// The parts of components, where they are folders.
    parts: BTreeMap<String, Tars>,
}

impl Past<'_> {
    fn newer(&self, what: &str) -> PackageMigrateError {
        PackageMigrateError::Newer {
            version: self.form.version.to_owned(),
            what: what.to_owned(),
        }
    }

    /// Leaves out signatures and lists, which are written again, and refuses files that no
    /// program of then knew.
    fn files_of_then(&mut self) -> Result<(), PackageMigrateError> {
        let exempt = self.dialect.exempt_files();
        self.files
            .retain(|name, _| !exempt.contains(&name.as_str()));
        let is_known = |name: &str| {
            name == Dialect::SBOMS
                || name.starts_with(Dialect::IMAGES)
                || Dialect::component_of(name).is_some()
        };
        match self.files.keys().find(|name| !is_known(name)) {
            Some(newer) => Err(self.newer(newer)),
            None => Ok(()),
        }
    }

    fn component(&mut self, component: &Component) -> Result<(), PackageMigrateError> {
        let name = Dialect::component_tar(&component.name);
        let Some((digest, _)) = self.files.get(&name).copied() else {
            return Ok(());
        };
        let older = self.form.older;
        let is_older = |path: &str| older.iter().any(|folder| path.starts_with(folder));
        let mut places = Places::new();
        for part in declared_parts(component) {
            // Places of v0.22 come first.
            let older = match self.form.has_migrations {
                true => part.older.last(),
                false => part.older.first(),
            };
            if let Some(older) = older.filter(|_| is_older(&part.path)) {
                places.entry(part.path).or_default().push(older.clone());
            }
        }
        let titled = (name.as_str(), component.name.as_str());
        let moved = Moved::of(self.cas, titled, digest, &places, |below| {
            place_of(&places, below)
        });
        let tars = moved?.tars;
        if self.form.has_folders {
            self.files.remove(&name);
            self.parts.insert(component.name.clone(), tars);
            return Ok(());
        }
        let mut ingest = self.cas.ingest()?;
        let written = tars.write(&name, &mut ingest);
        written.map_err(|source| unreadable(&name, source))?;
        self.files.insert(name, ingest.commit()?);
        Ok(())
    }

    /// The definition of then, and its list of checksums.
    fn documents(&mut self, text: &str) -> Result<(), PackageMigrateError> {
        let mut checksums = Checksums::default();
        if self.form.has_checksums {
            for (name, (digest, _)) in &self.files {
                checksums.insert(name, *digest)?;
            }
            let list = checksums.render().into_bytes();
            let Output { name, digest, size } = self.cas.store(Dialect::CHECKSUMS, &list)?;
            self.files.insert(name, (digest, size));
        }
        let aggregate = self.form.has_checksums.then(|| checksums.aggregate().hex());
        let text = earlier(
            text,
            self.form.version,
            aggregate.as_deref(),
            self.form.has_migrations,
        )?;
        let file = self.dialect.definition_file();
        let Output { name, digest, size } = self.cas.store(file, text.as_bytes())?;
        self.files.insert(name, (digest, size));
        Ok(())
    }

    fn archive(&self, to: &Path) -> Result<(), PackageMigrateError> {
        let damaged = |error| unreadable("the archive", error);
        let mut all = Tars::new().map_err(damaged)?;
        let twice = |name: &str| self.newer(name);
        for (component, tars) in &self.parts {
            let mut ingest = self.cas.ingest()?;
            let written = tars.write(&Dialect::component_tar(component), &mut ingest);
            written.map_err(damaged)?;
            let (digest, _) = ingest.commit()?;
            take(&mut all, "components/", self.cas.open_blob(&digest)?).map_err(damaged)?;
        }
        for (name, (digest, size)) in &self.files {
            let mut blob = self.cas.open_blob(digest)?;
            if self.form.has_folders && name == Dialect::SBOMS {
                take(&mut all, "sboms/", &mut blob).map_err(damaged)?;
                continue;
            }
            if self.form.has_folders && name.starts_with(Dialect::IMAGES) {
                continue;
            }
            let mode = match name == self.dialect.definition_file() {
                true => 0o400,
                false => 0o644,
            };
            let node = all.keep(mode, *size, &mut blob).map_err(damaged)?;
            all.add("", name, node).map_err(|_| twice(name))?;
        }
        if self.form.has_folders && self.files.contains_key(Dialect::IMAGE_INDEX) {
            let (digest, size) = self.images()?;
            let mut blob = self.cas.open_blob(&digest)?;
            let node = all.keep(0o644, size, &mut blob).map_err(damaged)?;
            all.add("", "images.tar", node)
                .map_err(|_| twice("images.tar"))?;
        }
        let mut file = NewFile::with_mode(to, 0o644)?;
        // The first entry was the folder that it was packed in.
        let first = format!("{}-0", self.dialect.word());
        let written = match to.extension().is_some_and(|end| end == "zst") {
            false => all.write_all(&first, &mut file),
            true => zstd::stream::write::Encoder::new(&mut file, 3).and_then(|mut out| {
                all.write_all(&first, &mut out)?;
                out.finish().map(drop)
            }),
        };
        written.and_then(|()| file.flush()).map_err(disk::at(to))?;
        Ok(file.keep()?)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, PackageMigrateError> {
        let (digest, _) = self.files.get(name).ok_or_else(|| self.newer(name))?;
        let parsed = serde_json::from_reader(self.cas.open_blob(digest)?);
        parsed.map_err(|error| unreadable(name, error.into()))
    }

    /// All images in the format of `docker save`.
    fn images(&self) -> Result<(Digest, u64), PackageMigrateError> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Saved {
            config: String,
            repo_tags: Vec<String>,
            layers: Vec<String>,
        }
        let index: Index = self.json(Dialect::IMAGE_INDEX)?;
        let mut saved: BTreeMap<Digest, Saved> = BTreeMap::new();
        let mut blobs: BTreeMap<String, Descriptor> = BTreeMap::new();
        let mut images = index.manifests;
        images.sort_by_key(|image| image.annotations.get(BASE_NAME).cloned());
        for image in images {
            let names = [BASE_NAME, REF_NAME].into_iter();
            let mut names = names.filter_map(|key| image.annotations.get(key));
            let name = names.next().cloned().unwrap_or_default();
            if let Some(known) = saved.get_mut(&image.digest) {
                known.repo_tags.push(name);
                continue;
            }
            if media_type::is_index(&image.media_type) {
                return Err(self.newer("images for several platforms"));
            }
            let path = format!("images/blobs/sha256/{}", image.digest.hex());
            let Manifest { config, layers, .. } = self.json(&path)?;
            let named = |layer: &Descriptor| format!("{}.tar.gz", layer.digest.hex());
            let one = Saved {
                config: config.digest.to_string(),
                repo_tags: vec![name],
                layers: layers.iter().map(named).collect(),
            };
            blobs.insert(one.config.clone(), config);
            blobs.extend(one.layers.iter().cloned().zip(layers));
            saved.insert(image.digest, one);
        }
        let tarred = |error: TarError| unreadable("images.tar", io::Error::other(error));
        let mut ingest = self.cas.ingest()?;
        let mut tar = TarWriter::new(&mut ingest);
        for (name, blob) in blobs {
            let mut content = self.cas.open_blob(&blob.digest)?;
            tar.file(&name, 0o644, blob.size, &mut content)
                .map_err(tarred)?;
        }
        let mut saved: Vec<Saved> = saved.into_values().collect();
        saved.sort_by(|a, b| a.repo_tags.cmp(&b.repo_tags));
        let list = serde_json::to_vec(&saved);
        let list = list.map_err(|error| unreadable("manifest.json", error.into()))?;
        tar.file("manifest.json", 0o644, list.len() as u64, &mut &list[..])
            .map_err(tarred)?;
        tar.finish().map_err(tarred)?;
        Ok(ingest.commit()?)
    }

    /// The artifact that a program of then published, in an image layout.
    fn publish(
        &self,
        definition: &Definition,
        to: &Path,
    ) -> Result<(PathBuf, String), PackageMigrateError> {
        let architecture = definition.build.architecture.as_deref().unwrap_or_default();
        let files = self.files.iter();
        let files = files.map(|(name, (digest, size))| (name.clone(), *digest, *size));
        let made = manifest::artifact(self.dialect, definition, architecture, files)?;
        let version = manifest::tag(&definition.metadata.version, &definition.build.flavor)?;
        let broken = |error: serde_json::Error| unreadable("the manifest", error.into());
        let mut found: Manifest = serde_json::from_slice(&made.manifest).map_err(broken)?;
        let mut tag = format!("{version}-{architecture}");
        let unknown = "application/vnd.unknown.config.v1+json";
        match self.form.published {
            Published::Never => {}
            Published::Ends | Published::Blobs => found.config.media_type = unknown.to_owned(),
            Published::Image => found.config.media_type = media_type::CONFIG.to_owned(),
            Published::Index => tag = version,
        }
        if self.form.published == Published::Ends {
            for layer in &mut found.layers {
                let name = manifest::title(layer).unwrap_or_default();
                let end = match name.rsplit_once('.') {
                    Some((_, end @ ("yaml" | "json" | "txt"))) => end,
                    _ => "unknown",
                };
                let end = format!(".{end}");
                layer.media_type = self.dialect.layer_media_type().replace(".blob", &end);
            }
        }
        if self.form.published != Published::Index {
            found
                .layers
                .sort_by_key(|layer| manifest::title(layer).map(str::to_owned));
            found.annotations.remove("org.opencontainers.image.title");
        }
        let bytes = serde_json::to_vec(&found).map_err(broken)?;
        let mut top = Descriptor::of(media_type::MANIFEST, &bytes);
        let blobs = to.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(disk::at(&blobs))?;
        let put = |bytes: &[u8]| {
            let path = blobs.join(Digest::of(bytes).hex());
            disk::write(&path, bytes)
        };
        put(&bytes)?;
        put(&made.config)?;
        for layer in &found.layers {
            let path = blobs.join(layer.digest.hex());
            let mut file = disk::create(&path).map_err(disk::at(&path))?;
            let mut blob = self.cas.open_blob(&layer.digest)?;
            io::copy(&mut blob, &mut file).map_err(disk::at(&path))?;
        }
        if self.form.published == Published::Index {
            let index = manifest::with_entry(None, &top, architecture);
            let bytes = serde_json::to_vec(&index).map_err(broken)?;
            put(&bytes)?;
            top = Descriptor::of(media_type::INDEX, &bytes);
        }
        top.annotations.insert(REF_NAME.to_owned(), tag.clone());
        let index = Index {
            media_type: None,
            manifests: vec![top],
            ..Index::empty()
        };
        let index = serde_json::to_vec(&index).map_err(broken)?;
        disk::write(&to.join("index.json"), &index)?;
        disk::write(&to.join("oci-layout"), Dialect::IMAGE_MARKER_TEXT)?;
        Ok((to.to_owned(), tag))
    }
}

/// Adds the entries of a tar below `folder`.
fn take(all: &mut Tars, folder: &str, tar: impl io::Read) -> io::Result<()> {
    let mut read = TarReader::new(tar);
    while let Some(entry) = read.next()? {
        let name = entry.name_lossy();
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let Some(node) = all.node(&entry, &mut read)? else {
            continue;
        };
        let path = match name {
            "." | "" => folder.trim_end_matches('/').to_owned(),
            name => format!("{folder}{name}"),
        };
        let twice = |_| io::Error::new(io::ErrorKind::InvalidData, "two entries have one name");
        all.add("", &path, node).map_err(twice)?;
    }
    Ok(())
}
