//! Rate limiting: requests to a host keep to its configured rate and to the
//! delays that it asked for.
//!
//! Requests of all tasks wait here, so that one refusal for too many requests
//! delays the others as well, instead of costing each of them a retry.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When each host may get its next request.
#[derive(Default)]
pub(in crate::registry) struct Pace {
    hosts: Mutex<HashMap<String, Turns>>,
}

#[derive(Clone, Copy)]
struct Turns {
    /// Earliest time of the next request, by the rate.
    next: Instant,
    /// No request before this time, as the host asked.
    closed: Instant,
}

impl Pace {
    /// Waits for the next turn of `host`; turns are at least `apart`.
    pub(in crate::registry) async fn turn(&self, host: &str, apart: Duration) {
        let mut mine = None;
        loop {
            let at = {
                let mut hosts = self.turns(host);
                let Some(turns) = hosts.get_mut(host) else {
                    return;
                };
                // The turn has come, and the host was not closed in the
                // meantime.
                if mine.is_some_and(|at| turns.closed <= at) {
                    return;
                }
                let at = turns.next.max(turns.closed).max(Instant::now());
                turns.next = at + apart;
                at
            };
            mine = Some(at);
            sleep_until(at).await;
        }
    }

    /// Delays all requests to `host` for as long as it asked.
    pub(in crate::registry) fn close(&self, host: &str, delay: Duration) {
        if let Some(turns) = self.turns(host).get_mut(host) {
            turns.closed = turns.closed.max(Instant::now() + delay);
        }
    }

    /// All hosts, with an entry for `host`.
    fn turns(&self, host: &str) -> MutexGuard<'_, HashMap<String, Turns>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains_key(host) {
            let now = Instant::now();
            let turns = Turns {
                next: now,
                closed: now,
            };
            hosts.insert(host.to_owned(), turns);
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_spaced_and_a_closed_host_gets_no_requests() {
        let (pace, apart) = (Pace::default(), Duration::from_millis(20));
        let begin = Instant::now();
        let turns = [(); 6].map(|()| pace.turn("a", apart));
        let [a, b, c, d, e, f] = turns;
        tokio::join!(a, b, c, d, e, f);
        assert!(begin.elapsed() >= 5 * apart);
        // Waiting requests wait longer, and are spaced again afterwards.
        let delay = Duration::from_millis(500);
        let begin = Instant::now();
        let turns = [(); 4].map(|()| pace.turn("a", apart));
        let [a, b, c, d] = turns;
        let closing = async { pace.close("a", delay) };
        tokio::join!(a, b, c, d, closing);
        assert!(begin.elapsed() >= delay + 3 * apart);
        // Other hosts are not concerned.
        pace.close("a", Duration::from_secs(3600));
        pace.turn("b", apart).await;
    }
}
