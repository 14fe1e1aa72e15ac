//! The pull client: manifests whole, blobs streamed, transient faults retried.
//!
//! Uses HTTP by itself on this machine and in private networks, else HTTPS. Every byte is
//! checked against its digest where one is known. Never retries a refusal.

use std::error::Error as _;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE, RETRY_AFTER};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Response, StatusCode};

use super::RegistryError;
use super::auth::Auth;
use super::credentials::Credentials;
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Reference, media_type};

/// Longest wait that a registry's `Retry-After` can ask of us.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Longest wait between two attempts when the registry names none.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Longest silence within an answer before the connection counts as lost.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest chain of redirects; storage behind a registry takes one or two.
const MAX_REDIRECTS: usize = 5;

/// How to speak to registries.
pub struct Options {
    /// Use HTTP for every host, not only for those near by.
    pub plain_http: bool,
    /// Logins; empty: anonymous.
    pub credentials: Credentials,
    /// Further attempts after the first, for each manifest and each blob.
    pub retries: u32,
    /// Bound of the first wait; it doubles with every attempt.
    pub backoff: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: false,
            credentials: Credentials::default(),
            retries: 4,
            backoff: Duration::from_millis(500),
        }
    }
}

/// A client for any number of registries.
pub struct Registry {
    http: reqwest::Client,
    auth: Auth,
    plain_http: bool,
    retries: u32,
    backoff: Duration,
}

