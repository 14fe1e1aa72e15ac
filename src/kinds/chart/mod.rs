//! `chart`: the archive of a Helm chart, packaged from a folder or a Git repository, or
//! downloaded from a chart repository or registry.

mod archive;
mod dependencies;
pub(crate) mod package;
pub(crate) mod remote;

use std::sync::Arc;

pub(crate) use dependencies::version_of;
use dependencies::{ChartPart, parts_of};
use package::{check_archive, package_chart};
use remote::ChartQuestion;

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::Cas;
use crate::ground::folders::{Folders, Found};
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::{
    LeftOut, LocalSourceError, OwnFiles, bound, inside, listed_in, located, outside,
};
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::component::write::is_archive;
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Bench, Context, Kind, Prepared, clone, inputs_over};
use crate::oci::Descriptor;
use crate::package::{Chart, RepoUrl};
use crate::workspace::Links;

/// The action that packages a chart from its files.
pub(crate) const ACTION: &str = "chart";

fields! {
    struct ChartSettings {
        /// The chart's folder among the inputs.
        folder: String = "folder",
    }
}

/// Version of the output format; incremented when its bytes change.
const CHART_FORMAT: u32 = 2;

/// The same of charts in Git repositories.
const REPOSITORY_FORMAT: u32 = 2;

/// A chart of a component.
#[derive(Clone, Debug)]
pub struct ChartWork {
    /// The folders of the package's sources; the lock file is in its own folder.
    pub folders: Folders,
    /// The chart in the component.
    pub chart: Chart,
}

/// The source of a chart.
enum Origin {
    Folder,
    Repository(RepoUrl),
    Published(Box<ChartQuestion>),
}

impl ChartWork {
    fn origin(&self) -> Result<Origin, Failure> {
        let chart = &self.chart;
        Ok(match repository_of(chart)? {
            Some(url) => Origin::Repository(url),
            None if chart.url.is_empty() => Origin::Folder,
            None => Origin::Published(Box::new(ChartQuestion(chart.clone()))),
        })
    }

    fn local_inputs(&self, site: &Site, mut inputs: Inputs) -> Result<Inputs, Failure> {
        let (folders, own) = (&self.folders, site.own_files());
        let (found, parts) = local_parts(folders, &self.chart.local_path, &own)?;
        for part in parts {
            inputs.entries(site, &part.folder, &part.entries, |path| {
                let below = part.named(path);
                found.named(&format!("{}/{below}", found.below.trim_end_matches('/')))
            })?;
        }
        Ok(inputs)
    }
}

/// The files of the chart in the folder `local_path`, and of those it depends on.
fn local_parts<'f>(
    folders: &'f Folders,
    local_path: &'f str,
    own: &OwnFiles,
) -> Result<(Found<'f>, Vec<ChartPart>), Failure> {
    let found = folders.find(local_path);
    let bound = bound(found.root, &own.cache)?;
    let root = located(found.root, &bound, found.below).map_err(|error| match error {
        LocalSourceError::Io { path, source } => {
            let path = path.display();
            let message = format!("`{path}`: {source}; correct `localPath`, or create the chart");
            Failure::new(Class::Configuration, message)
        }
        LocalSourceError::Absent(_) => {
            let message =
                format!("`{local_path}` does not exist: correct `localPath`, or create the chart");
            Failure::new(Class::Configuration, message)
        }
        LocalSourceError::LeadsOut { bound, .. } => {
            let path = local_path.to_owned();
            LocalSourceError::LeadsOut { path, bound }.into()
        }
        other => other.into(),
    })?;
    let left_out = LeftOut::new(own, folders);
    Ok((found, parts_of(&root, &bound, local_path, Some(&left_out))?))
}

/// Packages the chart in the folder `local_path` and discards the result, or checks
/// the archive of one.
///
/// # Errors
///
/// Why it cannot be packaged.
pub(crate) fn try_local(
    cas: &Arc<Cas>,
    folders: &Folders,
    local_path: &str,
    own: &OwnFiles,
) -> Result<(), Failure> {
    let mut inputs = Inputs::new(cas);
    if is_archive(local_path) {
        let (found, entries) = listed_in(folders, local_path, Links::Packed, own)?;
        inputs.add_from_disk(found.root, &entries, |path| found.named(path))?;
        return Ok(check_archive(&inputs, local_path)?);
    }
    let (_, parts) = local_parts(folders, local_path, own)?;
    for part in parts {
        inputs.add_from_disk(&part.folder, &part.entries, |path| part.named(path))?;
    }
    package_chart(&inputs, ".", local_path, std::io::sink())?;
    Ok(())
}

