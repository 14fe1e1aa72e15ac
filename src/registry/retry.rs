//! Which failed requests are retried, how often, and after which delay.
//!
//! The one retry policy for registries and file servers: full jitter, the
//! server's `Retry-After`, a limit for each request and a budget for all of
//! them. Refusals are never retried.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::RegistryError;
use crate::text::with_causes;

/// Maximum delay that a server's `Retry-After` may ask for; more is an error.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Maximum delay between two attempts if the server does not ask for one.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The budget for retries of all requests of a client: 200 retries, so that a
/// large build does not multiply the load on a registry that is down.
const BUDGET: i64 = 200 * REPETITION;
/// Cost of a retry.
const REPETITION: i64 = 2;
/// What a successful request returns to the budget: a registry that fails every
/// third request never exhausts it.
const SUCCESS: i64 = 1;

/// Whether another attempt may get another answer than this HTTP status.
#[must_use]
pub fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

#[derive(Debug)]
pub(super) enum Failure {
    /// A retry may succeed, perhaps only after the delay that the server asked
    /// for.
    Transient(RegistryError, Option<Duration>),
    /// A retry is pointless.
    Final(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

/// The retries of a client.
pub(super) struct Retries {
    /// Maximum number of retries for each request.
    retries: u32,
    /// Upper bound of the first delay, which doubles with every retry.
    backoff: Duration,
    budget: AtomicI64,
    on_retry: fn(&str),
}

impl Retries {
    pub(super) fn new(retries: u32, backoff: Duration, on_retry: fn(&str)) -> Self {
        Self {
            retries,
            backoff,
            on_retry,
            budget: AtomicI64::new(BUDGET),
        }
    }

    /// Records a successful request.
    pub(super) fn succeeded(&self) {
        let give = |left: i64| Some((left + SUCCESS).min(BUDGET));
        let _ = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }

    /// Sends a request, with retries.
    pub(super) async fn run<T, F>(&self, once: impl Fn() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = 0;
        loop {
            match once().await {
                Ok(found) => return Ok(found),
                Err(failure) => self.pause(&mut attempt, failure).await?,
            }
        }
    }

    /// Waits before the next attempt, or returns the error.
    pub(super) async fn pause(
        &self,
        attempt: &mut u32,
        failure: Failure,
    ) -> Result<(), RegistryError> {
        let (error, after) = match failure {
            Failure::Transient(error, after) => (error, after),
            Failure::Final(error) => return Err(error),
        };
        match self.wait(attempt, &error, after).await {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Waits before a retry after `error`; `false`: no more retries.
    pub(super) async fn wait(
        &self,
        attempt: &mut u32,
        error: &(dyn std::error::Error + Sync),
        after: Option<Duration>,
    ) -> bool {
        let take = |left: i64| (left >= REPETITION).then_some(left - REPETITION);
        if *attempt >= self.retries
            || self
                .budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_err()
        {
            return false;
        }
        let bound = self.backoff.saturating_mul(1 << (*attempt).min(10));
        *attempt += 1;
        let wait = after.unwrap_or_else(|| jitter(bound.min(MAX_BACKOFF)));
        let (seconds, next, last) = (wait.as_secs_f64(), *attempt + 1, self.retries + 1);
        (self.on_retry)(&format!(
            "retrying in {seconds:.1} s (attempt {next} of {last}): {}",
            with_causes(error)
        ));
        tokio::time::sleep(wait).await;
        true
    }
}

/// A random part of `bound`, so that clients that failed together do not retry
/// together.
pub(super) fn jitter(bound: Duration) -> Duration {
    // Every `RandomState` has a new seed, which is random enough here.
    let chance = RandomState::new().hash_one(0_u8);
    bound.mul_f64(f64::from(chance as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_bounded_and_the_budget_is_shared_and_refilled() {
        let retries = Retries::new(3, Duration::ZERO, |_| {});
        let error = std::io::Error::other("away");
        let mut attempt = 0;
        for _ in 0..3 {
            assert!(retries.wait(&mut attempt, &error, None).await);
        }
        assert!(!retries.wait(&mut attempt, &error, None).await);
        let mut granted = 3;
        while retries.wait(&mut 0, &error, None).await {
            granted += 1;
        }
        assert_eq!(granted, BUDGET / REPETITION);
        for _ in 0..REPETITION {
            retries.succeeded();
        }
        assert!(retries.wait(&mut 0, &error, None).await);
        assert!(!retries.wait(&mut 0, &error, None).await);
    }
}
