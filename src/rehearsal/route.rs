//! The endpoints. Source: distribution-spec 1.1.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderName, LINK, RANGE,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::access::Access;
use super::body::Answer;
use super::fault::{Fault, Kind};
use super::log::{self, Log};
use super::receive::{digest_of, drain, take};
use super::reply::{
    DIGEST, Reply, RequestError, created, error, json, plain, refused_now, set, upload_at,
};
use super::store::{self, Store};
use crate::oci::{Digest, MAX_MANIFEST_BYTES, Reference};
use crate::registry::{Chunks, Profile, Referrers};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Makes the ids of uploads unique.
static UPLOADS: AtomicU64 = AtomicU64::new(0);

/// Default number of tags per page.
const PAGE: usize = 100;

pub(super) struct Site {
    pub store: Store,
    pub profile: Profile,
    pub max_layer: Option<u64>,
    pub max_body: Option<u64>,
    pub faults: Vec<Fault>,
    pub access: Access,
    pub immutable: bool,
    pub log: Log,
}

fn refused(status: u16, code: &'static str, message: impl Into<String>) -> RequestError {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    RequestError::Refused(status, code, message.into())
}

fn unknown() -> RequestError {
    refused(404, "NAME_UNKNOWN", "not found")
}

struct Call {
    method: Method,
    repository: String,
    /// The endpoint: `blobs`, `manifests`, ...
    what: String,
    /// The rest of the path.
    name: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    strike: Option<Kind>,
}

