//! `jackal tools`: keys, trusted roots, and tools under the names of Jackal and Zarf.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::cache;
use super::command_error::CommandError;
use super::exit::Exit;
use super::extract;
use super::keys::PasswordFrom;
use super::options::OwnCacheArgs;
use super::output::{note, print};
use super::read::ReadArgs;
use super::sbom::{self, SbomCommandArgs};
use super::tools_registry::{self, RegistryToolsArgs};
use super::wait_for::{self, WaitForArgs};
use crate::app::errors::KeyFileError;
use crate::app::{self, Algorithm, KeyFileOptions, KeyPair, RootFrom};

const KEY_HELP: &str = "\
The files have cosign's format: cosign.key, encrypted with a password, and
cosign.pub, which verifiers need. The password comes from --signing-key-pass,
--signing-key-pass-file, COSIGN_PASSWORD, or a prompt.";

/// Arguments of `jackal tools`.
#[derive(Subcommand)]
pub(super) enum ToolsCommand {
    /// Generate a signing key: cosign.key and cosign.pub
    #[command(after_help = KEY_HELP, visible_alias = "key")]
    GenKey {
        /// Key algorithm; every verifier supports the default
        #[arg(long, value_enum, default_value_t)]
        algorithm: KeyKind,
        #[command(flatten)]
        files: KeyFileArgs,
    },
    /// Import an unencrypted key (PKCS #8, PKCS #1 or SEC 1)
    #[command(after_help = KEY_HELP)]
    ImportKey {
        /// File with the unencrypted key
        key: PathBuf,
        #[command(flatten)]
        files: KeyFileArgs,
    },
    /// Log in to registries, and copy, list, pull and push images
    #[command(visible_alias = "r")]
    Registry(Box<RegistryToolsArgs>),
    /// Unpack packages
    #[command(subcommand, visible_alias = "a")]
    Archiver(ArchiverCommand),
    /// List the software in a folder, image or package, as `jackal sbom` does
    #[command(visible_aliases = ["s", "syft"])]
    Sbom(Box<SbomCommandArgs>),
    /// Wait until a server takes connections, or answers with a status
    ///
    /// As in `wait-for tcp localhost:5000` or `wait-for http localhost:8080/ready 200`.
    #[command(visible_aliases = ["w", "wait"])]
    WaitFor(WaitForArgs),
    /// Remove everything from the cache
    #[command(visible_alias = "c")]
    ClearCache {
        #[command(flatten)]
        cache: OwnCacheArgs,
    },
    /// Print a trusted root, to pin with --trusted-root
    ///
    /// Its name and digest are printed to stderr.
    TrustedRoot {
        /// Fetch the current root instead of using the built-in one
        #[arg(long)]
        fetch: bool,
        /// Fetch it from this mirror of the TUF metadata
        #[arg(long, value_name = "URL", requires = "root", requires = "fetch")]
        mirror: Option<String>,
        /// The mirror's first root.json, which is trusted as is
        #[arg(long, value_name = "FILE", requires = "mirror")]
        root: Option<PathBuf>,
        /// Extract it from a trust config or another trusted root
        #[arg(long, value_name = "FILE", conflicts_with = "fetch")]
        from: Option<PathBuf>,
        /// Write it to FILE instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum ArchiverCommand {
    /// Unpack a package, which is verified, to a folder
    #[command(visible_alias = "d")]
    Decompress(Box<DecompressArgs>),
}

/// Arguments of `jackal tools archiver decompress`.
#[derive(Args)]
pub(super) struct DecompressArgs {
    #[arg(help = app::package_help("Package"))]
    archive: String,
    /// Folder to create
    folder: PathBuf,
    /// Unpack the tar files of components and SBOMs too
    #[arg(long, alias = "decompress-all")]
    unarchive_all: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// How key files are written.
#[derive(Args)]
pub(super) struct KeyFileArgs {
    /// Folder for the files
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Replace existing files
    #[arg(long)]
    force: bool,
    /// Password of the new key; visible to other users of this machine
    #[arg(long, value_name = "PASSWORD")]
    signing_key_pass: Option<String>,
    /// File with the password
    #[arg(long, value_name = "FILE", conflicts_with = "signing_key_pass")]
    signing_key_pass_file: Option<PathBuf>,
}

/// Key algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyKind {
    /// ECDSA, P-256
    #[default]
    P256,
    /// ECDSA, P-384
    P384,
    /// ECDSA, P-521
    P521,
    /// RSA, 3072 bits
    Rsa,
    /// Ed25519
    Ed25519,
}

pub(super) fn run(command: ToolsCommand) -> Result<(), CommandError> {
    match command {
        ToolsCommand::GenKey { algorithm, files } => {
            let algorithm = match algorithm {
                KeyKind::P256 => Algorithm::P256,
                KeyKind::P384 => Algorithm::P384,
                KeyKind::P521 => Algorithm::P521,
                KeyKind::Rsa => Algorithm::Rsa,
                KeyKind::Ed25519 => Algorithm::Ed25519,
            };
            files.write(|password, options| app::generate_key(algorithm, password, options))
        }
        ToolsCommand::ImportKey { key, files } => {
            files.write(|password, options| app::import_key(&key, password, options))
        }
        ToolsCommand::Registry(args) => tools_registry::run(*args),
        ToolsCommand::Archiver(ArchiverCommand::Decompress(args)) => {
            let folder = args.folder;
            extract::unpack(args.archive, folder, args.unarchive_all, args.read)
        }
        ToolsCommand::Sbom(args) => sbom::run(*args),
        ToolsCommand::WaitFor(args) => wait_for::run(&args),
        ToolsCommand::ClearCache { cache } => cache::clear(cache),
        ToolsCommand::TrustedRoot {
            fetch,
            mirror,
            root,
            from,
            output,
        } => {
            let from = match (fetch, mirror.zip(root), from) {
                (_, Some((url, root)), _) => RootFrom::Mirror { url, root },
                (true, None, _) => RootFrom::Public,
                (false, None, Some(path)) => RootFrom::File(path),
                (false, None, None) => RootFrom::BuiltIn,
            };
            trusted_root(&from, output)
        }
    }
}

impl KeyFileArgs {
    fn write(
        self,
        make: impl FnOnce(&[u8], &KeyFileOptions) -> Result<KeyPair, KeyFileError>,
    ) -> Result<(), CommandError> {
        let options = KeyFileOptions {
            folder: self.output,
            force: self.force,
        };
        // Fails before the password prompt.
        options.check()?;
        let from = PasswordFrom {
            flag: self.signing_key_pass,
            file: self.signing_key_pass_file,
        };
        let password = from.new_password()?;
        if password.is_empty() {
            note("warning: the password is empty: anyone who can read the file can sign");
        }
        let pair = make(&password, &options)?;
        print(&format!(
            "{}\n{}\nfingerprint {}\n",
            pair.private.display(),
            pair.public.display(),
            pair.fingerprint,
        ))
    }
}

fn trusted_root(from: &RootFrom, output: Option<PathBuf>) -> Result<(), CommandError> {
    let found =
        app::trusted_root(from).map_err(|error| CommandError::new(Exit::Environment, error))?;
    note(&format!("trusted root: {}, {}", found.name, found.digest));
    match output {
        None => print(&format!("{}\n", found.json.trim_end())),
        Some(path) => {
            let wrong = CommandError::file(&path);
            crate::disk::write(&path, found.json.as_bytes())
                .map_err(|error| wrong(error.source))?;
            print(&format!("{}\n", path.display()))
        }
    }
}
