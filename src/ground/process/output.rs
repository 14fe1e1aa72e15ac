//! What a command prints, while it runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Ending, Finished, Piece, Stream};
use crate::content::activity::Lines;

/// Maximum size of a command's log, in bytes: 16 MiB; logs of builds rarely exceed 1
/// MiB.
const MAX_LOG_BYTES: usize = 16 << 20;

/// How much of that is kept for its end, which tells why a command failed.
const MAX_END_BYTES: usize = 1 << 20;

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
        let (dropped, end) = (log.dropped, log.end.into());
        Finished {
            ending,
            log: log.pieces,
            dropped,
            end,
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
    /// The last pieces, if there are more than the others may be.
    end: VecDeque<Piece>,
    end_held: usize,
}

impl Log {
    fn add(&mut self, at: Duration, stream: Stream, bytes: &[u8]) {
        let (kept, rest) =
            bytes.split_at(bytes.len().min(MAX_LOG_BYTES - MAX_END_BYTES - self.held));
        let piece = |bytes: &[u8]| Piece {
            at,
            stream,
            bytes: bytes.to_vec(),
        };
        if !kept.is_empty() {
            self.held += kept.len();
            self.pieces.push(piece(kept));
        }
        if rest.is_empty() {
            return;
        }
        self.end_held += rest.len();
        self.end.push_back(piece(rest));
        while self.end_held > MAX_END_BYTES
            && let Some(first) = self.end.pop_front()
        {
            self.end_held -= first.bytes.len();
            self.dropped += first.bytes.len() as u64;
        }
    }
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
        log.add(start.elapsed(), stream, &buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let mut log = Log::default();
        let line = [b'x'; 1 << 16];
        log.add(Duration::ZERO, Stream::Stdout, b"first");
        for _ in 0..512 {
            log.add(Duration::ZERO, Stream::Stdout, &line);
        }
        log.add(Duration::ZERO, Stream::Stderr, b"last");
        let all = |pieces: &mut dyn Iterator<Item = &Piece>| -> usize {
            pieces.map(|piece| piece.bytes.len()).sum()
        };
        let (head, end) = (all(&mut log.pieces.iter()), all(&mut log.end.iter()));
        assert!(head + end <= MAX_LOG_BYTES);
        assert_eq!((head + end) as u64 + log.dropped, 512 * (1 << 16) + 9);
        assert_eq!(log.pieces[0].bytes, b"first");
        assert_eq!(log.end.back().unwrap().bytes, b"last");
    }

    #[test]
    fn a_log_that_fits_is_whole() {
        let mut log = Log::default();
        let bytes = vec![b'x'; MAX_LOG_BYTES];
        log.add(Duration::ZERO, Stream::Stdout, &bytes);
        assert_eq!(log.dropped, 0);
        assert_eq!(log.held + log.end_held, MAX_LOG_BYTES);
    }
}