impl Call {
    fn query(&self, name: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    fn header(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    fn digest(&self) -> Result<Digest, RequestError> {
        let read = self.name.parse();
        read.map_err(|_| refused(400, "DIGEST_INVALID", "the name is not a sha256 digest"))
    }
}

impl Site {
    pub(super) async fn answer(
        site: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Reply, io::Error> {
        let method = request.method().clone();
        let path = request.uri().path_and_query();
        let path = path.map_or_else(String::new, ToString::to_string);
        let came = AtomicU64::new(0);
        let upload = request.uri().path().to_owned();
        let answered = site.dispatch(request, &path, &came).await;
        if matches!(answered, Err(RequestError::Cut | RequestError::Io(_))) && !site.profile.resumes
        {
            site.forget(&upload).await;
        }
        let answered = match answered {
            Ok(answered) => Ok(answered),
            Err(RequestError::Refused(status, code, message)) => Ok(error(status, code, &message)),
            Err(RequestError::Cut) => Err(io::Error::other("connection cut on purpose")),
            Err(RequestError::Io(error)) => Err(error),
        };
        let size = |answered: &Reply| hyper::body::Body::size_hint(answered.body()).exact();
        site.log.note(log::Request {
            method: method.to_string(),
            path,
            status: answered.as_ref().map_or(0, |a| a.status().as_u16()),
            bytes_in: came.load(Ordering::Relaxed),
            bytes_out: match (&answered, &method) {
                (Ok(answered), &Method::GET) => size(answered).unwrap_or(0),
                _ => 0,
            },
        });
        answered
    }

    /// Removes the upload at `path`, if it is one.
    async fn forget(&self, path: &str) {
        let call = path.strip_prefix("/v2/").and_then(parse);
        let id = call.filter(|(_, what, _)| what == "uploads");
        if let Some(upload) = id.and_then(|(_, _, id)| self.store.upload(&id)) {
            // It may not exist.
            let _ = tokio::fs::remove_file(upload).await;
        }
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        path: &str,
        came: &AtomicU64,
    ) -> Result<Reply, RequestError> {
        let (parts, mut body) = request.into_parts();
        let mut strike = None;
        for fault in &self.faults {
            strike = fault.strike(parts.method.as_str(), path);
            match strike {
                None => continue,
                Some(Kind::Slow) => tokio::time::sleep(fault.delay).await,
                Some(Kind::Status(status)) => {
                    // Clients see a response before the whole body is read as a
                    // reset.
                    drain(&mut body, came).await?;
                    let mut refusal = refused_now(status);
                    if status == 429 || status == 503 {
                        let soon = hyper::header::HeaderValue::from_static("0");
                        refusal.headers_mut().insert(RETRY_AFTER, soon);
                    }
                    return Ok(refusal);
                }
                Some(Kind::Reset) => return Err(RequestError::Cut),
                Some(Kind::Truncate) if parts.method != Method::GET => {
                    return Err(RequestError::Cut);
                }
                Some(_) => {}
            }
            break;
        }
        let query = parts.uri.query().unwrap_or_default();
        let query = reqwest::Url::parse(&format!("http://x/?{query}"))
            .map(|url| url.query_pairs().into_owned().collect())
            .unwrap_or_default();
        let mut call = Call {
            method: parts.method,
            repository: String::new(),
            what: String::new(),
            name: String::new(),
            query,
            headers: parts.headers,
            strike,
        };
        let path = parts.uri.path();
        if path == "/token" {
            return self.token(&call);
        }
        let rest = path.strip_prefix("/v2/").ok_or_else(unknown)?;
        if rest.is_empty() {
            // Clients use this endpoint to find out how to log in.
            return Ok(match self.access.knows(call.header(&AUTHORIZATION)) {
                true => plain(StatusCode::OK, Answer::empty()),
                false => self.log_in(&call),
            });
        }
        (call.repository, call.what, call.name) = parse(rest).ok_or_else(unknown)?;
        let write = !matches!(call.method, Method::GET | Method::HEAD);
        let shown = call.header(&AUTHORIZATION);
        if !self.access.admits(shown, &call.repository, write) {
            drain(&mut body, came).await?;
            return Ok(self.log_in(&call));
        }
        let announced: u64 = call.header(&CONTENT_LENGTH).parse().unwrap_or(0);
        if self.max_body.is_some_and(|most| announced > most) {
            drain(&mut body, came).await?;
            return Err(refused(413, "SIZE_INVALID", "the request is too large"));
        }
        match (call.what.as_str(), &call.method) {
            ("blobs", &Method::GET | &Method::HEAD) => self.blob(&call),
            ("blobs", &Method::DELETE) => {
                self.store
                    .unlink(&call.repository, call.digest()?)
                    .map_err(|_| refused(404, "BLOB_UNKNOWN", "no such blob"))?;
                Ok(plain(StatusCode::ACCEPTED, Answer::empty()))
            }
            ("uploads", &Method::POST) => self.begin(&call, &mut body, came).await,
            ("uploads", &Method::PATCH) => self.patch(&call, &mut body, came).await,
            ("uploads", &Method::PUT) => self.finish(&call, &mut body, came).await,
            ("uploads", &Method::GET) => self.progress(&call).await,
            ("uploads", &Method::DELETE) => {
                let upload = self.store.upload(&call.name).ok_or_else(unknown)?;
                tokio::fs::remove_file(upload)
                    .await
                    .map_err(|_| no_upload())?;
                Ok(plain(StatusCode::NO_CONTENT, Answer::empty()))
            }
            ("manifests", &Method::GET | &Method::HEAD) => self.manifest(&call),
            ("manifests", &Method::PUT) => self.put_manifest(&call, &mut body, came).await,
            ("manifests", &Method::DELETE) => {
                self.store
                    .remove_manifest(&call.repository, &call.name)
                    .map_err(|_| refused(404, "MANIFEST_UNKNOWN", "no such manifest"))?;
                Ok(plain(StatusCode::ACCEPTED, Answer::empty()))
            }
            ("tags", &Method::GET) => self.tags(&call),
            ("referrers", &Method::GET) => self.referrers(&call),
            _ => Err(refused(405, "UNSUPPORTED", "method not allowed")),
        }
    }

    fn log_in(&self, call: &Call) -> Reply {
        let challenge = self.access.challenge(call.header(&HOST));
        let mut refusal = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "log in");
        set(&mut refusal, WWW_AUTHENTICATE, &challenge);
        refusal
    }

    fn token(&self, call: &Call) -> Result<Reply, RequestError> {
        if !self.access.is_user(call.header(&AUTHORIZATION)) {
            return Err(refused(401, "UNAUTHORIZED", "wrong user or password"));
        }
        let scopes = call.query.iter().filter(|(key, _)| key == "scope");
        let scopes = scopes.map(|(_, scope)| scope.clone()).collect();
        Ok(json(StatusCode::OK, &self.access.grant(scopes)))
    }

    fn blob(&self, call: &Call) -> Result<Reply, RequestError> {
        let digest = call.digest()?;
        let lies = call.strike == Some(Kind::LyingHead) && call.method == Method::HEAD;
        let size = match self.store.size_of(&call.repository, digest) {
            None if lies => return Ok(plain(StatusCode::OK, Answer::empty())),
            None => return Err(refused(404, "BLOB_UNKNOWN", "no such blob")),
            Some(size) if lies => size + 1,
            Some(size) => size,
        };
        let mut from = 0;
        let range = call.header(&RANGE);
        if let Some(text) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) {
            from = text.0.parse().unwrap_or(0);
            if from >= size && size > 0 {
                return Err(refused(
                    416,
                    "UNSUPPORTED",
                    "the range starts after the end",
                ));
            }
        }
        let len = size - from;
        let body = match call.method {
            Method::HEAD => Answer::empty(),
            _ => {
                let ends = (call.strike == Some(Kind::Truncate)).then_some(len / 2);
                Answer::file(self.store.blob(digest), from, len, ends)
            }
        };
        let status = match from {
            0 => StatusCode::OK,
            _ => StatusCode::PARTIAL_CONTENT,
        };
        let mut answer = plain(status, body);
        set(&mut answer, CONTENT_LENGTH, &len.to_string());
        set(&mut answer, CONTENT_TYPE, "application/octet-stream");
        set(&mut answer, DIGEST, &digest.to_string());
        if from > 0 {
            let range = format!("bytes {from}-{}/{size}", size - 1);
            set(&mut answer, CONTENT_RANGE, &range);
        }
        Ok(answer)
    }

    async fn begin(
        &self,
        call: &Call,
        body: &mut Incoming,
        came: &AtomicU64,
    ) -> Result<Reply, RequestError> {
        if let (Some(mount), Some(from)) = (call.query("mount"), call.query("from"))
            && self.profile.mounts
            && let Ok(digest) = mount.parse::<Digest>()
            && self.store.size_of(from, digest).is_some()
        {
            self.store.link(&call.repository, digest)?;
            return Ok(created(&call.repository, "blobs", digest));
        }
        let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:?}{number}", std::time::Instant::now());
        let id = Digest::of(id.as_bytes()).hex();
        let path = self.store.upload(&id).ok_or_else(unknown)?;
        tokio::fs::File::create(&path).await?;
        if call.query("digest").is_some() {
            let whole = Call {
                method: Method::PUT,
                name: id,
                repository: call.repository.clone(),
                what: call.what.clone(),
                query: call.query.clone(),
                headers: call.headers.clone(),
                strike: call.strike,
            };
            return self.finish(&whole, body, came).await;
        }
        Ok(upload_at(StatusCode::ACCEPTED, &call.repository, &id, 0))
    }

