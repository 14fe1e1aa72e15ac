//! The paths in a tar inside a package, as far as the layout needs them, or why the
//! tar cannot be unpacked.

use std::collections::BTreeSet;
use std::io::Read;

use super::{Contained, Contents, TarReader};

/// Names of a path that are kept: `component/files/0/name`.
const DEPTH: usize = 4;

/// Maximum number of paths: a component that declares as many parts has a definition
/// of many megabytes.
const MAX_PATHS: usize = 200_000;

/// The paths of a tar and of the folders around them, cut after four names; or why
/// the tar cannot be read or unpacked.
pub type Listing = Result<BTreeSet<String>, String>;

/// Lists the tar that `reader` yields, which may have these `contents`. Reads to its
/// end, whatever is wrong.
pub fn list(mut reader: impl Read, contents: Contents<'_>) -> Listing {
    let listed = paths(&mut reader, contents);
    // The owner of the reader notices read errors.
    let _ = std::io::copy(&mut reader, &mut std::io::sink());
    listed
}

fn paths(reader: &mut impl Read, contents: Contents<'_>) -> Listing {
    let mut tar = TarReader::new(reader);
    let mut judge = Contained::new(contents);
    let mut found = BTreeSet::new();
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    while let Some(entry) = tar.next().map_err(unreadable)? {
        let at = judge.accept(&entry);
        let at = at.map_err(|fault| format!("it cannot be unpacked: {fault}"))?;
        let Some(at) = at else {
            continue;
        };
        let mut path = String::new();
        for part in at.as_str().split('/') {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            if !found.contains(&path) {
                found.insert(path.clone());
            }
            if path.split('/').count() == DEPTH {
                break;
            }
        }
        if found.len() > MAX_PATHS {
            return Err(format!("it has more than {MAX_PATHS} files"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::TarWriter;

    #[test]
    fn paths_are_listed_with_the_folders_around_them_and_cut_below_the_layout() {
        let mut tar = TarWriter::new(Vec::new());
        tar.directory("a", 0o755).unwrap();
        tar.file("a/repos/r/deep/er/file", 0o644, 1, &mut &b"x"[..])
            .unwrap();
        let bytes = tar.finish().unwrap();
        let found = list(&bytes[..], Contents::Component("a")).unwrap();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["a", "a/repos", "a/repos/r", "a/repos/r/deep"]);
        assert!(list(&[7; 600][..], Contents::Documents).is_err());
    }
}
