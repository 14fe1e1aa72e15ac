//! The client: results by action, and blobs in batches.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

use super::address::Address;
use super::batches::{Blob, ENTRY, Packed, packed};
use super::channel::{Channel, Header, Method, is_unknown};
use super::error::RemoteError;
use super::limits::{Capabilities, Limits};
use super::proto::{self, digest_of};
use super::proto::{
    ActionResult, BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse, FindMissingBlobsRequest, FindMissingBlobsResponse,
    GetActionResultRequest, GetCapabilitiesRequest, IDENTITY, ReadBlob, ServerCapabilities,
    UpdateActionResultRequest, UpdateBlob, ZSTD,
};
use crate::cas::{Cas, CasError};
use crate::oci::{Descriptor, Digest};
use crate::registry::Hosts;

/// How many digests one question has. A message of 10,000 is near the limit of servers
/// that add something to each.
const QUESTION: usize = 1000;

/// Parallel transfers of one remote cache.
const TRANSFERS: usize = 8;

/// Slower transfers are given up, in bytes per second: several share a connection.
const SLOWEST: u64 = 128 << 10;

const CAPABILITIES: Method = Method {
    what: "asking for its capabilities",
    path: "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities",
    uploads: false,
};
const FIND_MISSING: Method = Method {
    what: "asking for missing blobs",
    path: "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs",
    uploads: false,
};
const BATCH_READ: Method = Method {
    what: "reading blobs",
    path: "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs",
    uploads: false,
};
const BATCH_UPDATE: Method = Method {
    what: "storing blobs",
    path: "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs",
    uploads: true,
};
const GET_RESULT: Method = Method {
    what: "asking for a result",
    path: "/build.bazel.remote.execution.v2.ActionCache/GetActionResult",
    uploads: false,
};
const UPDATE_RESULT: Method = Method {
    what: "storing a result",
    path: "/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult",
    uploads: false,
};

/// Where a remote cache is, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: Address,
    /// Sent with each request, such as a token.
    pub headers: Vec<Header>,
    /// Certificates of hosts.
    pub hosts: Hosts,
    /// The longest silence of the server.
    pub timeout: Duration,
}

/// A remote cache. Connects when it is first used.
pub struct Remote {
    address: Address,
    pub(super) channel: Channel,
    pub(super) timeout: Duration,
    limits: OnceCell<Limits>,
    /// Blobs that it was found to have, or that were stored in it, in this run.
    known: Mutex<HashSet<Digest>>,
    pub(super) transfers: Semaphore,
    /// Uploads that succeeded, and pieces of them that were sent.
    pub(super) progress: Arc<AtomicU64>,
}

