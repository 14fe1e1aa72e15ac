//! Injected faults: their kind, frequency and the affected requests.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::text::with_causes;
use regex::Regex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A response with this status, without any effect.
    Status(u16),
    /// The connection is closed without a response.
    Reset,
    /// The response ends in the middle; for uploads, the connection is reset.
    Truncate,
    /// The response is delayed.
    Slow,
    /// `HEAD` of a blob reports a missing blob as present, and a wrong size for
    /// a present one.
    LyingHead,
    /// An upload is answered with 201 but not stored.
    LostWrite,
    /// A bit of the content is flipped.
    Garble,
}

/// A rule for injecting faults.
///
/// Written as comma-separated pairs, such as
/// `rate=0.3,seed=7,kinds=429+500+reset` or `kinds=reset,match=PUT
/// .*/manifests/,after=2,count=1`.
#[derive(Clone, Debug)]
pub struct Fault {
    kinds: Vec<Kind>,
    /// Fraction of requests, 0 to 1.
    rate: f64,
    /// The affected requests, matched against `METHOD /path`.
    matching: Option<Regex>,
    /// Number of matching requests to skip.
    after: u64,
    /// Maximum number of faults.
    count: u64,
    /// Delay of slow responses.
    pub(super) delay: Duration,
    seed: u64,
    /// Shared by clones, which are the same rule.
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    seen: AtomicU64,
    done: AtomicU64,
}

/// An invalid fault rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid fault `{0}`: {1}")]
pub struct FaultError(String, String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = |what: &str| FaultError(text.to_owned(), what.to_owned());
        let mut fault = Self {
            kinds: Vec::new(),
            rate: 1.0,
            matching: None,
            after: 0,
            count: u64::MAX,
            delay: Duration::from_millis(200),
            seed: 0,
            counts: Arc::default(),
        };
        for word in text.split(',') {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| wrong("expected comma-separated KEY=VALUE pairs"))?;
            let number = || {
                let read = value.parse::<u64>();
                read.map_err(|_| wrong(&format!("`{key}` is not a whole number")))
            };
            match key {
                "kinds" => {
                    for name in value.split('+') {
                        fault.kinds.push(kind(name).ok_or_else(|| {
                            wrong(&format!(
                                "unknown kind `{name}`: expected an HTTP status, reset, truncate, slow, lying-head, lost-write or garble"
                            ))
                        })?);
                    }
                }
                "rate" => {
                    let rate = value.parse::<f64>().ok();
                    let rate = rate.filter(|rate| (0.0..=1.0).contains(rate));
                    fault.rate = rate.ok_or_else(|| wrong("`rate` must be between 0 and 1"))?;
                }
                "match" => {
                    let read = Regex::new(value);
                    fault.matching = Some(read.map_err(|error| wrong(&with_causes(&error)))?);
                }
                "after" => fault.after = number()?,
                "count" => fault.count = number()?,
                "seed" => fault.seed = number()?,
                "delay" => {
                    let millis = value.strip_suffix("ms").and_then(|text| text.parse().ok());
                    let millis =
                        millis.ok_or_else(|| wrong("`delay` must be a duration such as 200ms"))?;
                    fault.delay = Duration::from_millis(millis);
                }
                _ => {
                    return Err(wrong(
                        "expected kinds, rate, match, after, count, seed or delay",
                    ));
                }
            }
        }
        if fault.kinds.is_empty() {
            return Err(wrong("`kinds` is missing"));
        }
        Ok(fault)
    }
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "reset" => Kind::Reset,
        "truncate" => Kind::Truncate,
        "slow" => Kind::Slow,
        "lying-head" => Kind::LyingHead,
        "lost-write" => Kind::LostWrite,
        "garble" => Kind::Garble,
        status => {
            let status = status.parse().ok()?;
            Kind::Status(Some(status).filter(|status| (400..600).contains(status))?)
        }
    })
}

impl Fault {
    /// The fault for this request, if any.
    pub(super) fn strike(&self, method: &str, path: &str) -> Option<Kind> {
        let line = format!("{method} {path}");
        if self.matching.as_ref().is_some_and(|m| !m.is_match(&line)) {
            return None;
        }
        let number = self.counts.seen.fetch_add(1, Ordering::Relaxed);
        if number < self.after {
            return None;
        }
        let chance = scatter(self.seed ^ scatter(number + 1));
        if (chance >> 11) as f64 / (1_u64 << 53) as f64 >= self.rate {
            return None;
        }
        if self.counts.done.fetch_add(1, Ordering::Relaxed) >= self.count {
            return None;
        }
        let index = scatter(chance) % self.kinds.len() as u64;
        self.kinds.get(usize::try_from(index).ok()?).copied()
    }
}

/// A reproducible random number. Source: SplitMix64.
fn scatter(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_at_their_rate_and_within_their_bounds() {
        let fault: Fault = "rate=0.3,seed=7,kinds=429+reset".parse().unwrap();
        let struck: Vec<Option<Kind>> = (0..1000).map(|_| fault.strike("GET", "/v2/")).collect();
        let count = struck.iter().flatten().count();
        assert!((200..400).contains(&count), "{count}");
        let again: Fault = "rate=0.3,seed=7,kinds=429+reset".parse().unwrap();
        let same: Vec<Option<Kind>> = (0..1000).map(|_| again.strike("GET", "/v2/")).collect();
        assert_eq!(struck, same);
        let third: Fault = "kinds=reset,match=^PUT ,after=2,count=1".parse().unwrap();
        let seen: Vec<bool> = (0..5)
            .map(|_| third.strike("PUT", "/x").is_some())
            .collect();
        assert_eq!(seen, [false, false, true, false, false]);
        assert_eq!(third.strike("GET", "/x"), None);
    }

    #[test]
    fn malformed_fault_rules_are_refused() {
        for text in [
            "",
            "kinds=x",
            "rate=2,kinds=500",
            "rate=0.5",
            "kinds=500,match=(",
            "x=1",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
