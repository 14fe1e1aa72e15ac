//! Deduplicates downloads: if several tasks need a blob, one of them fetches it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::oci::Digest;

type Turn = tokio::sync::Mutex<()>;

/// Blobs that this process is fetching.
///
/// A task that had to wait checks the cache again; if the first fetch failed, it
/// fetches the blob itself, perhaps from another registry.
#[derive(Default)]
pub struct InFlight {
    turns: Mutex<HashMap<Digest, Weak<Turn>>>,
}

impl InFlight {
    /// Waits until no other task fetches `digest`.
    pub(crate) async fn turn(&self, digest: Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            match turns.get(&digest).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(Turn::default());
                    turns.insert(digest, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}
