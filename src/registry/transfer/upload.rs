//! Bodies of uploads: a blocking thread reads the blob, an asynchronous task
//! sends it.
//!
//! The last piece is handed over only after size and digest have been verified,
//! so that changed content never becomes a complete upload. A short queue bounds
//! the memory.

use std::io::{self, Read};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use tokio::sync::mpsc;

use crate::cas::is_damage;
use crate::content::{Fetch, VerifyReader};
use crate::oci::{Descriptor, Reference};
use crate::registry::RegistryError;
use crate::registry::refusal::lost;
use crate::registry::retry::Failure;
use crate::text::with_causes;

/// Size of a piece, in bytes: 256 KiB.
const PIECE: usize = 256 << 10;

/// Maximum number of pieces waiting for the network.
const QUEUE: usize = 4;

/// Maximum time without progress before an upload counts as lost. The network
/// accepts data in lumps of up to a megabyte.
const STALL: Duration = Duration::from_secs(120);

/// Maximum time for the response after the last byte: storing ten gigabytes in
/// an object store takes minutes.
const FINALISE: Duration = Duration::from_secs(600);

/// A store of blobs to upload.
pub type BlobSource = Arc<dyn Fetch + Send + Sync>;

/// A blob to upload, whole or in ranges, as often as necessary.
pub(in crate::registry) struct Upload {
    pub descriptor: Descriptor,
    source: BlobSource,
    /// The reader after the previous range.
    kept: Mutex<Option<Arc<Mutex<Reading>>>>,
}

/// A blob that is being read.
struct Reading {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// The rest of a piece after a range.
    rest: Bytes,
    /// Number of bytes sent.
    at: u64,
    /// Why the source failed, which also explains a broken connection.
    failed: Arc<Mutex<Option<Unread>>>,
}

/// Why a source could not be read.
struct Unread {
    damaged: bool,
    reason: String,
}

impl Upload {
    pub(in crate::registry) fn new(descriptor: Descriptor, source: BlobSource) -> Self {
        Self {
            descriptor,
            source,
            kept: Mutex::default(),
        }
    }

    /// The reader at offset `at`: the kept one, or a new one.
    fn reading(&self, at: u64) -> Arc<Mutex<Reading>> {
        match lock(&self.kept).take() {
            Some(kept) if lock(&kept).at == at => kept,
            _ => Arc::new(Mutex::new(Reading::start(self, at))),
        }
    }
}

