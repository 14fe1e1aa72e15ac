//! What can go wrong between us and a registry, and what to do about it.

use super::CredentialsError;

/// Why a registry did not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The HTTP client could not be set up.
    #[error("http client could not be set up: {0}")]
    Setup(String),
    /// 401 or 403, also after showing what login there is.
    #[error(
        "{reference}: registry refused access (HTTP {status}); log in to it, or check the name"
    )]
    Unauthorized {
        /// What was asked for.
        reference: String,
        /// The HTTP status.
        status: u16,
    },
    /// 404: no such repository, tag or blob.
    #[error("{reference}: not found in the registry (HTTP 404); check the name and the tag")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// Any other status that is not success.
    #[error("{reference}: registry answered HTTP {status}; {}", advice(*.status))]
    Status {
        /// What was asked for.
        reference: String,
        /// The HTTP status.
        status: u16,
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
    /// The login could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

fn advice(status: u16) -> &'static str {
    match status {
        429 => "it limits requests, so log in or wait",
        500.. => "it has a fault of its own, so try again later",
        _ => "expected success, so check that it is an OCI registry",
    }
}
