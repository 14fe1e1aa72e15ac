//! The signals that ask the program to stop: SIGINT, SIGTERM, SIGQUIT, and SIGHUP
//! unless the program was started to survive it (`nohup`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;
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
const REPORTING: Duration = Duration::from_millis(200);

/// Set while a command handles signals itself.
static HANDLED: AtomicBool = AtomicBool::new(false);

/// The first of [`WATCHED`] that came, counted from 1; 0: none did.
static FIRST: AtomicU8 = AtomicU8::new(0);

/// The signals, with their numbers on every system and the exit codes they end in.
const WATCHED: [(i32, Exit); 4] = [
    (1, Exit::HungUp),
    (2, Exit::Interrupted),
    (3, Exit::Quit),
    (15, Exit::Terminated),
];

/// The exit code of a command that a signal stopped: 128 and the signal.
pub(super) fn exit() -> Exit {
    let first = usize::from(FIRST.load(Ordering::SeqCst));
    let found = first.checked_sub(1).and_then(|index| WATCHED.get(index));
    found.map_or(Exit::Interrupted, |(_, exit)| *exit)
}

/// Whether the program that started this one had SIGHUP ignored.
fn survives_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

fn ignores_hangup(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

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
        while !printing.is_finished() && begin.elapsed() < REPORTING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    std::process::exit(exit() as i32);
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

/// Signals, as long as this value lives. Those that cannot be watched are left out.
pub(super) struct Signals(Vec<(u8, Signal)>);

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
        let survives = survives_hangup();
        let watched = WATCHED.iter().zip(1..);
        let watched = watched.filter(|((number, _), _)| *number != 1 || !survives);
        let streams = watched.filter_map(|((number, _), index)| {
            let stream = signal(SignalKind::from_raw(*number)).ok()?;
            Some((index, stream))
        });
        Self(streams.collect())
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        let arrived = std::future::poll_fn(|context| {
            for (index, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*index);
                }
            }
            Poll::Pending
        });
        let index = arrived.await;
        let _ = FIRST.compare_exchange(0, index, Ordering::SeqCst, Ordering::SeqCst);
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
        std::process::exit(exit() as i32);
    }
    note("stopping; interrupt again to stop at once");
    let _ = stop.send(true);
    signals.next().await;
    std::process::exit(exit() as i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen_in_the_mask_of_ignored_signals() {
        let status = |mask| format!("Name:\tjackal\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(""));
    }
}
