//! The requests that the registry received.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::disk;

/// A request, and how it was answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The HTTP status; 0: the connection was closed.
    pub status: u16,
    /// Size of the request body, in bytes.
    pub bytes_in: u64,
    /// Announced size of the response body, in bytes.
    pub bytes_out: u64,
}

/// The requests so far.
#[derive(Default)]
pub(super) struct Log {
    requests: Mutex<Vec<Request>>,
    file: Option<Mutex<std::fs::File>>,
}

impl Log {
    /// A log in the file at `path`; `None`: in memory.
    pub(super) fn new(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            requests: Mutex::default(),
            file: path.map(disk::append).transpose()?.map(Mutex::new),
        })
    }

    /// Removes and returns the requests that are in memory.
    pub(super) fn take(&self) -> Vec<Request> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *requests)
    }

    pub(super) fn note(&self, request: Request) {
        if let Some(file) = &self.file
            && let Ok(mut line) = serde_json::to_vec(&request)
        {
            line.push(b'\n');
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // Errors of the log must not end the rehearsal.
            let _ = file.write_all(&line);
            return;
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
    }
}
