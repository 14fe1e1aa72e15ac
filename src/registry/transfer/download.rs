//! Files over HTTP and HTTPS, straight into the cache.
//!
//! Uses the client that pulls images, without its logins. A transfer that
//! breaks off is resumed only where the server vouches that the file is still
//! the same one, else begun again. Never shows a login or query of an address
//! in a message.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::Semaphore;

use crate::action::Output;
use crate::cas::{Cas, CasError, Sink, SinkError};
use crate::content::Receive as _;
use crate::oci::{Descriptor, Digest};
use crate::registry::client::Registry;
use crate::registry::refusal::retry_after;
use crate::registry::retry::MAX_RETRY_AFTER;
use crate::registry::transfer::blob::PROGRESS_BYTES;
use crate::registry::transfer::speed::{Cut, Speed};

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Not an address that files are fetched from.
    #[error("`{0}` is not the URL of a file: expected http:// or https:// and a host")]
    Address(String),
    /// Any status that is not success.
    #[error("{url}: server answered HTTP {status}; {}", advice(*.status))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// It asks for more patience than we have.
    #[error(
        "{url}: server answered HTTP {status} and asks for a delay of {seconds} s, which is more than jackal waits; run the command again after that"
    )]
    Later {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it asks for.
        seconds: u64,
    },
    /// No answer, or one that broke off, after all attempts.
    #[error("{url}: connection failed: {reason}; check the network and the host's name")]
    Transport {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The file is not the one the definition speaks of.
    #[error(
        "{url}: digest mismatch: found {found}, expected {expected}; if the file was meant to change, correct the checksum"
    )]
    Digest {
        /// What was asked for.
        url: String,
        /// Digest of what came.
        found: Digest,
        /// Digest that was asked for.
        expected: Digest,
    },
    /// The cache refused the bytes.
    #[error("{url}: {source}")]
    Store {
        /// What was asked for.
        url: String,
        /// What happened.
        source: SinkError,
    },
    /// No more transfers are to be started.
    #[error("{0}: download cancelled before it started")]
    Stopped(String),
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "access refused; jackal sends no credentials to file servers, so check the URL"
        }
        404 | 410 => "no such file; check the URL",
        429 => "the server limits requests; wait, then try again",
        500.. => "the server has an internal error; try again later",
        _ => "expected 200; check the URL",
    }
}

/// Why one attempt failed, and how long the server asks to wait.
enum Failure {
    Transient(Box<DownloadError>, Option<Duration>),
    Final(Box<DownloadError>),
}

/// Downloads `url` into `cas`; with `sha256`, only the file of that digest.
///
/// Asks nobody when the cache holds that digest. Holds one of `permits` while it
/// transfers. The output is named by the address, without login and query.
///
/// # Errors
///
/// [`DownloadError`]; nothing is stored then.
pub async fn download(
    registry: &Registry,
    url: &str,
    sha256: Option<Digest>,
    cas: &Arc<Cas>,
    permits: &Semaphore,
) -> Result<Output, DownloadError> {
    let address = parse(url)?;
    let shown = shown(&address);
    if let Some(digest) = sha256
        && let Some(size) = held(cas, digest).await
    {
        let name = shown;
        return Ok(Output { name, digest, size });
    }
    let permit = permits.acquire().await;
    let _permit = permit.map_err(|_| DownloadError::Stopped(shown.clone()))?;
    let mut transfer = Transfer {
        registry,
        address,
        shown,
        sink: Sink::open(cas),
        cas,
        offset: 0,
        validator: None,
    };
    let mut attempt = 0;
    loop {
        let before = transfer.offset;
        match transfer.attempt().await {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(*error),
            Err(Failure::Transient(error, after)) => {
                if transfer.offset >= before + PROGRESS_BYTES {
                    attempt = 0;
                }
                if !registry.retries().wait(&mut attempt, &error, after).await {
                    return Err(*error);
                }
            }
        }
    }
    transfer.finish(sha256).await
}

impl Registry {
    /// The status that `url` answers a `GET` with; `None`: it does not answer.
    pub async fn status(&self, url: &str) -> Option<u16> {
        let answer = self.http().get(url).send().await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// The size of a blob that the cache holds, read through: a cut one is a miss.
async fn held(cas: &Arc<Cas>, digest: Digest) -> Option<u64> {
    let cas = Arc::clone(cas);
    let size = tokio::task::spawn_blocking(move || {
        let mut blob = cas.open_blob(&digest).ok()?;
        io::copy(&mut blob, &mut io::sink()).ok()
    });
    size.await.ok().flatten()
}

fn parse(url: &str) -> Result<Url, DownloadError> {
    let parsed = Url::parse(url).ok();
    parsed
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            let end = url.find(['@', '?']).unwrap_or(url.len());
            DownloadError::Address(url[..end].chars().take(200).collect())
        })
}

