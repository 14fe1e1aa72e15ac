//! A remote cache in this process, with faults.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jackal::oci::Digest as Sha256;
use jackal::remote::proto::{self, Digest};
use prost::Message;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    Nothing,
    /// Each answer is an error of HTTP.
    Http500,
    /// Each answer is an error of gRPC.
    Unavailable,
    Denied,
    /// No answer comes.
    Hangs,
    /// No answer comes to the reading of a blob.
    HangsInBlobs,
    /// The connection of an answer breaks in its middle.
    Cuts,
    /// Streams of blobs break once, after half of each.
    CutsStreamsOnce,
    /// Half of each blob, as if it were whole.
    Truncates,
    /// Each blob has another first byte.
    WrongBytes,
    /// Each blob is of its size and zero.
    Zeros,
    /// Results stay, and their blobs are gone.
    LosesBlobs,
    /// Answers are no messages.
    Garbage,
    /// Answers are empty messages.
    Empty,
    /// Results are those of failures.
    Failures,
    /// Each key has the same result.
    OneResult,
    /// It says it has all blobs, and has none.
    LiesAboutBlobs,
    /// It offers only digests that jackal does not make.
    OtherDigests,
    /// Sizes in results are larger than any disk.
    HugeSizes,
}

/// All faults with which no result can be taken.
pub const FATAL: &[Fault] = &[
    Fault::Http500,
    Fault::Unavailable,
    Fault::Denied,
    Fault::Hangs,
    Fault::HangsInBlobs,
    Fault::Cuts,
    Fault::Truncates,
    Fault::WrongBytes,
    Fault::Zeros,
    Fault::LosesBlobs,
    Fault::Garbage,
    Fault::Empty,
    Fault::Failures,
    Fault::OneResult,
    Fault::OtherDigests,
    Fault::HugeSizes,
];

#[derive(Default)]
struct State {
    blobs: HashMap<String, Bytes>,
    results: HashMap<String, proto::ActionResult>,
    /// The method of each request, with its resource if it has one.
    asked: Vec<String>,
    fault: Fault,
    cut: Vec<String>,
    batch: i64,
    zstd: bool,
    header: Option<(&'static str, &'static str)>,
}

/// A server, until the test ends.
pub struct Double {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Double {
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let state = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let answer = hyper::service::service_fn(move |request| {
                            let state = Arc::clone(&state);
                            async move { Ok::<_, Infallible>(answer(&state, request).await) }
                        });
                        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        drop(http.serve_connection(TokioIo::new(stream), answer).await);
                    });
                }
            });
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    fn with<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap())
    }

    pub fn fail(&self, fault: Fault) {
        self.with(|state| state.fault = fault);
    }

    /// The largest batch that it says it takes, and whether it knows Zstandard.
    pub fn offer(&self, batch: i64, zstd: bool) {
        self.with(|state| (state.batch, state.zstd) = (batch, zstd));
    }

    /// Refuses requests without this header.
    pub fn require(&self, name: &'static str, value: &'static str) {
        self.with(|state| state.header = Some((name, value)));
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.asked))
    }

    pub fn results(&self) -> usize {
        self.with(|state| state.results.len())
    }

    /// Puts every result under the names that `other` has.
    pub fn copy_results_to_names_of(&self, other: &Self) {
        let names: Vec<String> = other.with(|state| state.results.keys().cloned().collect());
        self.with(|state| {
            let any = state.results.values().next().unwrap().clone();
            state
                .results
                .extend(names.into_iter().map(|name| (name, any.clone())));
        });
    }

    pub fn forget_blobs(&self) {
        self.with(|state| state.blobs.clear());
    }
}

/// A body of prepared parts.
struct Parts(VecDeque<io::Result<Frame<Bytes>>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

fn unframed(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let _ = bytes.split_to(5);
        messages.push(bytes.split_to(length));
    }
    messages
}

fn status(code: u32, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    trailers
}

/// Messages to send, or a code of gRPC.
type Answer = Result<Vec<Vec<u8>>, u32>;

