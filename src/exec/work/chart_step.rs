//! `chart` steps: which files decide a chart's archive, and the making of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{inputs, part_step, remote_chart};
use crate::action::{Action, Input, InputKind, Output};
use crate::cas::Cas;
use crate::exec::executors;
use crate::exec::folders::{Folders, Found};
use crate::exec::site::{Made, Site, blocking};
use crate::exec::{Class, Failure};
use crate::package::{Chart, RepoUrl};
use crate::workspace::{Entry, Kind, Stat};

/// Version of what is written; raised when its bytes change.
const CHART_FORMAT: u32 = 1;

/// Names the archive of a chart.
pub(super) async fn action(
    site: &Arc<Site>,
    folders: &Folders,
    chart: &Chart,
) -> Result<Action, Failure> {
    if let Some(url) = repository_of(chart)? {
        let mut action = Action::new("chart", CHART_FORMAT);
        let pin = part_step::pinned(site, &folders.own, &url).await?;
        action.settings = vec![
            ("repository".to_owned(), url.address.clone()),
            ("pin".to_owned(), pin),
            ("gitPath".to_owned(), chart.git_path.clone()),
        ];
        return Ok(action);
    }
    if !chart.url.is_empty() {
        let pin = remote_chart::pinned(site, &folders.own, chart).await?;
        let mut action = Action::new("chart", CHART_FORMAT);
        action.inputs.push(Input {
            path: pin.url,
            kind: InputKind::Blob { digest: pin.digest },
        });
        return Ok(action);
    }
    let (site, folders, chart) = (Arc::clone(site), folders.clone(), chart.clone());
    blocking(move || {
        let (found, root) = local(&folders, &chart)?;
        let mut action = Action::new("chart", CHART_FORMAT);
        let mut entries = Vec::new();
        for path in executors::chart_files(&root, &chart.local_path)? {
            // As Helm reads them: through links, whatever their mode.
            let metadata = std::fs::metadata(root.join(&path))?;
            entries.push(Entry {
                path,
                kind: Kind::File { executable: false },
                stat: Stat::of(&metadata),
            });
        }
        let named = inputs(&site, &root, &entries)?.into_iter();
        let below = found.below.trim_end_matches('/');
        action.inputs.extend(named.map(|input| Input {
            path: found.named(&format!("{below}/{}", input.path)),
            ..input
        }));
        Ok(action)
    })
    .await
}

/// The Git repository that a chart is in, if it is in one.
pub(in crate::exec) fn repository_of(chart: &Chart) -> Result<Option<RepoUrl>, Failure> {
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
        Err(error) => Err(Failure::new(Class::Configuration, error)),
    }
}

/// The chart's folder, which is in the package's or an imported one.
fn local<'f>(folders: &'f Folders, chart: &'f Chart) -> Result<(Found<'f>, PathBuf), Failure> {
    let found = folders.find(&chart.local_path);
    executors::inside(found.below).map_err(|_| executors::outside(&chart.local_path))?;
    let full = found.root.join(found.below);
    let real = |path: &std::path::Path| {
        std::fs::canonicalize(path).map_err(|error| {
            let shown = path.display();
            let message = format!("`{shown}`: {error}: correct `localPath`, or create it");
            Failure::new(Class::Configuration, message)
        })
    };
    if !real(&full)?.starts_with(real(found.root)?) {
        return Err(executors::outside(&chart.local_path).into());
    }
    Ok((found, full))
}

/// Makes the archive.
pub(super) async fn make(
    site: &Arc<Site>,
    folders: &Folders,
    chart: &Chart,
) -> Result<Made, Failure> {
    let (cas, folders, chart) = (Arc::clone(&site.cas), folders.clone(), chart.clone());
    if let Some(url) = repository_of(&chart)? {
        let pin = part_step::pinned(site, &folders.own, &url).await?;
        let stage = part_step::staged(site).await?;
        let git = part_step::git(site)?;
        git.check_out(&url, &pin, stage.path()).await?;
        return blocking(move || {
            let below = chart.git_path.trim_start_matches("./").trim_matches('/');
            let root = if below.is_empty() {
                // What Git keeps of itself is no part of a chart.
                std::fs::remove_dir_all(stage.path().join(".git"))?;
                stage.path().to_owned()
            } else {
                executors::inside(below).map_err(|_| executors::outside(&chart.git_path))?;
                stage.path().join(below)
            };
            packaged(&cas, &root, &chart.git_path)
        })
        .await;
    }
    if !chart.url.is_empty() {
        let pin = remote_chart::pinned(site, &folders.own, &chart).await?;
        let output = remote_chart::fetched(site, &chart, &pin).await?;
        return Ok(vec![output].into());
    }
    blocking(move || {
        let (_, root) = local(&folders, &chart)?;
        packaged(&cas, &root, &chart.local_path)
    })
    .await
}

fn packaged(cas: &Cas, root: &Path, named: &str) -> Result<Made, Failure> {
    let ingest = executors::package_chart(root, named, cas.ingest()?)?;
    let (digest, size) = ingest.commit()?;
    let name = "chart.tgz".to_owned();
    Ok(vec![Output { name, digest, size }].into())
}
