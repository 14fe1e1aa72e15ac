//! `jackal package publish`: all packages become visible, or none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::{
    Journals, current_folder, program, runtime, state_folder, variable, variables,
};
use super::exit::Exit;
use super::options::{UploadPlaceArgs, VariantArgs, skeletons};
use super::output::{note, print};
use super::signal::Signals;
use super::signing::SignArgs;
use super::trust::TrustArgs;
use super::values::{SbomFormatArg, tag, transfers};
use crate::app::{
    self, Attested, Check, Place, Policy, PublishOptions, Published, ReadOptions, Released, Seal,
    Signer, SkeletonOptions, Variant, host_architecture,
};

const PUBLISH_HELP: &str = "\
Blobs are uploaded and verified first, and tags move last. If publishing is
interrupted, run the command again, or run `jackal release resume`; blobs that
exist in the registry are skipped. Moving a tag that names another package of
the same architecture fails with exit code 7 unless --move-tag is given.";

/// Arguments of `jackal package publish`.
#[derive(Args)]
#[command(
    after_help = PUBLISH_HELP,
    override_usage = "jackal package publish [OPTIONS] <SOURCE>... <DESTINATION>"
)]
pub(super) struct PublishArgs {
    /// Packages to publish, followed by the destination
    // Options may come between them, so they are counted later.
    #[arg(required = true, num_args = 1.., value_name = "SOURCE", long_help = names_help())]
    names: Vec<String>,
    /// Publish to this destination as well (repeatable)
    #[arg(long, value_name = "DESTINATION")]
    mirror: Vec<String>,
    /// Tag [default: the package's version and flavor]
    #[arg(long, short, value_name = "TAG", value_parser = tag)]
    tag: Option<String>,
    /// Move the tag if it names another package
    #[arg(long)]
    move_tag: bool,
    /// Split files above the registry's layer limit into several layers
    ///
    /// Only jackal can join them again when reading the package.
    #[arg(long)]
    split_layers: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    confirm: bool,
    /// A flag of Zarf without effect: a package is published as it was built.
    #[arg(long, hide = true)]
    with_build_machine_info: bool,
    #[command(flatten)]
    signing: SignArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    /// Formats of SBOMs to attach, separated by commas
    ///
    /// The packages are not changed. The documents are attached to them and to their images,
    /// besides those in the formats that the packages have.
    #[arg(
        long = "sbom-format",
        value_name = "FORMAT",
        value_enum,
        value_delimiter = ',',
        help_heading = "Package options"
    )]
    sbom_formats: Vec<SbomFormatArg>,
}

fn names_help() -> String {
    format!(
        "Packages to publish, followed by the destination\n\n\
         {}. A path is a folder, an archive, or a part of a split archive. A folder with a \
         definition is published as a skeleton. The destination is oci://HOST[/PATH] or \
         oci-layout:FOLDER.",
        app::package_help("Package")
    )
}

/// How a release is transferred.
#[derive(Args)]
pub(super) struct TransferArgs {
    #[command(flatten)]
    pub(super) release: ReleaseArgs,
    /// Maximum number of parallel transfers
    #[arg(long, value_name = "N", default_value_t = app::CONCURRENCY, value_parser = transfers)]
    pub(super) oci_concurrency: usize,
    #[command(flatten)]
    pub(super) variant: VariantArgs,
    #[command(flatten)]
    pub(super) place: UploadPlaceArgs,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
}

/// Where releases are recorded, and how they are reported.
#[derive(Args)]
pub(super) struct ReleaseArgs {
    /// Folder for release journals [default: ~/.local/state/jackal/releases]
    ///
    /// If the default cannot be written, `journals` in the cache folder is used.
    #[arg(
        long,
        value_name = "DIR",
        env = "JACKAL_STATE_DIR",
        hide_env_values = true
    )]
    pub(super) state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(mut args: PublishArgs) -> Result<(), CommandError> {
    if args.names.len() < 2 {
        let only = args.names.join(" ");
        return Err(CommandError::usage(format!(
            "`{only}` is the only argument: expected packages and a destination"
        ))
        .hint("name at least one package, and the destination last"));
    }
    let transfer = args.transfer;
    let mut destinations: Vec<String> = args.names.pop().into_iter().collect();
    destinations.extend(args.mirror);
    let variant = transfer.variant.into_variant()?;
    let architecture = variant.architecture.clone();
    let place = transfer.place.into_place()?;
    let given = transfer.release.state_dir;
    let state = state_folder(given, Some(&place.cache.path), Journals::Written)?;
    let options = PublishOptions {
        place,
        sources: args.names,
        destinations,
        tag: args.tag,
        move_tag: args.move_tag,
        sign_indexes: true,
        split_layers: args.split_layers,
        sbom_formats: args.sbom_formats.iter().map(|format| format.0).collect(),
        concurrency: transfer.oci_concurrency,
        architecture: architecture.unwrap_or_else(|| host_architecture().to_owned()),
        seal: args.signing.seal(true),
        signer: args.signing.into_signer(args.confirm)?,
        attest: Vec::new(),
        policy: transfer.trust.into_policy(Check::Use)?,
        state,
        skeletons: skeletons(variant)?,
    };
    publish(options, None, transfer.release.json)
}

