//! `jackal dev registry`: prints its address and serves until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::output::print;
use super::signal::Signals;
use crate::app::{self, Fault, Login, Profile, RehearsalOptions, Tls};

const REGISTRY_HELP: &str = "\
FAULT is a comma-separated list; `kinds` is required:
  kinds=429+500+502+reset+truncate+slow+lying-head+lost-write+garble
                  each failing request gets one of these, chosen at random
  rate=0.3        fraction of requests that fail [default: 1]
  seed=7          seed of the random choices
  match=REGEX     only requests whose `METHOD /path` matches
  after=N         the first N matching requests succeed
  count=N         at most N requests fail
  delay=200ms     delay of a slow response

Example: --fault 'kinds=reset,match=^PUT .*/manifests/,after=2,count=1'

The registry is for tests only; do not store packages in it.";

/// Arguments of `jackal dev registry`.
#[derive(Args)]
#[command(after_help = REGISTRY_HELP)]
pub(super) struct RegistryArgs {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Folder for its data [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Kind of registry to imitate
    #[arg(
        long,
        value_name = "KIND",
        default_value = "generic",
        long_help = format!("Kind of registry to imitate\n\nOne of {}.", Profile::names())
    )]
    profile: Profile,
    /// Maximum size of a layer, in bytes [default: by profile]
    #[arg(long, value_name = "BYTES")]
    max_layer: Option<u64>,
    /// Maximum size of a request body in bytes, to simulate a proxy
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// Inject a fault; see below (repeatable: the first that applies wins)
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Require this login
    #[arg(long, value_name = "USER:PASSWORD")]
    login: Option<String>,
    /// Require token authentication; tokens expire after SECONDS
    #[arg(long, value_name = "SECONDS", requires = "login")]
    token_ttl: Option<u64>,
    /// Reject requests that move a tag
    #[arg(long)]
    immutable: bool,
    /// Use TLS with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Require a client certificate issued by one of these CAs (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Log each request to FILE as a line of JSON
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(super) fn run(args: RegistryArgs) -> Result<(), CommandError> {
    let login = match &args.login {
        None => None,
        Some(text) => {
            let (user, password) = text
                .split_once(':')
                .ok_or_else(|| CommandError::usage("--login: expected USER:PASSWORD"))?;
            Some(Login {
                user: user.to_owned(),
                password: password.to_owned(),
                token_ttl: args.token_ttl.map(Duration::from_secs),
            })
        }
    };
    let listen = args.listen;
    let options = RehearsalOptions {
        listen,
        folder: args.dir,
        profile: args.profile,
        max_layer: args.max_layer,
        max_body: args.max_body,
        faults: args.fault,
        login,
        immutable: args.immutable,
        tls: args
            .tls_cert
            .zip(args.tls_key)
            .map(|(certificate, key)| Tls {
                certificate,
                key,
                client_authorities: args.tls_client_ca,
            }),
        log: args.log,
    };
    let runtime = runtime()?;
    let mut signals = Signals::handle(&runtime);
    runtime.block_on(async {
        let server = app::rehearse(options).await;
        let server = server.map_err(|error| {
            CommandError::io(format!("cannot start the registry on {listen}"), error)
        })?;
        print(&format!("{}\n", server.address()))?;
        signals.next().await;
        Ok(())
    })
}
