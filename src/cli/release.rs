//! `jackal release`: releases that were interrupted.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::{Journals, state_folder};
use super::options::skeletons;
use super::output::print;
use super::publish::{ReleaseArgs, TransferArgs, publish};
use super::signing::SignArgs;
use crate::app::{self, Check, Place, PublishOptions, SbomFormat, Unfinished};

#[derive(Subcommand)]
pub(super) enum ReleaseCommand {
    /// List unfinished releases
    Status {
        #[command(flatten)]
        release: ReleaseArgs,
    },
    /// Resume an unfinished release
    Resume {
        /// Release, as listed by `status` [default: the only one]
        id: Option<String>,
        #[command(flatten)]
        signing: Box<SignArgs>,
        #[command(flatten)]
        transfer: Box<TransferArgs>,
    },
    /// Forget an unfinished release; its remaining tags are not moved
    Abort {
        /// Release, as listed by `status` [default: the only one]
        id: Option<String>,
        #[command(flatten)]
        release: ReleaseArgs,
    },
}

pub(super) fn run(command: ReleaseCommand) -> Result<(), CommandError> {
    match command {
        ReleaseCommand::Status { release } => {
            let state = state_folder(release.state_dir, None, Journals::Read)?;
            let (found, damaged) = app::unfinished_releases(&state, None)?;
            status(&found, release.json)?;
            match damaged.into_iter().next() {
                Some(error) => Err(error.into()),
                None => Ok(()),
            }
        }
        ReleaseCommand::Resume {
            id,
            signing,
            transfer,
        } => resume(id, *signing, *transfer),
        ReleaseCommand::Abort { id, release } => abort(id, release),
    }
}

/// Resumes with the options the release was begun with; flags override them.
fn resume(
    id: Option<String>,
    signing: SignArgs,
    transfer: TransferArgs,
) -> Result<(), CommandError> {
    let place = transfer.place.into_place()?;
    let given = transfer.release.state_dir;
    let state = state_folder(given, Some(&place.cache.path), Journals::Read)?;
    let found = unfinished(&state, id)?;
    let begun = found.begun;
    if begun.attested {
        let message = "the release attests SBOM documents, which are not kept for resuming";
        return Err(CommandError::usage(message).hint(
            "run `jackal package sign` with the same --attest again: it continues this release",
        ));
    }
    if let Some(signer) = begun.signer.as_ref().filter(|_| !signing.signs()) {
        return Err(
            CommandError::usage(format!("the release is signed by {signer}"))
                .hint("add --signing-key or --keyless"),
        );
    }
    let variant = transfer.variant.into_variant()?;
    let architecture = variant.architecture.clone();
    let options = PublishOptions {
        place: Place {
            here: PathBuf::from(&begun.here),
            ..place
        },
        sources: begun.sources,
        destinations: begun.destinations,
        tag: begun.tag,
        move_tag: begun.move_tag,
        sign_indexes: true,
        split_layers: begun.split_layers,
        sbom_formats: begun
            .sbom_formats
            .iter()
            .filter_map(|name| SbomFormat::named(name))
            .collect(),
        concurrency: transfer.oci_concurrency,
        architecture: architecture.unwrap_or(begun.architecture),
        // Another form of signature would make other packages.
        seal: match begun.signed {
            Some(signed) => signed.seal(),
            None => signing.seal(true),
        },
        signer: signing.into_signer(true)?,
        attest: Vec::new(),
        policy: transfer.trust.into_policy(Check::Use)?,
        state,
        skeletons: skeletons(variant)?,
    };
    publish(options, Some(&found.id), transfer.release.json)
}

fn abort(id: Option<String>, release: ReleaseArgs) -> Result<(), CommandError> {
    let state = state_folder(release.state_dir, None, Journals::Read)?;
    let found = unfinished(&state, id)?;
    let visible = app::abort_release(&state, &found.id)?;
    if release.json {
        let report = json!({"release": found.id, "visible": visible});
        return print(&format!("{report:#}\n"));
    }
    let moved = match visible.as_slice() {
        [] => "no tag was moved".to_owned(),
        places => format!("moved tags: {}", places.join(", ")),
    };
    print(&format!("{}: aborted; {moved}\n", found.id))
}

/// The unfinished release `id`, or the only one.
fn unfinished(state: &Path, id: Option<String>) -> Result<Unfinished, CommandError> {
    let (mut found, damaged) = app::unfinished_releases(state, id.as_deref())?;
    if let Some(error) = damaged.into_iter().next() {
        return Err(error.into());
    }
    let usage = |message: String| {
        CommandError::usage(message).hint("`jackal release status` lists unfinished releases")
    };
    if let Some(id) = id {
        let named = found.into_iter().find(|found| found.id == id);
        return named.ok_or_else(|| usage(format!("no unfinished release `{id}`")));
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(usage(
            "several releases are unfinished: name one".to_owned(),
        )),
        (None, _) => Err(CommandError::usage("no unfinished release")),
    }
}

fn status(found: &[Unfinished], as_json: bool) -> Result<(), CommandError> {
    let word = |(staged, visible): (bool, bool)| match (staged, visible) {
        (_, true) => "visible",
        (true, false) => "staged",
        (false, false) => "pending",
    };
    if as_json {
        let releases: Value = found
            .iter()
            .map(|release| {
                let items = release.begun.items.iter().zip(&release.steps);
                let items: Value = items
                    .map(|(item, step)| {
                        json!({
                            "place": item.place,
                            "architecture": item.architecture,
                            "manifest": item.manifest.to_string(),
                            "state": word(*step),
                        })
                    })
                    .collect();
                json!({"release": release.id, "sources": release.begun.sources, "items": items})
            })
            .collect();
        return print(&format!("{releases:#}\n"));
    }
    let mut text = String::new();
    for release in found {
        text.push_str(&format!("{}\n", release.id));
        for (item, step) in release.begun.items.iter().zip(&release.steps) {
            let (place, architecture) = (&item.place, &item.architecture);
            text.push_str(&format!(
                "  {:<8} {place} {architecture} {}\n",
                word(*step),
                item.manifest
            ));
        }
    }
    print(&text)
}
