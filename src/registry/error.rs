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
    #[error("{reference}: registry lacks blobs of this manifest{said}; publish again")]
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
        "{reference}: registry answered HTTP {status}{said}, and asks to come back in {seconds} s, which is longer than jackal waits; run it again then"
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
        "{reference}: registry took what was sent and has {found}; it loses uploads, so do not trust it until that is mended"
    )]
    Lost {
        /// The blob or tag.
        reference: String,
        /// What it has.
        found: String,
    },
    /// More than the registry is known to take.
    #[error(
        "{reference}: {size} bytes are more than {host} takes in one layer ({limit}); make the component or image layer smaller, or split it with --split-layers (`splitLayers` in a pipeline), if all who pull it use jackal"
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
        "{reference}: {size} bytes are more than a request may hold ({limit}), and {host} is known to lose uploads in pieces; make the component or image layer smaller, or raise --max-request-body"
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
    #[error("{reference}: what is to be sent cannot be read: {reason}")]
    Source {
        /// The blob.
        reference: String,
        /// It is gone, or other bytes than it was; else reading it was refused.
        damaged: bool,
        /// What happened.
        reason: String,
    },
    /// Others keep changing what we change as well.
    #[error("{reference}: others changed it {rounds} times while it was being updated; try again")]
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
            "except sha256-*: it has no referrers API, so signatures are listed under such tags"
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
            Self::Untold => f.write_str("log in to it, or check the name"),
            Self::Unasked => f.write_str(
                "it did not ask for a login: check the name, and who may come from here",
            ),
            Self::Nothing(places) if places.is_empty() => {
                f.write_str("there is no file with logins: log in to it, or check the name")
            }
            Self::Nothing(places) => write!(
                f,
                "no login for it is in {}: log in to it, or check the name",
                places.join(", ")
            ),
            Self::Login { user, from } => write!(
                f,
                "it was shown the login of {user} from {from}: log in again, or ask for the right to do this"
            ),
        }
    }
}

fn advice(status: u16, carried: Carried) -> &'static str {
    match (status, carried) {
        (401 | 403, _) => {
            "the address that the registry gave for this is refused there, so try again, and tell its owner if it stays so"
        }
        (413, Carried::Manifest) => {
            "it takes no manifest so large: put less into one package, as fewer components and annotations"
        }
        (413, Carried::Piece) => {
            "it, or a proxy before it, takes no piece so large: give a smaller --max-request-body"
        }
        (413, _) => {
            "it, or a proxy before it, takes nothing so large; if that is a proxy's limit on requests, --max-request-body sends blobs in smaller pieces"
        }
        (416, _) => {
            "it takes no upload of this size, or no piece: then give a smaller --max-request-body"
        }
        (429, _) => "it limits requests, so log in or wait",
        (500.., _) => "it has a fault of its own, so try again later",
        _ => "expected success, so check that it is an OCI registry",
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
