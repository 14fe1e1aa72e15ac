//! Lists a source of a package completely: files that a definition names literally are
//! not subject to `.gitignore`.

use std::fs;
use std::path::Path;

use super::{Entry, WalkError};
use crate::disk;

/// Maximum depth of folders: 255. Deeper trees are loops or attacks.
const MAX_DEPTH: usize = 255;

/// Lists `path` below `root`, then everything in it, parents first and names
/// sorted bytewise. Symbolic links are listed, never followed.
///
/// # Errors
///
/// [`WalkError`]: something cannot be read, is not a file, folder or link, or has a name
/// that is not UTF-8.
pub fn list(root: &Path, path: &str) -> Result<Vec<Entry>, WalkError> {
    let mut entries = Vec::new();
    visit(root, path, 0, &mut entries)?;
    Ok(entries)
}

fn visit(root: &Path, path: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<(), WalkError> {
    let full = root.join(path);
    let io = disk::at(&full);
    let metadata = fs::symlink_metadata(&full).map_err(io)?;
    entries.push(Entry::of(path, &full, &metadata)?);
    if !metadata.is_dir() {
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        let error = std::io::Error::other("folders are nested deeper than 255 levels");
        return Err(io(error).into());
    }
    let mut names = Vec::new();
    for found in fs::read_dir(&full).map_err(io)? {
        let name = found.map_err(io)?.file_name();
        let name = name
            .into_string()
            .map_err(|name| WalkError::NotUtf8(full.join(name)))?;
        names.push(name);
    }
    names.sort_unstable();
    for name in names {
        visit(root, &format!("{path}/{name}"), depth + 1, entries)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_whole_even_where_git_ignores_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("t/.git/empty")).unwrap();
        fs::write(dir.path().join("t/a.log"), "a").unwrap();
        fs::write(dir.path().join("t/.gitignore"), "*.log\n").unwrap();
        let entries = list(dir.path(), "t").unwrap();
        let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(
            paths,
            ["t", "t/.git", "t/.git/empty", "t/.gitignore", "t/a.log"]
        );
    }

    #[test]
    fn a_missing_source_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = list(dir.path(), "absent").unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }
}
