//! The plan of some files of a workspace whose plan was made before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Loader, Planned};
use crate::app::build_error::BuildError;
use crate::app::build_options::BuildOptions;
use crate::app::compose::Composer;
use crate::app::find::{self, Files};
use crate::app::plans::{output_folder, plan_options};
use crate::plan::{Chosen, Named, Outputs, Selection};

/// The steps of these pipeline files and definitions; `outputs` are those of all tasks of
/// the workspace. The caller knows what the steps must be.
pub(in crate::app) fn plan_part(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    root: &Path,
    files: &BTreeSet<&PathBuf>,
    outputs: Outputs,
) -> Result<Planned, BuildError> {
    let settings = find::settings(root, &options.place.here)?;
    let chosen = plan_options(options, &output_folder(options, root, &settings));
    let mut loader = Loader {
        options,
        root,
        git_names: settings.git_names(),
        settings,
        pipelines: Vec::new(),
        alone: None,
        files: Files::named(files.iter().map(|file| (*file).clone())),
    };
    let found = loader.files.pipelines.clone();
    loader.read_all(&found);
    let mut graph = loader.expanded(&chosen)?;
    graph.outputs = Some(outputs);
    let named = files.iter().map(|file| Named {
        word: String::new(),
        chosen: Chosen::File((*file).clone()),
        needs: false,
    });
    let selection = Selection {
        chosen: named.collect(),
        left_out: Vec::new(),
    };
    graph.collect(composer, &selection)?;
    graph.plan(&selection)
}
