//! Streams into the cache: an asynchronous task hands bytes to a blocking thread,
//! which digests and writes them.
//!
//! The channel between the two is short, so a slow disk slows the network down
//! instead of filling memory. Never stores what was not committed.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Cas, CasError};
use crate::content::Receive;
use crate::disk;
use crate::oci::{Descriptor, Digest};

/// Maximum number of pieces waiting for the writer. The network yields at most
/// 400 KiB at a time, so this holds less than two megabytes for each stream.
const QUEUE: usize = 4;

/// Why bytes were not stored in the cache.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The cache could not store them, or they do not match the descriptor.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// The writing thread panicked or was cancelled.
    #[error("cache writer stopped: {0}")]
    Stopped(String),
}

enum Piece {
    Bytes(Bytes),
    Commit(Option<(Digest, u64)>),
}

type Stored = Option<(Digest, u64)>;

/// A blob that is being written on a blocking thread; nothing is stored if it is
/// dropped without a commit.
pub struct Sink {
    pieces: mpsc::Sender<Piece>,
    writer: JoinHandle<Result<Stored, CasError>>,
}

impl Sink {
    /// Starts a blob in `cas`. Call it within a tokio runtime.
    #[must_use]
    pub fn open(cas: &Arc<Cas>) -> Self {
        let (pieces, received) = mpsc::channel(QUEUE);
        let cas = Arc::clone(cas);
        Self {
            pieces,
            writer: tokio::task::spawn_blocking(move || write(&cas, received)),
        }
    }

    /// Stores the blob under whatever digest it has.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn commit_any(self) -> Result<(Digest, u64), SinkError> {
        self.finish(None).await
    }

    async fn finish(mut self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64), SinkError> {
        // Fails only if the writer has failed; `joined` returns its error.
        let _ = self.pieces.send(Piece::Commit(expected)).await;
        self.joined().await
    }

    async fn joined(&mut self) -> Result<(Digest, u64), SinkError> {
        match (&mut self.writer).await {
            Ok(Ok(Some(stored))) => Ok(stored),
            Ok(Ok(None)) => Err(SinkError::Stopped("nothing was committed".to_owned())),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(SinkError::Stopped(error.to_string())),
        }
    }
}

impl Receive for Sink {
    type Error = SinkError;
    type Stored = ();

    async fn write(&mut self, bytes: Bytes) -> Result<(), SinkError> {
        if self.pieces.send(Piece::Bytes(bytes)).await.is_ok() {
            return Ok(());
        }
        // The writer stopped early: its error is more specific than a closed channel.
        self.joined().await.map(|_| ())
    }

    async fn commit(self, expected: &Descriptor) -> Result<(), SinkError> {
        let expected = Some((expected.digest, expected.size));
        self.finish(expected).await.map(|_| ())
    }
}

fn write(cas: &Cas, mut received: mpsc::Receiver<Piece>) -> Result<Stored, CasError> {
    let mut ingest = cas.ingest()?;
    while let Some(piece) = received.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => ingest.write_all(&bytes).map_err(disk::at(cas.root()))?,
            Piece::Commit(Some((digest, size))) => {
                return ingest
                    .commit_as(&digest, size)
                    .map(|()| Some((digest, size)));
            }
            Piece::Commit(None) => return ingest.commit().map(Some),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_committed_and_expected_bytes_are_stored() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path()).unwrap());
        let abc = Descriptor::of("", b"abc");
        for expected in [None, Some(&abc)] {
            let mut sink = Sink::open(&cas);
            sink.write(Bytes::from_static(b"ab")).await.unwrap();
            sink.write(Bytes::from_static(b"c")).await.unwrap();
            match expected {
                Some(expected) => sink.commit(expected).await.unwrap(),
                None => assert_eq!(sink.commit_any().await.unwrap(), (abc.digest, 3)),
            }
        }
        let mut sink = Sink::open(&cas);
        sink.write(Bytes::from_static(b"abd")).await.unwrap();
        assert!(matches!(
            sink.commit(&abc).await,
            Err(SinkError::Cas(CasError::Mismatch { .. }))
        ));
        let mut sink = Sink::open(&cas);
        sink.write(Bytes::from_static(b"left")).await.unwrap();
        drop(sink);
        assert!(!cas.contains(&Digest::of(b"abd"), 3).unwrap());
        assert!(!cas.contains(&Digest::of(b"left"), 4).unwrap());
    }
}
