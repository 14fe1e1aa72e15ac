//! Waits for the signals that ask the program to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note;

/// How long work may take to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(3);

/// Says so when a signal arrives; ends the program at the next one, or if its
/// end does not come by itself.
pub(super) async fn told_twice(tell: watch::Sender<bool>) {
    wait().await;
    let _ = tell.send(true);
    tokio::select! {
        () = wait() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    note("interrupted; what was fetched stays in the cache: run it again");
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