const NOT_FOUND: u32 = 5;

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Parts> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let headers = request.headers().clone();
    let Ok(body) = request.into_body().collect().await else {
        return Response::new(Parts(VecDeque::new()));
    };
    let messages = unframed(body.to_bytes());
    let (fault, answer) = {
        let mut state = state.lock().unwrap();
        let wanted = state.header;
        let has = wanted.is_none_or(|(name, value)| headers.get(name).is_some_and(|v| v == value));
        let answer = match has {
            true => state.answer(&method, &messages),
            false => Err(16),
        };
        (state.fault, answer)
    };
    let is_blob = matches!(method.as_str(), "BatchReadBlobs" | "Read");
    if fault == Fault::Hangs || fault == Fault::HangsInBlobs && is_blob {
        std::future::pending::<()>().await;
    }
    let mut parts = VecDeque::new();
    if fault == Fault::Http500 {
        let answer = Response::builder().status(500).body(Parts(parts));
        return answer.unwrap();
    }
    let trailers = match answer {
        _ if fault == Fault::Unavailable => status(14, "away"),
        _ if fault == Fault::Denied => status(7, "%1B[31mno"),
        Err(CUT) => {
            parts.push_back(Err(io::ErrorKind::ConnectionReset.into()));
            HeaderMap::new()
        }
        Err(code) => status(code, "no"),
        Ok(messages) => {
            for message in messages {
                match message.as_slice() {
                    [] if method == "Read" => {
                        parts.push_back(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    message if fault == Fault::Cuts => {
                        let half = framed(message);
                        parts.push_back(Ok(Frame::data(half.slice(..half.len() / 2))));
                        parts.push_back(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    _ if fault == Fault::Garbage => {
                        parts.push_back(Ok(Frame::data(framed(&[0xff; 40]))));
                    }
                    _ if fault == Fault::Empty => parts.push_back(Ok(Frame::data(framed(&[])))),
                    message => parts.push_back(Ok(Frame::data(framed(message)))),
                }
            }
            status(0, "")
        }
    };
    parts.push_back(Ok(Frame::trailers(trailers)));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Parts(parts))
        .unwrap()
}

/// Not a code of gRPC: the connection breaks.
const CUT: u32 = 1000;

fn read<M: Message + Default>(messages: &[Bytes]) -> M {
    M::decode(messages[0].clone()).unwrap()
}

fn one(message: &impl Message) -> Answer {
    Ok(vec![message.encode_to_vec()])
}

impl State {
    fn answer(&mut self, method: &str, messages: &[Bytes]) -> Answer {
        self.asked.push(method.to_owned());
        match method {
            "GetCapabilities" => one(&self.capabilities()),
            "FindMissingBlobs" => {
                let asked: proto::FindMissingBlobsRequest = read(messages);
                let mut missing = asked.blob_digests;
                missing.retain(|digest| !self.blobs.contains_key(&digest.hash));
                if self.fault == Fault::LiesAboutBlobs {
                    missing.clear();
                }
                one(&proto::FindMissingBlobsResponse {
                    missing_blob_digests: missing,
                })
            }
            "BatchUpdateBlobs" => {
                assert!(self.batch == 0 || messages[0].len() as i64 <= self.batch);
                assert!(messages[0].len() < 4 << 20);
                let asked: proto::BatchUpdateBlobsRequest = read(messages);
                let mut answer = proto::BatchUpdateBlobsResponse::default();
                for update in asked.requests {
                    let digest = update.digest.unwrap();
                    assert_eq!(Sha256::of(&update.data).hex(), digest.hash);
                    self.blobs.insert(digest.hash.clone(), update.data);
                    answer.responses.push(proto::UpdatedBlob {
                        digest: Some(digest),
                        status: None,
                    });
                }
                one(&answer)
            }
            "BatchReadBlobs" => {
                let asked: proto::BatchReadBlobsRequest = read(messages);
                let blobs = asked
                    .digests
                    .into_iter()
                    .map(|digest| self.read_blob(digest));
                one(&proto::BatchReadBlobsResponse {
                    responses: blobs.collect(),
                })
            }
            "Read" => self.read_stream(&read(messages)),
            "Write" => self.write_stream(messages),
            "QueryWriteStatus" => Err(NOT_FOUND),
            "GetActionResult" => self.result(&read(messages)),
            "UpdateActionResult" => {
                let asked: proto::UpdateActionResultRequest = read(messages);
                let result = asked.action_result.unwrap();
                let name = asked.action_digest.unwrap().hash;
                assert!(self.blobs.contains_key(&name), "the action comes first");
                self.results.insert(name, result.clone());
                one(&result)
            }
            _ => Err(12),
        }
    }

    fn capabilities(&self) -> proto::ServerCapabilities {
        let function = if self.fault == Fault::OtherDigests {
            9
        } else {
            1
        };
        proto::ServerCapabilities {
            cache_capabilities: Some(proto::CacheCapabilities {
                digest_functions: vec![function],
                action_cache_update_capabilities: Some(proto::ActionCacheUpdateCapabilities {
                    update_enabled: true,
                }),
                max_batch_total_size_bytes: self.batch,
                supported_compressors: if self.zstd { vec![1] } else { Vec::new() },
                ..proto::CacheCapabilities::default()
            }),
            ..proto::ServerCapabilities::default()
        }
    }

    fn result(&self, asked: &proto::GetActionResultRequest) -> Answer {
        let name = &asked.action_digest.as_ref().unwrap().hash;
        let found = match self.fault {
            // The same for all, whatever they asked for.
            Fault::OneResult => {
                let mut names: Vec<_> = self.results.keys().filter(|own| *own != name).collect();
                names.sort();
                names.first().and_then(|name| self.results.get(*name))
            }
            _ => self.results.get(name),
        };
        let mut found = found.cloned().ok_or(NOT_FOUND)?;
        match self.fault {
            Fault::Failures => found.exit_code = 1,
            Fault::HugeSizes => {
                for file in &mut found.output_files {
                    file.digest.as_mut().unwrap().size_bytes = i64::MAX;
                }
            }
            _ => {}
        }
        one(&found)
    }

    /// The content of a blob, or what the fault makes of it.
    fn content(&self, hash: &str) -> Option<Bytes> {
        let content = self.blobs.get(hash)?.clone();
        Some(match self.fault {
            Fault::LosesBlobs => return None,
            Fault::Truncates => content.slice(..content.len() / 2),
            Fault::Zeros => vec![0; content.len()].into(),
            Fault::WrongBytes => {
                let mut bytes = content.to_vec();
                bytes[0] ^= 1;
                bytes.into()
            }
            _ => content,
        })
    }

    fn read_blob(&self, digest: Digest) -> proto::ReadBlob {
        let Some(content) = self.content(&digest.hash) else {
            return proto::ReadBlob {
                digest: Some(digest),
                status: Some(proto::Status {
                    code: 5,
                    message: String::new(),
                }),
                ..proto::ReadBlob::default()
            };
        };
        let data = match self.zstd {
            true => zstd::encode_all(&content[..], 1).unwrap().into(),
            false => content,
        };
        proto::ReadBlob {
            digest: Some(digest),
            data,
            status: None,
            compressor: i32::from(self.zstd),
        }
    }

    fn read_stream(&mut self, asked: &proto::ReadRequest) -> Answer {
        let name = &asked.resource_name;
        self.asked.pop();
        self.asked
            .push(format!("Read {name} {}", asked.read_offset));
        let mut words = name.rsplit('/');
        let (_, hash) = (words.next(), words.next().unwrap());
        let content = self.content(hash).ok_or(NOT_FOUND)?;
        let rest = content.slice(asked.read_offset as usize..);
        let rest: Bytes = match name.contains("compressed-blobs/zstd") {
            true => zstd::encode_all(&rest[..], 1).unwrap().into(),
            false => rest,
        };
        let cuts = self.fault == Fault::CutsStreamsOnce && !self.cut.iter().any(|cut| cut == hash);
        let sent = if cuts { rest.len() / 2 } else { rest.len() };
        let mut messages: Vec<Vec<u8>> = rest[..sent]
            .chunks(64 << 10)
            .map(|data| {
                let data = Bytes::copy_from_slice(data);
                proto::ReadResponse { data }.encode_to_vec()
            })
            .collect();
        if cuts {
            self.cut.push(hash.to_owned());
            messages.push(Vec::new());
        }
        Ok(messages)
    }

    fn write_stream(&mut self, messages: &[Bytes]) -> Answer {
        let mut bytes = Vec::new();
        let mut name = String::new();
        for message in messages {
            let part = proto::WriteRequest::decode(message.clone()).unwrap();
            assert_eq!(part.write_offset, bytes.len() as i64);
            bytes.extend(&part.data);
            name.push_str(&part.resource_name);
        }
        let mut words = name.rsplit('/');
        let (size, hash) = (words.next().unwrap(), words.next().unwrap().to_owned());
        if self.fault == Fault::CutsStreamsOnce && !self.cut.contains(&name) {
            self.cut.push(name);
            return Err(CUT);
        }
        if name.contains("compressed-blobs/zstd") {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        assert_eq!(bytes.len().to_string(), size);
        assert_eq!(Sha256::of(&bytes).hex(), hash);
        let committed_size = bytes.len() as i64;
        self.blobs.insert(hash, bytes.into());
        one(&proto::WriteResponse { committed_size })
    }
}
