//! The component tar: local files and folders of one component, as package.md
//! 2.8 and 3.4 lay them out.
//!
//! Streams from the source files; holds no file in memory. Kinds of content
//! that are not built yet are refused, never left out in silence.

use std::fs;
use std::io::{self, Write};
use std::path::{Component as Part, Path, PathBuf};

use crate::archive::{TarError, TarWriter};
use crate::package::Component;

/// Why a component tar could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The component has content of a kind that is not built yet.
    #[error("component `{component}` has `{key}`, which jackal cannot build yet: remove it")]
    NotYet {
        /// The component.
        component: String,
        /// The key in the definition.
        key: &'static str,
    },
    /// A source leads out of the package folder.
    #[error("`{0}` leads out of the package folder: copy the file into it")]
    Outside(String),
    /// A target has no last name to store the file under.
    #[error("target `{0}` ends in no file name: write the full path of the file")]
    Target(String),
    /// The disk refused.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error(transparent)]
    Tar(#[from] TarError),
}

/// Writes the tar of `component`, whose sources are relative to `root`.
///
/// # Errors
///
/// [`ComponentError`]; what was written to `out` is then of no use.
pub fn write_component<W: Write>(
    root: &Path,
    component: &Component,
    out: W,
) -> Result<W, ComponentError> {
    refuse(component)?;
    let mut tar = TarWriter::new(out);
    let name = &component.name;
    tar.directory(name, 0o700)?;
    if !component.files.is_empty() {
        tar.directory(&format!("{name}/files"), 0o700)?;
    }
    // Entries come in the lexical order of their paths: `10` before `2`.
    let mut order: Vec<usize> = (0..component.files.len()).collect();
    order.sort_by_key(ToString::to_string);
    for index in order {
        let file = &component.files[index];
        let base = file.target.rsplit('/').next().unwrap_or_default();
        if matches!(base, "" | "." | "..") {
            return Err(ComponentError::Target(file.target.clone()));
        }
        inside(&file.source)?;
        let folder = format!("{name}/files/{index}");
        tar.directory(&folder, 0o700)?;
        let mode = if file.executable { 0o700 } else { 0o600 };
        let source = root.join(&file.source);
        let kind = fs::symlink_metadata(&source).map_err(|error| io_error(&source, error))?;
        let mode = if kind.is_dir() { 0o700 } else { mode };
        entry(&mut tar, &source, &format!("{folder}/{base}"), mode)?;
    }
    Ok(tar.finish()?)
}

/// Refuses a source that is absolute or leads out of the package's folder.
///
/// # Errors
///
/// [`ComponentError::Outside`]
pub fn inside(source: &str) -> Result<(), ComponentError> {
    let within = |part| matches!(part, Part::Normal(_) | Part::CurDir);
    if !source.is_empty() && Path::new(source).components().all(within) {
        Ok(())
    } else {
        Err(ComponentError::Outside(source.to_owned()))
    }
}

fn refuse(component: &Component) -> Result<(), ComponentError> {
    let keys = [
        ("charts", component.charts.is_empty()),
        ("manifests", component.manifests.is_empty()),
        ("dataInjections", component.data_injections.is_empty()),
        ("repos", component.repos.is_empty()),
        (
            "files.shasum",
            component.files.iter().all(|file| file.shasum.is_empty()),
        ),
        (
            "files.extractPath",
            component
                .files
                .iter()
                .all(|file| file.extract_path.is_empty()),
        ),
        (
            "files.source as a URL",
            component
                .files
                .iter()
                .all(|file| !file.source.contains("://")),
        ),
    ];
    match keys.iter().find(|(_, absent)| !absent) {
        None => Ok(()),
        Some((key, _)) => Err(ComponentError::NotYet {
            component: component.name.clone(),
            key,
        }),
    }
}

fn entry<W: Write>(
    tar: &mut TarWriter<W>,
    source: &Path,
    path: &str,
    mode: u32,
) -> Result<(), ComponentError> {
    let io = |error| io_error(source, error);
    let kind = fs::symlink_metadata(source).map_err(io)?;
    if kind.is_symlink() {
        let target = fs::read_link(source).map_err(io)?;
        tar.symlink(path, &target.to_string_lossy())?;
    } else if kind.is_dir() {
        tar.directory(path, mode)?;
        let mut names = Vec::new();
        for found in fs::read_dir(source).map_err(io)? {
            let name = found.map_err(io)?.file_name().into_string();
            names.push(name.map_err(|name| {
                io_error(&source.join(name), io::ErrorKind::InvalidFilename.into())
            })?);
        }
        names.sort();
        for name in names {
            let below = source.join(&name);
            let kind = fs::symlink_metadata(&below).map_err(|error| io_error(&below, error))?;
            entry(tar, &below, &format!("{path}/{name}"), normal_mode(&kind))?;
        }
    } else {
        let mut content = fs::File::open(source).map_err(io)?;
        tar.file(path, mode, kind.len(), &mut content)?;
    }
    Ok(())
}

/// Modes below a folder: only the executable bit counts, so that a umask does
/// not change the bytes.
fn normal_mode(kind: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    if kind.is_dir() || kind.permissions().mode() & 0o100 != 0 {
        0o755
    } else {
        0o644
    }
}

fn io_error(path: &Path, source: io::Error) -> ComponentError {
    ComponentError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::package::File;

    fn component(source: &str) -> Component {
        Component {
            name: "demo".into(),
            files: vec![File {
                source: source.into(),
                target: "/srv/hello.txt".into(),
                ..File::default()
            }],
            ..Component::default()
        }
    }

    #[test]
    fn the_tar_of_a_small_component_is_the_one_go_makes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("h"), "hello\n").unwrap();
        let tar = write_component(root.path(), &component("h"), Vec::new()).unwrap();
        // package.md 9, "Component tar".
        assert_eq!(
            Digest::of(&tar).hex(),
            "d227e21658bb8e82f7da4090fcf5b9c61cbb3e53c8d9af10c4d9a3758ebf4ffc"
        );
    }

    #[test]
    fn a_source_outside_the_folder_and_unbuilt_content_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let outside = write_component(root.path(), &component("../h"), Vec::new());
        assert!(matches!(outside, Err(ComponentError::Outside(_))));
        let remote = write_component(root.path(), &component("https://h/x"), Vec::new());
        assert!(matches!(remote, Err(ComponentError::NotYet { .. })));
    }
}
