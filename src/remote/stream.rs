//! Blobs that fit in no message: read and written as streams, and continued where a
//! connection broke.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic_prost::ProstCodec;

use super::batches::Blob;
use super::channel::{Method, pause, unique};
use super::client::Remote;
use super::error::RemoteError;
use super::proto::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest,
    WriteResponse,
};
use crate::cas::{Cas, CasError, Sink, SinkError};
use crate::content::Receive as _;
use crate::oci::Descriptor;

const READ: Method = Method {
    what: "reading a blob",
    path: "/google.bytestream.ByteStream/Read",
    uploads: false,
};
const WRITE: Method = Method {
    what: "storing a blob",
    path: "/google.bytestream.ByteStream/Write",
    uploads: true,
};
const WRITTEN: Method = Method {
    what: "asking how much of a blob is stored",
    path: "/google.bytestream.ByteStream/QueryWriteStatus",
    uploads: false,
};

/// Level of compression: the network, not the disk, is to be relieved.
const LEVEL: i32 = 1;

/// Bytes of one piece of a stream.
const PIECE: usize = 1 << 20;

/// How often in a row a transfer may fail without a single new byte.
const ATTEMPTS: u32 = 3;

/// Bytes that are decompressed at once: a block of four bytes can stand for 128 KiB, so
/// this many become 32 MiB at worst.
const SLICE: usize = 1 << 10;

/// The largest window of compressed content, as a power of two: 64 MiB.
const WINDOW_LOG: u32 = 26;

impl Remote {
    fn resource(&self, prefix: &str, blob: Blob, zstd: bool) -> String {
        let instance = match self.address().instance.as_str() {
            "" => String::new(),
            name => format!("{name}/"),
        };
        let kind = if zstd {
            "compressed-blobs/zstd"
        } else {
            "blobs"
        };
        format!("{instance}{prefix}{kind}/{}/{}", blob.0.hex(), blob.1)
    }

    /// Brings a blob into `cas`, verified.
    pub(super) async fn read(
        &self,
        cas: &Arc<Cas>,
        blob: Blob,
        zstd: bool,
    ) -> Result<(), RemoteError> {
        let _permit = self.transfers.acquire().await;
        // A server that sends a byte now and then must not hold up the build.
        let limit = self.time_for(blob.1);
        let read = tokio::time::timeout(limit, self.read_whole(cas, blob, zstd)).await;
        read.unwrap_or(Err(RemoteError::Timeout {
            what: READ.what,
            after: limit,
        }))
    }

    async fn read_whole(&self, cas: &Arc<Cas>, blob: Blob, zstd: bool) -> Result<(), RemoteError> {
        let mut reading = Reading {
            sink: Sink::open(cas),
            blob,
            done: 0,
        };
        // Content that was interrupted continues without compression: not every server
        // can begin in the middle of it.
        let (mut zstd, mut attempt) = (zstd, 0);
        loop {
            let before = reading.done;
            let error = match self.read_on(&mut reading, zstd).await {
                Ok(()) => break,
                Err(error) => error,
            };
            attempt = if reading.done > before {
                1
            } else {
                attempt + 1
            };
            if !error.is_temporary() || attempt >= ATTEMPTS {
                return Err(error);
            }
            zstd &= reading.done == 0;
            tokio::time::sleep(pause(attempt)).await;
        }
        let expected = Descriptor::blob(blob.0, blob.1);
        match reading.sink.commit(&expected).await {
            Err(SinkError::Cas(CasError::Mismatch { .. })) => Err(RemoteError::Wrong(blob.0)),
            stored => Ok(stored?),
        }
    }

