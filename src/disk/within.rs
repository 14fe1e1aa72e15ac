//! Whether a path that a checkout gives stays in its folder when its links are followed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component as Part, Path, PathBuf};

/// A path leads out of the folder that it may not leave.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadsOut {
    /// A symbolic link on the path leads out, or its target does not exist.
    #[error("`{link}` is a symbolic link to `{target}`, outside `{root}`")]
    Link {
        link: PathBuf,
        /// As the link says it.
        target: PathBuf,
        root: PathBuf,
    },
    /// The path itself does.
    #[error("`{path}` is outside `{root}`")]
    Path { path: PathBuf, root: PathBuf },
}

/// Follows `path`, relative to `root` or below it, as the kernel would. Names that do not
/// exist are folders that are yet to be made.
///
/// # Errors
///
/// A link on the way, or the path itself, leads out.
pub fn stays_within(root: &Path, path: &Path) -> Result<(), LeadsOut> {
    let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let outside = || LeadsOut::Path {
        path: path.to_owned(),
        root: root.to_owned(),
    };
    let below = match path.strip_prefix(root) {
        Ok(below) => below,
        Err(_) if path.is_relative() => path,
        Err(_) => return Err(outside()),
    };
    let mut at = real.clone();
    for part in below.components() {
        match part {
            Part::ParentDir if at != real => drop(at.pop()),
            Part::Normal(name) => at = followed(&real, root, &at, name)?,
            Part::CurDir => {}
            _ => return Err(outside()),
        }
    }
    Ok(())
}

/// Where `name` in the folder `at` really is.
fn followed(real: &Path, root: &Path, at: &Path, name: &OsStr) -> Result<PathBuf, LeadsOut> {
    let next = at.join(name);
    let Ok(target) = fs::read_link(&next) else {
        return Ok(next);
    };
    match fs::canonicalize(&next) {
        Ok(found) if found.starts_with(real) => Ok(found),
        _ => Err(LeadsOut::Link {
            link: next
                .strip_prefix(real)
                .map_or_else(|_| next.clone(), Path::to_owned),
            target,
            root: root.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_that_leaves_the_folder_is_found_wherever_it_is_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("w");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        for (target, link) in [
            ("..", "up"),
            ("../../other", "a/out"),
            ("/etc", "abs"),
            ("gone", "dangling"),
            ("b", "a/in"),
            ("../w/a", "round"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for path in [
            "dist",
            "a/new/x",
            "a/in/x",
            "a/b/../../dist",
            "round/b",
            "a/in/../y",
            ".",
        ] {
            assert_eq!(stays_within(&root, Path::new(path)), Ok(()), "{path}");
            assert_eq!(stays_within(&root, &root.join(path)), Ok(()), "{path}");
        }
        for (path, link) in [
            ("up/x", "up"),
            ("a/out", "a/out"),
            ("round/out/x", "a/out"),
            ("abs/x/y", "abs"),
            ("dangling", "dangling"),
        ] {
            let found = stays_within(&root, Path::new(path));
            match found {
                Err(LeadsOut::Link { link: found, .. }) => assert_eq!(found, Path::new(link)),
                other => panic!("{path}: {other:?}"),
            }
        }
        for path in ["..", "a/../../w", "/etc", "round/../../x"] {
            let found = stays_within(&root, Path::new(path));
            assert!(
                matches!(found, Err(LeadsOut::Path { .. })),
                "{path}: {found:?}"
            );
        }
    }
}
