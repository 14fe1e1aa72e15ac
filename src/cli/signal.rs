//! The signals that ask the program to stop: SIGINT and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note;
use crate::app::runtime::this_thread;
use crate::disk::abandon_folders;

/// Time for work to stop by itself, as it may be waiting for a network.
const STOPPING: Duration = Duration::from_secs(1);

/// How long to try printing the final message.
const TELLING: Duration = Duration::from_millis(200);

/// Set while a command handles signals itself.
static HANDLED: AtomicBool = AtomicBool::new(false);

/// Ends the program at the first signal and removes temporary folders, unless a
/// command handles signals itself.
pub(super) fn end_at_first() {
    // Without it, a signal ends the program as well, but leaves temporary folders.
    let Ok(runtime) = this_thread() else {
        return;
    };
    let mut signals = Signals::of(&runtime);
    let waiting = move || {
        loop {
            runtime.block_on(signals.next());
            if !HANDLED.load(Ordering::SeqCst) {
                end("error: interrupted");
            }
        }
    };
    let _ = std::thread::Builder::new().spawn(waiting);
}

/// Ends the program. Printing may block, as another thread may hold stderr or its
/// reader may be stuck, so it is tried for a limited time only.
fn end(text: &'static str) -> ! {
    abandon_folders();
    if let Ok(printing) = std::thread::Builder::new().spawn(|| note(text)) {
        let begin = Instant::now();
        while !printing.is_finished() && begin.elapsed() < TELLING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    std::process::exit(Exit::Interrupted as i32);
}

/// A flag that the first signal sets, for work that writes. The program ends at
/// the second signal, or after [`STOPPING`].
pub(super) fn asks_to_stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let Ok(runtime) = this_thread() else {
        return stop;
    };
    let mut signals = Signals::handle(&runtime);
    let flag = Arc::clone(&stop);
    let waiting = move || {
        runtime.block_on(async {
            signals.next().await;
            flag.store(true, Ordering::SeqCst);
            let _ = tokio::time::timeout(STOPPING, signals.next()).await;
        });
        end("error: interrupted");
    };
    let _ = std::thread::Builder::new().spawn(waiting);
    stop
}

/// Signals, as long as this value lives; `None`: they cannot be watched.
pub(super) struct Signals(Option<(Signal, Signal)>);

impl Drop for Signals {
    fn drop(&mut self) {
        HANDLED.store(false, Ordering::SeqCst);
    }
}

impl Signals {
    /// Takes over from [`end_at_first`].
    pub(super) fn handle(runtime: &Runtime) -> Self {
        HANDLED.store(true, Ordering::SeqCst);
        Self::of(runtime)
    }

    fn of(runtime: &Runtime) -> Self {
        let _within = runtime.enter();
        let watch = |kind| signal(kind).ok();
        Self(watch(SignalKind::interrupt()).zip(watch(SignalKind::terminate())))
    }

    /// Waits for the next signal.
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

/// At the first signal, lets work that is `writing` stop by itself; otherwise, and
/// at the second signal, ends the program.
pub(super) async fn stop_then_end(
    mut signals: Signals,
    stop: watch::Sender<bool>,
    writing: Arc<AtomicBool>,
) {
    signals.next().await;
    if !writing.load(Ordering::SeqCst) {
        note("error: interrupted; nothing was written");
        std::process::exit(Exit::Interrupted as i32);
    }
    note("stopping; interrupt again to stop at once");
    let _ = stop.send(true);
    signals.next().await;
    std::process::exit(Exit::Interrupted as i32);
}
