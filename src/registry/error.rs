//! Errors of registries, and how to fix them.

use super::auth::credentials::CredentialsError;
use super::host::Unresolved;
use crate::oci::Reference;
use crate::text::with_causes;

/// Why a request to a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The HTTP client could not be set up.
    #[error("http client could not be set up: {0}")]
    Setup(String),
    /// 401 or 403, even with the available credentials.
    #[error("{reference}: registry refused access (HTTP {status}{message}); {login}")]
    Unauthorized {
        reference: String,
        status: u16,
        message: ServerMessage,
        /// The credentials that were used.
        login: Box<UsedLogin>,
    },
    /// 404: no such repository, tag or blob.
    #[error("{reference}: not found in the registry (HTTP 404); check the name and the tag")]
    NotFound { reference: String },
    /// A manifest was refused because blobs of it are missing.
    #[error("{reference}: registry is missing blobs of this manifest{message}; publish again")]
    BlobUnknown {
        reference: String,
        message: ServerMessage,
    },
    /// The tag must not be moved or created.
    #[error(
        "{reference}: registry refuses to write the tag (HTTP {status}{message}): if tags are immutable there, {}", todo(.reference)
    )]
    Immutable {
        reference: String,
        status: u16,
        message: ServerMessage,
    },
    /// Any other status that is not success.
    #[error("{reference}: registry answered HTTP {status}{message}; {}", advice(*.status, *.payload))]
    Status {
        reference: String,
        status: u16,
        message: ServerMessage,
        /// The payload of the request.
        payload: Payload,
    },
    /// The server asks for a longer delay than we accept.
    #[error(
        "{reference}: registry answered HTTP {status}{message} and asks for a delay of {seconds} s, which is more than jackal waits; run the command again after that"
    )]
    Later {
        reference: String,
        status: u16,
        message: ServerMessage,
        seconds: u64,
    },
    /// No response, or an incomplete one.
    #[error("{reference}: connection failed: {reason}; check the network and the registry's name")]
    Transport { reference: String, reason: String },
    /// A response that violates the protocol, or other content than requested.
    #[error("{reference}: registry sent {found}, expected {expected}")]
    Content {
        reference: String,
        found: String,
        expected: String,
    },
    /// Success, with a web page instead of a registry's answer.
    #[error(
        "{reference}: received a web page instead of a registry's answer; if a proxy or sign-in page is in the way, sign in or bypass it, otherwise check the registry's name"
    )]
    WebPage {
        /// What was requested, and the host that answered, if another one did.
        reference: String,
    },
    /// The registry claimed to have stored content but does not have it.
    #[error(
        "{reference}: registry accepted the upload but now has {found}; it loses uploads and cannot be trusted until that is fixed"
    )]
    Lost {
        /// The blob or tag.
        reference: String,
        /// What the registry has instead.
        found: String,
    },
    /// The blob exceeds the registry's limit for layers.
    #[error(
        "{reference}: {size} bytes exceed the layer limit of {host} ({limit}); make the component or image layer smaller, or, if everyone who pulls it uses jackal, split it with --split-layers (`splitLayers` in a pipeline)"
    )]
    TooLarge {
        reference: String,
        /// Its length in bytes.
        size: u64,
        /// The profile of the host.
        host: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The blob exceeds the limit for requests, and the registry loses chunked
    /// uploads.
    #[error(
        "{reference}: {size} bytes exceed the limit for a request ({limit}), and {host} is known to lose chunked uploads; make the component or image layer smaller, or raise --max-request-body"
    )]
    Unsplittable {
        reference: String,
        /// Its length in bytes.
        size: u64,
        /// The profile of the host.
        host: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content to upload cannot be read, or does not match its digest.
    #[error("{reference}: cannot read the content to upload: {reason}")]
    Source {
        reference: String,
        /// Whether it is missing or has changed; otherwise reading it failed.
        damaged: bool,
        reason: String,
    },
    /// Other clients kept changing the same index.
    #[error("{reference}: changed by other clients {rounds} times during the update; try again")]
    Contended { reference: String, rounds: u32 },
    /// The registry names a token server on another host, which must not get the
    /// credentials.
    #[error(
        "{reference}: registry names the token server {realm} at another host or port, so the credentials for {registry} were not sent to it; if it belongs to the registry, add --token-server {registry}={realm}"
    )]
    ForeignRealm {
        reference: String,
        registry: String,
        /// The host of the token server.
        realm: String,
    },
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl RegistryError {
    /// An answer about `reference` that holds `found` instead of `expected`.
    pub(super) fn content(
        reference: &Reference,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Content {
            reference: reference.to_string(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// The advice for immutable tags.
fn todo(reference: &str) -> &'static str {
    match reference.contains(":sha256-") {
        true => {
            "exempt sha256-*: the registry has no referrers API, so signatures are listed under such tags"
        }
        false => "publish under another version",
    }
}

/// The payload of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing of note.
    Nothing,
    /// A manifest, or an index.
    Manifest,
    /// A whole blob.
    Blob,
    /// A chunk of a blob.
    Piece,
}

/// The credentials that were sent to a registry that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsedLogin {
    /// Unknown, or the registry requires an unknown scheme.
    Unknown,
    /// The registry did not ask for any.
    NotRequested,
    /// None: these places have no credentials for it.
    Nothing(Vec<String>),
    /// The credentials of `user` in `from`.
    Login {
        user: String,
        /// The file or variable.
        from: String,
    },
}

impl std::fmt::Display for UsedLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("log in, or check the name"),
            Self::NotRequested => f.write_str(
                "it did not ask for credentials; check the name and whether this network may access it",
            ),
            Self::Nothing(places) if places.is_empty() => {
                f.write_str("no credentials file was found; log in, or check the name")
            }
            Self::Nothing(places) => write!(
                f,
                "no credentials for it in {}; log in, or check the name",
                places.join(", ")
            ),
            Self::Login { user, from } => write!(
                f,
                "the credentials of {user} from {from} were rejected; log in again, or request access"
            ),
        }
    }
}

