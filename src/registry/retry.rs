//! When a failed request is worth another one, and after which wait.
//!
//! The one policy of everything that speaks to registries and file servers:
//! full jitter, the server's `Retry-After`, a bound for each request and a
//! budget for all of them. Refusals are never repeated.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::RegistryError;

/// Longest wait that a server's `Retry-After` can ask of us; more is an error
/// that tells it.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Longest wait between two attempts when the registry names none.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// What all requests of a client may spend on being repeated, in shares of a
/// repetition: 200 of them, so that a registry which is down is not asked by
/// every task of a large build as often as by one.
const BUDGET: i64 = 200 * REPETITION;
/// Cost of one repetition.
const REPETITION: i64 = 2;
/// What a request that succeeds gives back: a registry that fails every third
/// request never empties the budget.
const SUCCESS: i64 = 1;

/// A failed attempt: worth another one, or not.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server or the line may recover; perhaps not before a time it named.
    Transient(RegistryError, Option<Duration>),
    /// Asking again changes nothing.
    Final(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

/// Repetitions of one client.
pub(super) struct Retries {
    /// Further attempts after the first, for each request.
    retries: u32,
    /// Bound of the first wait; it doubles with every attempt.
    backoff: Duration,
    budget: AtomicI64,
    tell: fn(&str),
}

impl Retries {
    pub(super) fn new(retries: u32, backoff: Duration, tell: fn(&str)) -> Self {
        Self {
            retries,
            backoff,
            tell,
            budget: AtomicI64::new(BUDGET),
        }
    }

    /// Notes that a request was answered.
    pub(super) fn succeeded(&self) {
        let give = |left: i64| Some((left + SUCCESS).min(BUDGET));
        let _ = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }

    /// Makes a request as often as it may fail.
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

    /// Waits before the next attempt, or gives the error up to the caller.
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

    /// Waits for another attempt after `error`; `false`: there is to be no other.
    pub(super) async fn wait(
        &self,
        attempt: &mut u32,
        error: &(dyn Display + Sync),
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
        (self.tell)(&format!(
            "retrying in {seconds:.1} s (attempt {next} of {last}): {error}"
        ));
        tokio::time::sleep(wait).await;
        true
    }
}

/// Any part of `bound`: clients that failed together do not come back together.
pub(super) fn jitter(bound: Duration) -> Duration {
    // Seeded anew for every state, which is all the chance that is needed here.
    let chance = RandomState::new().hash_one(0_u8);
    bound.mul_f64(f64::from(chance as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_bounded_and_the_budget_is_shared_and_refilled() {
        let retries = Retries::new(3, Duration::ZERO, |_| {});
        let error = "away";
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
