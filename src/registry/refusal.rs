//! Failed requests: what a refusal means, and which network errors a setting
//! would fix.
//!
//! Never shows credentials, or the URL of content in storage elsewhere, which
//! may contain a signature.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Response, Url};

use super::RegistryError;
use super::error::{Payload, ServerMessage, UsedLogin};
use super::host::answering;
use super::retry::{Failure, MAX_RETRY_AFTER, is_temporary};
use crate::oci::Reference;
use crate::registry::transfer::speed::Cut;
use crate::text::excerpt;

/// Maximum time to read the message of a refusal.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);

/// Maximum size of a refusal's body, in bytes; more than any message needs.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

/// Maximum length of the message that is shown, in characters.
const MAX_REFUSAL_CHARS: usize = 300;

/// The secrets in an `Authorization` header.
pub(super) fn secrets_in(authorization: &str) -> Vec<String> {
    let (_, secret) = authorization.split_once(' ').unwrap_or(("", authorization));
    let pair = base64::engine::general_purpose::STANDARD.decode(secret);
    let pair = pair.ok().and_then(|pair| String::from_utf8(pair).ok());
    let password = pair.as_ref().and_then(|pair| pair.split_once(':'));
    let password = password.map(|(_, password)| password.to_owned());
    let all = [Some(secret.to_owned()), pair, password];
    all.into_iter().flatten().collect()
}

/// Shorter values in a URL are not secrets but words such as `true`.
const MIN_SECRET: usize = 8;

/// Whether `url` is at the registry of `reference` itself.
pub(super) fn is_at_home(reference: &Reference, url: &Url) -> bool {
    let home = answering(reference.registry());
    let home = Url::parse(&format!("{}://{home}", url.scheme())).ok();
    home.is_some_and(|home| home.origin() == url.origin())
}

/// The name of `reference` in messages about a response from `url`, with the
/// host of the storage, if that is another one.
fn called(reference: &Reference, url: Option<&Url>) -> String {
    let elsewhere = url.filter(|url| !is_at_home(reference, url));
    match elsewhere.and_then(|url| Some((url.host_str()?, url.port()))) {
        Some((host, Some(port))) => format!("{reference} (at {host}:{port})"),
        Some((host, None)) => format!("{reference} (at {host})"),
        None => reference.to_string(),
    }
}

/// Returns a successful response; otherwise the error for its status, with
/// `secrets` masked in the server's message.
pub(super) async fn check(
    reference: &Reference,
    response: Response,
    payload: Payload,
    secrets: &[String],
) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = retry_after(&response);
    let status = status.as_u16();
    let mut secrets = secrets.to_vec();
    if !is_at_home(reference, response.url()) {
        // The URL itself may grant access.
        let url = response.url();
        secrets.extend(url.query().map(str::to_owned));
        let values = url.query_pairs().map(|(_, value)| value.into_owned());
        secrets.extend(values.filter(|value| value.len() >= MIN_SECRET));
    }
    let reference = called(reference, Some(response.url()));
    let message = server_message(response, &secrets).await;
    Err(match status {
        401 | 403 => RegistryError::Unauthorized {
            reference,
            status,
            message,
            login: Box::new(UsedLogin::Unknown),
        }
        .into(),
        400 | 404 if message.is("MANIFEST_BLOB_UNKNOWN") => {
            RegistryError::BlobUnknown { reference, message }.into()
        }
        404 => RegistryError::NotFound { reference }.into(),
        status if is_temporary(status) => match after.filter(|after| *after > MAX_RETRY_AFTER) {
            Some(after) => RegistryError::Later {
                reference,
                status,
                message,
                seconds: after.as_secs(),
            }
            .into(),
            None => Failure::Transient(
                RegistryError::Status {
                    reference,
                    status,
                    message,
                    payload,
                },
                after,
            ),
        },
        _ => RegistryError::Status {
            reference,
            status,
            message,
            payload,
        }
        .into(),
    })
}

/// Returns a response that is not a web page: a proxy or a sign-in page answers
/// any request with one, and with success.
pub(super) fn no_page(reference: &Reference, response: Response) -> Result<Response, Failure> {
    match is_page(&response) {
        false => Ok(response),
        true => {
            let reference = called(reference, Some(response.url()));
            Err(RegistryError::WebPage { reference }.into())
        }
    }
}

