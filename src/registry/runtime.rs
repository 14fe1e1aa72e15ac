//! The threads that asynchronous work runs on.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Never dropped, so that callers need not care in which context they drop a
/// client; its threads end with the process.
static SHARED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Starts a runtime with a thread for each core.
///
/// # Errors
///
/// Threads cannot be started.
pub fn threads() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Makes a runtime that works only while its caller waits in it.
///
/// # Errors
///
/// Its event queue cannot be created.
pub fn this_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs `work` on a thread of its own, and waits for it. Callers may be inside or outside
/// of asynchronous code.
///
/// # Errors
///
/// Its event queue cannot be created, or `work` panicked.
pub fn apart<T: Send>(work: impl Future<Output = T> + Send) -> io::Result<T> {
    // The runtime is created and dropped on that thread, as runtimes must not be nested.
    std::thread::scope(|scope| {
        let running = scope.spawn(|| this_thread().map(|runtime| runtime.block_on(work)));
        let done = running.join();
        done.unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    })
}

/// The runtime for code that blocks while it waits for a registry, started at
/// first use. Blocking on it inside asynchronous code panics.
///
/// # Errors
///
/// Threads cannot be started.
pub fn shared() -> io::Result<Handle> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*shared {
        return Ok(runtime.handle().clone());
    }
    Ok(shared.insert(threads()?).handle().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_apart_may_be_started_anywhere_and_its_panic_is_an_error() {
        assert_eq!(apart(async { 1 }).unwrap(), 1);
        let inside = async { apart(async { tokio::task::yield_now().await }) };
        this_thread().unwrap().block_on(inside).unwrap();
        let error = apart(async { panic!("in a test") }).unwrap_err();
        assert_eq!(error.to_string(), "it panicked");
    }
}