/// Publishes `source` to its own place, with a signature; `whole`: so is the index under its
/// tag, if that names nothing else.
pub(super) fn republish(
    source: String,
    to: String,
    tag: String,
    (read, whole): (ReadOptions, bool),
    signer: Arc<Signer>,
    (seal, attest): (Option<Seal>, Vec<Attested>),
) -> Result<(), CommandError> {
    let options = PublishOptions {
        tag: Some(tag),
        move_tag: true,
        sign_indexes: whole,
        signer: Some(signer),
        attest,
        seal,
        ..plain(source, to, read)?
    };
    publish(options, None, false)
}

/// Publishes `source` to `to`, as it is.
pub(super) fn plainly(source: String, to: String, read: ReadOptions) -> Result<(), CommandError> {
    publish(plain(source, to, read)?, None, false)
}

fn plain(source: String, to: String, read: ReadOptions) -> Result<PublishOptions, CommandError> {
    let place = Place {
        here: current_folder()?,
        cache: match read.cache {
            Some(folder) => folder,
            None => super::environment::cache_folder(None)?.into(),
        },
        connection: read.connection,
        program: program(),
        environment: variables(),
        content_limit: read.content_limit,
    };
    let given = variable("JACKAL_STATE_DIR").map(PathBuf::from);
    let state = state_folder(given, Some(&place.cache.path), Journals::Written)?;
    Ok(PublishOptions {
        place,
        sources: vec![source],
        destinations: vec![to],
        tag: None,
        move_tag: false,
        sign_indexes: false,
        split_layers: false,
        sbom_formats: BTreeSet::new(),
        concurrency: read.concurrency,
        architecture: read.architecture,
        policy: read.policy,
        signer: None,
        attest: Vec::new(),
        seal: None,
        state,
        skeletons: skeletons(Variant::default())?,
    })
}

/// Creates the skeleton of the folder `source` in the image layout `to`.
pub(super) fn into_layout(
    place: Place,
    skeletons: SkeletonOptions,
    source: String,
    to: &Path,
    signer: Option<Arc<Signer>>,
    seal: Option<Seal>,
) -> Result<(), CommandError> {
    // A layout is on this machine: its release needs no journal to resume from.
    let state = place.cache.path.join("releases");
    let options = PublishOptions {
        place,
        sources: vec![source],
        destinations: vec![format!("oci-layout:{}", to.display())],
        tag: None,
        move_tag: true,
        sign_indexes: true,
        split_layers: false,
        sbom_formats: BTreeSet::new(),
        concurrency: 1,
        architecture: host_architecture().to_owned(),
        policy: Arc::new(Policy::without_signers(Check::Use)),
        signer,
        attest: Vec::new(),
        seal,
        state,
        skeletons,
    };
    let published = carry_out(options, None)?;
    note_warnings(&published);
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

/// Publishes, or resumes the release `resumed`, and prints what was published.
pub(super) fn publish(
    options: PublishOptions,
    resumed: Option<&str>,
    as_json: bool,
) -> Result<(), CommandError> {
    let published = carry_out(options, resumed)?;
    note_warnings(&published);
    if as_json {
        let items: Value = published.items.iter().map(as_value).collect();
        return print(&format!("{items:#}\n"));
    }
    print(&published.items.iter().map(line).collect::<String>())
}

fn note_warnings(published: &Published) {
    for text in &published.notes {
        note(&format!("warning: {text}"));
    }
}

fn carry_out(options: PublishOptions, resumed: Option<&str>) -> Result<Published, CommandError> {
    let state = options.state.clone();
    let publication = app::publication(options, &mut |_| None)?;
    let runtime = runtime()?;
    let mut signals = Signals::handle(&runtime);
    let published = runtime.block_on(async {
        let publishing = async {
            match resumed {
                Some(id) => publication.resume(id).await,
                None => publication.publish().await,
            }
        };
        tokio::select! {
            published = publishing => published.map_err(CommandError::from),
            () = signals.next() => {
                let message = "interrupted; uploaded blobs are kept and no tag was left half-moved";
                let error = CommandError::new(Exit::Interrupted, message);
                Err(error.hint("run the command again, or run `jackal release resume`"))
            }
        }
    });
    // Threads that still read or write a blob end with the program. Waiting for
    // them may take long, and dropping the runtime under them panics.
    std::mem::forget(runtime);
    // An error may come after some of the tags were moved.
    published.map_err(|error| match app::unfinished_releases(&state, None) {
        Ok((found, _)) if !found.is_empty() && error.exit() != Exit::Interrupted => error
            .hint("a release is unfinished: `jackal release status` lists the tags that moved")
            .hint("run the command again, or run `jackal release resume`"),
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
            "uploaded {} blobs ({} bytes), mounted {}, skipped {} existing{attached}",
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
