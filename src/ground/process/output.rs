//! What a command prints, while it runs.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Ending, Finished, Piece, Stream};
use crate::content::activity::Lines;

/// Maximum size of a command's log, in bytes: 16 MiB; logs of builds rarely exceed 1
/// MiB.
const MAX_LOG_BYTES: usize = 16 << 20;

/// How long to wait for output of processes that left the group, after the group has
/// been killed.
const DRAIN: Duration = Duration::from_secs(1);

/// What a command prints, while it runs.
pub(super) struct Output {
    log: Arc<Mutex<Log>>,
    readers: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Whether all of it is read.
    ended: bool,
    start: Instant,
}

impl Output {
    pub(super) fn of<R>(
        stdout: Option<R>,
        stderr: Option<impl AsyncRead + Unpin + Send + 'static>,
        start: Instant,
    ) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let log = Arc::new(Mutex::new(Log::default()));
        let stdout = read(stdout, Stream::Stdout, start, Arc::clone(&log));
        let stderr = read(stderr, Stream::Stderr, start, Arc::clone(&log));
        Self {
            log,
            readers: Box::pin(async {
                tokio::join!(stdout, stderr);
            }),
            ended: false,
            start,
        }
    }

    /// Reads until `work` is done.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut self.readers, if !self.ended => self.ended = true,
            }
        }
    }

    /// All of it, once the command has ended.
    pub(super) async fn finish(mut self, ending: Ending) -> Finished {
        if !self.ended {
            let _ = tokio::time::timeout(DRAIN, &mut self.readers).await;
        }
        let log = std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner));
        Finished {
            ending,
            log: log.pieces,
            dropped: log.dropped,
            wall: self.start.elapsed(),
            running: Vec::new(),
            lost: Vec::new(),
        }
    }
}

#[derive(Default)]
struct Log {
    pieces: Vec<Piece>,
    held: usize,
    dropped: u64,
}

async fn read(
    from: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    start: Instant,
    log: Arc<Mutex<Log>>,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 << 10];
    let mut lines = Lines::default();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        lines.take(&buffer[..count]);
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = count.min(MAX_LOG_BYTES - log.held);
        log.held += kept;
        log.dropped += (count - kept) as u64;
        if kept > 0 {
            let (at, bytes) = (start.elapsed(), buffer[..kept].to_vec());
            log.pieces.push(Piece { at, stream, bytes });
        }
    }
}
