//! Answers to requests.

use std::io;

use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use hyper::{Response, StatusCode};

use super::body::Answer;
use crate::oci::Digest;

pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");

pub(super) type Reply = Response<Answer>;

/// Why a request fails.
pub(super) enum RequestError {
    /// An error of the protocol.
    Refused(StatusCode, &'static str, String),
    /// Close the connection.
    Cut,
    /// An I/O error of the disk or the connection.
    Io(io::Error),
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn plain(status: StatusCode, body: Answer) -> Reply {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

pub(super) fn set(answer: &mut Reply, name: HeaderName, value: &str) {
    // Invalid header values come only from names that were rejected.
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
}

pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Reply {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = plain(status, Answer::bytes(bytes));
    set(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let told = serde_json::json!({"errors": [{"code": code, "message": message}]});
    json(status, &told)
}

pub(super) fn refused_now(status: u16) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error(status, "UNKNOWN", "an injected fault")
}

pub(super) fn created(repository: &str, what: &str, digest: Digest) -> Reply {
    let mut answer = plain(StatusCode::CREATED, Answer::empty());
    let place = format!("/v2/{repository}/{what}/{digest}");
    set(&mut answer, LOCATION, &place);
    set(&mut answer, DIGEST, &digest.to_string());
    answer
}

pub(super) fn upload_at(status: StatusCode, repository: &str, id: &str, have: u64) -> Reply {
    let mut answer = plain(status, Answer::empty());
    let place = format!("/v2/{repository}/blobs/uploads/{id}");
    set(&mut answer, LOCATION, &place);
    set(&mut answer, RANGE, &format!("0-{}", have.saturating_sub(1)));
    set(&mut answer, UPLOAD, id);
    answer
}
