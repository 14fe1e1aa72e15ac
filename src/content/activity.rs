//! What a task is doing, for those who watch it: the bytes that it has moved over the
//! network, and the last line that its command has printed.
//!
//! Code deep below a task reports here without knowing the task: it belongs to the
//! asynchronous task that runs it. Work that nobody watches reports nothing.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest line that is kept, in bytes: more than a terminal shows.
const MAX_LINE: usize = 4 << 10;

tokio::task_local! {
    static CURRENT: Arc<Activity>;
}

/// Hides what must not be shown.
pub type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What a task is doing.
#[derive(Default)]
pub struct Activity {
    moved: AtomicU64,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    last: Vec<u8>,
    mask: Option<Mask>,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its line may hold secrets.
        f.debug_struct("Activity")
            .field("moved", &self.moved())
            .finish_non_exhaustive()
    }
}

impl Activity {
    /// Runs `work`, which reports here.
    pub async fn during<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(self), work).await
    }

    /// Number of bytes moved so far; it never falls.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// The last whole line, masked; it may still contain characters that control a terminal.
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&line.last);
        match &line.mask {
            Some(mask) => mask(&text),
            None => text.into_owned(),
        }
    }
}

/// Counts bytes for the current task.
pub fn moved(count: u64) {
    // Without a task nobody counts.
    let _ = CURRENT.try_with(|current| current.moved.fetch_add(count, Ordering::Relaxed));
}

/// Lines of the current task are shown through `mask` from here on.
pub fn masked_by(mask: Mask) {
    let _ = CURRENT.try_with(|current| {
        let mut line = current.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.mask = Some(mask);
    });
}

/// Finds the last whole line in what arrives in pieces.
#[derive(Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes the next piece; its last whole line becomes that of the current task.
    pub fn take(&mut self, piece: &[u8]) {
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let Some(end) = piece.iter().rposition(ends) else {
            return self.keep(piece);
        };
        let whole = &piece[..end];
        let blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        // Of the lines that end here the first may have begun earlier.
        let mut lines = whole.rsplit(ends).filter(|line| !blank(line));
        let last = match lines.next() {
            Some(line) if line.as_ptr() != whole.as_ptr() => line.to_vec(),
            _ => {
                let first = whole.split(ends).next().unwrap_or_default();
                self.keep(first);
                std::mem::take(&mut self.0)
            }
        };
        self.0.clear();
        self.keep(&piece[end + 1..]);
        if !blank(&last) {
            let _ = CURRENT.try_with(|current| {
                let mut line = current.line.lock().unwrap_or_else(PoisonError::into_inner);
                line.last = last;
                line.last.truncate(MAX_LINE);
            });
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let left = MAX_LINE.saturating_sub(self.0.len());
        self.0.extend(&piece[..piece.len().min(left)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_whole_line_is_shown_masked_and_bytes_add_up() {
        let activity = Arc::new(Activity::default());
        let own = Arc::clone(&activity);
        activity
            .during(async {
                masked_by(Arc::new(|text: &str| text.replace("hunter2", "***")));
                let mut lines = Lines::default();
                for (piece, shown) in [
                    ("begin", ""),
                    (" of a line", ""),
                    ("\nnext", "begin of a line"),
                    (" hunter2\n\n", "next ***"),
                    ("10 %\r20 %\r30", "20 %"),
                    (" %\n", "30 %"),
                    ("\n", "30 %"),
                ] {
                    lines.take(piece.as_bytes());
                    assert_eq!(own.line(), shown, "{piece:?}");
                }
                moved(3);
                moved(4);
            })
            .await;
        assert_eq!(activity.moved(), 7);
        moved(5);
        assert_eq!(activity.moved(), 7, "it has ended");
        let long = "x".repeat(MAX_LINE + 9);
        activity
            .during(async { Lines::default().take(format!("{long}\n").as_bytes()) })
            .await;
        assert_eq!(activity.line().len(), MAX_LINE);
    }
}
