//! Downloads over HTTP and HTTPS into the cache.
//!
//! Uses the client for registries, without its credentials. An interrupted
//! transfer is resumed only if the server confirms that the file is unchanged;
//! otherwise it starts over. Messages never show the user, password or query of
//! a URL.

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
use crate::registry::refusal::{is_page, retry_after};
use crate::registry::retry::{MAX_RETRY_AFTER, is_temporary};
use crate::registry::transfer::blob::PROGRESS_BYTES;
use crate::registry::transfer::speed::{Cut, Speed};

/// Largest file that is downloaded, in bytes, unless the user sets another limit: 64 GiB.
pub const MAX_DOWNLOAD_BYTES: u64 = 64 << 30;

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Not the URL of a file.
    #[error("`{0}` is not the URL of a file: expected http:// or https:// and a host")]
    Address(String),
    /// Any status that is not success.
    #[error("{url}: server answered HTTP {status}; {}", advice(*.status))]
    Status { url: String, status: u16 },
    /// The server asks for a longer delay than we accept.
    #[error(
        "{url}: server answered HTTP {status} and asks for a delay of {seconds} s, which is more than jackal waits; run the command again after that"
    )]
    Later {
        url: String,
        status: u16,
        seconds: u64,
    },
    /// No response, or an incomplete one, after all retries.
    #[error("{url}: connection failed: {reason}; check the network and the host's name")]
    Transport { url: String, reason: String },
    /// The file does not match the checksum.
    #[error(
        "{url}: digest mismatch: found {found}{}, expected {expected}; if the file was meant to change, correct the checksum", if *.page { " (a web page)" } else { "" }
    )]
    Digest {
        url: String,
        /// Digest of the downloaded file.
        found: Digest,
        expected: Digest,
        /// Whether the server sent a web page.
        page: bool,
    },
    /// The file could not be stored in the cache.
    #[error("{url}")]
    Store { url: String, source: SinkError },
    /// The server announces or sends more than is accepted.
    #[error(
        "{url}: the file has more than {limit} bytes; the limit for files of packages is set with --max-content-size"
    )]
    TooLarge {
        url: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The transfers were stopped.
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

/// Why an attempt failed, and the delay that the server asks for.
enum Failure {
    Transient(Box<DownloadError>, Option<Duration>),
    Final(Box<DownloadError>),
}

/// Downloads `url` into `cas`; with `sha256`, only the file of that digest.
///
/// Sends no request if the cache has that digest. Receives at most `most` bytes;
/// `None`: `MAX_DOWNLOAD_BYTES`. Holds one of `permits` during the transfer. The output is named after the URL, without user, password and
/// query.
///
/// # Errors
///
/// [`DownloadError`]; nothing is stored then.
pub async fn download(
    registry: &Registry,
    url: &str,
    sha256: Option<Digest>,
    most: Option<u64>,
    cas: &Arc<Cas>,
    permits: &Semaphore,
) -> Result<Output, DownloadError> {
    let address = parse(url)?;
    let shown = shown(&address);
    if let Some(digest) = sha256
        && let Some(size) = held(cas, digest).await
    {
        return Ok(Output::new(shown, (digest, size)));
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
        page: false,
        most: most.unwrap_or(MAX_DOWNLOAD_BYTES),
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
    /// The status of a `GET` request to `url`; `None`: no response.
    pub async fn status(&self, url: &str) -> Option<u16> {
        let answer = self.http().ok()?.get(url).send().await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// The size of a blob in the cache, which is read to the end: a truncated blob
/// is a miss.
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

/// The URL without what may be secret.
fn shown(address: &Url) -> String {
    let mut address = address.clone();
    // Fails only for URLs without a host, which `parse` has rejected.
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
    /// Number of bytes written to the sink.
    offset: u64,
    /// The validator that shows whether the file has changed.
    validator: Option<String>,
    /// Whether it is a web page.
    page: bool,
    /// Maximum size of the file, in bytes.
    most: u64,
}

impl Transfer<'_> {
    async fn attempt(&mut self) -> Result<(), Failure> {
        let http = self.registry.http().map_err(|error| {
            Failure::Final(Box::new(DownloadError::Transport {
                url: self.shown.clone(),
                reason: error.to_string(),
            }))
        })?;
        let mut request = http.get(self.address.clone());
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
            self.page = is_page(&response);
        }
        // A stream may come without a length, so each piece is counted, too.
        let announced = response.content_length().unwrap_or(0);
        self.fits(self.offset.saturating_add(announced))?;
        self.cas
            .make_sure_of(announced)
            .map_err(|error| self.unstored(error.into()))?;
        let mut speed = Speed::default();
        loop {
            let chunk = speed.chunk(&mut response).await;
            let Some(bytes) = chunk.map_err(|cut| self.lost(cut))? else {
                return Ok(());
            };
            self.offset += bytes.len() as u64;
            self.fits(self.offset)?;
            let written = self.sink.write(bytes).await;
            written.map_err(|source| self.unstored(source))?;
        }
    }

    fn fits(&self, bytes: u64) -> Result<(), Failure> {
        if bytes <= self.most {
            return Ok(());
        }
        Err(Failure::Final(Box::new(DownloadError::TooLarge {
            url: self.shown.clone(),
            limit: self.most,
        })))
    }

    fn unstored(&self, source: SinkError) -> Failure {
        let url = self.shown.clone();
        Failure::Final(Box::new(DownloadError::Store { url, source }))
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
            // The file has become smaller.
            416 if self.offset > 0 => {
                self.restart();
                Err(Failure::Transient(refused, None))
            }
            status if is_temporary(status) => Err(match retry_after(&response) {
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

    /// Discards what was received.
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
        let (sink, url, page) = (self.sink, self.shown, self.page);
        let stored = match sha256 {
            Some(digest) => {
                let expected = Descriptor::blob(digest, self.offset);
                let stored = sink.commit(&expected).await;
                stored.map(|()| (digest, self.offset))
            }
            None => sink.commit_any().await,
        };
        match stored {
            Ok(stored) => Ok(Output::new(url, stored)),
            Err(SinkError::Cas(CasError::Mismatch {
                found, expected, ..
            })) => Err(DownloadError::Digest {
                url,
                found,
                expected,
                page,
            }),
            Err(source) => Err(DownloadError::Store { url, source }),
        }
    }
}

/// A strong entity tag or a date, for `If-Range`.
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
