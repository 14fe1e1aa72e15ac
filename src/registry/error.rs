//! What can go wrong between us and a registry, and what to do about it.

use std::error::Error as _;

use super::auth::credentials::CredentialsError;
use crate::oci::Reference;

/// Why a registry did not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The HTTP client could not be set up.
    #[error("http client could not be set up: {0}")]
    Setup(String),
    /// 401 or 403, also after showing what login there is.
    #[error("{reference}: registry refused access (HTTP {status}{said}); {login}")]
    Unauthorized {
        /// What was asked for.
        reference: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: Said,
        /// Which login was shown.
        login: Box<Shown>,
    },
    /// 404: no such repository, tag or blob.
    #[error("{reference}: not found in the registry (HTTP 404); check the name and the tag")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// A manifest was refused because the registry lacks what it names.
    #[error("{reference}: registry is missing blobs of this manifest{said}; publish again")]
    BlobUnknown {
        /// The manifest.
        reference: String,
        /// The registry's own words.
        said: Said,
    },
    /// The tag may not be moved, or there may be no such tag.
    #[error(
        "{reference}: registry refuses to write the tag (HTTP {status}{said}): if tags are immutable there, {}", todo(.reference)
    )]
    Immutable {
        /// The tag.
        reference: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        said: Said,
    },
    /// Any other status that is not success.
    #[error("{reference}: registry answered HTTP {status}{said}; {}", advice(*.status, *.carried))]
    Status {
        /// What was asked for.
        reference: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: Said,
        /// What was sent.
        carried: Carried,
    },
    /// It asks for more patience than we have.
    #[error(
        "{reference}: registry answered HTTP {status}{said} and asks for a delay of {seconds} s, which is more than jackal waits; run the command again after that"
    )]
    Later {
        /// What was asked for.
        reference: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: Said,
        /// What it asks for.
        seconds: u64,
    },
    /// No answer, or one that broke off.
    #[error("{reference}: connection failed: {reason}; check the network and the registry's name")]
    Transport {
        /// What was asked for.
        reference: String,
        /// What the network said.
        reason: String,
    },
    /// An answer that breaks the protocol or is not the content asked for.
    #[error("{reference}: registry sent {found}, expected {expected}")]
    Content {
        /// What was asked for.
        reference: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: String,
    },
    /// The registry said it stored something, and does not have it.
    #[error(
        "{reference}: registry accepted the upload but now has {found}; it loses uploads and cannot be trusted until that is fixed"
    )]
    Lost {
        /// The blob or tag.
        reference: String,
        /// What it has.
        found: String,
    },
    /// More than the registry is known to take.
    #[error(
        "{reference}: {size} bytes exceed the layer limit of {host} ({limit}); make the component or image layer smaller, or, if everyone who pulls it uses jackal, split it with --split-layers (`splitLayers` in a pipeline)"
    )]
    TooLarge {
        /// The blob.
        reference: String,
        /// Its length in bytes.
        size: u64,
        /// What the host's kind is called.
        host: String,
        /// In bytes.
        limit: u64,
    },
    /// More than a request may hold, to a registry that loses pieces.
    #[error(
        "{reference}: {size} bytes exceed the limit for a request ({limit}), and {host} is known to lose chunked uploads; make the component or image layer smaller, or raise --max-request-body"
    )]
    Unsplittable {
        /// The blob.
        reference: String,
        /// Its length in bytes.
        size: u64,
        /// What the host's kind is called.
        host: String,
        /// In bytes.
        limit: u64,
    },
    /// What was to be sent could not be read, or is not what it should be.
    #[error("{reference}: cannot read the content to upload: {reason}")]
    Source {
        /// The blob.
        reference: String,
        /// It is gone, or other bytes than it was; else reading it was refused.
        damaged: bool,
        /// What happened.
        reason: String,
    },
    /// Others keep changing what we change as well.
    #[error("{reference}: changed by other clients {rounds} times during the update; try again")]
    Contended {
        /// The tag.
        reference: String,
        /// How often it was read again.
        rounds: u32,
    },
    /// The login could not be read.
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

/// What to do where tags are immutable.
fn todo(reference: &str) -> &'static str {
    match reference.contains(":sha256-") {
        true => {
            "exempt sha256-*: the registry has no referrers API, so signatures are listed under such tags"
        }
        false => "publish under another version",
    }
}

/// What a request held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Nothing that counts.
    Nothing,
    /// A manifest, or an index.
    Manifest,
    /// A blob, whole.
    Blob,
    /// A part of a blob.
    Piece,
}

/// What login a registry was shown that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nobody looked, or in vain: it asks for a kind of login that is not known.
    Untold,
    /// It did not ask for any.
    Unasked,
    /// None, as these places have none for it.
    Nothing(Vec<String>),
    /// That of `user`, which stands in `from`.
    Login {
        /// Whose.
        user: String,
        /// The file or variable.
        from: String,
    },
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Untold => f.write_str("log in, or check the name"),
            Self::Unasked => f.write_str(
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

fn advice(status: u16, carried: Carried) -> &'static str {
    match (status, carried) {
        (401 | 403, _) => {
            "the storage that the registry redirected to refused access; try again, and report it to the registry's operator if it persists"
        }
        (413, Carried::Manifest) => {
            "the manifest exceeds the registry's size limit; use fewer components or annotations"
        }
        (413, Carried::Piece) => {
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
