//! Blobs on their way out: read by a thread that may block, sent by a task
//! that may not.
//!
//! The last piece is handed over only when size and digest of all of them
//! agree, so that content which changed on our side never becomes a whole
//! upload. Memory is bounded by a short queue.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use tokio::sync::mpsc;

use super::RegistryError;
use super::client::lost;
use super::retry::Failure;
use crate::content::{Fetch, VerifyReader};
use crate::oci::{Descriptor, Reference};

/// Bytes of one piece: 256 KiB.
const PIECE: usize = 256 << 10;

/// Pieces on their way to the network, at most.
const QUEUE: usize = 4;

/// Longest standstill of an upload before the connection counts as lost.
const STALL: Duration = Duration::from_secs(60);

/// Longest wait for the registry's word on an upload that is all sent: storing
/// ten gigabytes in an object store takes minutes.
const FINALISE: Duration = Duration::from_secs(600);

/// Where blobs to be sent come from.
pub type Source = Arc<dyn Fetch + Send + Sync>;

/// A blob to be sent, as often as need be.
pub(super) struct Upload {
    pub descriptor: Descriptor,
    pub source: Source,
}

/// How far a sending is.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    ended: AtomicBool,
    /// The source failed, which explains a connection that broke.
    failed: Mutex<Option<(io::ErrorKind, String)>>,
}

struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    progress: Arc<Progress>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(piece) = self.receiver.poll_recv(context) else {
            return Poll::Pending;
        };
        Poll::Ready(piece.map(|piece| {
            let piece = piece?;
            let len = piece.len() as u64;
            self.left = self.left.saturating_sub(len);
            self.progress.sent.fetch_add(len, Ordering::Relaxed);
            if self.left == 0 {
                self.progress.ended.store(true, Ordering::Relaxed);
            }
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Sends `upload` with `request`, and gives up on it when nothing moves.
pub(super) async fn watched(
    reference: &Reference,
    request: RequestBuilder,
    upload: &Upload,
) -> Result<Response, Failure> {
    let progress = Arc::new(Progress::default());
    let (pieces, receiver) = mpsc::channel(QUEUE);
    let (source, descriptor) = (Arc::clone(&upload.source), upload.descriptor.clone());
    let told = Arc::clone(&progress);
    let size = descriptor.size;
    if size == 0 {
        progress.ended.store(true, Ordering::Relaxed);
    }
    // Ends at once when its queue is closed, unless the source itself hangs.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&source, &descriptor, &pieces) {
            let mut failed = told.failed.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = Some((error.kind(), error.to_string()));
            drop(failed);
            // Nobody listens any more when the connection broke first.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    let body = Pieces {
        receiver,
        left: size,
        progress: Arc::clone(&progress),
    };
    let sending = request
        .header(CONTENT_LENGTH, size)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(reqwest::Body::wrap(body))
        .send();
    let sent = tokio::select! {
        sent = sending => sent.map_err(|error| lost(reference, error)),
        failure = stalled(reference, &progress) => Err(failure),
    };
    let failed = progress
        .failed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match (sent, failed) {
        (Err(_), Some((kind, reason))) => Err(Failure::Final(RegistryError::Source {
            reference: reference.to_string(),
            damaged: matches!(
                kind,
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
            ),
            reason,
        })),
        (sent, _) => sent,
    }
}

/// Ends when an upload stands still.
async fn stalled(reference: &Reference, progress: &Progress) -> Failure {
    let mut seen = 0;
    loop {
        let ended = progress.ended.load(Ordering::Relaxed);
        let wait = if ended { FINALISE } else { STALL };
        tokio::time::sleep(wait).await;
        let now = progress.sent.load(Ordering::Relaxed);
        if now == seen && ended == progress.ended.load(Ordering::Relaxed) {
            let reason = match ended {
                true => format!("no answer for {} s after the last byte", wait.as_secs()),
                false => format!("nothing was taken for {} s", wait.as_secs()),
            };
            let reference = reference.to_string();
            return Failure::Transient(RegistryError::Transport { reference, reason }, None);
        }
        seen = now;
    }
}

fn read(
    source: &Source,
    descriptor: &Descriptor,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut content = VerifyReader::new(source.fetch(descriptor)?, descriptor);
    let mut held = Bytes::new();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        // Ends early only at an end that has been verified.
        let count = (&mut content).take(PIECE as u64).read_to_end(&mut piece)?;
        let ready = std::mem::replace(&mut held, piece.into());
        if !ready.is_empty() && pieces.blocking_send(Ok(ready)).is_err() {
            return Ok(());
        }
        if count < PIECE {
            if !held.is_empty() {
                // Nobody listens any more when the connection broke.
                let _ = pieces.blocking_send(Ok(held));
            }
            return Ok(());
        }
    }
}
