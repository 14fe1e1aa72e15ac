//! `jackal dev tools`: what tools resolve to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::build_error::BuildError;
use super::options::{Pins, Place, RunOptions};
use crate::cas::Cas;
use crate::ground::Failure;
use crate::ground::site::Site;
use crate::ground::tools::{Search, WELL_KNOWN};

/// What a tool resolves to.
#[derive(Clone, Debug)]
pub struct ResolvedTool {
    /// Its name in `tools`, with the version if one is given.
    pub name: String,
    /// The program that is started.
    pub path: PathBuf,
    /// Its part of the keys of tasks that use it.
    pub identity: String,
    /// The folders that it adds to `PATH`.
    pub folders: Vec<PathBuf>,
    /// Files and folders that it reads.
    pub readable: Vec<PathBuf>,
    /// Variables that it needs.
    pub env: BTreeMap<String, String>,
    /// How it was resolved, a line each.
    pub reasons: Vec<String>,
}

/// Resolves tools as for a command that starts where the user stands; without names,
/// the well-known ones that are installed.
///
/// # Errors
///
/// The cache cannot be opened. For each tool: it is not installed.
pub fn dev_tools(
    place: &Place,
    path: &[PathBuf],
    names: &[String],
) -> Result<Vec<Result<ResolvedTool, Failure>>, BuildError> {
    let cas = Arc::new(Cas::open(&place.cache)?);
    let site = Site::new(
        cas,
        place.connection.client()?,
        &place.workspace(),
        RunOptions::default().site_options(place, Pins::Read),
    );
    let search = Search {
        site: &site,
        path,
        env: &BTreeMap::new(),
        folder: &place.here,
        declared: &BTreeMap::new(),
    };
    let resolve = |name: &str| {
        let tool = search.find(name)?;
        Ok(ResolvedTool {
            name: name.to_owned(),
            path: tool.path.clone(),
            identity: tool.digest.to_string(),
            folders: tool
                .folders
                .iter()
                .map(|(_, folder)| folder.clone())
                .collect(),
            readable: tool.readable.clone(),
            env: tool.env.clone(),
            reasons: tool.reasons.clone(),
        })
    };
    let found = match names {
        [] => {
            let known = WELL_KNOWN.iter().map(|name| resolve(name));
            known.filter(Result::is_ok).collect()
        }
        names => names.iter().map(|name| resolve(name)).collect(),
    };
    // Losing digests costs reading the files again.
    let _ = site.save();
    Ok(found)
}
