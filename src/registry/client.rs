//! The client: requests with login and retries, manifests whole.
//!
//! Uses HTTP by itself on this machine and in private networks, else HTTPS. Every byte is
//! checked against its digest where one is known. Never retries a refusal.

use std::error::Error as _;
use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::{Access, Auth};
use super::body::{Upload, watched};
use super::credentials::Credentials;
use super::host::{Clients, Hosts};
use super::pace::Pace;
use super::retry::{Failure, MAX_RETRY_AFTER, Retries};
use super::{Profile, RegistryError};
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, Reference, media_type};

/// How long the words of a refusal are waited for.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);

/// What is taken of a refusal's body, in bytes; more than any message needs.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

/// What of it is shown, in characters.
const MAX_REFUSAL_CHARS: usize = 300;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            credentials: Credentials::default(),
            retries: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

/// A client for any number of registries.
pub struct Registry {
    clients: Clients,
    auth: Auth,
    retries: Retries,
    pace: Pace,
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
            retries: Retries::new(options.retries, options.backoff),
            pace: Pace::default(),
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

    /// The same with a token that allows `access`.
    pub(super) async fn resolve_for(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Descriptor, Bytes), RegistryError> {
        let once = || self.resolve_once(reference, access);
        self.retries.run(once).await
    }

