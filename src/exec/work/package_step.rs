//! `package` steps: what a package is put together from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Results, blob, of};
use crate::action::{Action, Input, InputKind, Output};
use crate::exec::Failure;
use crate::exec::executors::{self, BuildData, Part};
use crate::exec::plan::PackageWork;
use crate::exec::site::{Made, Site, blocking, computing};

/// Versions of what is written; raised when its bytes change.
const PACKAGE_FORMAT: u32 = 1;
const FRAMES_FORMAT: u32 = 1;

pub(super) fn action(work: &PackageWork, results: &Results) -> Result<Action, Failure> {
    let mut action = Action::new("package", PACKAGE_FORMAT);
    let set = |key: &str, value: String| (key.to_owned(), value);
    action.settings = vec![
        set("jackal", env!("CARGO_PKG_VERSION").to_owned()),
        set("definition", work.definition.to_yaml()),
        set("timestamp", work.build.timestamp.to_string()),
        set("terminal", format!("{:?}", work.build.terminal)),
        set("user", format!("{:?}", work.build.user)),
    ];
    if !work.framed {
        // Without the frames that an archive wants.
        action.settings.push(set("archive", "none".to_owned()));
    }
    let build = &work.definition.build;
    if build.differential {
        // Said of its own, for provenance.
        let name = &work.definition.metadata.name;
        let base = format!("{name}:{}", build.differential_package_version);
        action.settings.push(set("base", base));
        let checksum = build.differential_package_checksum.clone();
        action.settings.push(set("baseChecksum", checksum));
    }
    let parts = work.components.iter().chain(&work.sboms);
    for (name, step) in parts {
        for output in &of(results, step)?.outputs {
            action.inputs.push(Input {
                path: format!("{step} as {name}"),
                kind: InputKind::Blob {
                    digest: output.digest,
                },
            });
        }
    }
    if let Some(step) = &work.images {
        for output in &of(results, step)?.outputs {
            action.inputs.push(blob(step, output));
        }
    }
    Ok(action)
}

/// Outputs of a package step that are compressed frames of a member, not members.
const FRAMES: &str = "frames:";

pub(super) async fn make(
    site: &Arc<Site>,
    work: &PackageWork,
    results: &Results,
) -> Result<Made, Failure> {
    let mut parts = Vec::new();
    for (name, step) in &work.components {
        for output in &of(results, step)?.outputs {
            parts.push(Part {
                path: format!("components/{name}.tar"),
                digest: output.digest,
                size: output.size,
            });
        }
    }
    if let Some(step) = &work.images {
        for output in &of(results, step)?.outputs {
            parts.push(Part {
                path: output.name.clone(),
                digest: output.digest,
                size: output.size,
            });
        }
    }
    let mut documents = Vec::new();
    for (file, step) in &work.sboms {
        for output in &of(results, step)?.outputs {
            documents.push((file.clone(), output.clone()));
        }
    }
    let cas = Arc::clone(&site.cas);
    let build = BuildData {
        timestamp: work.build.timestamp,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: work.definition.metadata.architecture.clone(),
        terminal: work.build.terminal.clone(),
        user: work.build.user.clone(),
    };
    let definition = work.definition.clone();
    let scanned = !work.sboms.is_empty();
    let members = blocking(move || {
        if scanned {
            let tar = executors::sboms_tar(&cas, &documents)?;
            parts.push(Part {
                path: "sboms.tar".into(),
                digest: tar.digest,
                size: tar.size,
            });
        }
        Ok(executors::package(&cas, definition, parts, &build)?)
    })
    .await?;
    let mut outputs = members.clone();
    if work.framed && !work.definition.metadata.uncompressed {
        for member in &members {
            outputs.extend(frames(site, member).await?);
        }
    }
    Ok(outputs.into())
}

pub(super) async fn frames(site: &Arc<Site>, member: &Output) -> Result<Option<Output>, Failure> {
    let mut action = Action::new("compress", FRAMES_FORMAT);
    // Whether a member is worth compressing is decided by its path.
    let layer = member.name.starts_with("images/blobs/");
    action.settings.push(("layer".into(), layer.to_string()));
    action.inputs.push(Input {
        path: "member".into(),
        kind: InputKind::Blob {
            digest: member.digest,
        },
    });
    if layer {
        return Ok(None);
    }
    let (cas, member) = (Arc::clone(&site.cas), member.clone());
    let name = format!("{FRAMES}{}", member.name);
    let performed = site
        .perform(&action, || async move {
            let frames = computing(move || Ok(executors::compress_member(&cas, &member)?)).await?;
            Ok(frames.into_iter().collect::<Vec<_>>().into())
        })
        .await?;
    let found = performed.result.outputs.into_iter().next();
    Ok(found.map(|output| Output { name, ..output }))
}

/// A package's members, each with its frames.
pub(in crate::exec) fn members(outputs: &[Output]) -> Vec<(Output, Option<Output>)> {
    let frames: BTreeMap<&str, &Output> = outputs
        .iter()
        .filter_map(|output| Some((output.name.strip_prefix(FRAMES)?, output)))
        .collect();
    outputs
        .iter()
        .filter(|output| !output.name.starts_with(FRAMES))
        .map(|output| {
            let frames = frames.get(output.name.as_str()).map(|o| (*o).clone());
            (output.clone(), frames)
        })
        .collect()
}
