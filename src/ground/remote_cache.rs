//! Takes results from a remote cache, and gives it those that are made here: adr/0089,
//! "Results of a remote cache".
//!
//! A remote cache is advice. Whatever it does, the step is run here instead, and the user
//! gets one note.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tokio::task::JoinSet;

use super::remote_record::{self, Record, Secret};
use crate::action::{Action, ActionKey, ActionResult, Output};
use crate::archive::SafePath;
use crate::cas::tree::{self, MAX_TREE_BYTES};
use crate::cas::{Cas, Flush, Key};
use crate::ground::form::OutputForm;
use crate::ground::threads::aside;
use crate::oci::Digest;
use crate::remote::{self, Blob, Breaker, Remote, RemoteError, Weight, digest_of, proto};

/// How long a run waits for its last uploads.
const AT_EXIT: Duration = Duration::from_secs(60);

/// How many times the longest silence of an answer it waits for an upload to get on.
const SILENCES: u32 = 2;

/// Parallel uploads of results.
const UPLOADS: usize = 4;

/// The largest log, or document with reports, that is taken, in bytes: they are read into
/// memory.
const MAX_DOCUMENT: u64 = 64 << 20;

/// The file of a remote result that has ours.
const RECORD: &str = "result";
const LOG: &str = "log";
const REPORTS: &str = "reports";
/// The folder of a remote result with the files of trees, so that the server keeps them.
const FILES: &str = "files";

/// Whether results are taken, given or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteMode {
    ReadWrite,
    Read,
    Write,
}

/// A remote cache, and what to do with it.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    pub client: remote::Options,
    pub mode: RemoteMode,
    /// What marks results as ours; without it, any result is taken.
    pub secret: Option<Secret>,
}

/// The remote cache of a run.
pub struct RemoteCache {
    options: RemoteOptions,
    /// Made when it is first asked something: a build with nothing to do needs none.
    remote: OnceLock<Result<Arc<Remote>, String>>,
    breaker: Mutex<Breaker>,
    notes: Mutex<BTreeSet<String>>,
    uploads: Mutex<JoinSet<bool>>,
    turns: Arc<tokio::sync::Semaphore>,
}

/// Blobs of a result besides its outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) files: Vec<Blob>,
    pub(crate) log: Option<Blob>,
    pub(crate) reports: Option<Blob>,
}

/// Why there is no result to take.
enum Nothing {
    /// It has none.
    Miss,
    /// What it has is not to be believed.
    Distrusted(String),
    Failed(RemoteError),
}

