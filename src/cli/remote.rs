//! Flags and environment that name a remote cache, and say how it is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::command_error::CommandError;
use super::environment::variable;
use crate::app::{
    Address, Header, Hosts, RemoteClientOptions, RemoteMode, RemoteOptions, Secret, parse_duration,
};
use crate::text::with_causes;

/// The longest silence of a server, unless the user says otherwise.
const SILENCE: Duration = Duration::from_secs(5);

/// Which remote cache a build uses.
#[derive(Args)]
#[command(next_help_heading = "Remote cache options")]
pub(super) struct RemoteArgs {
    /// Share results with the cache grpcs://HOST[:PORT][/INSTANCE]
    ///
    /// The server speaks the Remote Execution API, version 2. Without
    /// --remote-secret-file, anyone who can write to it can influence your build.
    #[arg(
        long,
        value_name = "URL",
        env = "JACKAL_REMOTE_CACHE",
        hide_env_values = true
    )]
    remote_cache: Option<String>,
    /// Whether results are taken from the remote cache, stored in it, or both
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value = "read-write",
        env = "JACKAL_REMOTE_MODE",
        hide_env_values = true
    )]
    remote_mode: ModeArg,
    /// Take and store only results that are signed with the secret in FILE
    ///
    /// It has at least 32 characters, and all machines that share results have it.
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_REMOTE_SECRET_FILE",
        hide_env_values = true
    )]
    remote_secret_file: Option<PathBuf>,
    #[command(flatten)]
    server: RemoteServerArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    /// Both
    ReadWrite,
    /// Only take results
    Read,
    /// Only store results
    Write,
}

/// How a remote cache is reached.
#[derive(Args)]
#[command(next_help_heading = "Remote cache options")]
pub(super) struct RemoteServerArgs {
    /// Send a header with each request to the remote cache (repeatable)
    ///
    /// The variable has one on each line.
    #[arg(
        long,
        value_name = "NAME=VALUE",
        env = "JACKAL_REMOTE_HEADER",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    remote_header: Vec<String>,
    /// Send the token in FILE to the remote cache [default: $JACKAL_REMOTE_TOKEN]
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_REMOTE_TOKEN_FILE",
        hide_env_values = true
    )]
    remote_token_file: Option<PathBuf>,
    /// Allow grpc://, which has no TLS, to another machine
    #[arg(long)]
    remote_insecure: bool,
    /// Longest silence of the remote cache [default: 5s]
    #[arg(
        long,
        value_name = "DURATION",
        env = "JACKAL_REMOTE_TIMEOUT",
        hide_env_values = true
    )]
    remote_timeout: Option<String>,
}

impl RemoteServerArgs {
    /// The server at `address`.
    pub(super) fn into_options(
        self,
        address: &str,
        hosts: Hosts,
    ) -> Result<RemoteClientOptions, CommandError> {
        let address = Address::parse(address, self.remote_insecure);
        let address = address.map_err(|error| CommandError::usage(error.to_string()))?;
        let mut headers = Vec::new();
        for text in self.remote_header.iter().filter(|text| !text.is_empty()) {
            headers.push(header(text)?);
        }
        let token = match &self.remote_token_file {
            Some(file) => Some(text_in("--remote-token-file", file)?),
            None => variable("JACKAL_REMOTE_TOKEN").map(|text| text.to_string_lossy().into_owned()),
        };
        if let Some(token) = token {
            let header = Header::new("authorization", &format!("Bearer {}", token.trim()));
            headers.push(header.ok_or_else(|| {
                CommandError::usage("the token for the remote cache has control characters")
            })?);
        }
        let timeout = match &self.remote_timeout {
            None => SILENCE,
            Some(text) => parse_duration(text).map_err(|error| {
                CommandError::usage(format!("--remote-timeout: {}", with_causes(&error)))
            })?,
        };
        Ok(RemoteClientOptions {
            address,
            headers,
            hosts,
            timeout,
        })
    }
}

impl RemoteArgs {
    pub(super) fn into_options(self, hosts: &Hosts) -> Result<Option<RemoteOptions>, CommandError> {
        let Some(address) = self.remote_cache else {
            return Ok(None);
        };
        let secret = match &self.remote_secret_file {
            None => None,
            Some(file) => {
                let flag = "--remote-secret-file";
                let secret = Secret::new(text_in(flag, file)?.as_bytes());
                Some(secret.map_err(|error| {
                    CommandError::usage(format!("{flag} `{}`: {error}", file.display()))
                })?)
            }
        };
        Ok(Some(RemoteOptions {
            client: self.server.into_options(&address, hosts.clone())?,
            mode: match self.remote_mode {
                ModeArg::ReadWrite => RemoteMode::ReadWrite,
                ModeArg::Read => RemoteMode::Read,
                ModeArg::Write => RemoteMode::Write,
            },
            secret,
        }))
    }
}

fn text_in(flag: &str, file: &Path) -> Result<String, CommandError> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| CommandError::usage(format!("{flag} `{}`: {error}", file.display())))
}

/// `NAME=VALUE` as a header. An error does not show it: it may be a password.
fn header(text: &str) -> Result<Header, CommandError> {
    let header = text
        .split_once('=')
        .and_then(|(name, value)| Header::new(name.trim(), value.trim()));
    header.ok_or_else(|| CommandError::usage("--remote-header: expected NAME=VALUE"))
}
