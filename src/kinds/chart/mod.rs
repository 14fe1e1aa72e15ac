//! `chart`: the archive of a Helm chart, packaged from a folder or a Git
//! repository, or fetched from where charts are published.

pub(crate) mod package;
pub(crate) mod remote;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use package::{chart_files, package_chart};
use remote::ChartQuestion;

use crate::action::{Action, Input, InputKind, Output};
use crate::cas::Cas;
use crate::ground::checkout::inputs;
use crate::ground::folders::{Folders, Found};
use crate::ground::site::{Made, Site};
use crate::ground::source::{inside, outside};
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Context, Kind, Prepared, clone};
use crate::package::{Chart, RepoUrl};
use crate::workspace::{Entry, Kind as Sort, Stat};

/// Version of what is written; raised when its bytes change.
const CHART_FORMAT: u32 = 1;

/// A chart of a component.
#[derive(Clone, Debug)]
pub struct ChartWork {
    /// Where the package's sources are; the lock file is in its own folder.
    pub folders: Folders,
    /// As the component lists it.
    pub chart: Chart,
}

/// Where a chart comes from.
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

    /// The chart's folder, which is in the package's or an imported one.
    fn local(&self) -> Result<(Found<'_>, PathBuf), Failure> {
        let found = self.folders.inside(&self.chart.local_path)?;
        let full = found.root.join(found.below);
        let real = |path: &Path| {
            std::fs::canonicalize(path).map_err(|error| {
                let shown = path.display();
                let message = format!("`{shown}`: {error}: correct `localPath`, or create it");
                Failure::new(Class::Configuration, message)
            })
        };
        if !real(&full)?.starts_with(real(found.root)?) {
            return Err(outside(&self.chart.local_path).into());
        }
        Ok((found, full))
    }

    fn local_action(&self, site: &Site) -> Result<Action, Failure> {
        let (found, root) = self.local()?;
        let mut action = Action::new("chart", CHART_FORMAT);
        let mut entries = Vec::new();
        for path in chart_files(&root, &self.chart.local_path)? {
            // As Helm reads them: through links, whatever their mode.
            let metadata = std::fs::metadata(root.join(&path))?;
            entries.push(Entry {
                path,
                kind: Sort::File { executable: false },
                stat: Stat::of(&metadata),
            });
        }
        let named = inputs(site, &root, &entries)?.into_iter();
        let below = found.below.trim_end_matches('/');
        action.inputs.extend(named.map(|input| Input {
            path: found.named(&format!("{below}/{}", input.path)),
            ..input
        }));
        Ok(action)
    }
}

impl Kind for ChartWork {
    fn verb(&self) -> &'static str {
        "chart"
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
        let mut action = Action::new("chart", CHART_FORMAT);
        match self.origin()? {
            Origin::Repository(url) => {
                let pin = clone::commit(cx.site, &self.folders.own, &url).await?;
                action.settings = vec![
                    ("repository".to_owned(), url.address),
                    ("pin".to_owned(), pin),
                    ("gitPath".to_owned(), self.chart.git_path.clone()),
                ];
            }
            Origin::Published(question) => {
                let pin = answer(cx.site, &self.folders.own, &*question).await?;
                action.inputs.push(Input {
                    path: pin.url,
                    kind: InputKind::Blob { digest: pin.digest },
                });
            }
            Origin::Folder => {
                let (site, own) = (Arc::clone(cx.site), self.clone());
                action = blocking(move || own.local_action(&site)).await?;
            }
        }
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let (site, own) = (cx.site, self.clone());
        let cas = Arc::clone(&site.cas);
        match self.origin()? {
            Origin::Repository(url) => {
                let pin = clone::commit(site, &self.folders.own, &url).await?;
                let stage = site.stage().await?;
                let git = clone::git(site)?;
                git.check_out(&url, &pin, stage.path()).await?;
                blocking(move || {
                    let path = &own.chart.git_path;
                    let below = path.trim_start_matches("./").trim_matches('/');
                    let root = if below.is_empty() {
                        // What Git keeps for itself is no part of a chart.
                        std::fs::remove_dir_all(stage.path().join(".git"))?;
                        stage.path().to_owned()
                    } else {
                        inside(below).map_err(|_| outside(path))?;
                        stage.path().join(below)
                    };
                    packaged(&cas, &root, path)
                })
                .await
            }
            Origin::Published(question) => {
                let pin = answer(site, &self.folders.own, &*question).await?;
                let output = remote::fetched(site, &question.0, &pin).await?;
                Ok(vec![output].into())
            }
            Origin::Folder => {
                blocking(move || {
                    let (_, root) = own.local()?;
                    packaged(&cas, &root, &own.chart.local_path)
                })
                .await
            }
        }
    }

    fn rechecked(&self) -> bool {
        true
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        match self.origin() {
            Ok(Origin::Repository(url)) => clone::material(&url, action),
            Ok(Origin::Published(_)) => {
                let archives = action.inputs.iter().filter_map(|input| match input.kind {
                    InputKind::Blob { digest } => Some(Material::File {
                        url: input.path.clone(),
                        digest,
                    }),
                    _ => None,
                });
                archives.collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The Git repository that a chart is in, if it is in one.
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
        Err(error) => Err(Failure::new(Class::Configuration, error)),
    }
}

fn packaged(cas: &Cas, root: &Path, named: &str) -> Result<Made, Failure> {
    let ingest = package_chart(root, named, cas.ingest()?)?;
    let (digest, size) = ingest.commit()?;
    let name = "chart.tgz".to_owned();
    Ok(vec![Output { name, digest, size }].into())
}
