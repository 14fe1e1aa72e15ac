//! Host names: each is looked up once at a time, and one that does not resolve is
//! not looked up again for every image of a build.
//!
//! Whether a name does not exist or its server does not answer, the error is
//! final: the retries of requests add nothing to those made here.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Pauses, in milliseconds, before a name is looked up again if its server did not
/// answer.
const PAUSES: [u64; 3] = [100, 300, 900];

/// How long a name that does not resolve is not looked up again. A build ends by
/// then; a longer run recovers once the network is back.
const REMEMBERED: Duration = Duration::from_secs(30);

/// Asks the system for the addresses of a name.
type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// When a name failed to resolve, and why.
type LastFailure = tokio::sync::Mutex<Option<(Instant, Unresolved)>>;

/// Looks up the names of hosts.
pub(super) struct Names {
    lookup: Lookup,
    /// By name: the last failure. The lock is held during a lookup.
    hosts: Mutex<HashMap<String, Arc<LastFailure>>>,
}

/// A host whose name does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Unresolved {
    host: String,
    reason: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot resolve the host `{}` ({})",
            self.host, self.reason
        )
    }
}

impl std::error::Error for Unresolved {}

impl Unresolved {
    /// The host that `error` failed for, if that is why.
    pub(in crate::registry) fn cause_of<'e>(
        error: &'e (dyn std::error::Error + 'static),
    ) -> Option<&'e Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| cause.downcast_ref())
    }
}

impl Names {
    pub(super) fn new() -> Arc<Self> {
        Self::with(|name| Ok((name, 0).to_socket_addrs()?.collect()))
    }

    fn with(lookup: Lookup) -> Arc<Self> {
        Arc::new(Self {
            lookup,
            hosts: Mutex::default(),
        })
    }

    async fn addresses(&self, name: String) -> Result<Vec<SocketAddr>, Unresolved> {
        let host = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(hosts.entry(name.clone()).or_default())
        };
        let mut failed = host.lock().await;
        if let Some((when, why)) = &*failed
            && when.elapsed() < REMEMBERED
        {
            return Err(why.clone());
        }
        let mut pauses = PAUSES.into_iter();
        loop {
            let (lookup, owned) = (self.lookup, name.clone());
            let found = tokio::task::spawn_blocking(move || lookup(&owned)).await;
            let reason = match found {
                Ok(Ok(found)) if !found.is_empty() => {
                    *failed = None;
                    return Ok(found);
                }
                Ok(Ok(_)) => "it has no address".to_owned(),
                Ok(Err(error)) => message(&error),
                Err(error) => error.to_string(),
            };
            // The resolver's words for EAI_AGAIN.
            let temporary = reason.starts_with("Temporary failure");
            match pauses.next().filter(|_| temporary) {
                Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                None => {
                    let why = Unresolved { host: name, reason };
                    *failed = Some((Instant::now(), why.clone()));
                    return Err(why);
                }
            }
        }
    }
}

/// The system's message, without the prefix of the standard library.
fn message(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.strip_prefix("failed to lookup address information: ");
    plain.unwrap_or(&text).to_owned()
}

/// [`Names`] as the HTTP client takes it.
pub(super) struct Shared(pub(super) Arc<Names>);

impl Resolve for Shared {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let found = names.addresses(name.as_str().to_owned()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_looked_up_once_for_all_requests() {
        static LOOKUPS: AtomicU32 = AtomicU32::new(0);
        let names = Names::with(|_| {
            LOOKUPS.fetch_add(1, Ordering::Relaxed);
            Err(io::Error::other(
                "failed to lookup address information: Name or service not known",
            ))
        });
        let ask = || names.addresses("none.invalid".to_owned());
        let (one, other) = tokio::join!(ask(), ask());
        let why = one.unwrap_err();
        assert_eq!(
            why.to_string(),
            "cannot resolve the host `none.invalid` (Name or service not known)"
        );
        assert_eq!(other.unwrap_err(), why);
        ask().await.unwrap_err();
        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 1);
        names
            .addresses("other.invalid".to_owned())
            .await
            .unwrap_err();
        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_asked_a_few_times() {
        static LOOKUPS: AtomicU32 = AtomicU32::new(0);
        let names = Names::with(|_| match LOOKUPS.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::Error::other("Temporary failure in name resolution")),
            _ => Ok(vec!["127.0.0.1:0".parse().unwrap()]),
        });
        let found = names.addresses("a.test".to_owned()).await.unwrap();
        assert_eq!((found.len(), LOOKUPS.load(Ordering::Relaxed)), (1, 2));
    }
}
