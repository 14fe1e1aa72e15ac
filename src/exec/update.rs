//! Moves pins: asks again what references stand for.

use std::path::PathBuf;
use std::sync::Arc;

use super::executors;
use super::lockfile::ImagePin;
use super::plan::{PartKind, Plan, Work};
use super::site::Site;
use super::work::{chart_step, part_step, remote_chart};
use super::{Class, Failure};
use crate::package::{RepoUrl, Wanted};

/// One reference that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The reference.
    pub reference: String,
    /// For which platform; `chart` for a chart, `repo` for a repository.
    pub platform: String,
    /// The manifest, archive or commit it was pinned to.
    pub from: Option<String>,
    /// The manifest, archive or commit it is pinned to now.
    pub to: String,
}

/// Resolves every image and remote chart of `plan` (those in `names`, if there are any) and pins
/// what was found, once all of them have answered.
pub(crate) async fn update(
    site: &Arc<Site>,
    plan: &Plan,
    names: &[String],
) -> Result<Vec<Moved>, Failure> {
    let mut found = Vec::new();
    let mut charts = Vec::new();
    let mut repos = Vec::new();
    for step in plan.steps.values() {
        if let Work::Chart { folders, chart } = &step.work
            && !chart.url.is_empty()
            && chart_step::repository_of(chart)?.is_none()
        {
            let asked = remote_chart::asked(chart);
            if names.is_empty() || names.contains(&asked) {
                let pin = remote_chart::resolved(site, chart).await?;
                charts.push((&folders.own, asked, pin));
            }
        }
        if let Some((folder, url)) = repository(&step.work)? {
            let name = url.to_string();
            if names.is_empty() || names.contains(&name) {
                let pin = part_step::git(site)?.resolve(&url).await?;
                repos.push((folder, name, pin));
            }
        }
        let Work::Image {
            folder,
            reference,
            platform,
            ..
        } = &step.work
        else {
            continue;
        };
        let name = reference.to_string();
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let pin = executors::resolve(&site.registry, reference, platform).await?;
        let pin = ImagePin {
            index: pin.index,
            manifest: pin.manifest,
        };
        found.push((folder, name, platform.to_string(), pin));
    }
    for name in names {
        let image = found.iter().any(|(_, reference, _, _)| reference == name);
        let chart = charts.iter().any(|(_, asked, _)| asked == name);
        if !image && !chart && !repos.iter().any(|(_, url, _)| url == name) {
            let message = format!(
                "no package names the image `{name}`: give the full reference, \
                 as `jackal graph` shows it"
            );
            return Err(Failure::new(Class::Configuration, message));
        }
    }
    let mut moved = Vec::new();
    for (folder, reference, platform, pin) in found {
        let to = pin.manifest.digest.to_string();
        let before = site.pins(folder, |lock| lock.pin_image(&reference, &platform, pin))?;
        moved.push(Moved {
            reference,
            platform,
            from: before.map(|pin| pin.manifest.digest.to_string()),
            to,
        });
    }
    for (folder, asked, pin) in charts {
        let to = pin.digest.to_string();
        let before = site.pins(folder, |lock| lock.pin_chart(&asked, pin))?;
        moved.push(Moved {
            reference: asked,
            platform: "chart".to_owned(),
            from: before.map(|pin| pin.digest.to_string()),
            to,
        });
    }
    for (folder, url, pin) in repos {
        let from = site.pins(folder, |lock| {
            let before = lock.repository(&url).map(str::to_owned);
            lock.pin_repository(&url, &pin);
            before
        })?;
        moved.push(Moved {
            reference: url,
            platform: "repo".to_owned(),
            from,
            to: pin,
        });
    }
    Ok(moved)
}

/// The repository that a step clones and pins, itself or for a chart in it; a
/// URL with a commit needs no pin.
fn repository(work: &Work) -> Result<Option<(&PathBuf, RepoUrl)>, Failure> {
    let found = match work {
        Work::Part(work) => match &work.kind {
            PartKind::Repository(url) => Some((&work.folders.own, url.clone())),
            _ => None,
        },
        Work::Chart { folders, chart } => {
            chart_step::repository_of(chart)?.map(|url| (&folders.own, url))
        }
        _ => None,
    };
    Ok(found.filter(|(_, url)| !matches!(url.wanted, Wanted::Commit(_))))
}