    async fn resolve_once(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Descriptor, Bytes), Failure> {
        let access = access.clone();
        let response = self.get_manifest(Method::GET, reference, access).await?;
        let kind = header(&response, CONTENT_TYPE.as_str());
        let kind = kind.split(';').next().unwrap_or(kind).trim().to_owned();
        let promised = header(&response, DIGEST).parse::<Digest>().ok();
        let bytes = whole(reference, response, "a longer manifest").await?;
        let descriptor = Descriptor::of(&kind, &bytes);
        match reference.digest().or(promised) {
            Some(digest) if digest != descriptor.digest => {
                let found = descriptor.digest.to_string();
                Err(content(reference, found, digest.to_string()).into())
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
        let host = match host {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let text = format!("{scheme}://{host}/v2/{repository}/{rest}");
        Url::parse(&text).map_err(|error| RegistryError::Setup(format!("`{text}`: {error}")))
    }

    /// Sends one request, and again with a login if it is asked for one; a host
    /// that wishes to be left alone for a while is left alone by all.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, Failure> {
        let sent = self.send_in_turn(call).await;
        if let Err(Failure::Transient(_, Some(wish))) = &sent
            && self.is_own(call).unwrap_or(true)
        {
            let host = call.reference.registry();
            self.pace.close(host, (*wish).min(MAX_RETRY_AFTER));
        }
        sent
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
            let response = check_without(call.reference, response, &secrets).await?;
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

/// The body of an answer that is no longer than a manifest may be; `longer`
/// says what came else.
pub(super) async fn whole(
    reference: &Reference,
    mut response: Response,
    longer: &str,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| lost(reference, e))? {
        if (bytes.len() + chunk.len()) as u64 > MAX_MANIFEST_BYTES {
            let expected = format!("at most {MAX_MANIFEST_BYTES} bytes");
            return Err(content(reference, longer.to_owned(), expected).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Passes on success; else says what the status means.
pub(super) async fn check(reference: &Reference, response: Response) -> Result<Response, Failure> {
    check_without(reference, response, &[]).await
}

/// What an `Authorization` header would give away.
pub(super) fn secrets_in(authorization: &str) -> Vec<String> {
    let (_, secret) = authorization.split_once(' ').unwrap_or(("", authorization));
    let pair = base64::engine::general_purpose::STANDARD.decode(secret);
    let pair = pair.ok().and_then(|pair| String::from_utf8(pair).ok());
    let password = pair.as_ref().and_then(|pair| pair.split_once(':'));
    let password = password.map(|(_, password)| password.to_owned());
    let all = [Some(secret.to_owned()), pair, password];
    all.into_iter().flatten().collect()
}

/// The same, with nothing of `secrets` in what the server says, whoever echoes them.
pub(super) async fn check_without(
    reference: &Reference,
    response: Response,
    secrets: &[String],
) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = retry_after(&response);
    let status = status.as_u16();
    let said = said(response, secrets).await;
    let reference = reference.to_string();
    Err(match status {
        401 | 403 => RegistryError::Unauthorized {
            reference,
            status,
            said,
        }
        .into(),
        400 | 404 if said.is("MANIFEST_BLOB_UNKNOWN") => {
            RegistryError::BlobUnknown { reference, said }.into()
        }
        404 => RegistryError::NotFound { reference }.into(),
        408 | 429 | 500 | 502 | 503 | 504 => Failure::Transient(
            RegistryError::Status {
                reference,
                status,
                said,
            },
            after,
        ),
        _ => RegistryError::Status {
            reference,
            status,
            said,
        }
        .into(),
    })
}

/// What a registry says of its refusal.
///
/// Source: distribution-spec 1.1, "Error Codes".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The codes, such as `TAG_INVALID`.
    pub codes: Vec<String>,
    /// The first message, shortened.
    pub message: String,
}

impl Said {
    /// Whether `code` is among the codes.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.codes.iter().any(|found| found == code)
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.codes.first(), self.message.as_str()) {
            (None, "") => Ok(()),
            (Some(code), "") => write!(f, ", {code}"),
            (None, message) => write!(f, ", \"{message}\""),
            (Some(code), message) => write!(f, ", {code} \"{message}\""),
        }
    }
}

#[derive(serde::Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(serde::Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

async fn said(mut response: Response, secrets: &[String]) -> Said {
    let mut bytes = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    // A message that breaks off, or never comes, is a shorter message.
    let _ = tokio::time::timeout(REFUSAL_PATIENCE, reading).await;
    let Ok(found) = serde_json::from_slice::<Errors>(&bytes) else {
        // As servers in Go say it.
        let tls = memchr::memmem::find(&bytes, b"HTTP request to an HTTPS server");
        let message = tls.map_or("", |_| SPEAKS_TLS.trim_start_matches("; "));
        return Said {
            codes: Vec::new(),
            message: message.to_owned(),
        };
    };
    let plain = |text: &str| -> String {
        let mut text = text.to_owned();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "***");
        }
        // Neither those that turn the direction of what follows.
        let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let shown = text.chars().filter(|c| !c.is_control() && !turns(*c));
        shown.take(MAX_REFUSAL_CHARS).collect()
    };
    let first = found.errors.first();
    Said {
        message: first.map_or_else(String::new, |error| plain(&error.message)),
        codes: found
            .errors
            .iter()
            .map(|error| plain(&error.code))
            .filter(|code| !code.is_empty())
            .collect(),
    }
}

/// How long the server asks to wait.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let after = response.headers().get(RETRY_AFTER)?;
    let seconds = after.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

const CLIENT_CERTIFICATE: &str =
    "; it lets in who has a certificate: *.cert with *.key in --certs-dir DIR/HOST";

const SPEAKS_TLS: &str = "; it seems to speak TLS, which is tried near by where there is --certs-dir DIR/HOST with its ca.crt";

/// What broken connections say of a wrong setting, and which that is.
const SETTINGS: [(&str, &str); 6] = [
    (
        "invalid peer certificate",
        "; if it is the right one, its authority belongs into --certs-dir DIR/HOST/ca.crt",
    ),
    (
        "InvalidContentType",
        "; it seems to speak HTTP without TLS: give --plain-http=HOST",
    ),
    ("CertificateRequired", CLIENT_CERTIFICATE),
    // Older servers in Go.
    ("BadCertificate", CLIENT_CERTIFICATE),
    ("UnknownCA", CLIENT_CERTIFICATE),
    ("invalid HTTP version parsed", SPEAKS_TLS),
];

/// The connection broke; another attempt may fare better.
pub(super) fn lost(reference: &Reference, error: reqwest::Error) -> Failure {
    let permanent = error.is_builder() || error.is_redirect();
    let mut reason = reason(error);
    // What a setting would mend, time does not.
    let setting = SETTINGS.iter().find(|(sign, _)| reason.contains(sign));
    if let Some((_, advice)) = setting {
        reason.push_str(advice);
    }
    let permanent = permanent || setting.is_some();
    let error = RegistryError::Transport {
        reference: reference.to_string(),
        reason,
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

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