impl From<RemoteError> for Nothing {
    fn from(error: RemoteError) -> Self {
        match error {
            error if error.is_missing() => Self::Miss,
            RemoteError::Wrong(_) => Self::Distrusted(error.to_string()),
            error => Self::Failed(error),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // As in `site`: every guarded value is consistent between statements.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl RemoteCache {
    #[must_use]
    pub fn new(options: RemoteOptions) -> Self {
        Self {
            options,
            remote: OnceLock::new(),
            breaker: Mutex::default(),
            notes: Mutex::default(),
            uploads: Mutex::default(),
            turns: Arc::new(tokio::sync::Semaphore::new(UPLOADS)),
        }
    }

    /// What the user should know, once.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *held(&self.notes))
            .into_iter()
            .collect()
    }

    fn note(&self, text: &str) {
        let address = &self.options.client.address;
        held(&self.notes).insert(format!("remote cache {address}: {text}"));
    }

    /// The client, if the server is worth asking.
    fn remote(&self) -> Option<Arc<Remote>> {
        if !held(&self.breaker).allows(Instant::now()) {
            return None;
        }
        let made = self.remote.get_or_init(|| {
            let made = Remote::new(&self.options.client);
            made.map(Arc::new).map_err(|error| error.to_string())
        });
        match made {
            Ok(remote) => Some(Arc::clone(remote)),
            Err(error) => {
                self.note(&format!("{error}; building without it"));
                None
            }
        }
    }

    fn succeeded(&self) {
        held(&self.breaker).succeeded();
    }

    fn failed(&self, error: &RemoteError) {
        if error.is_local() {
            return self.note(&format!("{error}"));
        }
        let weight = match error {
            RemoteError::Timeout { .. } | RemoteError::Silence { .. } => Weight::Slow,
            _ => Weight::Quick,
        };
        if held(&self.breaker).failed(weight, Instant::now()) {
            self.note(&format!("{error}; building without it"));
        }
    }

    /// Brings the result of `action` to `cas`, with everything that it names. Returns the
    /// number of downloaded bytes.
    pub(crate) async fn bring(
        &self,
        cas: &Arc<Cas>,
        action: &Action,
        form: OutputForm,
    ) -> Option<u64> {
        if self.options.mode == RemoteMode::Write {
            return None;
        }
        let remote = self.remote()?;
        match self.try_bring(&remote, cas, action, form).await {
            Ok(brought) => {
                self.succeeded();
                Some(brought)
            }
            Err(Nothing::Miss) => {
                self.succeeded();
                None
            }
            Err(Nothing::Distrusted(why)) => {
                held(&self.breaker).failed(Weight::Quick, Instant::now());
                self.note(&format!("{why}; running the task instead"));
                None
            }
            Err(Nothing::Failed(error)) => {
                self.failed(&error);
                None
            }
        }
    }

    async fn try_bring(
        &self,
        remote: &Arc<Remote>,
        cas: &Arc<Cas>,
        action: &Action,
        form: OutputForm,
    ) -> Result<u64, Nothing> {
        let key = action.key();
        let secret = self.options.secret.as_ref();
        let name = Named::of(&key, secret);
        let found = remote.result(name.digest, &[RECORD]).await?;
        let found = found.ok_or(Nothing::Miss)?;
        if found.exit_code != 0 {
            return Err(Nothing::Miss);
        }
        let files: BTreeMap<&str, &proto::OutputFile> = found
            .output_files
            .iter()
            .map(|file| (file.path.as_str(), file))
            .collect();
        let named = |name: &str| blob_of(files.get(name)?.digest.as_ref()?);
        let record = named(RECORD).ok_or(Nothing::Miss)?;
        let inline = files.get(RECORD).map(|file| file.contents.clone());
        let record = remote.document(record, inline.unwrap_or_default()).await?;
        let record = remote_record::decode(&record, &key, secret);
        let mut result = record.map_err(|why| Nothing::Distrusted(why.to_owned()))?;
        plausible(action, &result.outputs)?;
        let mut wanted: Vec<Blob> = result.outputs.iter().map(|o| (o.digest, o.size)).collect();
        if form == OutputForm::Trees && wanted.iter().any(|(_, size)| *size > MAX_TREE_BYTES as u64)
        {
            return Err(Nothing::Distrusted(
                "a list of files is too large".to_owned(),
            ));
        }
        let beside = |own: Option<Digest>, name| {
            let (digest, size) = own.zip(named(name))?.1;
            (own == Some(digest) && size <= MAX_DOCUMENT).then_some((digest, size))
        };
        let log = beside(result.log, LOG);
        // A log is worth no second run; reports are a part of the result.
        result.log = log.map(|(digest, _)| digest);
        let reports = beside(result.reports, REPORTS);
        if result.reports.is_some() && reports.is_none() {
            return Err(Nothing::Miss);
        }
        wanted.extend(log.into_iter().chain(reports));
        let mut fetched = remote.fetch(cas, &wanted).await?;
        if form == OutputForm::Trees {
            let files = files_of(cas, &result.outputs).await?;
            fetched += remote.fetch(cas, &files).await?;
            wanted.extend(files);
        }
        let (cas, key) = (Arc::clone(cas), Key(*key.as_bytes()));
        let kept = aside(move || cas.put_result(&key, &result.encode(), &wanted, Flush::Now));
        match kept.await {
            Some(kept) => kept.map_err(|error| Nothing::Failed(error.into()))?,
            None => return Err(Nothing::Miss),
        };
        Ok(fetched)
    }

    /// Gives a result that was made here to the remote cache, in the background.
    pub(crate) fn offer(
        self: &Arc<Self>,
        cas: &Arc<Cas>,
        key: &ActionKey,
        result: &ActionResult,
        beside: Beside,
    ) {
        if self.options.mode == RemoteMode::Read {
            return;
        }
        let (own, cas) = (Arc::clone(self), Arc::clone(cas));
        let (key, result) = (*key, result.clone());
        let mut uploads = held(&self.uploads);
        // Those that have ended need no memory.
        while uploads.try_join_next().is_some() {}
        uploads.spawn(async move {
            // The semaphore is never closed.
            let _turn = own.turns.acquire().await;
            let Some(remote) = own.remote() else {
                return false;
            };
            match own.upload(&remote, &cas, &key, &result, beside).await {
                Ok(()) => {
                    own.succeeded();
                    true
                }
                Err(error) => {
                    own.failed(&error);
                    false
                }
            }
        });
    }

    async fn upload(
        &self,
        remote: &Arc<Remote>,
        cas: &Arc<Cas>,
        key: &ActionKey,
        result: &ActionResult,
        beside: Beside,
    ) -> Result<(), RemoteError> {
        if !remote.limits().await?.writes {
            let message = "it takes no results of this user: use --remote-mode read";
            return Err(RemoteError::Protocol(message.to_owned()));
        }
        let secret = self.options.secret.as_ref();
        let name = Named::of(key, secret);
        let record = Record { key, result }.encode(secret);
        let outputs = result.outputs.iter().enumerate();
        let mut files: Vec<(String, Blob)> = outputs
            .map(|(at, output)| (format!("output/{at:06}"), (output.digest, output.size)))
            .collect();
        files.extend(beside.log.map(|blob| (LOG.to_owned(), blob)));
        files.extend(beside.reports.map(|blob| (REPORTS.to_owned(), blob)));
        let mut blobs: Vec<Blob> = files.iter().map(|(_, blob)| *blob).collect();
        blobs.extend(&beside.files);
        remote.upload(cas, &blobs).await?;
        files.push((RECORD.to_owned(), blob_named(&record)));
        files.sort();
        let mut folders = Vec::new();
        let mut contents = vec![record.into(), name.command, name.action];
        if !beside.files.is_empty() {
            let tree = Bytes::from(tree_of(&beside.files).encode_to_vec());
            folders.push(proto::OutputDirectory {
                path: FILES.to_owned(),
                tree_digest: Some(digest_of(blob_named(&tree))),
            });
            contents.push(tree);
        }
        remote.store(contents).await?;
        let file = |(path, blob)| proto::OutputFile {
            path,
            digest: Some(digest_of(blob)),
            ..proto::OutputFile::default()
        };
        let found = proto::ActionResult {
            output_files: files.into_iter().map(file).collect(),
            output_directories: folders,
            exit_code: 0,
            // A message of nothing but defaults is empty, which servers take for damage.
            execution_metadata: Some(proto::ExecutedActionMetadata {
                worker: concat!("jackal/", env!("CARGO_PKG_VERSION")).to_owned(),
            }),
        };
        remote.put_result(name.digest, found).await
    }

    /// Waits for uploads that have not ended, for a limited time.
    pub async fn finish(&self) {
        let mut uploads = std::mem::take(&mut *held(&self.uploads));
        let start = Instant::now();
        let progress = || match self.remote.get() {
            Some(Ok(remote)) => remote.progress(),
            _ => 0,
        };
        let silence = self.options.client.timeout * SILENCES;
        let mut before = progress();
        while !uploads.is_empty() {
            let ended = tokio::time::timeout(silence, uploads.join_next()).await;
            if ended.is_ok() && start.elapsed() < AT_EXIT {
                continue;
            }
            let now = progress();
            if now == before || start.elapsed() >= AT_EXIT {
                let left = uploads.len();
                let took = start.elapsed().as_secs();
                self.note(&format!(
                    "{left} results were not stored within {took} s of the end of the build"
                ));
                uploads.shutdown().await;
            }
            before = now;
        }
    }
}

/// The name of a result at the server: the digest of an action that only stands for ours.
struct Named {
    digest: Blob,
    action: Bytes,
    command: Bytes,
}

impl Named {
    /// With a secret, nobody else can know the name.
    fn of(key: &ActionKey, secret: Option<&Secret>) -> Self {
        let command = proto::Command {
            arguments: ["jackal", "internal", "result", &key.to_string()]
                .map(str::to_owned)
                .into(),
            output_paths: Vec::new(),
        };
        let command = Bytes::from(command.encode_to_vec());
        let mut salt = remote_record::FORMAT.to_vec();
        if let Some(secret) = secret {
            salt.extend(secret.of(key.as_bytes()));
        }
        let action = proto::Action {
            command_digest: Some(digest_of(blob_named(&command))),
            // It reads nothing that the server has: an empty folder, which is an empty
            // message.
            input_root_digest: Some(digest_of(blob_named(&[]))),
            salt,
        };
        let action = Bytes::from(action.encode_to_vec());
        Self {
            digest: blob_named(&action),
            action,
            command,
        }
    }
}

fn blob_named(bytes: &[u8]) -> Blob {
    (Digest::of(bytes), bytes.len() as u64)
}

fn blob_of(digest: &proto::Digest) -> Option<Blob> {
    let size = u64::try_from(digest.size_bytes).ok()?;
    Some((Digest::from_hex(&digest.hash).ok()?, size))
}

/// A folder with `files`, each named for its content.
fn tree_of(files: &[Blob]) -> proto::Tree {
    let files: BTreeMap<String, Blob> = files.iter().map(|blob| (blob.0.hex(), *blob)).collect();
    let files = files.into_iter().map(|(name, blob)| proto::FileNode {
        name,
        digest: Some(digest_of(blob)),
        is_executable: false,
    });
    proto::Tree {
        root: Some(proto::Directory {
            files: files.collect(),
        }),
    }
}

/// The files that `outputs`, which are trees, name.
async fn files_of(cas: &Arc<Cas>, outputs: &[Output]) -> Result<Vec<Blob>, Nothing> {
    let (cas, outputs) = (Arc::clone(cas), outputs.to_vec());
    let found = aside(move || {
        let mut files = Vec::new();
        for output in &outputs {
            files.extend(tree::load(&cas, &output.digest)?.blobs());
        }
        Ok::<_, tree::TreeError>(files)
    });
    match found.await {
        Some(Ok(files)) => Ok(files),
        Some(Err(error)) => Err(Nothing::Distrusted(error.to_string())),
        None => Err(Nothing::Miss),
    }
}

/// Refuses outputs that this action cannot have: later steps use their names as paths.
fn plausible(action: &Action, outputs: &[Output]) -> Result<(), Nothing> {
    let distrusted = |why: &str| Err(Nothing::Distrusted(format!("a result has {why}")));
    let mut names = HashSet::new();
    for output in outputs {
        if SafePath::parse(&output.name).is_err() || !names.insert(output.name.as_str()) {
            return distrusted("an output that leads outside, or two of one name");
        }
    }
    if action.outputs.is_empty() {
        return Ok(());
    }
    for declared in &action.outputs {
        let required = declared.strip_suffix('?').is_none();
        let path = declared.trim_end_matches('?').trim_end_matches('/');
        if !names.remove(path) && required {
            return distrusted("not every output that the task declares");
        }
    }
    match names.is_empty() {
        true => Ok(()),
        false => distrusted("an output that the task does not declare"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(action: &Action, names: &[&str]) -> bool {
        let output = |name: &&str| Output::new(*name, (Digest::of(b""), 0));
        let outputs: Vec<Output> = names.iter().map(output).collect();
        plausible(action, &outputs).is_err()
    }

    #[test]
    fn outputs_of_a_strangers_result_are_those_that_the_action_declares() {
        let mut action = Action::new("run", 1);
        action.outputs = ["a/", "b?"].map(str::to_owned).into();
        assert!(!refused(&action, &["a", "b"]) && !refused(&action, &["a"]));
        for names in [&["b"][..], &["a", "c"], &["a", "a"], &["a", "../b"], &[]] {
            assert!(refused(&action, names), "{names:?}");
        }
        let other = Action::new("images", 1);
        assert!(!refused(&other, &["manifest", "layer/0"]));
        for name in ["/etc/passwd", "../x", "a/../../x", ""] {
            assert!(refused(&other, &[name]), "{name}");
        }
    }

    #[test]
    fn with_a_secret_results_have_other_names() {
        let key = Action::new("run", 1).key();
        let secrets = [
            None,
            Some(Secret::new(&[1; 32])),
            Some(Secret::new(&[2; 32])),
        ];
        let secrets = secrets.map(Option::transpose).map(Result::unwrap);
        let names = secrets
            .each_ref()
            .map(|secret| Named::of(&key, secret.as_ref()).digest);
        let different: HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), 3);
        assert_eq!(names[1], Named::of(&key, secrets[1].as_ref()).digest);
    }
}
