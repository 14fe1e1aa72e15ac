//! What the lookup of a tool looked at: as long as nothing of that has changed, another
//! lookup finds the same.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, lstat, stat};

use super::memory::SETTLED_AFTER;

/// The paths that a lookup looked at, each with what was there.
#[derive(Clone, Debug)]
pub(crate) struct Footprint(Vec<(PathBuf, There)>);

/// What is at a path: itself, and what it leads to if it is a link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct There {
    own: Option<State>,
    target: Option<State>,
}

/// Metadata of a file that change when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    of: [u64; 3],
    size: i64,
    /// In nanoseconds.
    modified: i64,
    changed: i64,
}

impl Footprint {
    /// What is at `paths`, which were looked at from the time `began` on. `None`: something
    /// changed shortly before that or since, so that it may not be what was looked at, or
    /// may change again without a trace.
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>, began: i64) -> Option<Self> {
        let paths = paths.into_iter().map(|path| {
            let there = There::at(&path);
            there.is_settled(began).then_some((path, there))
        });
        paths.collect::<Option<_>>().map(Self)
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        let mut paths = self.0.iter();
        paths.all(|(path, there)| There::at(path) == *there)
    }
}

impl There {
    fn at(path: &Path) -> Self {
        let own = lstat(path).ok();
        let is_link = |own: &Stat| FileType::from_raw_mode(own.st_mode) == FileType::Symlink;
        Self {
            own: own.as_ref().map(State::of),
            target: own
                .filter(is_link)
                .and_then(|_| stat(path).ok())
                .as_ref()
                .map(State::of),
        }
    }

    fn is_settled(&self, began: i64) -> bool {
        let mut states = [self.own, self.target].into_iter().flatten();
        states.all(|state| state.modified.max(state.changed) < began.saturating_sub(SETTLED_AFTER))
    }
}

impl State {
    fn of(found: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest| seconds.saturating_mul(1_000_000_000) + rest;
        Self {
            of: [found.st_dev, found.st_ino, found.st_mode.into()],
            size: found.st_size,
            modified: nanoseconds(found.st_mtime, found.st_mtime_nsec as i64),
            changed: nanoseconds(found.st_ctime, found.st_ctime_nsec as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::super::memory::now;
    use super::*;

    #[test]
    fn what_a_link_leads_to_and_what_is_absent_count() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        symlink("file", at("link")).unwrap();
        let paths = ["link", "absent"].map(at);
        // Those that were made just now.
        assert!(Footprint::of(paths.clone(), now()).is_none());
        // Those that were replaced while a long lookup went on.
        let long_ago = now() - 3_600_000_000_000;
        assert!(Footprint::of(paths.clone(), long_ago).is_none());
        let in_an_hour = now() + 3_600_000_000_000;
        assert!(Footprint::of(paths.clone(), in_an_hour).is_some());
        let print = || {
            Footprint(
                paths
                    .clone()
                    .map(|path| (path.clone(), There::at(&path)))
                    .into(),
            )
        };
        let before = print();
        assert!(before.is_unchanged());
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::open(at("file"))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        assert!(!before.is_unchanged());
        let before = print();
        fs::write(at("absent"), "").unwrap();
        assert!(!before.is_unchanged());
        let before = print();
        fs::remove_file(at("link")).unwrap();
        assert!(!before.is_unchanged());
    }
}
