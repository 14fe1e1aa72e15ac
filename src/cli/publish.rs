//! `jackal package publish` and `jackal release`: packages become visible, all
//! of them or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::build::runtime;
use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use super::exit::Exit;
use super::options::{PlainArgs, cache_folder, environment, transfers};
use super::output::{note, print};
use super::signal::Signals;
use super::signing::SignArgs;
use super::trust::TrustArgs;
use crate::app::{self, BuildOptions, PublishOptions, Published, ReadOptions, Unfinished};
use crate::oci::{TAG_RULE, is_tag};
use crate::plan::implied::host_architecture;
use crate::release::Released;
use crate::signers::{Seal, Signer};
use crate::verify::{Check, Policy};

const PUBLISH_HELP: &str = "\
Everything is staged under digests and read back first; tags move last. When a
run is interrupted, run it again, or `jackal release resume`: what is there is
not sent again. A tag that names another package of the same architecture is an
error (exit 7) without --move-tag; one that names the same package is left alone.";

/// Arguments of `jackal package publish`.
#[derive(Args)]
#[command(
    after_help = PUBLISH_HELP,
    override_usage = "jackal package publish [OPTIONS] SOURCE... DESTINATION"
)]
pub(super) struct PublishArgs {
    /// Packages (folder, `.tar`, `.tar.zst`, a part of a split one, oci://), or
    /// folders with a definition, which are published as skeletons; and last
    /// where to: oci://HOST[/PATH] or oci-layout:FOLDER
    // Options may stand between them, so they are counted later.
    #[arg(required = true, num_args = 1.., value_name = "NAME")]
    names: Vec<String>,
    /// Publish there as well (may be repeated)
    #[arg(long, value_name = "DESTINATION")]
    mirror: Vec<String>,
    /// Tag, instead of the package's version and flavor
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Option<String>,
    /// Move a tag that names another package
    #[arg(long)]
    move_tag: bool,
    /// Put files that are larger than a registry takes in one layer into several,
    /// which jackal alone joins again
    #[arg(long)]
    split_layers: bool,
    /// Ask nothing
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    signing: SignArgs,
    #[command(flatten)]
    transfer: TransferArgs,
}