/// The address without what may be secret in it.
fn shown(address: &Url) -> String {
    let mut address = address.clone();
    // Refused only for addresses without a host, which `parse` has refused.
    let _ = address.set_username("");
    let _ = address.set_password(None);
    address.set_query(None);
    address.set_fragment(None);
    address.to_string()
}

struct Transfer<'a> {
    registry: &'a Registry,
    address: Url,
    shown: String,
    cas: &'a Arc<Cas>,
    sink: Sink,
    /// Bytes handed to the sink.
    offset: u64,
    /// What tells that the file is still the one begun.
    validator: Option<String>,
}

impl Transfer<'_> {
    async fn attempt(&mut self) -> Result<(), Failure> {
        let mut request = self.registry.http().get(self.address.clone());
        if self.offset > 0 {
            match &self.validator {
                Some(validator) => {
                    let range = format!("bytes={}-", self.offset);
                    request = request.header(RANGE, range).header(IF_RANGE, validator);
                }
                None => self.restart(),
            }
        }
        let response = request.send().await.map_err(|error| self.lost(error))?;
        let mut response = self.check(response)?;
        if self.offset > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            self.restart();
        }
        if self.offset == 0 {
            self.validator = validator(&response);
        }
        let mut speed = Speed::default();
        loop {
            let chunk = speed.chunk(&mut response).await;
            let Some(bytes) = chunk.map_err(|cut| self.lost(cut))? else {
                return Ok(());
            };
            self.offset += bytes.len() as u64;
            let written = self.sink.write(bytes).await;
            written.map_err(|source| {
                let url = self.shown.clone();
                Failure::Final(Box::new(DownloadError::Store { url, source }))
            })?;
        }
    }

    fn check(&mut self, response: Response) -> Result<Response, Failure> {
        let status = response.status().as_u16();
        let url = self.shown.clone();
        let refused = Box::new(DownloadError::Status { url, status });
        match status {
            206 if self.offset > 0 => {
                let range = response.headers().get(CONTENT_RANGE);
                let range = range.and_then(|v| v.to_str().ok()).unwrap_or_default();
                if range.starts_with(&format!("bytes {}-", self.offset)) {
                    return Ok(response);
                }
                self.restart();
                Err(Failure::Transient(refused, None))
            }
            200 => Ok(response),
            // The file has become shorter.
            416 if self.offset > 0 => {
                self.restart();
                Err(Failure::Transient(refused, None))
            }
            408 | 429 | 500 | 502 | 503 | 504 => Err(match retry_after(&response) {
                Some(after) if after > MAX_RETRY_AFTER => {
                    let (url, seconds) = (self.shown.clone(), after.as_secs());
                    Failure::Final(Box::new(DownloadError::Later {
                        url,
                        status,
                        seconds,
                    }))
                }
                after => Failure::Transient(refused, after),
            }),
            _ => Err(Failure::Final(refused)),
        }
    }

    /// Forgets what came so far.
    fn restart(&mut self) {
        self.sink = Sink::open(self.cas);
        self.offset = 0;
        self.validator = None;
    }

    fn lost(&self, cut: impl Into<Cut>) -> Failure {
        let cut = cut.into();
        let permanent = cut.is_permanent();
        let error = Box::new(DownloadError::Transport {
            url: self.shown.clone(),
            reason: cut.reason(),
        });
        match permanent {
            true => Failure::Final(error),
            false => Failure::Transient(error, None),
        }
    }

    async fn finish(self, sha256: Option<Digest>) -> Result<Output, DownloadError> {
        let (sink, url) = (self.sink, self.shown);
        let stored = match sha256 {
            Some(digest) => {
                let expected = Descriptor::blob(digest, self.offset);
                let stored = sink.commit(&expected).await;
                stored.map(|()| (digest, self.offset))
            }
            None => sink.commit_any().await,
        };
        match stored {
            Ok((digest, size)) => Ok(Output {
                name: url,
                digest,
                size,
            }),
            Err(SinkError::Cas(CasError::Mismatch {
                found, expected, ..
            })) => Err(DownloadError::Digest {
                url,
                found,
                expected,
            }),
            Err(source) => Err(DownloadError::Store { url, source }),
        }
    }
}

/// A strong entity tag, or a date: what `If-Range` takes.
fn validator(response: &Response) -> Option<String> {
    let header = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    header(ETAG)
        .filter(|tag| !tag.starts_with("W/"))
        .or_else(|| header(LAST_MODIFIED))
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