    /// The file and the size of an unfinished upload.
    async fn begun(&self, call: &Call) -> Result<(PathBuf, u64), RequestError> {
        let path = self.store.upload(&call.name).ok_or_else(unknown)?;
        let facts = tokio::fs::metadata(&path).await;
        let have = facts.map_err(|_| no_upload())?.len();
        Ok((path, have))
    }

    async fn patch(
        &self,
        call: &Call,
        body: &mut Incoming,
        came: &AtomicU64,
    ) -> Result<Reply, RequestError> {
        let (path, have) = self.begun(call).await?;
        let announced: u64 = call.header(&CONTENT_LENGTH).parse().unwrap_or(0);
        if let Chunks::AtMost(most) = self.profile.chunks
            && announced > most
        {
            return Err(refused(416, "SIZE_INVALID", "the chunk is too large"));
        }
        let silent = self.loses_pieces();
        let mut told = have + announced;
        if let Some((start, end)) = call.header(&CONTENT_RANGE).split_once('-') {
            if !silent && start.parse() != Ok(have) {
                return Err(refused(416, "RANGE_INVALID", "the chunk is out of order"));
            }
            told = end.parse().map_or(told, |end: u64| end.saturating_add(1));
        }
        // Some registries silently keep one chunk.
        let lost = have > 0 && self.profile.chunks == Chunks::FirstOnly;
        let afresh = have > 0 && self.profile.chunks == Chunks::LastOnly;
        let taken = match lost {
            true => drain(body, came).await?,
            false => take(&path, body, came, afresh, None).await?,
        };
        Ok(upload_at(
            StatusCode::ACCEPTED,
            &call.repository,
            &call.name,
            if silent { told } else { have + taken },
        ))
    }

