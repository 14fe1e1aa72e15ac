//! Stores folders as trees, and restores them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::archive::{MAX_DEPTH, SafePath};
use crate::cas::{Cas, CasError, is_damage};
use crate::disk::{Enclosure, at};
use crate::oci::Digest;

use super::staging::{Staging, make_folder, swap};
use super::{MAX_TREE_BYTES, Tree, TreeEntry, TreeError, TreeKind, stays_inside, unsafe_name};

/// Size of the copy buffer.
const BUFFER_BYTES: usize = 128 << 10;

/// Stores the folder, file or link at `from` in the folder `within`: the content of its
/// files, then the tree. No link is followed on the way to it or in it. Errors call it
/// `shown`.
///
/// # Errors
///
/// [`TreeError`]: an entry has another type, leads outside, has a name that is not
/// UTF-8, or cannot be read.
pub fn store(
    cas: &Cas,
    within: &Enclosure,
    from: &SafePath,
    shown: &Path,
) -> Result<(Tree, Digest, u64), TreeError> {
    let mut found = Vec::new();
    visit((within, from, shown), String::new(), 0, &mut found)?;
    let single = matches!(found.as_slice(), [(path, None)] if path.is_empty());
    let folder = match found.is_empty() || single || found[0].0.is_empty() {
        true => None,
        false => Some(within.inside(from).map_err(at(shown))?),
    };
    let mut entries: Vec<TreeEntry> = found
        .into_par_iter()
        .map(|(path, kind)| {
            let kind = match kind {
                Some(kind) => kind,
                None => {
                    let full = below(shown, &path);
                    let file = match &folder {
                        Some(folder) => folder.read(&safe(&path)?),
                        None => within.read(from),
                    };
                    store_file(cas, file.map_err(at(&full))?, &full)?
                }
            };
            Ok(TreeEntry { path, kind })
        })
        .collect::<Result<_, TreeError>>()?;
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree { entries };
    tree.check()?;
    let bytes = tree.encode();
    if bytes.len() > MAX_TREE_BYTES {
        return Err(TreeError::TooLarge(bytes.len()));
    }
    let stored = cas.store("", &bytes)?;
    Ok((tree, stored.digest, stored.size))
}

/// `root` for an empty path, to which `join` would append a slash.
fn below(root: &Path, path: &str) -> PathBuf {
    if path.is_empty() {
        root.to_owned()
    } else {
        root.join(path)
    }
}

fn safe(path: &str) -> Result<SafePath, TreeError> {
    let safe = SafePath::parse(path).ok();
    safe.filter(|safe| safe.as_str() == path)
        .ok_or_else(|| unsafe_name(path))
}

/// Lists files (as `None`), links and folders: what is called `name` in the folder
/// `within`, and `full` in errors.
fn visit(
    (within, name, full): (&Enclosure, &SafePath, &Path),
    path: String,
    depth: usize,
    found: &mut Vec<(String, Option<TreeKind>)>,
) -> Result<(), TreeError> {
    let file_type = within.kind(name).map_err(at(full))?;
    if file_type.is_file() {
        found.push((path, None));
        return Ok(());
    }
    if file_type.is_symlink() {
        let target = within.target(name).map_err(at(full))?;
        let target = String::from_utf8(target).map_err(|_| TreeError::NotUtf8(full.to_owned()))?;
        if !stays_inside(&path, &target) {
            let path = full.display().to_string();
            return Err(TreeError::Escapes { path, target });
        }
        found.push((path, Some(TreeKind::Symlink { target })));
        return Ok(());
    }
    if !file_type.is_dir() {
        return Err(TreeError::Special(full.to_owned()));
    }
    if depth > MAX_DEPTH {
        let deep = io::Error::other("folders are nested deeper than 255 levels");
        return Err(at(full)(deep).into());
    }
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    if !path.is_empty() {
        found.push((path, Some(TreeKind::Directory)));
    }
    let folder = within.inside(name).map_err(at(full))?;
    for name in folder.names().map_err(at(full))? {
        let entry = full.join(&name);
        let name = name
            .to_str()
            .ok_or_else(|| TreeError::NotUtf8(entry.clone()))?;
        let below = format!("{prefix}{name}");
        let name = safe(name).map_err(|_| unsafe_name(&below))?;
        visit((&folder, &name, &entry), below, depth + 1, found)?;
    }
    Ok(())
}

fn store_file(cas: &Cas, file: File, path: &Path) -> Result<TreeKind, TreeError> {
    let metadata = file.metadata().map_err(at(path))?;
    let mut ingest = cas.ingest()?;
    copy(&mut file.take(metadata.len()), &mut ingest).map_err(at(path))?;
    let (digest, size) = ingest.commit()?;
    Ok(TreeKind::File {
        digest,
        size,
        executable: metadata.permissions().mode() & 0o100 != 0,
    })
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..count])?;
        total += count as u64;
    }
}

/// Reads the tree stored under `digest`.
///
/// # Errors
///
/// [`CasError::Missing`] for a missing or damaged blob; [`TreeError`] if it is not a
/// tree.
pub fn load(cas: &Cas, digest: &Digest) -> Result<Tree, TreeError> {
    Tree::decode(&cas.document(digest, MAX_TREE_BYTES as u64)?)
}