fn advice(status: u16, payload: Payload) -> &'static str {
    match (status, payload) {
        (401 | 403, _) => {
            "the storage that the registry redirected to refused access; try again, and report it to the registry's operator if it persists"
        }
        (413, Payload::Manifest) => {
            "the manifest exceeds the registry's size limit; use fewer components or annotations"
        }
        (413, Payload::Piece) => {
            "the chunk exceeds the size limit of the registry or of a proxy; use a smaller --max-request-body"
        }
        (413, _) => {
            "the blob exceeds the size limit of the registry or of a proxy; if a proxy limits requests, upload in chunks with --max-request-body"
        }
        (416, _) => {
            "the upload or chunk exceeds the registry's size limit; use a smaller --max-request-body"
        }
        (429, _) => "the registry limits requests; log in or wait",
        (500.., _) => "the registry has an internal error; try again later",
        _ => "expected success; check that it is an OCI registry",
    }
}

/// The error message in a registry's response.
///
/// Source: distribution-spec 1.1, "Error Codes".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// The codes, such as `TAG_INVALID`.
    pub codes: Vec<String>,
    /// The first message, shortened.
    pub message: String,
}

impl ServerMessage {
    /// Whether `code` is among the codes.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.codes.iter().any(|found| found == code)
    }
}

impl std::fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.codes.first(), self.message.as_str()) {
            (None, "") => Ok(()),
            (Some(code), "") => write!(f, ", {code}"),
            (None, message) => write!(f, ", \"{message}\""),
            (Some(code), message) => write!(f, ", {code} \"{message}\""),
        }
    }
}

/// The chain of causes, without the URL, which may contain a signature.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    if let Some(unresolved) = Unresolved::cause_of(&error) {
        return unresolved.to_string();
    }
    with_causes(&error)
}