    async fn finish(
        &self,
        call: &Call,
        body: &mut Incoming,
        came: &AtomicU64,
    ) -> Result<Reply, RequestError> {
        let (path, have) = self.begun(call).await?;
        let digest = call.query("digest").and_then(|text| text.parse().ok());
        let digest: Digest =
            digest.ok_or_else(|| refused(400, "DIGEST_INVALID", "the sha256 digest is missing"))?;
        let announced: u64 = call.header(&CONTENT_LENGTH).parse().unwrap_or(0);
        if let Some(most) = self.max_layer
            && have + announced > most
        {
            return Err(refused(413, "SIZE_INVALID", "the layer is too large"));
        }
        let garble = call.strike == Some(Kind::Garble);
        take(&path, body, came, false, garble.then_some(0)).await?;
        let made = created(&call.repository, "blobs", digest);
        if call.strike == Some(Kind::LostWrite) {
            tokio::fs::remove_file(&path).await?;
            return Ok(made);
        }
        let read = path.clone();
        let found = tokio::task::spawn_blocking(move || digest_of(&read)).await;
        let found = found.map_err(io::Error::other)??;
        if found != digest && !(self.loses_pieces() && have > 0) {
            tokio::fs::remove_file(&path).await?;
            return Err(refused(
                400,
                "DIGEST_INVALID",
                format!("the content has digest {found}"),
            ));
        }
        self.store.keep(&call.repository, digest, &path)?;
        Ok(made)
    }

    fn loses_pieces(&self) -> bool {
        matches!(self.profile.chunks, Chunks::FirstOnly | Chunks::LastOnly)
    }

    async fn progress(&self, call: &Call) -> Result<Reply, RequestError> {
        let (_, have) = self.begun(call).await?;
        let status = StatusCode::NO_CONTENT;
        Ok(upload_at(status, &call.repository, &call.name, have))
    }

    fn manifest(&self, call: &Call) -> Result<Reply, RequestError> {
        let found = self.store.manifest(&call.repository, &call.name);
        let found = found.ok_or_else(|| refused(404, "MANIFEST_UNKNOWN", "no such manifest"))?;
        let mut bytes = found.bytes;
        let len = bytes.len();
        if call.strike == Some(Kind::Garble)
            && let Some(first) = bytes.last_mut()
        {
            *first ^= 1;
        }
        let truncated = call.strike == Some(Kind::Truncate) && call.method == Method::GET;
        let body = match call.method {
            Method::HEAD => Answer::empty(),
            _ if truncated => Answer::file(
                self.store.blob(found.digest),
                0,
                len as u64,
                Some(len as u64 / 2),
            ),
            _ => Answer::bytes(bytes),
        };
        let mut answer = plain(StatusCode::OK, body);
        set(&mut answer, CONTENT_LENGTH, &len.to_string());
        set(&mut answer, CONTENT_TYPE, &found.media_type);
        set(&mut answer, DIGEST, &found.digest.to_string());
        Ok(answer)
    }

