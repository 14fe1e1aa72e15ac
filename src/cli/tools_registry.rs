//! `jackal tools registry`: logins, and images as they are in registries.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use super::environment::{home, runtime, variable};
use super::exit::Exit;
use super::keys::ask;
use super::output::{note, print};
use super::values::transfers;
use crate::app::errors::{ImageError, LoginError};
use crate::app::{self, Connection, Platform, Reference, Registry};

/// Largest password that is read from stdin, in bytes.
const MAX_PASSWORD_BYTES: u64 = 1 << 20;

/// Arguments of `jackal tools registry`.
#[derive(Args)]
pub(super) struct RegistryToolsArgs {
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Subcommand)]
enum RegistryCommand {
    /// Log in to a registry: check the login, and keep it where Docker does
    ///
    /// In ~/.docker/config.json, or $DOCKER_CONFIG/config.json, or by the credential helper
    /// that this file names. Nothing is kept unless the registry accepts it.
    Login(LoginArgs),
    /// Log out from a registry
    Logout {
        /// Registry, such as ghcr.io
        server: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Copy an image to another place; its digest stays
    #[command(visible_alias = "cp")]
    Copy(CopyArgs),
    /// List the tags of a repository
    Ls(LsArgs),
    /// Print the digest of an image
    Digest(DigestArgs),
    /// Print the manifest of an image
    Manifest(ImageArgs),
    /// List the repositories of a registry
    Catalog(CatalogArgs),
    /// Push an OCI image layout
    Push(PushArgs),
    /// Pull images into a tarball for `docker load`, or into an OCI image layout
    Pull(PullImageArgs),
    /// Delete an image from its registry
    Delete(ImageArgs),
}

#[derive(Args)]
struct LoginArgs {
    /// Registry, such as ghcr.io
    server: String,
    /// User name
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Password; visible to other users of this machine
    #[arg(
        long,
        short,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An image, and how to reach it.
#[derive(Args)]
struct ImageArgs {
    /// Image, such as ghcr.io/team/app:1.0
    image: String,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Which image of an index, and how its registry is reached.
#[derive(Args)]
struct ReachArgs {
    /// Platform of an image for several, such as linux/arm64 [default: all]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct CopyArgs {
    /// Image to copy; with --all-tags, a repository
    source: String,
    /// Its new place
    destination: String,
    /// Copy all tags of the repository
    #[arg(long)]
    all_tags: bool,
    /// Keep tags that exist
    #[arg(long, short)]
    no_clobber: bool,
    /// Maximum number of parallel transfers
    #[arg(long, short, value_name = "N", default_value_t = app::CONCURRENCY, value_parser = transfers)]
    jobs: usize,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Args)]
struct LsArgs {
    /// Repository, such as ghcr.io/team/app
    repository: String,
    /// Print whole references
    #[arg(long)]
    full_ref: bool,
    /// Leave out tags that are digests, such as those of signatures
    #[arg(long, short = 'O')]
    omit_digest_tags: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct DigestArgs {
    /// Image, such as ghcr.io/team/app:1.0
    image: String,
    /// Print the whole reference
    #[arg(long)]
    full_ref: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Args)]
struct CatalogArgs {
    /// Registry, such as localhost:5000
    registry: String,
    /// Print whole references
    #[arg(long)]
    full_ref: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct PushArgs {
    /// Folder with an OCI image layout
    path: PathBuf,
    /// Its place in a registry
    image: String,
    /// Push everything in the layout as one index
    #[arg(long)]
    index: bool,
    /// File to write the pushed reference to
    #[arg(long, value_name = "FILE")]
    image_refs: Option<PathBuf>,
    /// Maximum number of parallel transfers
    #[arg(long, short, value_name = "N", default_value_t = app::CONCURRENCY, value_parser = transfers)]
    jobs: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct PullImageArgs {
    /// Images, followed by the file or folder to write
    #[arg(required = true, num_args = 2.., value_name = "IMAGE")]
    names: Vec<String>,
    /// What to write
    #[arg(long, value_enum, default_value = "tarball")]
    format: PullFormat,
    /// Name the images in the layout after their references
    #[arg(long)]
    annotate_ref: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PullFormat {
    /// A tarball for `docker load`
    Tarball,
    /// The same
    Legacy,
    /// A folder with an OCI image layout
    Oci,
}

/// A client, and the platform that was asked for.
struct Reach {
    registry: Arc<Registry>,
    platform: Option<Platform>,
}

impl ReachArgs {
    fn open(self) -> Result<Reach, CommandError> {
        let platform = self.platform.filter(|platform| platform != "all");
        let platform = platform.map(|text| text.parse()).transpose();
        Ok(Reach {
            registry: client(self.connection)?,
            platform: platform
                .map_err(|error| CommandError::usage(format!("--platform: {error}")))?,
        })
    }
}

fn client(connection: ConnectionArgs) -> Result<Arc<Registry>, CommandError> {
    let connection = connection.into_connection()?;
    let client = connection.client();
    Ok(Arc::new(client.map_err(|error| {
        CommandError::new(Exit::Environment, error)
    })?))
}

/// The image that `text` names, with `oci://` or without.
fn reference(text: &str) -> Result<Reference, CommandError> {
    let name = Reference::url_path(text).unwrap_or(text);
    let parsed = name.parse::<Reference>();
    parsed.map_err(|error| CommandError::usage(error.of(text)))
}

/// A repository; a tag of it is left out.
fn name(of: &Reference) -> String {
    format!("{}/{}", of.registry(), of.repository())
}

pub(super) fn run(args: RegistryToolsArgs) -> Result<(), CommandError> {
    match args.command {
        RegistryCommand::Login(args) => login(args),
        RegistryCommand::Logout { server, connection } => logout(&server, connection),
        RegistryCommand::Copy(args) => copy(args),
        RegistryCommand::Ls(args) => ls(args),
        RegistryCommand::Digest(args) => digest(args),
        RegistryCommand::Manifest(args) => manifest(args),
        RegistryCommand::Catalog(args) => catalog(args),
        RegistryCommand::Push(args) => push(args),
        RegistryCommand::Pull(args) => pull(args),
        RegistryCommand::Delete(args) => delete(args),
    }
}

/// Docker's file with logins.
fn login_file() -> Result<PathBuf, CommandError> {
    let folder = variable("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| home().map(|home| home.join(".docker")));
    let folder = folder.ok_or_else(|| {
        CommandError::usage("no place for the login: HOME is not set").hint("set DOCKER_CONFIG")
    })?;
    Ok(folder.join("config.json"))
}

fn login(args: LoginArgs) -> Result<(), CommandError> {
    let user = args.username.ok_or_else(|| {
        CommandError::usage("no user name is given").hint("add --username and --password-stdin")
    })?;
    let password = match (args.password, args.password_stdin) {
        (Some(password), _) => {
            note("warning: --password is visible to other users of this machine");
            note("help: use --password-stdin");
            Zeroizing::new(password)
        }
        (None, true) => from_stdin()?,
        (None, false) if super::environment::interactive() => {
            let typed = ask(&format!("Password of {user} at {}: ", args.server))?;
            Zeroizing::new(String::from_utf8_lossy(&typed).into_owned())
        }
        (None, false) => {
            return Err(CommandError::usage("no password is given").hint("add --password-stdin"));
        }
    };
    if user.is_empty() || user.contains(':') || password.is_empty() {
        return Err(CommandError::usage(
            "a user name without `:` and a password are needed",
        ));
    }
    let connection = args.connection.into_connection()?;
    let file = login_file()?;
    let keeping = app::log_in(&connection, &file, &args.server, (&user, &password));
    let kept = runtime()?.block_on(keeping)?;
    note(&format!(
        "logged in to {} as {user}; kept by {kept}",
        args.server
    ));
    Ok(())
}

/// The password on stdin, without the end of its line.
fn from_stdin() -> Result<Zeroizing<String>, CommandError> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| CommandError::io("stdin", error))?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

fn logout(server: &str, connection: ConnectionArgs) -> Result<(), CommandError> {
    let connection: Connection = connection.into_connection()?;
    match app::log_out(&connection, &login_file()?, server)? {
        Some(kept) => note(&format!("removed the login to {server} from {kept}")),
        None => note(&format!("there was no login to {server}")),
    }
    Ok(())
}

fn copy(args: CopyArgs) -> Result<(), CommandError> {
    let reach = args.reach.open()?;
    let (from, to) = (reference(&args.source)?, reference(&args.destination)?);
    let how = (args.jobs, !args.no_clobber);
    let runtime = runtime()?;
    let one = |from: &Reference, to: &Reference| -> Result<(), CommandError> {
        let copying = app::copy_image(&reach.registry, (from, to), reach.platform.as_ref(), how);
        let root = runtime.block_on(copying)?;
        print(&format!("{}@{}\n", name(to), root.digest))
    };
    if !args.all_tags {
        return one(&from, &to);
    }
    let tags = runtime.block_on(reach.registry.tags(&from))?;
    for tag in tags {
        let at = |place: &Reference| reference(&format!("{}:{tag}", name(place)));
        match one(&at(&from)?, &at(&to)?) {
            Err(error) if error.exit() == Exit::Conflict => note(&format!("kept: {error}")),
            done => done?,
        }
    }
    Ok(())
}

fn ls(args: LsArgs) -> Result<(), CommandError> {
    let registry = client(args.connection)?;
    let at = reference(&args.repository)?;
    let mut tags = runtime()?.block_on(registry.tags(&at))?;
    if args.omit_digest_tags {
        tags.retain(|tag| !tag.starts_with("sha256-"));
    }
    let line = |tag: &String| match args.full_ref {
        true => format!("{}:{tag}\n", name(&at)),
        false => format!("{tag}\n"),
    };
    print(&tags.iter().map(line).collect::<String>())
}

fn digest(args: DigestArgs) -> Result<(), CommandError> {
    let reach = args.reach.open()?;
    let at = reference(&args.image)?;
    let found = app::image_at(&reach.registry, &at, reach.platform.as_ref());
    let (root, _) = runtime()?.block_on(found)?;
    print(&match args.full_ref {
        true => format!("{}@{}\n", name(&at), root.digest),
        false => format!("{}\n", root.digest),
    })
}

fn manifest(args: ImageArgs) -> Result<(), CommandError> {
    let reach = args.reach.open()?;
    let at = reference(&args.image)?;
    let found = app::image_at(&reach.registry, &at, reach.platform.as_ref());
    let (_, bytes) = runtime()?.block_on(found)?;
    super::output::print_bytes(&bytes)
}

fn catalog(args: CatalogArgs) -> Result<(), CommandError> {
    let registry = client(args.connection)?;
    let host = args.registry.trim_end_matches('/');
    let at = Reference::hosted(&format!("{host}/catalog"))
        .map_err(|error| CommandError::usage(error.of(host)))?;
    let names = runtime()?.block_on(registry.repositories(&at))?;
    let line = |name: &String| match args.full_ref {
        true => format!("{host}/{name}\n"),
        false => format!("{name}\n"),
    };
    print(&names.iter().map(line).collect::<String>())
}

fn push(args: PushArgs) -> Result<(), CommandError> {
    if args.path.is_file() {
        let message = format!(
            "`{}` is a file: only image layouts are pushed",
            args.path.display()
        );
        return Err(CommandError::usage(message)
            .hint("skopeo copy docker-archive:FILE oci:FOLDER makes a layout of it"));
    }
    let registry = client(args.connection)?;
    let to = reference(&args.image)?;
    let pushing = app::push_layout(&registry, &args.path, &to, (args.index, args.jobs));
    let root = runtime()?.block_on(pushing)?;
    let line = format!("{}@{}\n", name(&to), root.digest);
    if let Some(file) = args.image_refs {
        crate::disk::write(&file, line.as_bytes())
            .map_err(|error| CommandError::file(&file)(error.source))?;
    }
    print(&line)
}

fn pull(mut args: PullImageArgs) -> Result<(), CommandError> {
    let to = args.names.pop().map(PathBuf::from).unwrap_or_default();
    let reach = args.reach.open()?;
    let names = args.names.iter().map(|name| reference(name));
    let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
    let runtime = runtime()?;
    if args.format == PullFormat::Oci {
        for (reference, text) in names.iter().zip(&args.names) {
            let called = args.annotate_ref.then_some(text.as_str());
            let place: (&Path, _) = (&to, called);
            let platform = reach.platform.as_ref();
            let pulling = app::pull_to_layout(&reach.registry, reference, platform, place);
            runtime.block_on(pulling)?;
        }
        return Ok(());
    }
    // A tarball holds one image for each name.
    let platform = reach.platform.unwrap_or_else(|| Platform {
        os: "linux".to_owned(),
        architecture: app::host_architecture().to_owned(),
        variant: None,
    });
    let pulling = app::pull_to_tarball(&reach.registry, &names, Some(&platform), &to);
    Ok(runtime.block_on(pulling)?)
}

/// Deletes a manifest: by its digest, as not every registry deletes tags.
fn delete(args: ImageArgs) -> Result<(), CommandError> {
    let reach = args.reach.open()?;
    let at = reference(&args.image)?;
    let runtime = runtime()?;
    let found = app::image_at(&reach.registry, &at, reach.platform.as_ref());
    let (root, _) = runtime.block_on(found)?;
    let place = at.at(root.digest);
    runtime.block_on(reach.registry.delete_manifest(&place))?;
    note(&format!("deleted {place}, and the tags that named it"));
    Ok(())
}

impl super::exit::ToExit for ImageError {
    fn exit(&self) -> Exit {
        match self {
            Self::Registry(error) => error.exit(),
            Self::Layout(error) => error.exit(),
            Self::Exists(_) => Exit::Conflict,
            Self::NoPlatform { .. }
            | Self::SeveralPlatforms { .. }
            | Self::SeveralImages { .. } => Exit::Usage,
            Self::Odd(_) | Self::TooMany(_) => Exit::Verification,
            Self::Tar(_) | Self::Disk(_) | Self::Copy { .. } | Self::Stopped(_) => {
                Exit::Environment
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Layout(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl super::exit::ToExit for LoginError {
    fn exit(&self) -> Exit {
        match self {
            Self::Name(_) => Exit::Usage,
            _ => Exit::Environment,
        }
    }
}