impl Remote {
    /// A client, not connected yet.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Setup`]
    pub fn new(options: &Options) -> Result<Self, RemoteError> {
        Ok(Self {
            channel: Channel::new(
                &options.address,
                &options.hosts,
                &options.headers,
                options.timeout,
            )?,
            address: options.address.clone(),
            timeout: options.timeout,
            limits: OnceCell::new(),
            known: Mutex::default(),
            transfers: Semaphore::new(TRANSFERS),
            progress: Arc::default(),
        })
    }

    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A number that grows as long as uploads get on.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    fn got_on(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn instance(&self) -> String {
        self.address.instance.clone()
    }

    /// The longest time for reading `size` bytes.
    pub(super) fn time_for(&self, size: u64) -> Duration {
        self.timeout + Duration::from_secs(size / SLOWEST)
    }

    /// The longest time for storing `size` bytes, which nobody waits for.
    pub(super) fn time_to_store(&self, size: u64) -> Duration {
        self.timeout * 4 + Duration::from_secs(size / SLOWEST)
    }

    /// What the server says it can do; `None`: it does not answer that.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn capabilities(&self) -> Result<Option<Capabilities>, RemoteError> {
        let request = GetCapabilitiesRequest {
            instance_name: self.instance(),
        };
        let answer: Result<ServerCapabilities, _> = self
            .channel
            .call(&CAPABILITIES, &request, self.timeout)
            .await;
        match answer {
            Ok(answer) => Ok(Some(Capabilities::of(&answer))),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What to keep to when speaking to this server, asked once.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn limits(&self) -> Result<&Limits, RemoteError> {
        let asked = || async {
            match self.capabilities().await? {
                Some(said) => said.limits().map_err(RemoteError::Protocol),
                None => Ok(Limits::default()),
            }
        };
        self.limits.get_or_try_init(asked).await
    }

    /// The result of the action with this digest; of the files in `inline`, the server may
    /// send the content as well.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn result(
        &self,
        action: Blob,
        inline: &[&str],
    ) -> Result<Option<ActionResult>, RemoteError> {
        self.limits().await?;
        let request = GetActionResultRequest {
            instance_name: self.instance(),
            action_digest: Some(digest_of(action)),
            inline_output_files: inline.iter().map(|&name| name.to_owned()).collect(),
        };
        let answer = self.channel.call(&GET_RESULT, &request, self.timeout);
        match answer.await {
            Ok(result) => Ok(Some(result)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a result, whose blobs have been stored.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn put_result(&self, action: Blob, result: ActionResult) -> Result<(), RemoteError> {
        let request = UpdateActionResultRequest {
            instance_name: self.instance(),
            action_digest: Some(digest_of(action)),
            action_result: Some(result),
        };
        let time = self.timeout;
        let stored = self
            .channel
            .call::<_, ActionResult>(&UPDATE_RESULT, &request, time);
        stored.await.map(|_| self.got_on())
    }

    /// Those of `blobs` that the server does not have.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn missing(&self, blobs: &[Blob]) -> Result<Vec<Blob>, RemoteError> {
        self.limits().await?;
        let mut seen = HashSet::new();
        let mut asked: Vec<Blob> = blobs.to_vec();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            // Every server has the empty blob.
            asked.retain(|(digest, size)| {
                *size > 0 && !known.contains(digest) && seen.insert(*digest)
            });
        }
        let mut missing = Vec::new();
        for part in asked.chunks(QUESTION) {
            let request = FindMissingBlobsRequest {
                instance_name: self.instance(),
                blob_digests: part.iter().copied().map(digest_of).collect(),
            };
            let answer: FindMissingBlobsResponse = self
                .channel
                .call(&FIND_MISSING, &request, self.timeout)
                .await?;
            let named = answer.missing_blob_digests.into_iter();
            let lacks: HashSet<String> = named.map(|digest| digest.hash).collect();
            let (gone, there) = part
                .iter()
                .partition::<Vec<Blob>, _>(|(digest, _)| lacks.contains(&digest.hex()));
            self.know(&there);
            missing.extend(gone);
        }
        Ok(missing)
    }

    pub(super) fn know(&self, blobs: &[Blob]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(blobs.iter().map(|(digest, _)| *digest));
    }

    /// Forgets that the server has these blobs: it does not.
    fn unknow(&self, blobs: &[Blob]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (digest, _) in blobs {
            known.remove(digest);
        }
    }

    /// Brings those of `blobs` that `cas` lacks, each verified; returns the bytes brought.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]; those that were brought before it stay in `cas`.
    pub async fn fetch(
        self: &Arc<Self>,
        cas: &Arc<Cas>,
        blobs: &[Blob],
    ) -> Result<u64, RemoteError> {
        let limits = *self.limits().await?;
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for (digest, size) in blobs {
            if seen.insert(*digest) && !cas.contains(digest, *size)? {
                wanted.push((*digest, *size));
            }
        }
        let total: u64 = wanted
            .iter()
            .fold(0, |sum, (_, size)| sum.saturating_add(*size));
        cas.make_sure_of(total)?;
        let Packed { batches, large } = packed(&wanted, limits.batch);
        let mut parts = JoinSet::new();
        for batch in batches {
            let (own, cas) = (Arc::clone(self), Arc::clone(cas));
            parts.spawn(async move { own.fetch_batch(&cas, &batch).await });
        }
        for blob in large {
            let (own, cas) = (Arc::clone(self), Arc::clone(cas));
            parts.spawn(async move { own.read(&cas, blob, limits.zstd).await });
        }
        joined(parts).await?;
        self.know(&wanted);
        Ok(total)
    }

    async fn fetch_batch(&self, cas: &Arc<Cas>, batch: &[Blob]) -> Result<(), RemoteError> {
        let _permit = self.transfers.acquire().await;
        for (digest, bytes) in self.read_batch(batch).await? {
            let cas = Arc::clone(cas);
            let stored = tokio::task::spawn_blocking(move || {
                let blob = Descriptor::blob(digest, bytes.len() as u64);
                cas.put(&blob, &bytes[..])
            });
            stored.await.map_err(panicked)??;
        }
        Ok(())
    }

    /// The verified bytes of small blobs.
    pub(super) async fn read_batch(
        &self,
        batch: &[Blob],
    ) -> Result<Vec<(Digest, Bytes)>, RemoteError> {
        let limits = *self.limits().await?;
        let size = batch.iter().map(|(_, size)| size).sum();
        let request = BatchReadBlobsRequest {
            instance_name: self.instance(),
            digests: batch.iter().copied().map(digest_of).collect(),
            acceptable_compressors: match limits.zstd {
                true => vec![IDENTITY, ZSTD],
                false => Vec::new(),
            },
        };
        let time = self.time_for(size);
        let answer: BatchReadBlobsResponse = self.channel.call(&BATCH_READ, &request, time).await?;
        let found = answer.responses.into_iter().filter_map(|read| {
            let name = read.digest.as_ref()?.hash.clone();
            Some((name, read))
        });
        let mut found: HashMap<String, ReadBlob> = found.collect();
        let mut blobs = Vec::with_capacity(batch.len());
        for (digest, size) in batch {
            let read = found.remove(&digest.hex());
            let read = read.ok_or(RemoteError::Missing(*digest))?;
            let checked = checked((*digest, *size), read);
            if checked.as_ref().is_err_and(RemoteError::is_missing) {
                self.unknow(&[(*digest, *size)]);
            }
            blobs.push((*digest, checked?));
        }
        Ok(blobs)
    }

    /// The bytes of a small blob, verified; `inline` is used if it is them.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]; it is too large for a message.
    pub async fn document(&self, blob: Blob, inline: Bytes) -> Result<Bytes, RemoteError> {
        if inline.len() as u64 == blob.1 && Digest::of(&inline) == blob.0 {
            return Ok(inline);
        }
        if blob.1.saturating_add(ENTRY) > self.limits().await?.batch {
            return Err(RemoteError::Missing(blob.0));
        }
        let mut found = self.read_batch(&[blob]).await?.into_iter();
        let found = found.next().map(|(_, bytes)| bytes);
        found.ok_or(RemoteError::Missing(blob.0))
    }

    /// Stores those of `blobs` that the server lacks, from `cas`; returns the bytes sent.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn upload(
        self: &Arc<Self>,
        cas: &Arc<Cas>,
        blobs: &[Blob],
    ) -> Result<u64, RemoteError> {
        let limits = *self.limits().await?;
        if let Some(most) = limits.max_blob
            && let Some((digest, size)) = blobs.iter().find(|(_, size)| *size > most)
        {
            return Err(RemoteError::Protocol(format!(
                "{digest} has {size} bytes, and the server takes at most {most}"
            )));
        }
        let missing = self.missing(blobs).await?;
        let Packed { batches, large } = packed(&missing, limits.batch);
        let mut parts = JoinSet::new();
        for batch in batches {
            let (own, cas) = (Arc::clone(self), Arc::clone(cas));
            parts.spawn(async move { own.upload_batch(&cas, batch).await });
        }
        for blob in large {
            let (own, cas) = (Arc::clone(self), Arc::clone(cas));
            parts.spawn(async move { own.write(&cas, blob, limits.zstd).await });
        }
        joined(parts).await?;
        self.know(&missing);
        Ok(missing.iter().map(|(_, size)| size).sum())
    }

    async fn upload_batch(&self, cas: &Arc<Cas>, batch: Vec<Blob>) -> Result<(), RemoteError> {
        let _permit = self.transfers.acquire().await;
        let cas = Arc::clone(cas);
        let read = tokio::task::spawn_blocking(move || {
            let mut blobs = Vec::with_capacity(batch.len());
            for blob in batch {
                let mut bytes = Vec::new();
                let mut content = cas.open_blob(&blob.0)?.take(blob.1 + 1);
                let read = content.read_to_end(&mut bytes);
                read.map_err(|_| CasError::Missing(blob.0))?;
                if bytes.len() as u64 != blob.1 {
                    return Err(CasError::Missing(blob.0));
                }
                blobs.push((blob, Bytes::from(bytes)));
            }
            Ok(blobs)
        });
        let blobs = read.await.map_err(panicked)??;
        self.write_batch(blobs).await
    }

    /// Stores small blobs, whose bytes are those of their digests.
    pub(super) async fn write_batch(&self, blobs: Vec<(Blob, Bytes)>) -> Result<(), RemoteError> {
        let size = blobs.iter().map(|((_, size), _)| size).sum();
        let requests = blobs.into_iter().map(|(blob, data)| UpdateBlob {
            digest: Some(digest_of(blob)),
            data,
        });
        let request = BatchUpdateBlobsRequest {
            instance_name: self.instance(),
            requests: requests.collect(),
        };
        let time = self.time_to_store(size);
        let answer: BatchUpdateBlobsResponse =
            self.channel.call(&BATCH_UPDATE, &request, time).await?;
        self.got_on();
        let stored = answer.responses.len();
        for response in answer.responses {
            refused(BATCH_UPDATE.what, response.status.as_ref())?;
        }
        match stored >= request.requests.len() {
            true => Ok(()),
            false => Err(RemoteError::Protocol(format!(
                "the server answered for {stored} of {} blobs",
                request.requests.len()
            ))),
        }
    }

    /// Stores bytes that are in no cache of this machine.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]
    pub async fn store(&self, contents: Vec<Bytes>) -> Result<(), RemoteError> {
        let named = contents.into_iter().map(|bytes| {
            let blob = (Digest::of(&bytes), bytes.len() as u64);
            (blob, bytes)
        });
        let named: HashMap<Blob, Bytes> = named.collect();
        let blobs: Vec<Blob> = named.keys().copied().collect();
        let missing = self.missing(&blobs).await?;
        let with_bytes = |blob: Blob| Some((blob, named.get(&blob)?.clone()));
        let Packed { batches, large } = packed(&missing, self.limits().await?.batch);
        for batch in batches {
            self.write_batch(batch.into_iter().filter_map(with_bytes).collect())
                .await?;
        }
        for (blob, bytes) in large.into_iter().filter_map(with_bytes) {
            self.write_bytes(blob, bytes).await?;
        }
        self.know(&missing);
        Ok(())
    }
}

/// The first error among parallel transfers, after which the others end.
async fn joined(mut parts: JoinSet<Result<(), RemoteError>>) -> Result<(), RemoteError> {
    while let Some(done) = parts.join_next().await {
        done.map_err(panicked)??;
    }
    Ok(())
}

pub(super) fn panicked(error: tokio::task::JoinError) -> RemoteError {
    RemoteError::Setup(error.to_string())
}

/// The bytes that a server sent for `blob`, if they are those.
fn checked(blob: Blob, read: ReadBlob) -> Result<Bytes, RemoteError> {
    match refused(BATCH_READ.what, read.status.as_ref()) {
        Err(error) if error.is_missing() => return Err(RemoteError::Missing(blob.0)),
        answer => answer?,
    }
    let bytes = match read.compressor {
        IDENTITY => read.data,
        ZSTD => {
            let wrong = |_| RemoteError::Wrong(blob.0);
            let decoder = zstd::stream::read::Decoder::new(&read.data[..]).map_err(wrong)?;
            let mut bytes = Vec::new();
            let mut decoder = decoder.take(blob.1 + 1);
            decoder.read_to_end(&mut bytes).map_err(wrong)?;
            bytes.into()
        }
        other => {
            let message = format!("the server used compressor {other}, which was not offered");
            return Err(RemoteError::Protocol(message));
        }
    };
    match bytes.len() as u64 == blob.1 && Digest::of(&bytes) == blob.0 {
        true => Ok(bytes),
        false => Err(RemoteError::Wrong(blob.0)),
    }
}

/// The error that a status within an answer is.
fn refused(what: &'static str, status: Option<&proto::Status>) -> Result<(), RemoteError> {
    match status {
        Some(status) if status.code != 0 => {
            let status = tonic::Status::new(status.code.into(), status.message.clone());
            Err(RemoteError::of(what, &status))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_only_if_they_are_those_of_the_digest() {
        let content = vec![7; 1 << 20];
        let own = (Digest::of(&content), content.len() as u64);
        let read = |data: Vec<u8>, compressor| ReadBlob {
            digest: Some(digest_of(own)),
            data: data.into(),
            status: None,
            compressor,
        };
        let small = zstd::encode_all(&content[..], 1).unwrap();
        assert_eq!(
            checked(own, read(content.clone(), IDENTITY)).unwrap(),
            content
        );
        assert_eq!(checked(own, read(small.clone(), ZSTD)).unwrap(), content);
        let bomb = zstd::encode_all(std::io::repeat(7).take(1 << 30), 1).unwrap();
        for (data, compressor) in [
            (content[1..].to_vec(), IDENTITY),
            (small[..small.len() - 3].to_vec(), ZSTD),
            (small, IDENTITY),
            (content, ZSTD),
            (bomb, ZSTD),
        ] {
            let found = checked(own, read(data, compressor));
            assert!(matches!(found, Err(RemoteError::Wrong(_))), "{found:?}");
        }
    }
}