    async fn put_manifest(
        &self,
        call: &Call,
        body: &mut Incoming,
        came: &AtomicU64,
    ) -> Result<Reply, RequestError> {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            if let Ok(data) = frame.into_data() {
                came.fetch_add(data.len() as u64, Ordering::Relaxed);
                bytes.extend_from_slice(&data);
            }
            if bytes.len() as u64 > MAX_MANIFEST_BYTES {
                return Err(refused(413, "SIZE_INVALID", "the manifest is too large"));
            }
        }
        let value = serde_json::from_slice::<serde_json::Value>(&bytes);
        if !value.is_ok_and(|value| value.is_object()) {
            return Err(refused(400, "MANIFEST_INVALID", "it is not a JSON object"));
        }
        let digest = Digest::of(&bytes);
        let tag = match call.name.parse::<Digest>() {
            Ok(named) if named != digest => {
                return Err(refused(
                    400,
                    "DIGEST_INVALID",
                    format!("it has digest {digest}"),
                ));
            }
            Ok(_) => None,
            Err(_) => Some(call.name.as_str()),
        };
        if let Some(lacking) = self.store.lacking(&call.repository, &bytes) {
            let message = format!("blob {lacking} is missing");
            return Err(refused(404, "MANIFEST_BLOB_UNKNOWN", message));
        }
        if let Some(tag) = tag.filter(|_| self.immutable)
            && let Some(found) = self.store.manifest(&call.repository, tag)
            && found.digest != digest
        {
            return Err(refused(400, "TAG_INVALID", "the tag is immutable"));
        }
        if call.strike != Some(Kind::LostWrite) {
            let kind = call.header(&CONTENT_TYPE);
            self.store
                .put_manifest(&call.repository, kind, &bytes, tag)?;
        }
        let mut answer = created(&call.repository, "manifests", digest);
        if let Some(subject) = store::subject(&bytes)
            && self.profile.referrers != Referrers::Absent
        {
            set(&mut answer, SUBJECT, &subject.digest.to_string());
        }
        Ok(answer)
    }

    fn tags(&self, call: &Call) -> Result<Reply, RequestError> {
        let tags = self.store.tags(&call.repository).ok_or_else(unknown)?;
        let most = call.query("n").and_then(|text| text.parse().ok());
        let most: usize = most.unwrap_or(PAGE);
        let last = call.query("last").unwrap_or_default();
        let rest: Vec<String> = tags.into_iter().filter(|tag| tag.as_str() > last).collect();
        let page: Vec<String> = rest.iter().take(most).cloned().collect();
        let name = &call.repository;
        let told = serde_json::json!({"name": name, "tags": page});
        let mut answer = json(StatusCode::OK, &told);
        if let Some(last) = page.last().filter(|_| rest.len() > page.len()) {
            let next = format!("</v2/{name}/tags/list?n={most}&last={last}>; rel=\"next\"");
            set(&mut answer, LINK, &next);
        }
        Ok(answer)
    }

    fn referrers(&self, call: &Call) -> Result<Reply, RequestError> {
        let mut index = match self.profile.referrers {
            Referrers::Absent => return Err(unknown()),
            Referrers::Claimed => crate::oci::Index::empty(),
            Referrers::Listed => self.store.referrers(&call.repository, call.digest()?),
        };
        let kind = call.query("artifactType");
        if let Some(kind) = kind {
            index
                .manifests
                .retain(|found| found.artifact_type.as_deref() == Some(kind));
        }
        let mut answer = json(StatusCode::OK, &index);
        set(&mut answer, CONTENT_TYPE, crate::oci::media_type::INDEX);
        if kind.is_some() {
            set(&mut answer, FILTERS, "artifactType");
        }
        Ok(answer)
    }
}

/// Parses the path after `/v2/`; rejects invalid names.
fn parse(rest: &str) -> Option<(String, String, String)> {
    let (repository, what, name) = if let Some(at) = rest.find("/blobs/uploads") {
        let name = rest[at + "/blobs/uploads".len()..].trim_start_matches('/');
        (&rest[..at], "uploads", name)
    } else {
        let what = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
        let found = what
            .iter()
            .find_map(|what| rest.rfind(what).map(|at| (at, *what)));
        let (at, what) = found?;
        (
            &rest[..at],
            what.trim_matches('/'),
            &rest[at + what.len()..],
        )
    };
    // Names have the same grammar as in references.
    let tagged = match what {
        "manifests" if !name.contains(':') => format!("r.io/{repository}:{name}"),
        "blobs" | "manifests" | "referrers" => format!("r.io/{repository}@{name}"),
        _ => format!("r.io/{repository}"),
    };
    tagged.parse::<Reference>().ok()?;
    Some((repository.to_owned(), what.to_owned(), name.to_owned()))
}

fn no_upload() -> RequestError {
    refused(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
}
