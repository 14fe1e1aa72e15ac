//! The client: requests with credentials and retries.
//!
//! Uses HTTP for hosts on this machine and in private networks, otherwise HTTPS.
//! Content with a known digest is verified. Refusals are never retried.

use std::error::Error as _;
use std::iter;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::error::Payload;
use super::refusal::{check, is_at_home, lost, no_page, secrets_in};
use super::retry::{Failure, Retries};
use super::{Profile, RegistryError};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Reference, media_type};
use crate::registry::auth::credentials::Credentials;
use crate::registry::auth::{Access, Auth};
use crate::registry::host::answering;
use crate::registry::host::pace::Pace;
use crate::registry::host::{Clients, Hosts};
use crate::registry::transfer::speed::Speed;
use crate::registry::transfer::upload::{Upload, watched};

pub struct Options {
    /// Schemes and certificates.
    pub hosts: Hosts,
    /// Credentials; empty: anonymous.
    pub credentials: Credentials,
    /// Maximum number of retries for each manifest and each blob.
    pub retries: u32,
    /// Upper bound of the first delay, which doubles with every retry.
    pub backoff: Duration,
    /// Minimum delay between writing an index and reading it back.
    pub settle: Duration,
    pub on_retry: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            credentials: Credentials::default(),
            retries: 5,
            backoff: Duration::from_millis(500),
            settle: Duration::from_millis(500),
            on_retry: |_| {},
        }
    }
}

/// A client for any number of registries.
pub struct Registry {
    clients: Clients,
    auth: Auth,
    retries: Retries,
    pace: Pace,
    settle: Duration,
}

/// A request about a repository.
pub(super) struct Call<'a> {
    pub method: Method,
    /// The repository, and the name to use in errors.
    pub reference: &'a Reference,
    /// The access that a token must allow.
    pub access: Access,
    /// [`Registry::url`], or a URL from the registry.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body<'a>,
}

/// The body of a request.
pub(super) enum Body<'a> {
    Empty,
    Bytes(Bytes),
    /// A range of a blob, read again for each attempt.
    Upload(&'a Upload, Range<u64>),
}

impl Body<'_> {
    fn payload(&self) -> Payload {
        match self {
            Self::Empty => Payload::Nothing,
            Self::Bytes(_) => Payload::Manifest,
            Self::Upload(upload, range) => match range.end - range.start {
                0 => Payload::Nothing,
                part if part < upload.descriptor.size => Payload::Piece,
                _ => Payload::Blob,
            },
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, reference: &'a Reference, url: Url) -> Self {
        let access = match method {
            Method::GET | Method::HEAD => Access::Pull,
            _ => Access::Push,
        };
        Self {
            method,
            reference,
            access,
            url,
            headers: HeaderMap::new(),
            body: Body::Empty,
        }
    }

    /// Whether a web page in response to this request does not come from the registry.
    fn may_get_page(&self, status: StatusCode) -> bool {
        match self.method {
            // A store may give blobs any type; size and digest decide there.
            Method::GET => !self.url.path().contains("/blobs/sha256:"),
            Method::HEAD => false,
            // A registry answers writes with 201, 202 or 204, whatever the type.
            _ => status == StatusCode::OK,
        }
    }
}

