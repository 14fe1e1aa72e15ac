//! Lists the files of a package in a folder.

use std::collections::BTreeMap;
use std::path::Path;

use super::PackageFile;
use super::members::{Member, Members};
use crate::layout::LayoutError;

/// Deepest folder of an unpacked package.
const MAX_DEPTH: usize = 32;

impl PackageFile {
    pub(super) fn list_folder(
        &self,
        folder: &Path,
    ) -> Result<BTreeMap<String, Member>, LayoutError> {
        let mut members = Members::default();
        self.list_below(folder, "", 0, &mut members)?;
        Ok(members.by_name)
    }

    fn list_below(
        &self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        members: &mut Members,
    ) -> Result<(), LayoutError> {
        if depth > MAX_DEPTH {
            let what = format!("folders are nested deeper than {MAX_DEPTH} levels");
            return Err(LayoutError::too_large(&self.path, what));
        }
        for entry in std::fs::read_dir(folder).map_err(|error| LayoutError::io(folder, error))? {
            let entry = entry.map_err(|error| LayoutError::io(folder, error))?;
            let path = entry.path();
            let io = |error| LayoutError::io(&path, error);
            let outside = |name: String| LayoutError::Unsafe {
                path: self.path.clone(),
                entry: name,
            };
            let name = match entry.file_name().into_string() {
                Ok(name) => format!("{prefix}{name}"),
                Err(name) => return Err(outside(name.to_string_lossy().into_owned())),
            };
            let kind = entry.file_type().map_err(io)?;
            if kind.is_dir() {
                self.list_below(&path, &format!("{name}/"), depth + 1, members)?;
            } else if kind.is_file() {
                let size = entry.metadata().map_err(io)?.len();
                self.enter(members, &name, Member { size, offset: 0 })?;
            } else {
                return Err(outside(name));
            }
        }
        Ok(())
    }
}
