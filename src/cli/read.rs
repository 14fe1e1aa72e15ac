//! Flags of the commands that read a package from anywhere.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use super::options::CacheDirArgs;
use super::trust::TrustArgs;
use super::values::{size, transfers};
use crate::app::{self, Check, Growth, ReadOptions, host_architecture};
use crate::oci::Digest;

fn package_limits() -> String {
    format!(
        "Maximum size of the package's files in total, such as 500GiB\n\n\
         Default: for an archive, {}; for a registry, as much as fits on the disk",
        Growth::PACKAGE
    )
}

/// How to read a package.
#[derive(Args)]
pub(super) struct ReadArgs {
    /// Architecture in an index: amd64, arm64, skeleton [default: this machine's]
    #[arg(long, short, value_name = "ARCH")]
    architecture: Option<String>,
    /// SHA-256 of an https:// archive, or manifest digest of any other package
    #[arg(long, value_name = "HEX")]
    shasum: Option<String>,
    /// Maximum number of parallel transfers
    #[arg(long, value_name = "N", default_value_t = app::CONCURRENCY, value_parser = transfers)]
    oci_concurrency: usize,
    /// Maximum size of the package's files in total, such as 500GiB
    #[arg(
        long,
        long_help = package_limits(),
        value_name = "SIZE",
        env = "JACKAL_MAX_CONTENT_SIZE",
        hide_env_values = true
    )]
    max_content_size: Option<String>,
    #[command(flatten)]
    cache: CacheDirArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// File with signature bundles for the package (repeatable)
    ///
    /// Bundles in the package's registry and in PACKAGE.sigstore.jsonl are always
    /// used.
    #[arg(long, value_name = "FILE", help_heading = "Trust options")]
    bundle: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// A flag of Zarf without effect: packages are not looked up in a cluster.
    #[arg(long, short, value_name = "NAME", hide = true)]
    namespace: Option<String>,
}

impl ReadArgs {
    /// Whether the user names an architecture.
    pub(super) fn has_architecture(&self) -> bool {
        self.architecture.is_some()
    }

    /// `check` says what the package is read for.
    pub(super) fn into_options(self, check: Check) -> Result<ReadOptions, CommandError> {
        let digest = |text: String| {
            let hex = text.strip_prefix("sha256:").unwrap_or(&text);
            let parsed = Digest::from_hex(hex);
            parsed.map_err(|error| CommandError::usage(format!("--shasum: {error}")))
        };
        Ok(ReadOptions {
            here: PathBuf::new(),
            connection: self.connection.into_connection()?,
            architecture: self
                .architecture
                .unwrap_or_else(|| host_architecture().to_owned()),
            cache: self.cache.into_folder().ok(),
            shasum: self.shasum.map(digest).transpose()?,
            concurrency: self.oci_concurrency,
            policy: self.trust.into_policy(check)?,
            bundles: self.bundle,
            stop: Arc::default(),
            content_limit: size("--max-content-size", self.max_content_size)?,
        })
    }
}
