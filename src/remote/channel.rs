//! Calls: gRPC over the HTTP client that registries are reached with, which already knows
//! certificates and proxies.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body::Frame;
use prost::Message;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request, Response, Uri};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::address::Address;
use super::error::RemoteError;
use super::proto::{RequestMetadata, ToolDetails};
use crate::registry::Hosts;

/// The largest message that is read, in bytes. Batches are at most 4 MiB, and a result
/// lists what is in it; a larger message would only take memory.
pub(super) const MAX_MESSAGE: usize = 16 << 20;

/// How often a call is sent if the server is only busy or the connection broke.
const ATTEMPTS: u32 = 4;

/// Delay before the second attempt; doubled for each further one.
const BACKOFF: Duration = Duration::from_millis(100);

/// The most that connecting takes: a machine that is off says nothing.
const CONNECTING: Duration = Duration::from_secs(2);

/// Names our requests to whoever operates the server.
const METADATA: HeaderName =
    HeaderName::from_static("build.bazel.remote.execution.v2.requestmetadata-bin");

/// A method of a service, with what it does in words.
pub(super) struct Method {
    pub(super) what: &'static str,
    pub(super) path: &'static str,
    /// Whether a request has content of blobs.
    pub(super) uploads: bool,
}

/// A header of requests, whose value is never shown.
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

impl Header {
    /// `None`: a header cannot have that name or value.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let name = name.parse::<HeaderName>().ok()?;
        let mut value = value.parse::<HeaderValue>().ok()?;
        value.set_sensitive(true);
        Some(Self { name, value })
    }
}

/// Sends requests over HTTP/2.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    headers: HeaderMap,
}

/// A body that several threads may share, which only one can read.
struct Shared(Mutex<tonic::body::Body>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let body = self.get_mut().0.get_mut();
        Pin::new(body.unwrap_or_else(PoisonError::into_inner)).poll_frame(cx)
    }
}

impl Service<Request<tonic::body::Body>> for Http {
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let mut request = request.map(|body| reqwest::Body::wrap(Shared(Mutex::new(body))));
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        let client = self.client.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)?;
            client.execute(request).await.map(Response::from)
        })
    }
}

/// A connection to one server, made when it is first used.
#[derive(Clone)]
pub(super) struct Channel {
    /// For requests that are answered soon: silence ends them.
    reads: Grpc<Http>,
    /// For uploads, during which no answer is expected.
    writes: Grpc<Http>,
}

impl Channel {
    pub(super) fn new(
        address: &Address,
        hosts: &Hosts,
        headers: &[Header],
        silence: Duration,
    ) -> Result<Self, RemoteError> {
        let client = |silence_in_reads| {
            let limits = [Some(CONNECTING.min(silence)), silence_in_reads];
            let client = hosts.grpc_client(&address.host, address.plain, limits);
            client.map_err(|error| RemoteError::Setup(error.to_string()))
        };
        let scheme = if address.plain { "http" } else { "https" };
        let origin = format!("{scheme}://{}", address.host).parse::<Uri>();
        let origin = origin.map_err(|error| RemoteError::Setup(error.to_string()))?;
        let headers = headers.iter().cloned();
        let mut all: HeaderMap = headers.map(|own| (own.name, own.value)).collect();
        let metadata = RequestMetadata {
            tool_details: Some(ToolDetails {
                tool_name: "jackal".to_owned(),
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            tool_invocation_id: unique(),
        };
        let metadata = STANDARD_NO_PAD.encode(metadata.encode_to_vec());
        if let Ok(value) = HeaderValue::from_str(&metadata) {
            all.insert(METADATA, value);
        }
        let grpc = |client| {
            let headers = all.clone();
            let http = Http { client, headers };
            Grpc::with_origin(http, origin.clone()).max_decoding_message_size(MAX_MESSAGE)
        };
        Ok(Self {
            reads: grpc(client(Some(silence))?),
            writes: grpc(client(None)?),
        })
    }

    pub(super) fn reads(&self) -> Grpc<Http> {
        self.reads.clone()
    }

    pub(super) fn writes(&self) -> Grpc<Http> {
        self.writes.clone()
    }

    /// Sends one message and receives one; all attempts together take at most `limit`.
    pub(super) async fn call<Q, A>(
        &self,
        method: &Method,
        message: &Q,
        limit: Duration,
    ) -> Result<A, RemoteError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let end = Instant::now() + limit;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sent = self.once(method, message.clone());
            let error = match tokio::time::timeout_at(end, sent).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(RemoteError::Timeout {
                        what: method.what,
                        after: limit,
                    });
                }
            };
            let pause = pause(attempt);
            if !error.is_temporary() || attempt >= ATTEMPTS || Instant::now() + pause >= end {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once<Q, A>(&self, method: &Method, message: Q) -> Result<A, RemoteError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = match method.uploads {
            true => self.writes(),
            false => self.reads(),
        };
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(method.path);
        let sent = grpc.unary(tonic::Request::new(message), path, codec).await;
        sent.map(tonic::Response::into_inner)
            .map_err(|status| RemoteError::of(method.what, &status))
    }
}

/// The delay after this many attempts.
pub(super) fn pause(attempts: u32) -> Duration {
    BACKOFF * (1 << attempts.saturating_sub(1).min(5))
}

/// A name that no other process and no other call of this function gives, as a UUID.
pub(super) fn unique() -> String {
    let mut bytes = [0; 16];
    // Without random numbers, the server mixes up two uploads at worst, and refuses both.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let hex = format!("{number:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// Whether the server does not have this method.
pub(super) fn is_unknown(error: &RemoteError) -> bool {
    matches!(
        error,
        RemoteError::Refused {
            code: Code::Unimplemented,
            ..
        }
    )
}
