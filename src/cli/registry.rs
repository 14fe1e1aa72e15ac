//! `jackal dev registry`: flags in, one line with the address out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::build::runtime;
use super::command_error::CommandError;
use super::exit::Exit;
use super::output::print;
use super::signal::Signals;
use crate::app;
use crate::registry::Profile;
use crate::rehearsal::{Fault, Login, Options, Tls};

const REGISTRY_HELP: &str = "\
A fault is words with commas between them; `kinds` must be there:
  kinds=429+500+502+reset+truncate+slow+lying-head+lost-write+garble
                  one of these is chosen for each request that goes wrong
  rate=0.3        share of requests that go wrong (default: all)
  seed=7          the same seed goes wrong in the same way
  match=REGEX     only requests whose `METHOD /path` matches
  after=N count=N spare the first N that match; N go wrong at most
  delay=200ms     how late a slow answer comes

For example --fault 'kinds=reset,match=^PUT .*/manifests/,after=2,count=1'.
It is for rehearsals: do not keep packages in it.";

/// Arguments of `jackal dev registry`.
#[derive(Args)]
#[command(after_help = REGISTRY_HELP)]
pub(super) struct RegistryArgs {
    /// Where to listen; port 0: a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where everything lies (default: in a folder that goes away)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Whose habits it has: generic, distribution, ecr, artifactory, ghcr, quay,
    /// harbor, acr or zot
    #[arg(long, value_name = "KIND", default_value = "generic")]
    profile: Profile,
    /// Largest layer in bytes, instead of the profile's
    #[arg(long, value_name = "BYTES")]
    max_layer: Option<u64>,
    /// Largest body of a request in bytes, as of a proxy before it
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// What goes wrong, see below (may be repeated, the first that strikes counts)
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Let this user in only
    #[arg(long, value_name = "USER:PASSWORD")]
    login: Option<String>,
    /// Ask the user for tokens, which are good for so many seconds
    #[arg(long, value_name = "SECONDS", requires = "login")]
    token_ttl: Option<u64>,
    /// Refuse to move tags
    #[arg(long)]
    immutable: bool,
    /// Speak TLS with this certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let in only who shows a certificate of one of these authorities, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Write a line of JSON for each request
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(super) fn serve(args: RegistryArgs) -> Result<(), CommandError> {
    let login = match &args.login {
        None => None,
        Some(text) => {
            let (user, password) = text.split_once(':').ok_or_else(|| {
                let message = "--login is not of the form USER:PASSWORD";
                CommandError::usage(message)
            })?;
            Some(Login {
                user: user.to_owned(),
                password: password.to_owned(),
                token_ttl: args.token_ttl.map(Duration::from_secs),
            })
        }
    };
    let listen = args.listen;
    let options = Options {
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
    let mut signals = Signals::heard(&runtime);
    runtime.block_on(async {
        let server = app::rehearse(options).await;
        let server = server.map_err(|error| {
            let message = format!("the registry cannot start on {listen}: {error}");
            CommandError::new(Exit::Environment, message)
        })?;
        print(&format!("{}\n", server.address()))?;
        signals.next().await;
        Ok(())
    })
}