/// Writes `tree` to `to`, where only folders may exist, and verifies every byte.
///
/// # Errors
///
/// [`TreeError`]; [`CasError::Missing`] for a missing or damaged blob. Files written
/// before the error are kept.
pub fn place(cas: &Cas, tree: &Tree, to: &Path) -> Result<(), TreeError> {
    tree.check()?;
    if tree.single().is_none() {
        make_folder(to)?;
    }
    for entry in &tree.entries {
        if entry.kind == TreeKind::Directory {
            make_folder(&to.join(&entry.path))?;
        }
    }
    tree.entries
        .par_iter()
        .try_for_each(|entry| place_entry(cas, &entry.kind, &below(to, &entry.path)))
}

/// Writes one file or link to `to`, which must not exist.
pub(crate) fn place_entry(cas: &Cas, kind: &TreeKind, to: &Path) -> Result<(), TreeError> {
    match kind {
        TreeKind::Directory => Ok(()),
        TreeKind::Symlink { target } => Ok(symlink(target, to).map_err(at(to))?),
        TreeKind::File {
            digest,
            size,
            executable,
        } => place_file(cas, (digest, *size), *executable, to),
    }
}

fn place_file(
    cas: &Cas,
    (digest, size): (&Digest, u64),
    executable: bool,
    to: &Path,
) -> Result<(), TreeError> {
    let mut blob = cas.open_blob(digest)?;
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .open(to)
        .map_err(at(to))?;
    match copy(&mut blob, &mut file) {
        Ok(written) if written == size => {}
        Err(error) if !is_damage(&error) => return Err(at(to)(error).into()),
        _ => return Err(CasError::Missing(*digest).into()),
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let mode = fs::Permissions::from_mode(mode);
    Ok(file.set_permissions(mode).map_err(at(to))?)
}

/// Replaces `to` with `tree` after everything has been written and verified.
///
/// # Errors
///
/// As [`place`]; `to` is then unchanged.
pub fn restore(cas: &Cas, tree: &Tree, to: &Path) -> Result<(), TreeError> {
    let folder = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let staging = Staging::beside(folder)?;
    let new = staging.join("new");
    place(cas, tree, &new)?;
    Ok(swap(&staging, &new, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn stored(cas: &Cas, from: &Path) -> Result<(Tree, Digest, u64), TreeError> {
        let name = from.file_name().unwrap().to_str().unwrap();
        let within = Enclosure::open(from.parent().unwrap()).unwrap();
        store(cas, &within, &SafePath::parse(name).unwrap(), from)
    }

    fn made(root: &Path) -> PathBuf {
        let from = root.join("from");
        fs::create_dir_all(from.join("bin/empty")).unwrap();
        fs::write(from.join("bin/tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(from.join("bin/tool"), fs::Permissions::from_mode(0o4710)).unwrap();
        fs::write(from.join("bin.txt"), "text").unwrap();
        symlink("../bin.txt", from.join("bin/link")).unwrap();
        from
    }

    #[test]
    fn a_folder_comes_back_with_its_links_empty_folders_and_executable_bits() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let from = made(dir.path());
        let (tree, digest, size) = stored(&cas, &from).unwrap();
        assert_eq!(load(&cas, &digest).unwrap(), tree);
        assert_eq!(tree.encode().len() as u64, size);
        let to = dir.path().join("to");
        fs::write(&to, "in the way").unwrap();
        restore(&cas, &tree, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("bin/link")).unwrap(), "text");
        assert!(
            fs::symlink_metadata(to.join("bin/link"))
                .unwrap()
                .is_symlink()
        );
        assert!(to.join("bin/empty").is_dir());
        assert_eq!(
            (mode(&to.join("bin/tool")), mode(&to.join("bin.txt"))),
            (0o755, 0o644)
        );
        assert_eq!(stored(&cas, &to).unwrap().1, digest);
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_single_file_is_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        let (tree, digest, _) = stored(&cas, &path).unwrap();
        assert!(tree.single().is_some());
        fs::remove_file(&path).unwrap();
        restore(&cas, &load(&cas, &digest).unwrap(), &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }

    #[test]
    fn a_damaged_blob_leaves_the_target_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cas");
        let from = made(dir.path());
        let (tree, ..) = stored(&Cas::open(&root).unwrap(), &from).unwrap();
        let hex = Digest::of(b"text").hex();
        let blob = root.join("v1/blobs/sha256").join(&hex[..2]).join(&hex);
        fs::write(blob, "teXt").unwrap();
        fs::write(from.join("bin.txt"), "kept").unwrap();
        let cas = Cas::open(&root).unwrap();
        let error = restore(&cas, &tree, &from).unwrap_err();
        assert!(
            matches!(error, TreeError::Cas(CasError::Missing(_))),
            "{error}"
        );
        assert_eq!(fs::read_to_string(from.join("bin.txt")).unwrap(), "kept");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn sockets_and_links_that_lead_out_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        symlink("/etc/passwd", out.join("l")).unwrap();
        assert!(matches!(stored(&cas, &out), Err(TreeError::Escapes { .. })));
        fs::remove_file(out.join("l")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(out.join("s")).unwrap();
        assert!(matches!(stored(&cas, &out), Err(TreeError::Special(_))));
    }

    #[test]
    fn a_staging_folder_without_an_owner_is_removed_by_the_next_restore() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path().join("cas")).unwrap();
        let dead = dir.path().join(".jackal-tmp-dead");
        fs::create_dir(&dead).unwrap();
        let alive = Staging::beside(dir.path()).unwrap();
        assert!(!dead.exists());
        restore(&cas, &Tree::default(), &dir.path().join("to")).unwrap();
        assert!(alive.join("").is_dir());
    }
}