impl Kind for ChartWork {
    fn verb(&self) -> &'static str {
        "chart"
    }

    fn reads(&self, own: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        if matches!(self.origin(), Ok(Origin::Folder)) {
            reads.add_source(&self.folders, &self.chart.local_path);
            // Those that it depends on; a chart that is gone depends on nothing.
            let parts = local_parts(&self.folders, &self.chart.local_path, own);
            for part in parts.map_or_else(|_| Vec::new(), |(_, parts)| parts) {
                reads.add_place(&part.folder);
            }
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let folder = &self.folders.own;
        Ok(match self.origin()? {
            Origin::Folder => Vec::new(),
            Origin::Repository(url) => clone::pin(folder, &url),
            Origin::Published(question) => vec![Pin::of(folder, *question)],
        })
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut inputs = inputs_over(cx, &self.folders.made)?;
        let mut action = Action::new(ACTION, CHART_FORMAT);
        let mut manifest = None;
        match self.origin()? {
            Origin::Repository(url) => {
                let pin = clone::commit(cx.site, &self.folders.own, &url).await?;
                action = Action::new("chart-of-repository", REPOSITORY_FORMAT);
                action.settings.put("repository", url.public_address());
                action.settings.put(clone::PIN, pin);
                action.settings.put("gitPath", &self.chart.git_path);
            }
            Origin::Published(question) => {
                let pin = answer(cx.site, &self.folders.own, &*question).await?;
                action = Action::new("published-chart", CHART_FORMAT);
                // The archive is refused if it is another chart.
                action.settings.put("name", question.chart_name());
                action.settings.put("version", &pin.version);
                inputs.blob(&pin.url, pin.digest, pin.size)?;
                manifest = pin.manifest;
            }
            Origin::Folder => {
                let (site, own) = (Arc::clone(cx.site), self.clone());
                inputs = blocking(move || own.local_inputs(&site, inputs)).await?;
                let folder = self.chart.local_path.trim_end_matches('/').to_owned();
                ChartSettings { folder }.write("", &mut action.settings);
            }
        }
        Ok(Prepared {
            manifest,
            ..Prepared::of(action, inputs)
        })
    }

    /// The manifest of a chart in a registry is not that of an image.
    fn manifest(&self, _: &Prepared, _: &[Output]) -> Option<Descriptor> {
        None
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let (site, own) = (cx.site, self.clone());
        match self.origin()? {
            Origin::Repository(url) => {
                let pin = clone::pinned(prepared)?;
                let stage = site.stage().await?;
                let git = clone::git(site)?;
                git.check_out(&url, pin, stage.path()).await?;
                let pointers = clone::pointers(site, &url, stage.path()).await?;
                let cas = Arc::clone(&site.cas);
                blocking(move || {
                    let path = &own.chart.git_path;
                    let below = path.trim_start_matches("./").trim_matches('/');
                    let root = if below.is_empty() {
                        // Git's own files are not part of a chart.
                        std::fs::remove_dir_all(stage.path().join(".git"))?;
                        stage.path().to_owned()
                    } else {
                        inside(below).map_err(|_| outside(path))?;
                        stage.path().join(below)
                    };
                    let bound = std::fs::canonicalize(stage.path())?;
                    let mut inputs = Inputs::new(&cas);
                    for part in parts_of(&root, &bound, path, None)? {
                        let named = |path: &str| part.named(path);
                        inputs.add_from_disk(&part.folder, &part.entries, named)?;
                    }
                    let mut made = packaged(&cas, &inputs, ".", path)?;
                    made.outputs.extend(pointers);
                    Ok(made)
                })
                .await
            }
            Origin::Published(question) => {
                let output = remote::fetched(site, &question.0, prepared).await?;
                let pin = answer(cx.site, &self.folders.own, &*question).await?;
                let (cas, digest) = (Arc::clone(&site.cas), output.digest);
                blocking(move || {
                    let archive = cas.open_blob(&digest)?;
                    question.is_answered_by(&pin, archive::metadata(archive))
                })
                .await?;
                Ok(vec![output].into())
            }
            Origin::Folder => make(&prepared.action, &prepared.inputs, &Bench::of(site)).await,
        }
    }

    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        match self.origin() {
            Ok(Origin::Repository(url)) => clone::pointer_warnings(site, &url, outputs),
            _ => Vec::new(),
        }
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        match self.origin() {
            Ok(Origin::Repository(url)) => clone::material(&url, action),
            Ok(Origin::Published(_)) => {
                let archives = action.inputs.blobs().map(|(url, file)| Material::File {
                    url,
                    digest: file.digest,
                });
                archives.collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The Git repository of a chart, if any.
fn repository_of(chart: &Chart) -> Result<Option<RepoUrl>, Failure> {
    let ends = |text: &str| text.ends_with(".git");
    let bare = chart.url.rsplit_once('@').map(|(bare, _)| bare);
    let referenced = bare.is_some_and(ends);
    if !ends(&chart.url) && !referenced {
        return Ok(None);
    }
    let written = if referenced || chart.version.is_empty() {
        chart.url.clone()
    } else {
        format!("{}@{}", chart.url, chart.version)
    };
    match RepoUrl::parse(&written) {
        Ok(url) => Ok(Some(url)),
        Err(error) => Err(Failure::caused_by(Class::Configuration, &error)),
    }
}

/// Packages a chart using only the inputs.
pub(crate) async fn make(action: &Action, inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let ChartSettings { folder } = ChartSettings::read("", &action.settings)?;
    let (cas, inputs) = (Arc::clone(&bench.cas), inputs.clone());
    blocking(move || packaged(&cas, &inputs, &folder, &folder)).await
}

fn packaged(cas: &Cas, inputs: &Inputs, folder: &str, shown: &str) -> Result<Made, Failure> {
    let ingest = package_chart(inputs, folder, shown, cas.ingest()?)?;
    Ok(vec![ingest.output(remote::CHART)?].into())
}
