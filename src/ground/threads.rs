//! Threads for blocking I/O, and threads for computation.

use super::Failure;

/// Runs blocking work away from the threads that drive the network.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::internal(error)),
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
