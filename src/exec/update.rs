//! Moves pins: asks again what references stand for.

use std::sync::Arc;

use super::executors;
use super::lockfile::ImagePin;
use super::plan::{Plan, Work};
use super::site::Site;
use super::work::{chart_step, remote_chart};
use super::{Class, Failure};
use crate::oci::Digest;

/// One reference that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The reference.
    pub reference: String,
    /// For which platform; `chart` for a chart.
    pub platform: String,
    /// The manifest or archive it was pinned to.
    pub from: Option<Digest>,
    /// The manifest or archive it is pinned to now.
    pub to: Digest,
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
        if !image && !charts.iter().any(|(_, asked, _)| asked == name) {
            let message = format!(
                "no package names the image `{name}`: give the full reference, \
                 as `jackal graph` shows it"
            );
            return Err(Failure::new(Class::Configuration, message));
        }
    }
    let mut moved = Vec::new();
    for (folder, reference, platform, pin) in found {
        let to = pin.manifest.digest;
        let before = site.pins(folder, |lock| lock.pin_image(&reference, &platform, pin))?;
        moved.push(Moved {
            reference,
            platform,
            from: before.map(|pin| pin.manifest.digest),
            to,
        });
    }
    for (folder, asked, pin) in charts {
        let to = pin.digest;
        let before = site.pins(folder, |lock| lock.pin_chart(&asked, pin))?;
        moved.push(Moved {
            reference: asked,
            platform: "chart".to_owned(),
            from: before.map(|pin| pin.digest),
            to,
        });
    }
    Ok(moved)
}
