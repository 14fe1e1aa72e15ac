//! The client: requests with login and retries, manifests whole.
//!
//! Uses HTTP by itself on this machine and in private networks, else HTTPS. Every byte is
//! checked against its digest where one is known. Never retries a refusal.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::error::Carried;
use super::refusal::{check, is_at_home, lost, secrets_in};
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

/// How to speak to registries.
pub struct Options {
    /// Schemes and certificates.
    pub hosts: Hosts,
    /// Logins; empty: anonymous.
    pub credentials: Credentials,
    /// Further attempts after the first, for each manifest and each blob.
    pub retries: u32,
    /// Bound of the first wait; it doubles with every attempt.
    pub backoff: Duration,
    /// Shortest wait between a write to an index and the look at what became of it.
    pub settle: Duration,
    /// Who hears of further attempts.
    pub tell: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            credentials: Credentials::default(),
            retries: 5,
            backoff: Duration::from_millis(500),
            settle: Duration::from_millis(500),
            tell: |_| {},
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

/// What is asked of a repository.
pub(super) struct Call<'a> {
    pub method: Method,
    /// The repository, and what errors are told of.
    pub reference: &'a Reference,
    /// What a token must allow.
    pub access: Access,
    /// Where: [`Registry::url`], or what the registry named.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body<'a>,
}

/// What is sent along.
pub(super) enum Body<'a> {
    Empty,
    Bytes(Bytes),
    /// A part of a blob, or all of it; read anew for each time that it is sent.
    Upload(&'a Upload, Range<u64>),
}

