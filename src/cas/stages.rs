//! The working folders of a store: made, given back, and used again.

use std::time::Instant;

use super::stage::Stage;
use super::store::{Cas, CasError, locked};

impl Cas {
    /// Makes a working folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn stage(&self) -> Result<Stage, CasError> {
        self.stage_with(&[])
    }

    /// A working folder with the empty folders `parts`, which are always the same: one
    /// that was given back, or a new one.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn stage_with(&self, parts: &[&'static str]) -> Result<Stage, CasError> {
        if !parts.is_empty()
            && let Some(mut stage) = locked(&self.stages).pop()
        {
            stage.lent = Instant::now();
            return Ok(stage);
        }
        Ok(Stage::make(self.temp_path()?, parts)?)
    }

    /// Empties a stage with parts, and keeps it for the next command of this process. All
    /// processes that could write to it have ended. A stage that is not as it was when
    /// it was new is removed.
    pub fn give_back(&self, mut stage: Stage) {
        if stage.renew().is_ok() {
            locked(&self.stages).push(stage);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_stage_is_removed_with_the_read_only_folders_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let stage = cas.stage().unwrap();
        let folder = stage.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("f"), "x").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        let path = stage.path().to_owned();
        drop(stage);
        assert!(!path.exists());
    }

    /// A stage that was given back after `change`, if it is used again.
    fn used_again(change: impl FnOnce(&Path)) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let stage = cas.stage_with(&["a", "b"]).unwrap();
        let path = stage.path().to_owned();
        change(&path);
        cas.give_back(stage);
        let next = cas.stage_with(&["a", "b"]).unwrap();
        for part in ["a", "b"] {
            assert_eq!(fs::read_dir(next.path().join(part)).unwrap().count(), 0);
        }
        assert_eq!(fs::read_dir(next.path()).unwrap().count(), 2);
        let again = next.path() == path;
        assert_eq!(path.exists(), again);
        again
    }

    #[test]
    fn a_stage_is_used_again_once_it_is_empty() {
        assert!(used_again(|_| ()));
        assert!(used_again(|stage| {
            let folder = stage.join("a/c/d");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("f"), "x").unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        }));
    }

    #[test]
    fn a_stage_on_which_a_command_left_a_trace_is_not_used_again() {
        assert!(!used_again(|stage| {
            fs::set_permissions(stage.join("a"), fs::Permissions::from_mode(0o777)).unwrap();
        }));
        assert!(!used_again(|stage| {
            fs::set_permissions(stage.join("a"), fs::Permissions::from_mode(0o1755)).unwrap();
        }));
        assert!(!used_again(|stage| fs::write(stage.join("c"), "").unwrap()));
        assert!(!used_again(|stage| {
            fs::remove_dir(stage.join("b")).unwrap();
            fs::create_dir(stage.join("b")).unwrap();
            fs::write(stage.join("a/f"), "").unwrap();
            fs::remove_dir_all(stage.join("a")).unwrap();
            std::os::unix::fs::symlink("b", stage.join("a")).unwrap();
        }));
        let flags = rustix::fs::XattrFlags::empty();
        let has_attributes =
            |path: &Path| rustix::fs::setxattr(path, "user.x", b"y", flags).is_ok();
        let dir = tempfile::tempdir().unwrap();
        if has_attributes(dir.path()) {
            assert!(!used_again(|stage| assert!(has_attributes(
                &stage.join("b")
            ))));
        }
        let times = |stage: &Path| fs::metadata(stage.join("a")).unwrap().modified().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        let stage = cas.stage_with(&["a"]).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(stage.path().join("a"))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        cas.give_back(stage);
        assert!(times(cas.stage_with(&["a"]).unwrap().path()) > long_ago);
    }

    #[test]
    fn files_of_a_killed_process_are_reaped_when_the_store_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join("v1/ingest/.jackal-tmp-dead");
        fs::create_dir_all(dead.join("0/closed/below")).unwrap();
        fs::write(dead.join("alive"), b"").unwrap();
        let closed = fs::Permissions::from_mode(0o500);
        fs::set_permissions(dead.join("0/closed"), closed).unwrap();
        let _cas = Cas::open(dir.path()).unwrap();
        assert!(!dead.exists());
    }
}