/// Whether a response is a web page, by its type. An empty one is not.
pub(super) fn is_page(response: &Response) -> bool {
    if response.content_length() == Some(0) {
        return false;
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|page| kind.eq_ignore_ascii_case(page))
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

async fn server_message(mut response: Response, secrets: &[String]) -> ServerMessage {
    let mut bytes = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    // An incomplete or missing message is only a shorter message.
    let _ = tokio::time::timeout(REFUSAL_PATIENCE, reading).await;
    let Ok(found) = serde_json::from_slice::<Errors>(&bytes) else {
        // The message of Go servers.
        let tls = memchr::memmem::find(&bytes, b"HTTP request to an HTTPS server");
        let message = tls.map_or("", |_| SPEAKS_TLS.trim_start_matches("; "));
        return ServerMessage {
            codes: Vec::new(),
            message: message.to_owned(),
        };
    };
    let plain = |text: &str| -> String {
        let mut text = text.to_owned();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "***");
        }
        excerpt(&text, MAX_REFUSAL_CHARS)
    };
    let first = found.errors.first();
    ServerMessage {
        message: first.map_or_else(String::new, |error| plain(&error.message)),
        codes: found
            .errors
            .iter()
            .map(|error| plain(&error.code))
            .filter(|code| !code.is_empty())
            .collect(),
    }
}

/// The delay that the server asks for, in seconds or until a date.
///
/// Source: RFC 9110 section 10.2.3.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let text = |name| response.headers().get(name)?.to_str().ok();
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let after = text(RETRY_AFTER)?;
    if !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = after.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    // By the server's clock, if it sends a date.
    let now = text(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(date(after)?.duration_since(now).unwrap_or_default())
}

const CLIENT_CERTIFICATE: &str =
    "; it requires a client certificate: put *.cert and *.key into --certs-dir DIR/HOST";

const SPEAKS_TLS: &str = "; it seems to use TLS; for local hosts, TLS is used if --certs-dir has DIR/HOST with its ca.crt";

/// Network errors that a setting would fix, with the advice.
const SETTINGS: [(&str, &str); 6] = [
    (
        "invalid peer certificate",
        "; if the certificate is right, put its CA into --certs-dir DIR/HOST/ca.crt",
    ),
    (
        "InvalidContentType",
        "; it seems to use HTTP without TLS; add --plain-http=HOST",
    ),
    ("CertificateRequired", CLIENT_CERTIFICATE),
    // Older servers in Go.
    ("BadCertificate", CLIENT_CERTIFICATE),
    ("UnknownCA", CLIENT_CERTIFICATE),
    ("invalid HTTP version parsed", SPEAKS_TLS),
];

/// A broken connection. A retry may succeed.
pub(super) fn lost(reference: &Reference, cut: impl Into<Cut>) -> Failure {
    let cut = cut.into();
    let permanent = cut.is_permanent();
    let reference = called(reference, cut.url());
    let mut reason = cut.reason();
    // A retry does not help against a wrong setting.
    let setting = SETTINGS.iter().find(|(sign, _)| reason.contains(sign));
    if let Some((_, advice)) = setting {
        reason.push_str(advice);
    }
    let error = RegistryError::Transport { reference, reason };
    match permanent || setting.is_some() {
        true => Failure::Final(error),
        false => Failure::Transient(error, None),
    }
}

pub(super) fn gone(to: &Reference, found: String) -> Failure {
    let reference = to.to_string();
    Failure::Transient(RegistryError::Lost { reference, found }, None)
}