/// What every command understands that carries a release out.
#[derive(Args)]
pub(super) struct TransferArgs {
    /// Transfers at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = transfers)]
    oci_concurrency: usize,
    #[command(flatten)]
    release: ReleaseFlags,
    #[command(flatten)]
    plain: PlainArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

/// What every command about releases understands.
#[derive(Args)]
pub(super) struct ReleaseFlags {
    /// Folder for the journals of releases
    /// (default: ~/.local/state/jackal/releases)
    #[arg(long, value_name = "DIR", env = "JACKAL_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `jackal release`.
#[derive(Subcommand)]
pub(super) enum ReleaseCommand {
    /// List the releases that were begun and have not ended
    Status {
        #[command(flatten)]
        release: ReleaseFlags,
    },
    /// Go on with a release where it stopped
    Resume {
        /// As `status` calls it; without it, the only one there is
        id: Option<String>,
        #[command(flatten)]
        signing: Box<SignArgs>,
        #[command(flatten)]
        transfer: Box<TransferArgs>,
    },
    /// Forget a release: tags that it did not reach stay where they are
    Abort {
        /// As `status` calls it; without it, the only one there is
        id: Option<String>,
        #[command(flatten)]
        release: ReleaseFlags,
    },
}

fn tag(text: &str) -> Result<String, String> {
    match is_tag(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected {TAG_RULE}")),
    }
}

pub(super) fn publish(mut args: PublishArgs) -> Result<(), CommandError> {
    if args.names.len() < 2 {
        let message = format!(
            "`{}` is all that was named: give a package, and last where to publish it",
            args.names.join(" ")
        );
        return Err(CommandError::usage(message));
    }
    let transfer = args.transfer;
    let state = state_folder(transfer.release.state_dir)?;
    let mut destinations: Vec<String> = args.names.pop().into_iter().collect();
    destinations.extend(args.mirror);
    let architecture = transfer.plain.architecture.clone();
    let connection = transfer.connection.into_connection()?;
    let options = PublishOptions {
        sources: args.names,
        destinations,
        tag: args.tag,
        move_tag: args.move_tag,
        split_layers: args.split_layers,
        concurrency: transfer.oci_concurrency,
        architecture: architecture.unwrap_or_else(|| host_architecture().to_owned()),
        seal: args.signing.seal(true),
        signer: args.signing.into_signer(args.confirm)?,
        policy: transfer.trust.into_policy(Check::Use)?,
        state,
        build: transfer.plain.into_options(connection)?,
    };
    carry_out(options, None, transfer.release.json)
}

/// Publishes the package `source` to where it is, signed.
pub(super) fn republish(
    source: String,
    to: String,
    tag: String,
    read: ReadOptions,
    signer: Arc<Signer>,
    seal: Option<Seal>,
) -> Result<(), CommandError> {
    let cache = read.cache.clone().ok_or_else(|| {
        let message = "there is no HOME to keep a cache in: give --cache-dir";
        CommandError::usage(message)
    })?;
    let options = PublishOptions {
        sources: vec![source],
        destinations: vec![to],
        tag: Some(tag),
        move_tag: true,
        split_layers: false,
        concurrency: read.concurrency,
        architecture: read.architecture,
        policy: read.policy,
        signer: Some(signer),
        seal,
        state: state_folder(environment("JACKAL_STATE_DIR").map(PathBuf::from))?,
        build: PlainArgs::default_options(read.connection, cache)?,
    };
    carry_out(options, None, false)
}

/// Goes on as the release was begun; flags count before what it remembers.
fn resume(
    id: Option<String>,
    signing: SignArgs,
    transfer: TransferArgs,
) -> Result<(), CommandError> {
    let state = state_folder(transfer.release.state_dir)?;
    let found = the_one(&state, id)?;
    let begun = found.begun;
    if let Some(signer) = begun.signer.as_ref().filter(|_| !signing.signs()) {
        let message = format!("the release is signed by {signer}: give --signing-key or --keyless");
        return Err(CommandError::usage(message));
    }
    let architecture = transfer.plain.architecture.clone();
    let connection = transfer.connection.into_connection()?;
    let options = PublishOptions {
        sources: begun.sources,
        destinations: begun.destinations,
        tag: begun.tag,
        move_tag: begun.move_tag,
        split_layers: begun.split_layers,
        concurrency: transfer.oci_concurrency,
        architecture: architecture.unwrap_or(begun.architecture),
        // As it was begun, or it would be other packages.
        seal: match begun.signed {
            Some(signed) => signed.seal(),
            None => signing.seal(true),
        },
        signer: signing.into_signer(true)?,
        policy: transfer.trust.into_policy(Check::Use)?,
        state,
        build: BuildOptions {
            here: PathBuf::from(&begun.here),
            ..transfer.plain.into_options(connection)?
        },
    };
    carry_out(options, Some(&found.id), transfer.release.json)
}

/// Makes the skeleton of the folder `source` in the layout `to`.
pub(super) fn into_layout(
    build: BuildOptions,
    source: String,
    to: &Path,
    signer: Option<Arc<Signer>>,
    seal: Option<Seal>,
) -> Result<(), CommandError> {
    // Nothing of a layout need be gone on with: it is on this machine.
    let state = cache_folder(Some(build.cache.clone()))?.join("releases");
    let options = PublishOptions {
        sources: vec![source],
        destinations: vec![format!("oci-layout:{}", to.display())],
        tag: None,
        move_tag: true,
        split_layers: false,
        concurrency: 1,
        architecture: host_architecture().to_owned(),
        policy: Arc::new(Policy::without_signers(Check::Use)),
        signer,
        seal,
        state,
        build,
    };
    let published = run(options, None)?;
    for text in &published.notes {
        note(&format!("warning: {text}"));
    }
    let lines: String = published
        .items
        .iter()
        .map(|made| {
            let tag = made.item.place.rsplit(':').next().unwrap_or_default();
            format!("oci:{}:{tag} {}\n", to.display(), made.item.manifest)
        })
        .collect();
    print(&lines)
}

fn carry_out(
    options: PublishOptions,
    resumed: Option<&str>,
    as_json: bool,
) -> Result<(), CommandError> {
    let published = run(options, resumed)?;
    for text in &published.notes {
        note(&format!("warning: {text}"));
    }
    if as_json {
        let items: Value = published.items.iter().map(as_value).collect();
        return print(&format!("{items:#}\n"));
    }
    print(&published.items.iter().map(line).collect::<String>())
}

fn run(options: PublishOptions, resumed: Option<&str>) -> Result<Published, CommandError> {
    let state = options.state.clone();
    let publication = app::publication(options, &mut |_| None)?;
    let runtime = runtime()?;
    let mut signals = Signals::heard(&runtime);
    let published = runtime.block_on(async {
        tokio::select! {
            published = async {
                match resumed {
                    Some(id) => publication.resume(id).await,
                    None => publication.publish().await,
                }
            } => published.map_err(CommandError::from),
            () = signals.next() => {
                let message = "interrupted; what was sent stays, and no tag was left half-moved: run it again, or `jackal release resume`";
                Err(CommandError::new(Exit::Interrupted, message))
            }
        }
    });
    // Threads that read or write a blob just now end with the program: waiting
    // for them may take long, and taking the runtime from them is a panic.
    std::mem::forget(runtime);
    // Also if some of the tags were moved already.
    published.map_err(|error| match app::unfinished_releases(&state, None) {
        Ok((found, _)) if !found.is_empty() && error.exit() != Exit::Interrupted => error.hint(
            "a release is unfinished: `jackal release status` tells which tags were moved; run it again, or `jackal release resume`",
        ),
        _ => error,
    })
}

fn line(made: &Released) -> String {
    let (place, digest) = (&made.item.place, made.item.manifest);
    let what = if made.unchanged {
        "unchanged".to_owned()
    } else {
        let moved = made.moved;
        let attached = match made.attached {
            0 => String::new(),
            count => format!("; attached {count} bundles"),
        };
        format!(
            "sent {} blobs ({} bytes), mounted {}, {} were there{attached}",
            moved.uploaded, moved.uploaded_bytes, moved.mounted, moved.present
        )
    };
    format!("{place} {} {digest} {what}\n", made.item.architecture)
}

fn as_value(made: &Released) -> Value {
    json!({
        "place": made.item.place,
        "architecture": made.item.architecture,
        "manifest": made.item.manifest.to_string(),
        "unchanged": made.unchanged,
        "attachedBundles": made.attached,
        "blobs": {
            "present": made.moved.present,
            "mounted": made.moved.mounted,
            "uploaded": made.moved.uploaded,
            "uploadedBytes": made.moved.uploaded_bytes,
        },
    })
}

pub(super) fn release(command: ReleaseCommand) -> Result<(), CommandError> {
    match command {
        ReleaseCommand::Status { release } => {
            let state = state_folder(release.state_dir)?;
            let found = app::unfinished_releases(&state, None)?;
            let (found, damaged) = found;
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
        ReleaseCommand::Abort { id, release } => {
            let state = state_folder(release.state_dir)?;
            let found = the_one(&state, id)?;
            let visible = app::abort_release(&state, &found.id)?;
            if release.json {
                let told = json!({"release": found.id, "visible": visible});
                return print(&format!("{told:#}\n"));
            }
            let moved = match visible.as_slice() {
                [] => "no tag was moved".to_owned(),
                places => format!("these tags were moved: {}", places.join(", ")),
            };
            print(&format!("{}: forgotten; {moved}\n", found.id))
        }
    }
}

fn the_one(state: &Path, id: Option<String>) -> Result<Unfinished, CommandError> {
    let found = app::unfinished_releases(state, id.as_deref())?;
    let (found, damaged) = found;
    if let Some(error) = damaged.into_iter().next() {
        return Err(error.into());
    }
    let usage = |message: String| CommandError::usage(message);
    match id {
        Some(id) => {
            let mut named = found.into_iter().filter(|found| found.id == id);
            let message =
                format!("there is no unfinished release `{id}`: see `jackal release status`");
            named.next().ok_or_else(|| usage(message))
        }
        None if found.len() > 1 => Err(usage(
            "there are several unfinished releases: name one of `jackal release status`".to_owned(),
        )),
        None => {
            let message = "there is no unfinished release".to_owned();
            found.into_iter().next().ok_or_else(|| usage(message))
        }
    }
}

fn status(found: &[Unfinished], as_json: bool) -> Result<(), CommandError> {
    let word = |(staged, visible): (bool, bool)| match (staged, visible) {
        (_, true) => "visible",
        (true, false) => "staged",
        (false, false) => "pending",
    };
    if as_json {
        let told: Value = found
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
        return print(&format!("{told:#}\n"));
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

/// The folder for journals: flag, `JACKAL_STATE_DIR`, `XDG_STATE_HOME`, `HOME`.
fn state_folder(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    given
        .or_else(|| {
            environment("XDG_STATE_HOME").map(|dir| PathBuf::from(dir).join("jackal/releases"))
        })
        .or_else(|| {
            environment("HOME").map(|dir| PathBuf::from(dir).join(".local/state/jackal/releases"))
        })
        .ok_or_else(|| {
            let message = "there is no HOME to keep journals in: give --state-dir";
            CommandError::usage(message)
        })
}
