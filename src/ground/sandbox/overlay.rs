//! A folder of the root that shows several folders over one another: what the command
//! writes goes to the upper one, and the lower ones stay as they are. See adr/0050,
//! "Inputs are staged once".

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use serde::{Deserialize, Serialize};

/// Begins the reason why a root could not be made.
pub(super) const MOUNTING: &str = "mount an overlay at";

/// Folders of this machine that are shown as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overlay {
    /// Only read; the first hides the others.
    pub lower: Vec<PathBuf>,
    /// Receives what the command writes. The kernel needs an empty folder beside it.
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Where it is in the root.
    pub to: PathBuf,
}

impl Overlay {
    /// Whether the reason why a root could not be made is that one was refused.
    pub(crate) fn was_refused(why: &str) -> bool {
        why.starts_with(MOUNTING)
    }

    /// The same folders where `find` says they are.
    pub(super) fn moved(
        &self,
        find: &dyn Fn(&Path) -> Result<PathBuf, String>,
    ) -> Result<Self, String> {
        let lower = self.lower.iter().map(|folder| find(folder));
        Ok(Self {
            lower: lower.collect::<Result<_, _>>()?,
            upper: find(&self.upper)?,
            work: find(&self.work)?,
            to: self.to.clone(),
        })
    }

    /// Shows the folders at `at`.
    pub(super) fn mount(&self, at: &Path) -> rustix::io::Result<()> {
        let options = CString::new(self.options()).map_err(|_| Errno::INVAL)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("overlay", at, "overlay", flags, options.as_c_str())
    }

    /// `userxattr`: only that is allowed without rights over the machine. `volatile`:
    /// the upper folder is temporary, and otherwise the whole file system is flushed
    /// when the command ends.
    fn options(&self) -> Vec<u8> {
        let mut options = b"userxattr,volatile,lowerdir=".to_vec();
        for (index, folder) in self.lower.iter().enumerate() {
            if index > 0 {
                options.push(b':');
            }
            options.extend(escaped(folder));
        }
        for (name, folder) in [("upperdir", &self.upper), ("workdir", &self.work)] {
            options.extend(format!(",{name}=").bytes());
            options.extend(escaped(folder));
        }
        options
    }
}

/// A path in the options of a mount, where `,` and `:` separate.
fn escaped(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b',' | b':') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_paths_are_escaped() {
        let overlay = Overlay {
            lower: vec!["/a:b".into(), "/c".into()],
            upper: "/d,e".into(),
            work: "/f\\".into(),
            to: "/g".into(),
        };
        let options = String::from_utf8(overlay.options()).unwrap();
        let expected = r"userxattr,volatile,lowerdir=/a\:b:/c,upperdir=/d\,e,workdir=/f\\";
        assert_eq!(options, expected);
    }
}
