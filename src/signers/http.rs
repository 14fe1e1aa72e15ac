//! HTTP for signing services: no redirects, bounded responses, for threads that
//! may block.

use std::time::Duration;

use crate::disk::look::beyond_files;
use crate::registry::runtime::apart;
use crate::registry::service_client;

/// Timeout of a request; old logs are slow.
///
/// Source: docs/spec/signing.md, "Certificates, logs and timestamps".
const REQUEST: Duration = Duration::from_secs(90);

/// Maximum number of redirects of a key's URL.
const MAX_REDIRECTS: usize = 5;

/// A client for signing services.
pub(super) fn client() -> Result<reqwest::Client, String> {
    built(service_client())
}

/// A client for public content, without secrets: it follows redirects from https
/// to https.
pub(super) fn public_client() -> Result<reqwest::Client, String> {
    let follow = reqwest::redirect::Policy::custom(|attempt| {
        let plain = attempt.url().scheme() != "https";
        match attempt.previous().len() > MAX_REDIRECTS || plain {
            true => attempt.error("too many redirects, or a redirect away from https"),
            false => attempt.follow(),
        }
    });
    built(service_client().redirect(follow))
}

fn built(client: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    // What a service answers is part of what a build does.
    beyond_files();
    let client = client.timeout(REQUEST).build();
    client.map_err(|error| error.to_string())
}

/// The body of `response`; `None`: larger than `limit` bytes.
pub(super) async fn body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// Runs `work` on a thread of its own; the error is a message.
pub(super) fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, String> {
    apart(work).map_err(|error| error.to_string())
}