impl Reading {
    fn start(upload: &Upload, at: u64) -> Self {
        let (sender, pieces) = mpsc::channel(QUEUE);
        let failed = Arc::default();
        let (source, descriptor) = (Arc::clone(&upload.source), upload.descriptor.clone());
        let shared = Arc::clone(&failed);
        // Ends when the queue is closed, unless the source hangs.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read(&source, &descriptor, at, &sender) {
                *lock(&shared) = Some(Unread {
                    damaged: is_damage(&error),
                    reason: with_causes(&error),
                });
                // The receiver is gone if the connection broke first.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Self {
            pieces,
            rest: Bytes::new(),
            at,
            failed,
        }
    }

    /// Ready if there is a piece to send, or at the end.
    fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        if self.rest.is_empty() {
            match self.pieces.poll_recv(context) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                other => return other.map_ok(drop),
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    fn poll(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Option<io::Result<Bytes>>> {
        match self.poll_filled(context) {
            Poll::Ready(Some(Ok(()))) => {}
            Poll::Ready(other) => {
                return Poll::Ready(other.map(|filled| filled.map(|()| Bytes::new())));
            }
            Poll::Pending => return Poll::Pending,
        }
        let len = most.min(self.rest.len() as u64);
        self.at += len;
        Poll::Ready(Some(Ok(self.rest.split_to(len as usize))))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    ended: AtomicBool,
    /// The source has no data at the moment.
    starved: AtomicBool,
}

struct Pieces {
    reading: Arc<Mutex<Reading>>,
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
        let left = self.left;
        if left == 0 {
            return Poll::Ready(None);
        }
        let polled = lock(&self.reading).poll(context, left);
        self.progress
            .starved
            .store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(piece) = polled else {
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

/// Sends `range` of `upload` with `request`; fails if there is no progress.
pub(in crate::registry) async fn watched(
    reference: &Reference,
    request: RequestBuilder,
    upload: &Upload,
    range: &Range<u64>,
) -> Result<Response, Failure> {
    let progress = Arc::new(Progress::default());
    let size = range.end - range.start;
    let request = request
        .header(CONTENT_LENGTH, size)
        .header(CONTENT_TYPE, "application/octet-stream");
    if size == 0 {
        // The request that completes an upload has no content.
        progress.ended.store(true, Ordering::Relaxed);
        return tokio::select! {
            sent = request.send() => sent.map_err(|error| lost(reference, error)),
            failure = stalled(reference, &progress) => Err(failure),
        };
    }
    let reading = upload.reading(range.start);
    // Wait for the first piece before the request starts: reading up to the
    // offset may take longer than a request may be idle. Errors are handled
    // below.
    std::future::poll_fn(|context| lock(&reading).poll_filled(context).map(drop)).await;
    if let Some(failed) = lock(&lock(&reading).failed).take() {
        return Err(unreadable(reference, failed));
    }
    let body = Pieces {
        reading: Arc::clone(&reading),
        left: size,
        progress: Arc::clone(&progress),
    };
    let sending = request.body(reqwest::Body::wrap(body)).send();
    let sent = tokio::select! {
        sent = sending => sent.map_err(|error| lost(reference, error)),
        failure = stalled(reference, &progress) => Err(failure),
    };
    let (at, failed) = {
        let reading = lock(&reading);
        (reading.at, lock(&reading.failed).take())
    };
    match (sent, failed) {
        // Even if the failure is after this range, the upload cannot be
        // completed.
        (Err(_), Some(failed)) => Err(unreadable(reference, failed)),
        (Ok(_), Some(failed)) if at == range.end => Err(unreadable(reference, failed)),
        (Ok(response), _) => {
            if at == range.end && at < upload.descriptor.size {
                *lock(&upload.kept) = Some(reading);
            }
            Ok(response)
        }
        (sent, _) => sent,
    }
}

/// The error of a source that failed.
fn unreadable(reference: &Reference, unread: Unread) -> Failure {
    Failure::Final(RegistryError::Source {
        reference: reference.to_string(),
        damaged: unread.damaged,
        reason: unread.reason,
    })
}

/// Returns when an upload makes no progress although there is data to send.
async fn stalled(reference: &Reference, progress: &Progress) -> Failure {
    let mut seen = 0;
    loop {
        let ended = progress.ended.load(Ordering::Relaxed);
        let wait = if ended { FINALISE } else { STALL };
        tokio::time::sleep(wait).await;
        let now = progress.sent.load(Ordering::Relaxed);
        let still = match ended {
            true => true,
            false => {
                now == seen
                    && !progress.ended.load(Ordering::Relaxed)
                    && !progress.starved.load(Ordering::Relaxed)
            }
        };
        if still {
            let reason = match ended {
                true => format!("no response for {} s after the last byte", wait.as_secs()),
                false => format!("upload made no progress for {} s", wait.as_secs()),
            };
            let reference = reference.to_string();
            return Failure::Transient(RegistryError::Transport { reference, reason }, None);
        }
        seen = now;
    }
}

fn read(
    source: &BlobSource,
    descriptor: &Descriptor,
    from: u64,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut content = VerifyReader::new(source.fetch(descriptor)?, descriptor);
    // Read from the start: the digest covers the whole blob.
    let mut left = from;
    while left > 0 && !pieces.is_closed() {
        let some = left.min(PIECE as u64);
        io::copy(&mut (&mut content).take(some), &mut io::sink())?;
        left -= some;
    }
    let mut held = Bytes::new();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        // A short read happens only at the verified end.
        let count = (&mut content).take(PIECE as u64).read_to_end(&mut piece)?;
        let ready = std::mem::replace(&mut held, piece.into());
        if !ready.is_empty() && pieces.blocking_send(Ok(ready)).is_err() {
            return Ok(());
        }
        if count < PIECE {
            if !held.is_empty() {
                // The receiver is gone if the connection broke.
                let _ = pieces.blocking_send(Ok(held));
            }
            return Ok(());
        }
    }
}
