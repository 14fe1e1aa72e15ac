//! Paths as they are written, whatever is on the disk.

use std::path::{Component as Part, Path, PathBuf};

/// `path`, which is absolute, without `.` and `..`: as it is written, whatever links
/// are on the way.
#[must_use]
pub fn lexical(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Part::CurDir => {}
            Part::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// `path` as it is written relative to the folder `base`; both are absolute,
/// or relative to one folder.
#[must_use]
pub fn relative_to(base: &Path, path: &Path) -> String {
    let common = base
        .components()
        .zip(path.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = base.components().skip(common).map(|_| "..".into());
    let down = path.components().skip(common);
    let names = up.chain(down.map(|name| name.as_os_str().to_string_lossy()));
    names.collect::<Vec<_>>().join("/")
}
