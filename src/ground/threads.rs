//! Threads for blocking I/O, and threads for computation.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Failure;

thread_local! {
    /// Whether this thread runs one piece of work [`alone`].
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs blocking work away from the threads that drive the network.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = aside(work).await;
    done.unwrap_or_else(|| Err(Failure::internal("a piece of work panicked")))
}

/// What `work`, which may block, returns; `None`: it panicked.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if ALONE.get() {
        // Between two pieces, the work can be given up.
        tokio::task::yield_now().await;
        return catch_unwind(AssertUnwindSafe(work)).ok();
    }
    tokio::task::spawn_blocking(work).await.ok()
}

/// Runs `work` on a thread of its own, on which blocking pieces of it are done in place:
/// each turn on another thread costs as much as a small piece. For work that does one
/// thing after another. It ends when this future is dropped.
pub(crate) async fn alone<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    /// Keeps the flag of a thread, which does other work later.
    struct Flag;
    impl Drop for Flag {
        fn drop(&mut self) {
            ALONE.set(false);
        }
    }
    let runtime = Handle::current();
    let (_wanted, given_up) = oneshot::channel::<Infallible>();
    let done = tokio::task::spawn_blocking(move || {
        let _flag = Flag;
        ALONE.set(true);
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = given_up => None,
                done = work => Some(done),
            }
        })
    });
    match done.await {
        Ok(Some(done)) => done,
        // Not while this future is there.
        Ok(None) => std::future::pending().await,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// Runs computation on the pool with one thread per processor, whose memory is reused
/// by later work. On the many threads for blocking I/O, each would keep the memory it
/// once needed.
pub(crate) async fn computing<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // The receiver is gone if the run was stopped.
        let _ = sender.send(done);
    });
    match receiver.await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Failure::internal("a computation panicked")),
        Err(_) => Err(Failure::internal("a computation was lost")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn pieces_of_work_alone_are_done_on_its_thread() {
        let here = || std::thread::current().id();
        let (own, piece, panicked) = alone(async move {
            let panicked = aside(|| panic!("a piece")).await;
            (here(), aside(here).await, panicked)
        })
        .await;
        assert_eq!(Some(own), piece);
        assert_eq!(panicked, None::<()>);
        assert_ne!(aside(here).await, Some(here()));
    }

    #[tokio::test]
    async fn work_alone_ends_when_nobody_waits_for_it() {
        let (held, ended) = oneshot::channel::<Infallible>();
        let (start, started) = oneshot::channel();
        let waiting = tokio::spawn(alone(async move {
            let _held = held;
            start.send(()).unwrap();
            std::future::pending::<()>().await;
        }));
        started.await.unwrap();
        waiting.abort();
        assert!(ended.await.is_err());
    }
}
