//! `jackal` alone: what there is in a folder.

use std::path::{Path, PathBuf};

use super::find::{self, Files};
use crate::ground::source::workspace_root;
use crate::pipeline::WorkspaceSettings;

/// What could be built in a folder.
#[derive(Debug, Default)]
pub struct Overview {
    /// The root of the workspace, if the folder is in one.
    pub workspace: Option<PathBuf>,
    /// Pipeline files at and below the folder, relative to it.
    pub pipelines: Vec<PathBuf>,
    /// Definitions at and below the folder, relative to it.
    pub packages: Vec<PathBuf>,
}

/// Looks at and below `here`; outside of a workspace, which may be anywhere, only at
/// the folder itself.
#[must_use]
pub fn overview(here: &Path) -> Overview {
    let root = workspace_root(here);
    let files = match root {
        // A mistake in its settings is for the commands that follow them.
        Some(root) => find::settings(root, here)
            .or_else(|_| Ok(WorkspaceSettings::default()))
            .and_then(|settings| Files::below(root, &settings))
            .unwrap_or_default(),
        None => Files::in_folder(here),
    };
    let below = |paths: Vec<PathBuf>| {
        let paths = paths.into_iter();
        let below = paths.filter_map(|path| path.strip_prefix(here).ok().map(Path::to_owned));
        below.collect()
    };
    Overview {
        workspace: root.map(Path::to_owned),
        pipelines: below(files.pipelines),
        packages: below(files.definitions),
    }
}
