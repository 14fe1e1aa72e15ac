//! `jackal tools wait-for`: until a server answers. What needs a cluster is refused by name.

use std::time::{Duration, Instant};

use clap::Args;

use super::command_error::CommandError;
use super::environment::runtime;
use super::exit::Exit;
use super::output::note;
use crate::app;

/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `jackal tools wait-for`.
#[derive(Args)]
pub(super) struct WaitForArgs {
    /// Protocol: tcp, http or https; the word `network` may stand before it
    #[arg(required = true, num_args = 1..=4, value_name = "PROTOCOL")]
    words: Vec<String>,
    /// How long to wait, such as 90s
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: String,
    /// A flag of Zarf without effect here.
    #[arg(long, short, value_name = "NAME", hide = true)]
    namespace: Option<String>,
}

/// What to wait for.
enum Awaited {
    /// A server that takes connections.
    Connection(String),
    /// A page that answers with this status, or with any success.
    Page(String, Option<u16>),
}

pub(super) fn run(args: &WaitForArgs) -> Result<(), CommandError> {
    let timeout = app::parse_duration(&args.timeout)
        .map_err(|error| CommandError::usage(format!("--timeout: {error}")))?;
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["network", rest @ ..] => rest,
        all => all,
    };
    let awaited = awaited(words)?;
    let until = Instant::now() + timeout;
    let runtime = runtime()?;
    loop {
        let found = match &awaited {
            Awaited::Connection(address) => runtime.block_on(app::takes_connections(address)),
            Awaited::Page(url, expected) => {
                let status = runtime.block_on(app::status_of(url));
                status.and_then(|status| match expected {
                    Some(expected) if status != *expected => Err(format!("it answers {status}")),
                    None if !(200..300).contains(&status) => Err(format!("it answers {status}")),
                    _ => Ok(()),
                })
            }
        };
        let Err(why) = found else {
            note(&format!("{} is ready", args.words.join(" ")));
            return Ok(());
        };
        if Instant::now() + PAUSE >= until {
            let what = args.words.join(" ");
            let message = format!("{what} is not ready after {}: {why}", args.timeout);
            return Err(CommandError::new(Exit::Timeout, message)
                .hint("check the address, or pass a longer --timeout"));
        }
        std::thread::sleep(PAUSE);
    }
}

fn awaited(words: &[&str]) -> Result<Awaited, CommandError> {
    match words {
        ["tcp", address] | ["tcp", address, ""] => Ok(Awaited::Connection((*address).to_owned())),
        [scheme @ ("http" | "https"), address, rest @ ..] => {
            let url = match address.contains("://") {
                true => (*address).to_owned(),
                false => format!("{scheme}://{address}"),
            };
            let expected = match rest {
                [] | ["" | "success"] => None,
                [code] => Some(code.parse().map_err(|_| {
                    CommandError::usage(format!("`{code}`: expected a status, such as 200"))
                })?),
                _ => return Err(CommandError::usage("too many words")),
            };
            Ok(Awaited::Page(url, expected))
        }
        _ => Err(CommandError::usage(
            "only tcp, http and https are waited for: anything else is in a cluster",
        )
        .hint("wait with `kubectl wait --for=condition=Ready KIND/NAME`")),
    }
}
