//! `jackal.lock`: the resolved value of every mutable reference.
//!
//! The file is at the root of the workspace, or beside a definition or pipeline, for which
//! it then counts alone. Builds use the pins, so that they need
//! no network to resolve tags; `jackal update` moves the pins. Source:
//! docs/spec/pipeline.md, "Lock file".

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::ground::source::workspace_root;
use crate::oci::{Descriptor, Digest};
use crate::package::NamesIn;

/// Largest lock file read, in bytes: 64 MiB, about 200,000 pins.
const MAX_BYTES: u64 = 64 << 20;

/// Version of the file format.
const VERSION: u32 = 1;

pub const LOCK_FILE: &str = "jackal.lock";

/// The folder whose lock file has the pins of what is in `folder`: its own, if there is a
/// lock file in it, else the root of the workspace.
#[must_use]
pub fn lock_folder(folder: &Path) -> &Path {
    match disk::look::exists(&folder.join(LOCK_FILE)) {
        true => folder,
        false => workspace_root(folder).unwrap_or(folder),
    }
}

/// The pins of a folder, or of a workspace.
#[derive(Debug)]
pub struct Lockfile {
    path: PathBuf,
    pins: Pins,
    changed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pins {
    version: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    images: BTreeMap<String, BTreeMap<String, ImagePin>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, FilePin>,
    /// By URL with reference: a commit, or a digest over all references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    repositories: BTreeMap<String, String>,
    /// By repository, chart and requested version, separated by spaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    charts: BTreeMap<String, ChartPin>,
}

/// The resolved archive of a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChartPin {
    pub version: String,
    /// The URL of its archive.
    pub url: String,
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// The manifest, if the chart is in a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Descriptor>,
}

/// The resolved manifest of an image reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePin {
    /// The index that the reference named, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Descriptor>,
    /// The manifest for the platform.
    pub manifest: Descriptor,
}

/// Whether two pins of one reference come from one answer of a registry.
fn same_generation(one: &ImagePin, other: &ImagePin) -> bool {
    match (&one.index, &other.index) {
        (Some(one), Some(other)) => one.digest == other.digest,
        (None, None) => one.manifest.digest == other.manifest.digest,
        _ => false,
    }
}

/// A pin that nothing names any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub reference: String,
    /// The platform; `chart`, `repo` or `file` for what has none.
    pub platform: String,
    /// What it was pinned to.
    pub from: String,
}

