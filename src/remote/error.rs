//! Why a remote cache did not do what it was asked to.

use std::time::Duration;

use tonic::{Code, Status};

use crate::cas::{CasError, SinkError};
use crate::oci::Digest;
use crate::text::{excerpt, one_line, with_causes};

/// The most that is shown of a server's message, in characters.
const SHOWN: usize = 200;

/// Why a remote cache did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// There is no client for it.
    #[error("{0}")]
    Setup(String),
    /// It cannot be reached, or the connection broke.
    #[error("{0}")]
    Transport(String),
    /// It answered with an error.
    #[error("{what}: {code:?}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        what: &'static str,
        code: Code,
        message: String,
    },
    #[error("{what} took longer than {} s", after.as_secs_f32())]
    Timeout { what: &'static str, after: Duration },
    /// No more of an answer came.
    #[error("{what}: no answer in time")]
    Silence { what: &'static str },
    /// It is a server that cannot be used, or its answer makes no sense.
    #[error("{0}")]
    Protocol(String),
    /// A blob that it does not have.
    #[error("{0} is not in the remote cache")]
    Missing(Digest),
    /// Other bytes than the digest says.
    #[error("the remote cache sent other bytes than those of {0}")]
    Wrong(Digest),
    /// The cache of this machine failed.
    #[error(transparent)]
    Local(#[from] CasError),
    /// A blob could not be written to the cache of this machine.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl RemoteError {
    /// The answer to the request `what`.
    pub(super) fn of(what: &'static str, status: &Status) -> Self {
        let source = std::error::Error::source(status);
        // Without an answer, the status is that of the transport.
        let http = source.and_then(|source| source.downcast_ref::<reqwest::Error>());
        if http.is_some_and(reqwest::Error::is_timeout) {
            return Self::Silence { what };
        }
        match source {
            Some(source) if status.metadata().is_empty() => {
                Self::Transport(format!("{what}: {}", with_causes(source)))
            }
            _ => Self::Refused {
                what,
                code: status.code(),
                message: excerpt(&one_line(status.message()), SHOWN),
            },
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Refused { code, .. } => matches!(
                code,
                Code::Unavailable | Code::ResourceExhausted | Code::Aborted
            ),
            _ => false,
        }
    }

    /// Whether this says that something is not there, and nothing about the server.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            // Some servers report a blob that is gone as one that is too short.
            Self::Refused { code, .. } => matches!(code, Code::NotFound | Code::OutOfRange),
            _ => false,
        }
    }

    /// Whether the cache of this machine is to blame.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Sink(SinkError::Cas(error)) => !matches!(error, CasError::Mismatch { .. }),
            Self::Sink(SinkError::Stopped(_)) => true,
            _ => false,
        }
    }
}