/// Makes refusals transient that a new upload may avoid: the session was lost,
/// or the bytes were corrupted.
pub(super) fn worth_another(failure: Failure) -> Failure {
    match failure {
        Failure::Final(error) => match &error {
            RegistryError::NotFound { .. } => Failure::Transient(error, None),
            RegistryError::Status {
                status: 400,
                message,
                ..
            } if message.is("DIGEST_INVALID")
                || message.is("SIZE_INVALID")
                || message.is("BLOB_UPLOAD_INVALID")
                || message.is("BLOB_UPLOAD_UNKNOWN") =>
            {
                Failure::Transient(error, None)
            }
            _ => Failure::Final(error),
        },
        transient => transient,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::oci::{Descriptor, media_type};
    use crate::registry::canned::*;
    use crate::registry::{BlobSource, Options, Registry};

    fn source(bytes: &'static [u8]) -> (Descriptor, BlobSource) {
        (Descriptor::of("a/b", bytes), Arc::new(Held(bytes)))
    }

    #[tokio::test]
    async fn delays_are_reported_and_excessive_ones_are_errors() {
        static RETRIES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let busy = |after: &str| answer("429 Busy", &format!("Retry-After: {after}\r\n"), 0, "");
        let date = "Thu, 01 Jan 2026 00:10:00 GMT\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT";
        let good = answer("200 OK", "", 2, "{}");
        let answers = vec![busy("1"), good, busy("3600"), busy(date)];
        let (host, seen) = serve(answers).await;
        let registry = Registry::new(Options {
            on_retry: |text| RETRIES.lock().unwrap().push(text.to_owned()),
            ..Options::default()
        });
        let reference = format!("{host}/a:1").parse().unwrap();
        registry.resolve(&reference).await.unwrap();
        let retries = RETRIES.lock().unwrap().join("\n");
        let expected = format!("retrying in 1.0 s (attempt 2 of 6): {host}/a:1");
        assert!(
            retries.starts_with(&expected) && retries.contains("429"),
            "{retries}"
        );
        for seconds in ["3600 s", "600 s"] {
            let error = registry.resolve(&reference).await.unwrap_err();
            assert!(error.to_string().contains(seconds), "{error}");
        }
        assert_eq!(seen.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn an_error_names_the_part_that_is_too_large() {
        let begun = || answer("202 Accepted", "Location: /up\r\n", 0, "");
        let absent = || answer("404 No", "", 0, "");
        let large = || answer("413 Large", "", 0, "");
        let answers = vec![
            absent(),
            begun(),
            large(),
            absent(),
            begun(),
            large(),
            large(),
        ];
        let (host, _) = serve(answers).await;
        let to = format!("{host}/a").parse().unwrap();
        let (descriptor, blob) = source(b"abc");
        for (registry, advice) in [
            (client(), "blob exceeds the size limit"),
            (in_pieces_of(2), "smaller --max-request-body"),
        ] {
            let sent = registry.push_blob(&to, &descriptor, &blob, Default::default());
            let error = sent.await.unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
        let sent = client()
            .push_manifest(&to, media_type::INDEX, &"{}".into())
            .await;
        let error = sent.unwrap_err().to_string();
        assert!(error.contains("manifest exceeds"), "{error}");
    }

    #[tokio::test]
    async fn external_storage_is_named_and_retried_at_a_new_url() {
        let echo = r#"{"errors":[{"code":"DENIED","message":"/put?token=s3cret-word ran out"}]}"#;
        let refused = || answer("403 Gone", "", echo.len(), echo);
        let stored = answer("201 Created", "", 0, "");
        let answers = vec![refused(), stored, refused(), refused(), refused()];
        let (storage, _) = serve(answers).await;
        let absent = || answer("404 No", "", 0, "");
        let place = format!("Location: http://{storage}/put?token=s3cret-word\r\n");
        let begun = || answer("202 Accepted", &place, 0, "");
        let held = answer("200 OK", "", 3, "");
        let again = (0..3).flat_map(|_| [absent(), begun()]);
        let first = [absent(), begun(), absent(), begun(), held];
        let (host, _) = serve(first.into_iter().chain(again).collect()).await;
        let to = format!("{host}/a").parse().unwrap();
        let (descriptor, blob) = source(b"abc");
        let push = || async {
            let registry = client();
            registry
                .push_blob(&to, &descriptor, &blob, Default::default())
                .await
        };
        push().await.unwrap();
        let error = push().await.unwrap_err().to_string();
        assert!(error.contains(&format!("(at {storage})")), "{error}");
        assert!(
            error.contains(&host) && error.contains("DENIED") && !error.contains("s3cret"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn wrong_and_missing_logins_give_different_errors() {
        let challenge = || answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", 0, "");
        let unasked = answer("403 No", "", 0, "");
        let answers = vec![challenge(), challenge(), challenge(), challenge(), unasked];
        let (host, _) = serve(answers).await;
        let reference = format!("{host}/a:1").parse().unwrap();
        for (registry, retries) in [
            (
                with_login(&host, r#""auth":"dTpw""#),
                "credentials of u from a.json",
            ),
            (
                with_login("other.example", r#""auth":"dTpw""#),
                "no credentials for it in a.json",
            ),
            (client(), "no credentials file was found"),
            (client(), "did not ask for credentials"),
        ] {
            let error = registry.resolve(&reference).await.unwrap_err().to_string();
            assert!(error.contains(retries), "{error}");
        }
    }

    #[tokio::test]
    async fn a_manifest_of_another_length_is_an_immediate_error() {
        let (host, seen) = serve(vec![answer("200 OK", "", 100, "{}")]).await;
        let reference = format!("{host}/a").parse().unwrap();
        let descriptor = Descriptor::of(media_type::MANIFEST, b"{}");
        let error = client()
            .manifest(&reference, &descriptor)
            .await
            .unwrap_err();
        assert!(matches!(error, RegistryError::Content { .. }), "{error}");
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
}