/// The content of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePin {
    /// Of the bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockfileError {
    #[error("cannot use `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "cannot write `{path}` (run `jackal update` where it can be written, and keep the file, or name everything by digest)"
    )]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` has version {version}, which a newer jackal wrote; this one reads version {VERSION}: \
         use the newer one"
    )]
    Newer { path: PathBuf, version: u32 },
    /// It is not a valid lock file.
    #[error(
        "{path}:{line}:{column}: this is not a lock file of version {VERSION}: {message}; \
         restore it from version control, or delete it and run `jackal update`"
    )]
    Malformed {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        message: String,
    },
}

disk::from_disk_error!(LockfileError);

impl LockfileError {
    fn write(DiskError { path, source }: DiskError) -> Self {
        Self::Write { path, source }
    }
}

impl Lockfile {
    /// Reads the lock file in `folder`; a missing file has no pins.
    ///
    /// # Errors
    ///
    /// [`LockfileError`]: it cannot be read, or is damaged. A damaged file is never
    /// treated as empty, which would move every pin.
    pub fn load(folder: &Path) -> Result<Self, LockfileError> {
        let path = folder.join(LOCK_FILE);
        let pins = match disk::read_text(&path, MAX_BYTES) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Pins {
                version: VERSION,
                ..Pins::default()
            },
            text => parse(&path, &text?)?,
        };
        Ok(Self {
            path,
            pins,
            changed: false,
        })
    }

    /// The pin of `reference` on `platform`.
    #[must_use]
    pub fn image(&self, reference: &str, platform: &str) -> Option<&ImagePin> {
        self.pins.images.get(reference)?.get(platform)
    }

    /// The index that `reference` is pinned to for some platform.
    #[must_use]
    pub fn index(&self, reference: &str) -> Option<&Descriptor> {
        let platforms = self.pins.images.get(reference)?;
        platforms.values().find_map(|pin| pin.index.as_ref())
    }

    /// The platforms that `reference` is pinned on.
    #[must_use]
    pub fn platforms(&self, reference: &str) -> Vec<String> {
        let platforms = self.pins.images.get(reference).into_iter();
        platforms.flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Pins `reference` on `platform`, and drops its pins that are of another
    /// generation; returns the previous pin.
    pub fn pin_image(
        &mut self,
        reference: &str,
        platform: &str,
        pin: ImagePin,
    ) -> Option<ImagePin> {
        let platforms = self.pins.images.entry(reference.to_owned()).or_default();
        if platforms.get(platform) == Some(&pin) {
            return Some(pin);
        }
        self.changed = true;
        let old = platforms.remove(platform);
        platforms.retain(|_, other| same_generation(other, &pin));
        platforms.insert(platform.to_owned(), pin);
        old
    }

    /// Drops the pin of `reference` on `platform`.
    pub fn drop_image(&mut self, reference: &str, platform: &str) -> Option<ImagePin> {
        let platforms = self.pins.images.get_mut(reference)?;
        let old = platforms.remove(platform)?;
        self.changed = true;
        if platforms.is_empty() {
            self.pins.images.remove(reference);
        }
        Some(old)
    }

    /// The pin of `url`.
    #[must_use]
    pub fn file(&self, url: &str) -> Option<&FilePin> {
        self.pins.files.get(url)
    }

    pub fn pin_file(&mut self, url: &str, pin: FilePin) {
        if self.pins.files.get(url) != Some(&pin) {
            self.changed = true;
            self.pins.files.insert(url.to_owned(), pin);
        }
    }

    /// The pin of the repository `url`.
    #[must_use]
    pub fn repository(&self, url: &str) -> Option<&str> {
        self.pins.repositories.get(url).map(String::as_str)
    }

    pub fn pin_repository(&mut self, url: &str, pin: &str) {
        if self.repository(url) != Some(pin) {
            self.changed = true;
            let repositories = &mut self.pins.repositories;
            repositories.insert(url.to_owned(), pin.to_owned());
        }
    }

    /// The pin of a chart.
    #[must_use]
    pub fn chart(&self, requested: &str) -> Option<&ChartPin> {
        self.pins.charts.get(requested)
    }

    /// Pins a chart; returns the previous pin.
    pub fn pin_chart(&mut self, requested: &str, pin: ChartPin) -> Option<ChartPin> {
        if self.chart(requested) == Some(&pin) {
            return Some(pin);
        }
        self.changed = true;
        self.pins.charts.insert(requested.to_owned(), pin)
    }

    /// Drops every pin that `named` does not know, and returns what was dropped.
    pub fn retain(&mut self, named: &NamesIn) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        let mut drop = |reference: &str, platform: &str, from: String| {
            dropped.push(Dropped {
                reference: reference.to_owned(),
                platform: platform.to_owned(),
                from,
            });
        };
        let Pins {
            version: _,
            images,
            files,
            repositories,
            charts,
        } = &mut self.pins;
        images.retain(|reference, platforms| {
            let keep = named.has_image(reference);
            for (platform, pin) in platforms.iter().filter(|_| !keep) {
                drop(reference, platform, pin.manifest.digest.to_string());
            }
            keep
        });
        files.retain(|url, pin| {
            let keep = named.has_other(url);
            if !keep {
                drop(url, "file", pin.digest.to_string());
            }
            keep
        });
        repositories.retain(|url, pin| {
            let keep = named.has_repository(url);
            if !keep {
                drop(url, "repo", pin.clone());
            }
            keep
        });
        charts.retain(|chart, pin| {
            let keep = named.has_other(chart);
            if !keep {
                drop(chart, "chart", pin.digest.to_string());
            }
            keep
        });
        self.changed |= !dropped.is_empty();
        dropped
    }

    /// Whether pins can be written.
    ///
    /// # Errors
    ///
    /// [`LockfileError::Write`]
    pub fn writable(&self) -> Result<(), LockfileError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let writable = disk::writable(folder).map_err(disk::at(&self.path));
        writable.map_err(LockfileError::write)
    }

    /// Writes the file atomically if a pin has changed.
    ///
    /// # Errors
    ///
    /// [`LockfileError::Write`]
    pub fn save(&mut self) -> Result<(), LockfileError> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self.pins).map_err(io::Error::from);
        let text = text.map_err(disk::at(&self.path));
        let mut text = text.map_err(LockfileError::write)?;
        text.push(b'\n');
        if text.len() as u64 > MAX_BYTES {
            // A larger one could not be read again.
            let many = format!("{} bytes of pins, at most {MAX_BYTES}", text.len());
            return Err(disk::at(&self.path)(io::Error::other(many)).into());
        }
        disk::write(&self.path, &text).map_err(LockfileError::write)?;
        self.changed = false;
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> Result<Pins, LockfileError> {
    let malformed = |line, column, message| LockfileError::Malformed {
        path: path.to_owned(),
        line,
        column,
        message,
    };
    /// The only key that every version has.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    if let Ok(Head { version }) = serde_json::from_str(text)
        && version > VERSION
    {
        return Err(LockfileError::Newer {
            path: path.to_owned(),
            version,
        });
    }
    let pins: Pins = serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        malformed(error.line(), error.column(), message.to_owned())
    })?;
    if pins.version == VERSION {
        Ok(pins)
    } else {
        Err(malformed(1, 1, format!("it has version {}", pins.version)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pin(text: &[u8]) -> ImagePin {
        ImagePin {
            index: None,
            manifest: Descriptor::of("m", text),
        }
    }

    #[test]
    fn pins_survive_a_round_trip_and_an_unchanged_file_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lockfile::load(dir.path()).unwrap();
        lock.save().unwrap();
        assert!(!dir.path().join(LOCK_FILE).exists());
        assert_eq!(lock.pin_image("a:1", "linux/amd64", pin(b"x")), None);
        lock.save().unwrap();
        let mut again = Lockfile::load(dir.path()).unwrap();
        assert_eq!(again.image("a:1", "linux/amd64"), Some(&pin(b"x")));
        again.pin_image("a:1", "linux/amd64", pin(b"x"));
        assert!(!again.changed);
    }

    #[test]
    fn all_platforms_of_a_reference_are_of_one_generation() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lockfile::load(dir.path()).unwrap();
        let of = |index: &[u8], manifest: &[u8]| ImagePin {
            index: Some(Descriptor::of("i", index)),
            manifest: Descriptor::of("m", manifest),
        };
        lock.pin_image("a:1", "linux/amd64", of(b"1", b"amd"));
        lock.pin_image("a:1", "linux/arm64", of(b"1", b"arm"));
        assert_eq!(lock.platforms("a:1"), ["linux/amd64", "linux/arm64"]);
        let old = lock.pin_image("a:1", "linux/arm64", of(b"2", b"arm"));
        assert_eq!(old, Some(of(b"1", b"arm")));
        assert_eq!(lock.platforms("a:1"), ["linux/arm64"]);
        // A manifest without an index serves all platforms.
        lock.pin_image("a:1", "linux/amd64", pin(b"x"));
        lock.pin_image("a:1", "linux/arm64", pin(b"x"));
        assert_eq!(lock.platforms("a:1").len(), 2);
        lock.pin_image("a:1", "linux/arm64", pin(b"y"));
        assert_eq!(lock.platforms("a:1"), ["linux/arm64"]);
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let text = "{\"version\": 2, \"signedPins\": {}}";
        fs::write(&path, text).unwrap();
        let error = Lockfile::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a newer jackal wrote"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_place_and_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        fs::write(&path, "{\n  \"version\": 1,\n  \"imges\": {}\n}\n").unwrap();
        let error = Lockfile::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("jackal.lock:3:9: "), "{error}");
        fs::write(&path, "{\"version\": 0}").unwrap();
        let error = Lockfile::load(dir.path()).unwrap_err();
        assert!(matches!(error, LockfileError::Malformed { .. }), "{error}");
    }
}
