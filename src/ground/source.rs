//! Lists the sources of a definition on disk, which cannot be outside the folder of the
//! definition that names them.

use std::fs;
use std::path::{Component as Part, Path};

use crate::disk::{self, DiskError};
use crate::workspace::{self, Entry, WalkError};

/// Why a source cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A source leads out of its folder.
    #[error("`{0}` points outside the package folder: copy its target into the folder")]
    Outside(String),
    /// The disk refused.
    #[error("cannot read {0}")]
    Io(#[from] DiskError),
    /// An entry that cannot be packed.
    #[error(transparent)]
    Walk(WalkError),
}

impl From<WalkError> for SourceError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io(error) => Self::Io(error),
            other => Self::Walk(other),
        }
    }
}

/// Lists `source` below `root`, and everything in it. Links inside it are listed as
/// entries; a link on the path to it must not lead out of the root.
///
/// # Errors
///
/// [`SourceError`]
pub(crate) fn listed(root: &Path, source: &str) -> Result<Vec<Entry>, SourceError> {
    inside(source)?;
    // With a trailing slash, a link would be followed.
    let source = source.trim_end_matches('/');
    let resolved = |path: &Path| fs::canonicalize(path).map_err(disk::at(path));
    let full = root.join(source);
    let parent = full.parent().filter(|parent| parent.starts_with(root));
    if !resolved(parent.unwrap_or(root))?.starts_with(resolved(root)?) {
        return Err(outside(source));
    }
    Ok(workspace::list(root, source)?)
}

/// Refuses a source that is absolute or leads out of its folder.
///
/// # Errors
///
/// [`SourceError::Outside`]
pub fn inside(source: &str) -> Result<(), SourceError> {
    let within = |part| matches!(part, Part::Normal(_) | Part::CurDir);
    if !source.is_empty() && Path::new(source).components().all(within) {
        Ok(())
    } else {
        Err(outside(source))
    }
}

/// The error for a source that [`inside`] would refuse.
#[must_use]
pub fn outside(source: &str) -> SourceError {
    SourceError::Outside(source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_on_the_way_that_leaves_the_root_is_refused_and_one_inside_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(root.join("real/f"), "f").unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("real", root.join("alias")).unwrap();
        let outside = listed(&root, "up/secret").unwrap_err();
        assert!(matches!(outside, SourceError::Outside(_)), "{outside}");
        assert_eq!(listed(&root, "alias/f").unwrap()[0].stat.size, 1);
        let whole = listed(&root, "./").unwrap();
        let paths: Vec<&str> = whole.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, [".", "./alias", "./real", "./real/f", "./up"]);
    }
}
