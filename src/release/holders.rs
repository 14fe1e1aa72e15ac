//! Which repositories have which blobs: so that a registry mounts a blob from a
//! repository that it was published to before, instead of receiving it again.
//!
//! Kept in a folder of the cache, a file for each registry with a line for each blob.
//! It is a hint: a repository that lost a blob costs a request.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::disk;
use crate::oci::Digest;

/// The folder of the cache that holders are remembered in.
pub const PUSHED: &str = "pushed";

/// Most blobs remembered for a registry. A line has about 100 bytes.
const MAX_BLOBS: usize = 20_000;

/// Largest file read, in bytes: that of [`MAX_BLOBS`] with the longest names.
const MAX_BYTES: u64 = (MAX_BLOBS * 400) as u64;

/// The repository of a registry that is known to have a blob. The task that holds
/// the lock is uploading the blob.
pub(super) type Holder = Arc<AsyncMutex<Option<String>>>;

/// Blobs in their order, the newest last, each with its repository.
#[derive(Default)]
struct Known {
    order: Vec<Digest>,
    repositories: HashMap<Digest, String>,
}

/// For each registry and blob, a repository that is known to have it.
pub(super) struct Holders {
    /// Where they are remembered; `None`: nowhere.
    folder: Option<PathBuf>,
    known: Mutex<HashMap<String, Known>>,
    now: Mutex<HashMap<(String, Digest), Holder>>,
}

impl Holders {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            known: Mutex::default(),
            now: Mutex::default(),
        }
    }

    /// The holder of a blob in the registry `host`.
    pub(super) fn of(&self, host: &str, digest: Digest) -> Holder {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = now.entry((host.to_owned(), digest));
        Arc::clone(holder.or_insert_with(|| {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known
                .entry(host.to_owned())
                .or_insert_with(|| self.read(host));
            Arc::new(AsyncMutex::new(known.repositories.get(&digest).cloned()))
        }))
    }

    /// Remembers what is known now. Losing it costs transfers only.
    pub(super) async fn remember(&self) {
        let now: Vec<((String, Digest), Holder)> = {
            let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let holders = now.iter();
            holders
                .map(|(key, holder)| (key.clone(), Arc::clone(holder)))
                .collect()
        };
        let mut new: HashMap<String, Vec<(Digest, String)>> = HashMap::new();
        for ((host, digest), holder) in now {
            if let Some(repository) = holder.lock().await.clone() {
                new.entry(host).or_default().push((digest, repository));
            }
        }
        for (host, mut blobs) in new {
            blobs.sort();
            // Another process may have written meanwhile.
            let mut known = self.read(&host);
            let fresh: std::collections::HashSet<Digest> =
                blobs.iter().map(|(digest, _)| *digest).collect();
            known.order.retain(|digest| !fresh.contains(digest));
            known.order.extend(blobs.iter().map(|(digest, _)| *digest));
            known.repositories.extend(blobs);
            let old = known.order.len().saturating_sub(MAX_BLOBS);
            let lines = known.order.iter().skip(old).filter_map(|digest| {
                let repository = known.repositories.get(digest)?;
                Some(format!("{} {repository}\n", digest.hex()))
            });
            let text: String = lines.collect();
            if let Some(path) = self.path(&host) {
                drop(disk::write_hint(&path, text.as_bytes()));
            }
        }
    }

    fn path(&self, host: &str) -> Option<PathBuf> {
        let name = Digest::of(host.as_bytes()).hex();
        self.folder
            .as_deref()
            .map(|folder: &Path| folder.join(name))
    }

    fn read(&self, host: &str) -> Known {
        let mut known = Known::default();
        let Some(path) = self.path(host) else {
            return known;
        };
        let small = fs::metadata(&path).is_ok_and(|facts| facts.len() <= MAX_BYTES);
        let text = small.then(|| fs::read_to_string(&path).ok()).flatten();
        for line in text.unwrap_or_default().lines() {
            let Some((hex, repository)) = line.split_once(' ') else {
                continue;
            };
            if let Ok(digest) = Digest::from_hex(hex)
                && format!("h.io/{repository}")
                    .parse::<crate::oci::Reference>()
                    .is_ok()
                && known
                    .repositories
                    .insert(digest, repository.to_owned())
                    .is_none()
            {
                known.order.push(digest);
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holders_are_remembered_by_registry_and_damage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Some(dir.path().join("pushed"));
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let holders = Holders::new(folder.clone());
        *holders.of("h.io", one).lock().await = Some("a/b".to_owned());
        assert_eq!(*holders.of("h.io", two).lock().await, None);
        holders.remember().await;
        let holders = Holders::new(folder.clone());
        assert_eq!(
            *holders.of("h.io", one).lock().await,
            Some("a/b".to_owned())
        );
        assert_eq!(*holders.of("other.io", one).lock().await, None);
        *holders.of("h.io", two).lock().await = Some("c".to_owned());
        holders.remember().await;
        let path = holders.path("h.io").unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!("nonsense\n{} ../x y\n", Digest::of(b"3").hex()));
        fs::write(&path, text).unwrap();
        let holders = Holders::new(folder);
        for (digest, repository) in [
            (one, Some("a/b")),
            (two, Some("c")),
            (Digest::of(b"3"), None),
        ] {
            let holder = holders.of("h.io", digest);
            assert_eq!(holder.lock().await.as_deref(), repository);
        }
    }
}
