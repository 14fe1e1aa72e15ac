//! What a server can do, found out by trying: for `jackal doctor`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::batches::Blob;
use super::client::{Remote, panicked};
use super::error::RemoteError;
use super::limits::Capabilities;
use super::proto::{self, digest_of};
use crate::cas::Cas;
use crate::oci::Digest;

/// One thing that was tried.
#[derive(Debug)]
pub struct Tried {
    pub what: &'static str,
    pub found: Result<String, RemoteError>,
}

/// Bytes of a blob that travels in a batch, and of one that is larger than any batch.
const SMALL: usize = 1 << 10;
const LARGE: usize = 5 << 20;

impl Remote {
    /// Tries everything that builds need; with `write`, stores two blobs and a result. The
    /// blobs are made in `from` and brought to `to`, which are empty.
    pub async fn probe(self: &Arc<Self>, from: Arc<Cas>, to: Arc<Cas>, write: bool) -> Vec<Tried> {
        let mut tried = Vec::new();
        let start = Instant::now();
        let said = self.capabilities().await;
        let time = start.elapsed().as_millis();
        let said = match said {
            Err(error) => {
                let what = "connection";
                let found = Err(error);
                return vec![Tried { what, found }];
            }
            Ok(said) => said,
        };
        let mut add = |what, found| tried.push(Tried { what, found });
        add("connection", Ok(format!("answered after {time} ms")));
        about(said.as_ref(), &mut add);
        if self.limits().await.is_err() {
            return tried;
        }
        let small = stored(&from, SMALL).await;
        let large = stored(&from, LARGE).await;
        let (small, large) = match (small, large) {
            (Ok(small), Ok(large)) => (small, large),
            (Err(error), _) | (_, Err(error)) => {
                add("blobs", Err(error));
                return tried;
            }
        };
        let missing = self.missing(&[small]).await;
        add(
            "lookup",
            missing.map(|_| "missing blobs are found".to_owned()),
        );
        if !write {
            return tried;
        }
        for (what, blob, way) in [
            ("batches", small, "a small blob was stored and read"),
            ("streams", large, "a blob of 5 MiB was stored and read"),
        ] {
            let there_and_back = async {
                self.upload(&from, &[blob]).await?;
                self.fetch(&to, &[blob]).await
            };
            let found = there_and_back.await;
            add(what, found.map(|_| way.to_owned()));
        }
        add("results", self.try_result(small).await);
        tried
    }

    /// Stores a result of an action that nobody has, and reads it.
    async fn try_result(&self, output: Blob) -> Result<String, RemoteError> {
        let empty = (Digest::of(b""), 0);
        let action = proto::Action {
            command_digest: Some(digest_of(empty)),
            input_root_digest: Some(digest_of(empty)),
            salt: output.0.as_bytes().to_vec(),
        };
        let action = prost::Message::encode_to_vec(&action);
        let name = (Digest::of(&action), action.len() as u64);
        self.store(vec![action.into()]).await?;
        let file = proto::OutputFile {
            path: "probe".to_owned(),
            digest: Some(digest_of(output)),
            ..proto::OutputFile::default()
        };
        let result = proto::ActionResult {
            output_files: vec![file],
            execution_metadata: Some(proto::ExecutedActionMetadata {
                worker: "jackal doctor".to_owned(),
            }),
            ..proto::ActionResult::default()
        };
        self.put_result(name, result).await?;
        match self.result(name, &[]).await? {
            Some(found) if found.output_files.len() == 1 => {
                Ok("a result was stored and read".to_owned())
            }
            Some(_) => Err(RemoteError::Protocol(
                "the result came back without its output".to_owned(),
            )),
            None => Err(RemoteError::Protocol(
                "the result was stored and is not there".to_owned(),
            )),
        }
    }
}

/// What `said` means for builds.
fn about(
    said: Option<&Capabilities>,
    add: &mut impl FnMut(&'static str, Result<String, RemoteError>),
) {
    let Some(said) = said else {
        let silent = "the server does not say what it can do; 4 MiB a message are assumed";
        return add("protocol", Ok(silent.to_owned()));
    };
    let versions = said.versions.as_ref();
    let versions = versions.map_or_else(
        || "the server does not say which versions".to_owned(),
        |(low, high)| format!("versions {low} to {high}"),
    );
    let limits = match said.limits() {
        Ok(limits) => limits,
        Err(why) => return add("protocol", Err(RemoteError::Protocol(why))),
    };
    add("protocol", Ok(versions));
    add("digests", Ok(said.digest_functions.join(", ")));
    let named = match said.max_batch {
        0 => "the server names no limit".to_owned(),
        most => format!("the server names {most}"),
    };
    add(
        "messages",
        Ok(format!("{} bytes at most; {named}", limits.batch)),
    );
    let compressors = match limits.zstd {
        true => "zstd".to_owned(),
        false => "none that jackal uses".to_owned(),
    };
    add("compression", Ok(compressors));
    let writes = match limits.writes {
        true => Ok("results may be stored".to_owned()),
        false => Err(RemoteError::Protocol(
            "results must not be stored: use --remote-mode read".to_owned(),
        )),
    };
    add("permission", writes);
    let executes = match said.executes {
        true => "offered, and not used by jackal",
        false => "not offered, and not needed",
    };
    add("execution", Ok(executes.to_owned()));
}

/// A new blob of `size` bytes that no server can have.
async fn stored(cas: &Arc<Cas>, size: usize) -> Result<Blob, RemoteError> {
    let cas = Arc::clone(cas);
    let made = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; size];
        // All of it is random, so that compression does not make it small.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        let mut ingest = cas.ingest()?;
        ingest
            .write_all(&bytes)
            .map_err(crate::disk::at(cas.root()))?;
        ingest.commit()
    });
    Ok(made.await.map_err(panicked)??)
}