impl Registry {
    /// Creates a client, without connecting.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            clients: Clients::new(options.hosts),
            auth: Auth::new(options.credentials),
            retries: Retries::new(options.retries, options.backoff, options.on_retry),
            pace: Pace::default(),
            settle: options.settle,
        }
    }

    /// Resolves `reference` to the descriptor and the bytes of its manifest or
    /// index.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: refused, not found, unreachable, or a digest mismatch.
    pub async fn resolve(
        &self,
        reference: &Reference,
    ) -> Result<(Descriptor, Bytes), RegistryError> {
        self.resolve_for(reference, &Access::Pull).await
    }

    /// Fetches the manifest that `descriptor` names from `reference`'s repository.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve), and a size mismatch.
    pub async fn manifest(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let reference = reference.at(descriptor.digest);
        if descriptor.size > MAX_MANIFEST_BYTES {
            return Err(too_long(&reference, descriptor.size));
        }
        let once = || self.resolve_once(&reference, &Access::Pull, Some(descriptor.size));
        Ok(self.retries.run(once).await?.1)
    }

    /// [`resolve`](Self::resolve) with a token that allows `access`.
    pub(super) async fn resolve_for(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Descriptor, Bytes), RegistryError> {
        let once = || self.resolve_once(reference, access, None);
        self.retries.run(once).await
    }

    async fn resolve_once(
        &self,
        reference: &Reference,
        access: &Access,
        size: Option<u64>,
    ) -> Result<(Descriptor, Bytes), Failure> {
        let access = access.clone();
        let response = self.get_manifest(Method::GET, reference, access).await?;
        let other = |found: u64| size.is_some_and(|size| size != found);
        let odd = |found: u64| {
            let expected = format!("{} bytes", size.unwrap_or_default());
            RegistryError::content(reference, format!("{found} bytes"), expected)
        };
        // Check this before a broken connection can hide it.
        if let Some(length) = response.content_length().filter(|length| other(*length)) {
            return Err(odd(length).into());
        }
        let announced = response.content_length().is_some();
        let kind = header(&response, CONTENT_TYPE.as_str());
        let kind = kind.split(';').next().unwrap_or(kind).trim().to_owned();
        let promised = header(&response, DIGEST).parse::<Digest>().ok();
        let bytes = whole(reference, response, "manifest").await?;
        let descriptor = Descriptor::of(&kind, &bytes);
        if other(descriptor.size) {
            // Without an announced length, a broken connection looks like an end.
            let cut = !announced && size.is_some_and(|size| descriptor.size < size);
            return Err(match cut {
                true => ended(reference, descriptor.size, size.unwrap_or_default()),
                false => odd(descriptor.size).into(),
            });
        }
        match reference.digest().or(promised) {
            Some(digest) if digest != descriptor.digest => {
                let found = descriptor.digest.to_string();
                Err(RegistryError::content(reference, found, digest.to_string()).into())
            }
            _ => Ok((descriptor, bytes.into())),
        }
    }

    /// Requests a manifest, or its headers, with a token that allows `access`.
    pub(super) async fn get_manifest(
        &self,
        method: Method,
        reference: &Reference,
        access: Access,
    ) -> Result<Response, Failure> {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let url = self.url(reference, &format!("manifests/{name}"))?;
        let mut call = Call::new(method, reference, url);
        call.access = access;
        let types = [
            media_type::INDEX,
            media_type::MANIFEST,
            media_type::DOCKER_INDEX,
            media_type::DOCKER_MANIFEST,
        ];
        if let Ok(types) = HeaderValue::from_str(&types.join(", ")) {
            call.headers.insert(ACCEPT, types);
        }
        self.send(&call).await
    }

    /// The URL of `rest` in `reference`'s repository.
    pub(super) fn url(&self, reference: &Reference, rest: &str) -> Result<Url, RegistryError> {
        let (host, repository) = (reference.registry(), reference.repository());
        let scheme = match self.clients.is_plain(host) {
            true => "http",
            false => "https",
        };
        let host = answering(host);
        let text = format!("{scheme}://{host}/v2/{repository}/{rest}");
        Url::parse(&text).map_err(|error| RegistryError::Setup(format!("`{text}`: {error}")))
    }

    /// Sends a request, and repeats it with credentials after a challenge. If
    /// the host asks for a delay, all requests to it wait.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, Failure> {
        match self.send_in_turn(call).await {
            Err(Failure::Transient(error, Some(delay))) => {
                if self.is_own(call)? {
                    self.pace.close(call.reference.registry(), delay);
                }
                Err(Failure::Transient(error, Some(delay)))
            }
            Err(Failure::Final(RegistryError::Unauthorized {
                reference,
                status,
                message,
                ..
            })) => Err(RegistryError::Unauthorized {
                reference,
                status,
                message,
                login: Box::new(self.auth.shown(call.reference)),
            }
            .into()),
            sent => sent,
        }
    }

    /// Whether a request goes to the registry itself, not to its storage.
    fn is_own(&self, call: &Call<'_>) -> Result<bool, RegistryError> {
        Ok(self.url(call.reference, "")?.origin() == call.url.origin())
    }

    /// Waits until `times` requests may be sent to the host of `reference`.
    pub(super) async fn turn(&self, reference: &Reference, times: u32) {
        let host = reference.registry();
        self.pace.turn(host, self.clients.apart(host) * times).await;
    }

    async fn send_in_turn(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let host = call.reference.registry();
        let http = self.clients.of(host)?;
        // The storage behind a registry does not get its credentials.
        let own = self.is_own(call)?;
        if own {
            self.turn(call.reference, 1).await;
        }
        // Looked up after the wait, during which a token may have expired.
        let mut authorised = match own {
            true => self.auth.known(call.reference, &call.access),
            false => None,
        };
        let mut authenticated = false;
        loop {
            let client = match call.body {
                Body::Upload(..) => &http.writes,
                _ => &http.reads,
            };
            let request = client.request(call.method.clone(), call.url.clone());
            let mut request = request.headers(call.headers.clone());
            if let Some(value) = &authorised {
                request = request.header(AUTHORIZATION, value);
            }
            let sent = match &call.body {
                Body::Empty => send(request).await.map_err(|e| lost(call.reference, e)),
                Body::Bytes(bytes) => {
                    let sent = request.body(bytes.clone()).send().await;
                    sent.map_err(|e| lost(call.reference, e))
                }
                Body::Upload(upload, range) => {
                    watched(call.reference, request, upload, range).await
                }
            };
            let response = sent?;
            if response.status() == StatusCode::UNAUTHORIZED && !authenticated && own {
                authenticated = true;
                // One turn for the token and one for the request, as the token
                // may be short-lived.
                self.turn(call.reference, 2).await;
                let server = self.clients.token_server(host);
                let answer = self.auth.answer(
                    &http.logins,
                    call.reference,
                    &call.access,
                    &response,
                    server,
                );
                authorised = answer.await?;
                if authorised.is_some() {
                    continue;
                }
            }
            let shown = authorised.filter(|_| !response.status().is_success());
            let secrets = shown.as_deref().map(secrets_in).unwrap_or_default();
            let home = is_at_home(call.reference, response.url());
            let checked = check(call.reference, response, call.body.payload(), &secrets).await;
            let response = checked.map_err(|failure| match failure {
                Failure::Final(error) if !home => stale(error),
                other => other,
            })?;
            self.retries.succeeded();
            return match call.may_get_page(response.status()) {
                true => no_page(call.reference, response),
                false => Ok(response),
            };
        }
    }

    /// The HTTP client for the registry of `reference`, without credentials.
    pub(super) fn reader(&self, reference: &Reference) -> Result<reqwest::Client, RegistryError> {
        Ok(self.clients.of(reference.registry())?.reads)
    }

    /// Whether there are credentials for `reference`.
    pub(super) async fn knows_login(&self, reference: &Reference) -> Result<bool, RegistryError> {
        Ok(self.auth.login(reference).await?.is_some())
    }

    /// The profile of the registry of `reference`.
    pub(super) fn profile(&self, reference: &Reference) -> Profile {
        self.clients.profile(reference.registry())
    }

    /// Maximum size of a request body for the registry of `reference`, in bytes.
    pub(super) fn max_body(&self, reference: &Reference) -> Option<u64> {
        self.clients.max_body(reference.registry())
    }

    /// Minimum delay between writing an index and reading it back.
    pub(super) fn settle(&self) -> Duration {
        self.settle
    }

    pub(super) fn retries(&self) -> &Retries {
        &self.retries
    }

    /// The HTTP client for files that are not in a registry.
    pub(super) fn http(&self) -> Result<&reqwest::Client, RegistryError> {
        Ok(&self.clients.shared()?.reads)
    }
}

