//! Waits for the signals that ask the program to stop.

use tokio::signal::unix::{SignalKind, signal};

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
