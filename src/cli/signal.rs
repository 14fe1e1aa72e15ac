//! Waits for the signals that ask the program to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note;

/// Lets work end by itself at the first signal, once it is `writing`; ends the
/// program before that, and at the second.
pub(super) async fn stop_then_end(stop: watch::Sender<bool>, writing: Arc<AtomicBool>) {
    wait().await;
    if !writing.load(Ordering::SeqCst) {
        note("error: interrupted; nothing was written: run it again");
        std::process::exit(Exit::Interrupted as i32);
    }
    note("stopping; a second signal ends it at once");
    let _ = stop.send(true);
    wait().await;
    std::process::exit(Exit::Interrupted as i32);
}

/// Returns when SIGINT or SIGTERM arrives; never, if neither can be watched.
pub(super) async fn wait() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