/// The header with the digest of a response's content.
pub(super) const DIGEST: &str = "docker-content-digest";

/// The value of a header; empty if it is missing.
pub(super) fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The storage refused: a temporary URL may have expired, and a retry gets a new
/// one.
fn stale(error: RegistryError) -> Failure {
    match error {
        RegistryError::Unauthorized {
            reference,
            status,
            message,
            ..
        } => {
            let payload = Payload::Nothing;
            let error = RegistryError::Status {
                reference,
                status,
                message,
                payload,
            };
            Failure::Transient(error, None)
        }
        other => Failure::Final(other),
    }
}

/// A response that ended early. A retry may get it whole.
pub(super) fn ended(reference: &Reference, at: u64, of: u64) -> Failure {
    let reason = format!("ended after {at} of {of} bytes");
    let reference = reference.to_string();
    Failure::Transient(RegistryError::Transport { reference, reason }, None)
}

/// A document of `size` bytes, which is more than a manifest may have.
fn too_long(reference: &Reference, size: u64) -> RegistryError {
    let expected = format!("at most {MAX_MANIFEST_BYTES} bytes");
    RegistryError::content(reference, format!("a document of {size} bytes"), expected)
}

/// The body of a response, a `document` at most as large as a manifest. One that
/// is announced to be larger is refused before its first byte.
pub(super) async fn whole(
    reference: &Reference,
    mut response: Response,
    document: &str,
) -> Result<Vec<u8>, Failure> {
    let expected = || format!("at most {MAX_MANIFEST_BYTES} bytes");
    let mut announced = response.content_length().into_iter();
    if let Some(length) = announced.find(|length| *length > MAX_MANIFEST_BYTES) {
        let found = format!("a {document} of {length} bytes");
        return Err(RegistryError::content(reference, found, expected()).into());
    }
    let mut bytes = Vec::new();
    let mut speed = Speed::default();
    let cut = |cut| lost(reference, cut);
    while let Some(chunk) = speed.chunk(&mut response).await.map_err(cut)? {
        if (bytes.len() + chunk.len()) as u64 > MAX_MANIFEST_BYTES {
            let found = format!("a larger {document}");
            return Err(RegistryError::content(reference, found, expected()).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The URL to continue an upload at. It must not use HTTP if the upload began
/// with HTTPS.
pub(super) fn location(to: &Reference, base: &Url, response: &Response) -> Result<Url, Failure> {
    let text = header(response, LOCATION.as_str());
    let url = Some(text)
        .filter(|text| !text.is_empty())
        .and_then(|text| base.join(text).ok())
        .filter(|url| {
            url.scheme() == base.scheme() || base.scheme() == "http" && url.scheme() == "https"
        });
    url.ok_or_else(|| {
        let found = "an upload without a usable Location header".to_owned();
        RegistryError::content(to, found, format!("a Location over {}", base.scheme())).into()
    })
}

/// Sends a request without a body, and once more if its connection closed before it
/// was sent: a server that asks for a certificate closes a new connection at once, and
/// only the next attempt can learn why.
async fn send(request: RequestBuilder) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if is_unsent(&error) => again.send().await,
        (sent, _) => sent,
    }
}

/// Whether a request failed before a byte of it was sent. The type that says so is not
/// public.
fn is_unsent(error: &reqwest::Error) -> bool {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    let mut texts = causes.map(ToString::to_string);
    texts.any(|text| text == "connection was not ready")
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
