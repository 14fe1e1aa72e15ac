//! HTTP for signing services: no redirects, bounded responses, for threads that
//! may block.

use std::time::Duration;

/// Timeout of a request; old logs are slow.
///
/// Source: docs/spec/signing.md, "Certificates, logs and timestamps".
const REQUEST: Duration = Duration::from_secs(90);

/// Maximum number of redirects of a key's URL.
const MAX_REDIRECTS: usize = 5;

/// A client for signing services. It follows no redirects: the services have
/// none, and requests carry tokens.
pub(super) fn client() -> Result<reqwest::Client, String> {
    built(reqwest::redirect::Policy::none())
}

/// A client for public content, without secrets: it follows redirects from https
/// to https.
pub(super) fn public_client() -> Result<reqwest::Client, String> {
    built(reqwest::redirect::Policy::custom(|attempt| {
        let plain = attempt.url().scheme() != "https";
        match attempt.previous().len() > MAX_REDIRECTS || plain {
            true => attempt.error("too many redirects, or a redirect away from https"),
            false => attempt.follow(),
        }
    }))
}

fn built(redirects: reqwest::redirect::Policy) -> Result<reqwest::Client, String> {
    crate::disk::look::beyond_files();
    crate::registry::install_tls();
    reqwest::Client::builder()
        .timeout(REQUEST)
        .redirect(redirects)
        .user_agent(concat!("jackal/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
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

/// Runs `work` on a separate thread and waits for it. Callers may be inside or
/// outside of asynchronous code.
pub(super) fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, String> {
    // The runtime is created and dropped on that thread, as runtimes must not be
    // nested.
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let runtime = crate::registry::runtime::this_thread();
            runtime.map(|runtime| runtime.block_on(work))
        });
        let done = running.join().map_err(|_| "it panicked".to_owned())?;
        done.map_err(|error| error.to_string())
    })
}
