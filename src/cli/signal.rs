//! The signals that ask the program to stop: SIGINT and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note;
use crate::disk::abandon_folders;

/// How long work may take to end by itself: it may wait for a network.
const STOPPING: Duration = Duration::from_secs(1);

/// How long it is tried to tell of the end.
const TELLING: Duration = Duration::from_millis(200);

/// Somebody listens who knows better what to do.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Ends the program at the first signal, with nothing half-written left, until
/// somebody listens.
pub(super) fn end_at_first() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Without it, a signal ends the program all the same, only less cleanly.
    let Ok(runtime) = builder.enable_io().build() else {
        return;
    };
    let mut signals = Signals::of(&runtime);
    let waiting = move || {
        loop {
            runtime.block_on(signals.next());
            if !HEARD.load(Ordering::SeqCst) {
                end("error: interrupted");
            }
        }
    };
    let _ = std::thread::Builder::new().spawn(waiting);
}

/// Ends the program. It may not be possible to tell why: somebody else may hold
/// stderr, or read nothing of it.
fn end(text: &'static str) -> ! {
    abandon_folders();
    if let Ok(told) = std::thread::Builder::new().spawn(|| note(text)) {
        let begin = Instant::now();
        while !told.is_finished() && begin.elapsed() < TELLING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    std::process::exit(Exit::Interrupted as i32);
}

/// What asks work that writes to end: set by the first signal. The program ends
/// by itself if it takes longer, and at the second.
pub(super) fn asks_to_stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let Ok(runtime) = builder.enable_all().build() else {
        return stop;
    };
    let mut signals = Signals::heard(&runtime);
    let asked = Arc::clone(&stop);
    let waiting = move || {
        runtime.block_on(async {
            signals.next().await;
            asked.store(true, Ordering::SeqCst);
            let _ = tokio::time::timeout(STOPPING, signals.next()).await;
        });
        end("error: interrupted");
    };
    let _ = std::thread::Builder::new().spawn(waiting);
    stop
}

/// Signals from now on, as long as it lives; `None`: they cannot be watched.
pub(super) struct Signals(Option<(Signal, Signal)>);

impl Drop for Signals {
    fn drop(&mut self) {
        HEARD.store(false, Ordering::SeqCst);
    }
}

impl Signals {
    /// Takes them over from [`end_at_first`].
    pub(super) fn heard(runtime: &Runtime) -> Self {
        HEARD.store(true, Ordering::SeqCst);
        Self::of(runtime)
    }

    fn of(runtime: &Runtime) -> Self {
        let _within = runtime.enter();
        let watch = |kind| signal(kind).ok();
        Self(watch(SignalKind::interrupt()).zip(watch(SignalKind::terminate())))
    }

    /// Returns when one arrives.
    pub(super) async fn next(&mut self) {
        let Some((interrupt, terminate)) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Lets work end by itself at the first signal, once it is `writing`; ends the
/// program before that, and at the second.
pub(super) async fn stop_then_end(
    mut signals: Signals,
    stop: watch::Sender<bool>,
    writing: Arc<AtomicBool>,
) {
    signals.next().await;
    if !writing.load(Ordering::SeqCst) {
        note("error: interrupted; nothing was written: run it again");
        std::process::exit(Exit::Interrupted as i32);
    }
    note("stopping; a second signal ends it at once");
    let _ = stop.send(true);
    signals.next().await;
    std::process::exit(Exit::Interrupted as i32);
}
