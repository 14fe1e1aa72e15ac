//! Unpacks a tar inside a package: a component, or the SBOMs.
//!
//! The digest of the tar was verified, but its author is not trusted with the disk:
//! nothing is written outside the folder, through a link, or with special rights.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::LayoutError;
use crate::archive::{SafePath, TarKind, TarReader};

/// Most links of one tar: they are held until the end.
const MAX_LINKS: usize = 1_000_000;

/// Unpacks the tar `content`, called `name` in messages, into the empty folder
/// `folder`.
///
/// Makes folders, regular files and symbolic links. Links come last, so that no file is
/// written through one. Of a file's mode, only the executable bit is used.
///
/// # Errors
///
/// [`LayoutError`]: unsafe, duplicate or foreign entries, a damaged tar, or a failed
/// write.
pub fn unpack_tar(name: &Path, content: impl Read, folder: &Path) -> Result<(), LayoutError> {
    let io = |error| LayoutError::io(name, error);
    let mut tar = TarReader::new(content);
    let mut links = BTreeMap::new();
    while let Some(entry) = tar.next().map_err(io)? {
        let text = entry.name_lossy();
        if links.len() >= MAX_LINKS {
            return Err(LayoutError::too_large(
                name,
                format!("more than {MAX_LINKS} links"),
            ));
        }
        // The first entry of an SBOM archive is the folder itself.
        if matches!(text.as_str(), "." | "./") {
            continue;
        }
        let safe = SafePath::parse(&text).map_err(|_| LayoutError::Unsafe {
            path: name.to_owned(),
            entry: text.clone(),
        })?;
        let foreign = |what| LayoutError::Foreign {
            path: name.to_owned(),
            entry: text.clone(),
            what,
        };
        let to = folder.join(safe.as_str());
        let at = |error| LayoutError::write(&to, error);
        match entry.kind {
            TarKind::Directory => fs::create_dir_all(&to).map_err(at)?,
            TarKind::File => {
                let mut file =
                    create(&to, entry.is_executable()).map_err(|error| match error.kind() {
                        io::ErrorKind::AlreadyExists => LayoutError::Twice {
                            path: name.to_owned(),
                            entry: text.clone(),
                        },
                        _ => at(error),
                    })?;
                io::copy(&mut tar, &mut file).map_err(at)?;
            }
            TarKind::Symlink if entry.link.is_empty() => {
                return Err(foreign("a link without a target"));
            }
            TarKind::Symlink => {
                links.insert(to, PathBuf::from(OsString::from_vec(entry.link)));
            }
            TarKind::Hardlink => return Err(foreign("a hard link")),
            TarKind::Sparse => return Err(foreign("a sparse file")),
            TarKind::Global => {}
            TarKind::Special | TarKind::Unknown => {
                return Err(foreign("neither a file, a folder nor a link"));
            }
        }
    }
    for (to, target) in links {
        link(&to, &target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => LayoutError::Twice {
                path: name.to_owned(),
                entry: to
                    .strip_prefix(folder)
                    .unwrap_or(&to)
                    .to_string_lossy()
                    .into_owned(),
            },
            _ => LayoutError::write(&to, error),
        })?;
    }
    Ok(())
}

fn parents(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn create(path: &PathBuf, executable: bool) -> io::Result<File> {
    parents(path)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    if executable {
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(file)
}

fn link(path: &PathBuf, target: &Path) -> io::Result<()> {
    // A parent that is a link itself was made by this very loop.
    for above in path.ancestors().skip(1) {
        if fs::symlink_metadata(above).is_ok_and(|facts| facts.is_symlink()) {
            return Err(io::Error::other("its folder is a link from the same tar"));
        }
        if above.is_dir() {
            break;
        }
    }
    parents(path)?;
    symlink(target, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, link: &str) {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4711);
        header.set_size(if kind.is_file() { 2 } else { 0 });
        header.set_cksum();
        let content: &[u8] = if kind.is_file() { b"hi" } else { b"" };
        builder.append(&header, content).unwrap();
    }

    fn unpacked(
        entries: &[(tar::EntryType, &str, &str)],
    ) -> (tempfile::TempDir, Result<(), LayoutError>) {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, link) in entries {
            entry(&mut builder, *kind, name, link);
        }
        let bytes = builder.into_inner().unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        let done = unpack_tar(Path::new("t"), &bytes[..], &dir.path().join("in"));
        (dir, done)
    }

    use tar::EntryType as Kind;

    #[test]
    fn files_folders_and_links_are_made_without_special_rights() {
        let (dir, done) = unpacked(&[
            (Kind::Directory, ".", ""),
            (Kind::Directory, "a/empty", ""),
            (Kind::Regular, "a/run", ""),
            (Kind::Symlink, "a/link", "/etc/passwd"),
        ]);
        done.unwrap();
        let at = |name: &str| dir.path().join("in").join(name);
        assert_eq!(fs::read(at("a/run")).unwrap(), b"hi");
        let mode = fs::metadata(at("a/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert!(at("a/empty").is_dir());
        assert_eq!(
            fs::read_link(at("a/link")).unwrap(),
            Path::new("/etc/passwd")
        );
    }

    #[test]
    fn nothing_is_written_outside_or_through_a_link() {
        for entries in [
            &[(Kind::Regular, "../out", "")][..],
            &[(Kind::Regular, "/tmp/out", "")],
            &[(Kind::Symlink, "d", ".."), (Kind::Regular, "d/out", "")],
            &[(Kind::Symlink, "d", ".."), (Kind::Symlink, "d/out", "x")],
            &[(Kind::Regular, "a", ""), (Kind::Regular, "./a", "")],
            &[(Kind::Regular, "a", ""), (Kind::Symlink, "a", "b")],
            &[(Kind::Link, "a", "b")],
            &[(Kind::Char, "null", "")],
            &[(Kind::Fifo, "pipe", "")],
        ] {
            let (dir, done) = unpacked(entries);
            let around = fs::read_dir(dir.path()).unwrap().count();
            assert!(done.is_err() && around == 1, "{entries:?}");
        }
    }
}