    /// Reads from where `reading` is to the end.
    async fn read_on(&self, reading: &mut Reading, zstd: bool) -> Result<(), RemoteError> {
        let late = |_| RemoteError::Timeout {
            what: READ.what,
            after: self.timeout,
        };
        let failed = |status| match RemoteError::of(READ.what, &status) {
            error if error.is_missing() => RemoteError::Missing(reading.blob.0),
            error => error,
        };
        let request = ReadRequest {
            resource_name: self.resource("", reading.blob, zstd),
            read_offset: i64::try_from(reading.done).unwrap_or(i64::MAX),
        };
        let mut grpc = self.channel.reads();
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let path = PathAndQuery::from_static(READ.path);
        let opened = grpc.server_streaming(tonic::Request::new(request), path, codec);
        let opened = tokio::time::timeout(self.timeout, opened).await;
        let mut pieces = opened.map_err(late)?.map_err(failed)?.into_inner();
        let mut decoder = match zstd {
            true => Some(Inflate::new().map_err(|_| RemoteError::Wrong(reading.blob.0))?),
            false => None,
        };
        loop {
            let piece = tokio::time::timeout(self.timeout, pieces.message()).await;
            let blob = reading.blob.0;
            let piece = piece.map_err(late)?.map_err(|status| {
                match RemoteError::of(READ.what, &status) {
                    error if error.is_missing() => RemoteError::Missing(blob),
                    error => error,
                }
            })?;
            let Some(piece) = piece else {
                return match reading.done == reading.blob.1 {
                    true => Ok(()),
                    // It ended early, without saying why.
                    false => Err(RemoteError::Wrong(blob)),
                };
            };
            match &mut decoder {
                None => reading.take(piece.data).await?,
                Some(decoder) => {
                    for slice in piece.data.chunks(SLICE) {
                        let more = decoder.inflate(slice);
                        let more = more.map_err(|_| RemoteError::Wrong(blob))?;
                        reading.take(more).await?;
                    }
                }
            }
        }
    }

    /// Stores a blob from `cas`.
    pub(super) async fn write(
        &self,
        cas: &Arc<Cas>,
        blob: Blob,
        zstd: bool,
    ) -> Result<(), RemoteError> {
        let _permit = self.transfers.acquire().await;
        let open = |from: u64| {
            let cas = Arc::clone(cas);
            move |out: &mut dyn Write| {
                let mut content = cas.open_blob(&blob.0)?;
                // Read, not skipped, so that the bytes are verified.
                io::copy(&mut content.by_ref().take(from), &mut io::sink())?;
                io::copy(&mut content, out).map(|_| ())
            }
        };
        let name = unique();
        let mut attempt = 0;
        let mut from = 0;
        loop {
            let resource = self.resource(&format!("uploads/{name}/"), blob, zstd);
            let error = match self
                .write_on(resource.clone(), blob, (from, zstd), open(from))
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            attempt += 1;
            // Some servers refuse to continue, and have to be sent everything again.
            let refused = from > 0 && matches!(error, RemoteError::Refused { .. });
            if !(error.is_temporary() || refused) || attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause(attempt)).await;
            from = match refused || zstd {
                true => 0,
                false => self.stored_of(resource, blob).await,
            };
        }
    }

    /// Stores bytes that fit in no batch.
    pub(super) async fn write_bytes(&self, blob: Blob, bytes: Bytes) -> Result<(), RemoteError> {
        let _permit = self.transfers.acquire().await;
        let resource = self.resource(&format!("uploads/{}/", unique()), blob, false);
        let content = move |out: &mut dyn Write| out.write_all(&bytes);
        self.write_on(resource, blob, (0, false), content).await
    }

    /// How much of an interrupted upload the server kept.
    async fn stored_of(&self, resource_name: String, blob: Blob) -> u64 {
        let request = QueryWriteStatusRequest { resource_name };
        let answer = self.channel.call(&WRITTEN, &request, self.timeout);
        let answer: Result<QueryWriteStatusResponse, _> = answer.await;
        let stored = answer.map_or(0, |answer| {
            u64::try_from(answer.committed_size).unwrap_or(0)
        });
        if stored < blob.1 { stored } else { 0 }
    }

    /// Sends what `content` writes, from byte `from` on.
    async fn write_on(
        &self,
        resource: String,
        blob: Blob,
        (from, zstd): (u64, bool),
        content: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), RemoteError> {
        let (sender, receiver) = mpsc::channel(2);
        let progress = Arc::clone(&self.progress);
        let reading = tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces::new(sender, resource, from, progress);
            if !zstd {
                content(&mut pieces)?;
                return pieces.finish();
            }
            let mut encoder = zstd::stream::write::Encoder::new(pieces, LEVEL)?;
            content(&mut encoder)?;
            encoder.finish()?.finish()
        });
        let mut grpc = self.channel.writes();
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let path = PathAndQuery::from_static(WRITE.path);
        let stream = tonic::Request::new(ReceiverStream::new(receiver));
        let sent = grpc.client_streaming(stream, path, codec);
        let limit = self.time_to_store(blob.1);
        let answer = tokio::time::timeout(limit, sent).await;
        let answer = answer.map_err(|_| RemoteError::Timeout {
            what: WRITE.what,
            after: limit,
        })?;
        drop(grpc);
        match answer {
            Ok(answer) => {
                let stored = answer.into_inner().committed_size;
                // Of compressed content the server may count what it received, or nothing.
                let whole = i64::try_from(blob.1).is_ok_and(|size| size == stored);
                match whole || zstd {
                    true => Ok(()),
                    false => Err(RemoteError::Protocol(format!(
                        "the server stored {stored} of {} bytes",
                        blob.1
                    ))),
                }
            }
            Err(status) => {
                // If the blob could not be read here, that is why the stream ended.
                if let Ok(Ok(Err(error))) =
                    tokio::time::timeout(std::time::Duration::from_millis(50), reading).await
                    && error.kind() != io::ErrorKind::BrokenPipe
                {
                    return Err(RemoteError::Local(CasError::Missing(blob.0)));
                }
                Err(RemoteError::of(WRITE.what, &status))
            }
        }
    }
}

