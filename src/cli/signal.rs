//! The signals that ask the program to stop: SIGINT and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note;
use crate::content::abandon_folders;

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
                abandon_folders();
                note("error: interrupted");
                std::process::exit(Exit::Interrupted as i32);
            }
        }
    };
    let _ = std::thread::Builder::new().spawn(waiting);
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
