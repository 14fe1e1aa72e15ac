//! Detects responses that are too slow to be useful.
//!
//! Silent connections are ended elsewhere; this counts what arrives while we
//! wait for it. The time that the receiver needs does not count.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Response;

use crate::registry::error::reason;
use crate::registry::host::Unresolved;

/// The period over which the speed is measured.
const WINDOW: Duration = Duration::from_secs(60);

/// Minimum number of bytes in this period: 1 KiB/s. A gigabyte would take twelve
/// days at that speed.
const LEAST: u64 = 60 << 10;

/// The reason for ending a slow connection.
const TOO_SLOW: &str = "less than 1 KiB/s received for a minute";

/// The speed of a response.
#[derive(Default)]
pub(in crate::registry) struct Speed {
    waited: Duration,
    came: u64,
}

/// Why a response was cut off.
#[derive(Debug)]
pub(in crate::registry) enum Cut {
    Broken(reqwest::Error),
    Slow(reqwest::Url),
}

impl Speed {
    /// The next bytes of `response`; `None` at the end.
    pub(in crate::registry) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, Cut> {
        let began = Instant::now();
        let chunk = response.chunk().await;
        // The error does not contain the URL by itself.
        let chunk = chunk.map_err(|error| error.with_url(response.url().clone()))?;
        let came = chunk.as_ref().map_or(0, Bytes::len);
        match chunk.is_none() || self.counts(began.elapsed(), came as u64) {
            true => Ok(chunk),
            false => Err(Cut::Slow(response.url().clone())),
        }
    }

    /// Records what was received; `false`: too slow.
    fn counts(&mut self, waited: Duration, came: u64) -> bool {
        self.waited += waited;
        self.came += came;
        if self.waited < WINDOW {
            return true;
        }
        let enough = self.came >= LEAST;
        *self = Self::default();
        enough
    }
}

impl From<reqwest::Error> for Cut {
    fn from(error: reqwest::Error) -> Self {
        Self::Broken(error)
    }
}

impl Cut {
    /// Whether a retry would fail as well.
    pub(in crate::registry) fn is_permanent(&self) -> bool {
        match self {
            Self::Broken(error) => {
                error.is_builder() || error.is_redirect() || Unresolved::cause_of(error).is_some()
            }
            Self::Slow(_) => false,
        }
    }

    /// The URL of the request.
    pub(in crate::registry) fn url(&self) -> Option<&reqwest::Url> {
        match self {
            Self::Broken(error) => error.url(),
            Self::Slow(url) => Some(url),
        }
    }

    /// The cause, without the URL, which may contain a signature.
    pub(in crate::registry) fn reason(self) -> String {
        match self {
            Self::Broken(error) => reason(error),
            Self::Slow(_) => TOO_SLOW.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_too_slow_if_little_arrives_while_waiting() {
        let second = Duration::from_secs(1);
        let mut trickle = Speed::default();
        let seconds = (1..=120).find(|_| !trickle.counts(second, 1023));
        assert_eq!(seconds, Some(60));
        // Short pauses do not count, and neither does a slow receiver.
        let mut bursts = Speed::default();
        assert!(
            (1..=600).all(
                |n: u64| bursts.counts(second, if n.is_multiple_of(50) { 60 << 10 } else { 0 })
            )
        );
        let mut fast = Speed::default();
        assert!((0..1_000_000).all(|_| fast.counts(Duration::from_micros(1), 1)));
        // What came before does not count for what comes later.
        let mut stalls = Speed::default();
        assert!(stalls.counts(second * 60, 1 << 30));
        assert!(!stalls.counts(second * 60, 1));
    }
}