/// A blob that is being read.
struct Reading {
    sink: Sink,
    blob: Blob,
    /// Bytes that were read.
    done: u64,
}

impl Reading {
    async fn take(&mut self, bytes: Bytes) -> Result<(), RemoteError> {
        self.done = self.done.saturating_add(bytes.len() as u64);
        if self.done > self.blob.1 {
            return Err(RemoteError::Wrong(self.blob.0));
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => Ok(self.sink.write(bytes).await?),
        }
    }
}

/// Decompresses pieces.
struct Inflate(zstd::stream::write::Decoder<'static, Vec<u8>>);

impl Inflate {
    fn new() -> io::Result<Self> {
        let mut decoder = zstd::stream::write::Decoder::new(Vec::new())?;
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Self(decoder))
    }

    fn inflate(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.0.write_all(piece)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }
}

/// Sends what is written to it in pieces.
struct Pieces {
    sender: mpsc::Sender<WriteRequest>,
    /// Named with the first piece only.
    resource: String,
    offset: u64,
    bytes: Vec<u8>,
    progress: Arc<AtomicU64>,
}

impl Pieces {
    fn new(
        sender: mpsc::Sender<WriteRequest>,
        resource: String,
        offset: u64,
        progress: Arc<AtomicU64>,
    ) -> Self {
        Self {
            sender,
            resource,
            offset,
            bytes: Vec::new(),
            progress,
        }
    }

    fn send(&mut self, finish_write: bool) -> io::Result<()> {
        let data = Bytes::from(std::mem::take(&mut self.bytes));
        let write_offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        self.offset += data.len() as u64;
        let request = WriteRequest {
            resource_name: std::mem::take(&mut self.resource),
            write_offset,
            finish_write,
            data,
        };
        // The server may have answered before the end, because it has the blob.
        let sent = self.sender.blocking_send(request);
        self.progress.fetch_add(1, Ordering::Relaxed);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<()> {
        self.send(true)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        if self.bytes.len() == PIECE {
            self.send(false)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
