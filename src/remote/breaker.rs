//! Whether a server is worth asking: after a few failures it is left alone for a while.

use std::time::{Duration, Instant};

/// How many failures in a row are taken for more than bad luck.
const FAILURES: u32 = 3;

/// How long a server is left alone.
const REST: Duration = Duration::from_secs(30);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Until when nothing is asked; from then on, one question at a time finds out.
    rests_until: Option<Instant>,
}

/// How bad a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It was reported at once.
    Quick,
    /// It cost the whole time that a question may take.
    Slow,
}

impl Breaker {
    /// Whether the server may be asked now.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.rests_until {
            None => true,
            Some(end) if now < end => false,
            Some(_) => {
                // Until its answer is known, the others wait for the next turn.
                self.rests_until = Some(now + REST);
                true
            }
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Returns whether the server is left alone from now on, and was not before.
    pub fn failed(&mut self, weight: Weight, now: Instant) -> bool {
        self.failures = match weight {
            Weight::Quick => self.failures + 1,
            Weight::Slow => self.failures.max(FAILURES),
        };
        if self.failures < FAILURES {
            return false;
        }
        let first = self.rests_until.is_none();
        self.rests_until = Some(now + REST);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_or_a_slow_one_open_it_for_a_while() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(Weight::Quick, start));
        assert!(!breaker.failed(Weight::Quick, start));
        breaker.succeeded();
        for _ in 0..2 {
            assert!(!breaker.failed(Weight::Quick, start));
        }
        assert!(breaker.allows(start));
        assert!(breaker.failed(Weight::Quick, start));
        assert!(!breaker.failed(Weight::Quick, start), "said once");
        assert!(!breaker.allows(start + REST / 2));
        let later = start + REST + Duration::from_secs(1);
        assert!(breaker.allows(later), "one may try");
        assert!(!breaker.allows(later), "and only one");
        assert!(!breaker.failed(Weight::Slow, later));
        assert!(!breaker.allows(later + REST / 2));
        breaker.succeeded();
        assert!(breaker.allows(later));
        assert!(breaker.failed(Weight::Slow, later));
        assert!(!breaker.allows(later));
    }
}