impl Body<'_> {
    fn carried(&self) -> Carried {
        match self {
            Self::Empty => Carried::Nothing,
            Self::Bytes(_) => Carried::Manifest,
            Self::Upload(upload, range) => match range.end - range.start {
                0 => Carried::Nothing,
                part if part < upload.descriptor.size => Carried::Piece,
                _ => Carried::Blob,
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
}

impl Registry {
    /// Sets up a client; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Setup`]: TLS could not be set up.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        Ok(Self {
            clients: Clients::new(options.hosts)?,
            auth: Auth::new(options.credentials),
            retries: Retries::new(options.retries, options.backoff, options.tell),
            pace: Pace::default(),
            settle: options.settle,
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
        self.resolve_for(reference, &Access::Pull).await
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
        let once = || self.resolve_once(&reference, &Access::Pull, Some(descriptor.size));
        Ok(self.retries.run(once).await?.1)
    }

    /// The same with a token that allows `access`.
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
        // Before a line that breaks off hides it.
        if let Some(length) = response.content_length().filter(|length| other(*length)) {
            return Err(odd(length).into());
        }
        let kind = header(&response, CONTENT_TYPE.as_str());
        let kind = kind.split(';').next().unwrap_or(kind).trim().to_owned();
        let promised = header(&response, DIGEST).parse::<Digest>().ok();
        let bytes = whole(reference, response, "a larger manifest").await?;
        let descriptor = Descriptor::of(&kind, &bytes);
        if other(descriptor.size) {
            return Err(odd(descriptor.size).into());
        }
        match reference.digest().or(promised) {
            Some(digest) if digest != descriptor.digest => {
                let found = descriptor.digest.to_string();
                Err(RegistryError::content(reference, found, digest.to_string()).into())
            }
            _ => Ok((descriptor, bytes.into())),
        }
    }

    /// Asks for a manifest, or for its headers, with a token that allows `access`.
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

    /// The address of something in `reference`'s repository.
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

    /// Sends one request, and again with a login if it is asked for one; a host
    /// that wishes to be left alone for a while is left alone by all.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, Failure> {
        match self.send_in_turn(call).await {
            Err(Failure::Transient(error, Some(wish))) => {
                if self.is_own(call)? {
                    self.pace.close(call.reference.registry(), wish);
                }
                Err(Failure::Transient(error, Some(wish)))
            }
            Err(Failure::Final(RegistryError::Unauthorized {
                reference,
                status,
                said,
                ..
            })) => Err(RegistryError::Unauthorized {
                reference,
                status,
                said,
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

    /// Waits until the host of `reference` may be asked so many times at once.
    pub(super) async fn turn(&self, reference: &Reference, times: u32) {
        let host = reference.registry();
        self.pace.turn(host, self.clients.apart(host) * times).await;
    }

    async fn send_in_turn(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let host = call.reference.registry();
        let http = self.clients.of(host)?;
        // Whoever stores uploads for a registry is not shown its login.
        let own = self.is_own(call)?;
        if own {
            self.turn(call.reference, 1).await;
        }
        // Looked up only now: what was good before may be so no longer.
        let mut authorised = match own {
            true => self.auth.known(call.reference, &call.access),
            false => None,
        };
        let mut asked = false;
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
                Body::Empty => request.send().await.map_err(|e| lost(call.reference, e)),
                Body::Bytes(bytes) => {
                    let sent = request.body(bytes.clone()).send().await;
                    sent.map_err(|e| lost(call.reference, e))
                }
                Body::Upload(upload, range) => {
                    watched(call.reference, request, upload, range).await
                }
            };
            let response = sent?;
            if response.status() == StatusCode::UNAUTHORIZED && !asked && own {
                asked = true;
                // One for the token, and at once with it: it may be short-lived.
                self.turn(call.reference, 2).await;
                let plain = self.clients.is_plain(host);
                let answer =
                    self.auth
                        .answer(&http.logins, call.reference, &call.access, &response, plain);
                authorised = answer.await?;
                if authorised.is_some() {
                    continue;
                }
            }
            let shown = authorised.filter(|_| !response.status().is_success());
            let secrets = shown.as_deref().map(secrets_in).unwrap_or_default();
            let home = is_at_home(call.reference, response.url());
            let checked = check(call.reference, response, call.body.carried(), &secrets).await;
            let response = checked.map_err(|failure| match failure {
                Failure::Final(error) if !home => stale(error),
                other => other,
            })?;
            self.retries.succeeded();
            return Ok(response);
        }
    }

    /// The client for answers of the registry of `reference`, without logins.
    pub(super) fn reader(&self, reference: &Reference) -> Result<reqwest::Client, RegistryError> {
        Ok(self.clients.of(reference.registry())?.reads)
    }

    /// Whether there is a login for `reference`.
    pub(super) async fn knows_login(&self, reference: &Reference) -> Result<bool, RegistryError> {
        Ok(self.auth.login(reference).await?.is_some())
    }

    /// What kind of registry holds `reference`.
    pub(super) fn profile(&self, reference: &Reference) -> Profile {
        self.clients.profile(reference.registry())
    }

    /// Most bytes that a request to the registry of `reference` may hold.
    pub(super) fn max_body(&self, reference: &Reference) -> Option<u64> {
        self.clients.max_body(reference.registry())
    }

    /// Shortest wait before a write to an index is looked at.
    pub(super) fn settle(&self) -> Duration {
        self.settle
    }

    /// The one policy of repetitions.
    pub(super) fn retries(&self) -> &Retries {
        &self.retries
    }

    /// The client under the protocol, for files that no registry holds.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.clients.shared().reads
    }
}

/// Names the content of a response.
pub(super) const DIGEST: &str = "docker-content-digest";

/// A header's text; empty where there is none.
pub(super) fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Storage refuses: an address that was good for a while may be so no longer,
/// and another attempt is given another one.
fn stale(error: RegistryError) -> Failure {
    match error {
        RegistryError::Unauthorized {
            reference,
            status,
            said,
            ..
        } => {
            let carried = Carried::Nothing;
            let error = RegistryError::Status {
                reference,
                status,
                said,
                carried,
            };
            Failure::Transient(error, None)
        }
        other => Failure::Final(other),
    }
}

/// The body of an answer that is no longer than a manifest may be; `longer`
/// says what came else.
pub(super) async fn whole(
    reference: &Reference,
    mut response: Response,
    longer: &str,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut speed = Speed::default();
    let cut = |cut| lost(reference, cut);
    while let Some(chunk) = speed.chunk(&mut response).await.map_err(cut)? {
        if (bytes.len() + chunk.len()) as u64 > MAX_MANIFEST_BYTES {
            let expected = format!("at most {MAX_MANIFEST_BYTES} bytes");
            return Err(RegistryError::content(reference, longer.to_owned(), expected).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Where an upload goes on, which must not be in the clear if we began safely.
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

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
