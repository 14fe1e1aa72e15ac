//! `jackal dev tools`: what tools resolve to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::find::{is_pipeline, read_text};
use super::options::{Pins, Place, RunOptions};
use crate::cas::Cas;
use crate::ground::Failure;
use crate::ground::site::Site;
use crate::ground::tools::{Declared, Search, WELL_KNOWN};
use crate::kinds::run::toolchains_in;
use crate::yaml::SourceText;
use crate::{disk, pipeline};

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
/// the well-known ones that are installed, and the `toolchains` of the pipeline `file`, or
/// else of the pipelines in the user's folder.
///
/// # Errors
///
/// The cache cannot be opened, or a pipeline cannot be read. For each tool: it is not
/// installed.
pub fn dev_tools(
    place: &Place,
    path: &[PathBuf],
    names: &[String],
    file: Option<&Path>,
) -> Result<Vec<Result<ResolvedTool, Failure>>, BuildError> {
    let cas = Arc::new(Cas::open(&place.cache)?);
    let site = Site::new(
        cas,
        place.connection.client()?,
        &place.workspace(),
        RunOptions::default().site_options(place, Pins::Read),
    );
    let declared = toolchains(place, file)?;
    let search = Search {
        site: &site,
        path,
        env: &BTreeMap::new(),
        folder: &place.here,
        declared: &declared,
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
            let known = WELL_KNOWN
                .iter()
                .filter(|name| !declared.contains_key(**name));
            let known = known.map(|name| resolve(name)).filter(Result::is_ok);
            known
                .chain(declared.keys().map(|name| resolve(name)))
                .collect()
        }
        names => names.iter().map(|name| resolve(name)).collect(),
    };
    // Losing digests costs reading the files again.
    let _ = site.save();
    Ok(found)
}

/// The toolchains of pipelines. Of two with one name, the first counts.
fn toolchains(
    place: &Place,
    file: Option<&Path>,
) -> Result<BTreeMap<String, Declared>, BuildError> {
    let files = match file {
        Some(file) => vec![place.here.join(file)],
        None => pipelines(&place.here),
    };
    let home = place.environment.get("HOME").map_or("", String::as_str);
    let mut found = BTreeMap::new();
    for file in files {
        let text = SourceText::new(file.to_string_lossy(), read_text(&file)?);
        let pipeline = pipeline::parse(&text)?;
        let full = std::fs::canonicalize(&file).map_err(disk::at(&file))?;
        let folder = full.parent().unwrap_or(Path::new("/"));
        for (name, toolchain) in toolchains_in(&pipeline.toolchains, folder, home) {
            found.entry(name).or_insert(toolchain);
        }
    }
    Ok(found)
}

/// The pipeline files in `folder`, by name.
fn pipelines(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_yaml = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml"))
    };
    let mut found: Vec<PathBuf> = paths
        .filter(is_yaml)
        .filter(|path| is_pipeline(path))
        .collect();
    found.sort_unstable();
    found
}