/// A failed attempt: worth another one, or not.
pub(super) enum Failure {
    Transient(RegistryError, Option<Duration>),
    Final(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

impl Registry {
    /// Sets up a client; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Setup`]: TLS could not be set up.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("jackal/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(Policy::custom(follow))
            .build()
            .map_err(|error| RegistryError::Setup(reason(error)))?;
        Ok(Self {
            auth: Auth::new(options.credentials),
            http,
            plain_http: options.plain_http,
            retries: options.retries,
            backoff: options.backoff,
        })
    }

    /// Finds what `reference` names now: its descriptor, and its bytes.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: refused, absent, unreachable, or not the digest asked for.
    pub async fn resolve(
        &self,
        reference: &Reference,
    ) -> Result<(Descriptor, Bytes), RegistryError> {
        let mut attempt = 0;
        loop {
            match self.resolve_once(reference).await {
                Ok(found) => return Ok(found),
                Err(failure) => self.pause(&mut attempt, failure).await?,
            }
        }
    }

    /// Fetches the manifest that `descriptor` names from `reference`'s repository.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve), and content of another size.
    pub async fn manifest(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let reference = reference.at(descriptor.digest);
        let (found, bytes) = self.resolve(&reference).await?;
        if found.size == descriptor.size {
            return Ok(bytes);
        }
        let expected = format!("{} bytes", descriptor.size);
        Err(content(
            &reference,
            format!("{} bytes", found.size),
            expected,
        ))
    }

    async fn resolve_once(&self, reference: &Reference) -> Result<(Descriptor, Bytes), Failure> {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let mut response = self.get(reference, "manifests", &name, 0).await?;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|v| v.to_str().ok()).unwrap_or_default()
        };
        let kind = header(CONTENT_TYPE.as_str());
        let kind = kind.split(';').next().unwrap_or(kind).trim().to_owned();
        let promised = header("docker-content-digest").parse::<Digest>().ok();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(reference, e))? {
            if (bytes.len() + chunk.len()) as u64 > MAX_MANIFEST_BYTES {
                let found = "a longer manifest".to_owned();
                let expected = format!("at most {MAX_MANIFEST_BYTES} bytes");
                return Err(content(reference, found, expected).into());
            }
            bytes.extend_from_slice(&chunk);
        }
        let descriptor = Descriptor::of(&kind, &bytes);
        match reference.digest().or(promised) {
            Some(digest) if digest != descriptor.digest => {
                let found = descriptor.digest.to_string();
                Err(content(reference, found, digest.to_string()).into())
            }
            _ => Ok((descriptor, bytes.into())),
        }
    }

    pub(super) async fn get(
        &self,
        reference: &Reference,
        kind: &str,
        name: &str,
        from: u64,
    ) -> Result<Response, Failure> {
        let (host, repository) = (reference.registry(), reference.repository());
        let plain = self.plain_http || is_local(host);
        let scheme = if plain { "http" } else { "https" };
        let host = match host {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let url = format!("{scheme}://{host}/v2/{repository}/{kind}/{name}");
        let mut authorised = self.auth.known(reference);
        let mut asked = false;
        loop {
            let mut request = self.http.get(&url);
            if kind == "manifests" {
                let types = [
                    media_type::INDEX,
                    media_type::MANIFEST,
                    media_type::DOCKER_INDEX,
                    media_type::DOCKER_MANIFEST,
                ];
                request = request.header(ACCEPT, types.join(", "));
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(value) = &authorised {
                request = request.header(reqwest::header::AUTHORIZATION, value);
            }
            let response = request.send().await.map_err(|e| lost(reference, e))?;
            if response.status() == StatusCode::UNAUTHORIZED && !asked {
                asked = true;
                let auth = &self.auth;
                authorised = auth.answer(&self.http, reference, &response, plain).await?;
                if authorised.is_some() {
                    continue;
                }
            }
            return check(reference, response);
        }
    }

    /// Waits before the next attempt, or gives the error up to the caller.
    pub(super) async fn pause(
        &self,
        attempt: &mut u32,
        failure: Failure,
    ) -> Result<(), RegistryError> {
        let (error, after) = match failure {
            Failure::Transient(error, after) => (error, after),
            Failure::Final(error) => return Err(error),
        };
        match self.wait(attempt, after).await {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// The client under the protocol, for files that no registry holds.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Waits before attempt number `attempt`; `false`: there is to be no other.
    pub(super) async fn wait(&self, attempt: &mut u32, after: Option<Duration>) -> bool {
        if *attempt >= self.retries {
            return false;
        }
        // Full jitter: clients that failed together do not come back together.
        let bound = self.backoff.saturating_mul(1 << (*attempt).min(10));
        let share = f64::from(RandomState::new().hash_one(*attempt) as u32) / f64::from(u32::MAX);
        let wait = bound.min(MAX_BACKOFF).mul_f64(share);
        *attempt += 1;
        tokio::time::sleep(after.map_or(wait, |after| after.min(MAX_RETRY_AFTER))).await;
        true
    }
}

pub(super) fn check(reference: &Reference, response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let (reference, status) = (reference.to_string(), status.as_u16());
    Err(match status {
        401 | 403 => RegistryError::Unauthorized { reference, status }.into(),
        404 => RegistryError::NotFound { reference }.into(),
        408 | 429 | 500 | 502 | 503 | 504 => {
            let after = retry_after(&response);
            Failure::Transient(RegistryError::Status { reference, status }, after)
        }
        _ => RegistryError::Status { reference, status }.into(),
    })
}

/// How long the server asks to wait.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let after = response.headers().get(RETRY_AFTER)?;
    let seconds = after.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Follows a few redirects, but never from HTTPS down to HTTP.
fn follow(attempt: Attempt<'_>) -> Action {
    let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if secure && attempt.url().scheme() != "https" {
        attempt.error("redirected from https to http")
    } else {
        attempt.follow()
    }
}

/// The connection broke; another attempt may fare better.
pub(super) fn lost(reference: &Reference, error: reqwest::Error) -> Failure {
    let permanent = error.is_builder() || error.is_redirect();
    let error = RegistryError::Transport {
        reference: reference.to_string(),
        reason: reason(error),
    };
    if permanent {
        return Failure::Final(error);
    }
    Failure::Transient(error, None)
}

/// The whole chain of causes, without the address: it may hold a signature.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(super) fn content(reference: &Reference, found: String, expected: String) -> RegistryError {
    RegistryError::Content {
        reference: reference.to_string(),
        found,
        expected,
    }
}

/// Whether `host` is on this machine or in a private network, where TLS is not usual.
///
/// Source: package.md 3.7, "Fetching".
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name.ends_with(".local")
        || name.parse::<IpAddr>().is_ok_and(|ip| match ip {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
            IpAddr::V6(ip) => ip.is_loopback(),
        })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
