//! Builds with nothing to do, remembered.
//!
//! If every task of a build was cached, the outcome is kept with the state of everything
//! that the build looked at. The next build with the same options compares these states,
//! and reports that outcome if none has changed: it reads no source, makes no plan, and
//! takes no lock.
//!
//! Source of the rules: adr/0075, "A build with nothing to do is remembered". The file is
//! described in docs/spec/cache.md.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::build::{Built, Prepared};
use super::build_options::BuildOptions;
use super::options::{self, Pins};
use super::partly::{Kept, MAX_DIFFERENCES, Stored};
use crate::cas::{PRUNED, RESULTS};
use crate::codec::{CodecError, Reader, Writer};
use crate::disk;
use crate::disk::look::{Looked, Looks, Recording};
use crate::ground::site::GOOD;
use crate::registry::Connection;
use crate::run::Verdict;
use crate::run::record::{RunRecord, Status};
use crate::workspace::{Difference, Footprint, Stat, differences};

/// Magic number of the file; changes with its layout, or with what is compared.
const MAGIC: &[u8; 8] = b"jknull\x02\n";

/// Where the digest of the conditions is in the file.
const CONDITIONS: Range<usize> = 40..72;

/// Where the time is in the file.
const TIME: Range<usize> = 72..80;

/// Where the files are, in the cache.
const FOLDER: &str = "null";

/// Largest file that is read, in bytes: 1 GiB, for some ten million files.
const MAX_BYTES: u64 = 1 << 30;

/// How long an outcome is believed, in seconds: one day. A build that makes its plan
/// again also tells the cache which blobs are in use.
const LIFETIME: u64 = 24 * 60 * 60;

/// Maximum number of files that are kept: one for each place and target.
const MAX_FILES: usize = 64;

/// Facts of the process that decide what a build does: the user, and how commands can be
/// confined.
const OF_PROCESS: [&str; 7] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "NoNewPrivs:",
    "Seccomp:",
    "CapEff:",
];

/// What of the machine decides how commands can be confined, and whether it was started
/// again.
const OF_MACHINE: [&str; 4] = [
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
];

/// The outcome of a build in which every task was cached.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unchanged {
    /// What was said before the run.
    pub remarks: Vec<String>,
    notes: Vec<String>,
    record: RunRecord,
}

impl Unchanged {
    /// The notes and the record of a build that took this long.
    #[must_use]
    pub fn into_outcome(self, elapsed: Duration) -> (Vec<String>, RunRecord) {
        let wall_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let record = RunRecord {
            wall_ms,
            ..self.record
        };
        (self.notes, record)
    }

    /// What a dry run would say of each task.
    #[must_use]
    pub fn verdicts(&self) -> Option<Vec<(String, Verdict)>> {
        let tasks = self.record.tasks.iter();
        tasks
            .map(|task| {
                let key = task.action_key.as_ref()?.parse().ok()?;
                Some((task.task.clone(), Verdict::Cached(key)))
            })
            .collect()
    }
}

/// What is known of a build before it is planned.
pub enum KnownOutcome {
    /// It would do nothing, as the last one.
    Unchanged(Unchanged),
    /// Only some files differ from what the last one looked at.
    Partly(Partly),
}

/// The outcome of the last build, of which some files have changed.
pub struct Partly {
    bytes: Vec<u8>,
    differences: Vec<Difference>,
    unchanged: Unchanged,
}

impl Partly {
    /// What is to be said before the run.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.unchanged.remarks
    }

    /// The plan of the tasks that the changes concern; `None`: everything must be planned.
    #[must_use]
    pub fn prepare(&self, options: &BuildOptions) -> Option<Prepared> {
        let File { stored, .. } = File::read(&self.bytes).ok()?;
        let concerned = stored.concerned(&self.differences)?;
        let Unchanged { notes, record, .. } = &self.unchanged;
        let part = concerned.prepare(options, notes, record)?;
        Prepared::of_part(options, part).ok()
    }
}

/// What is looked at by a build whose outcome may be kept.
pub struct Watched {
    place: OutcomePlace,
    recording: Recording,
    /// Nanoseconds since the Unix epoch.
    began: i64,
}

/// Where the outcome of a build is kept, and under which conditions it holds.
///
/// One is made for each build, because the conditions cover the whole environment: it
/// answers whether an outcome holds, and if none does, it goes on with
/// the build that is [watched](Self::watch).
pub struct OutcomePlace {
    cache: PathBuf,
    file: PathBuf,
    conditions: blake3::Hash,
}

impl OutcomePlace {
    /// `None`: for these options nothing is kept.
    #[must_use]
    pub fn of(options: &BuildOptions) -> Option<Self> {
        let run = &options.run;
        let special = run.force
            || run.clean
            || run.clean_outputs
            || run.replay
            || run.shell.is_some()
            || options.pins == Pins::Update
            || options.content.differential.is_some()
            || options.output.sign.is_some()
            || options.output.publish.is_some()
            || !options.cache_from.is_empty();
        if special {
            return None;
        }
        let cache = options.place.cache.own()?;
        let here = &options.place.here;
        let name = format!("{here:?} {:?} {:?}", options.target, options.tasks);
        let name = blake3::hash(name.as_bytes()).to_hex();
        Some(Self {
            file: cache.join(FOLDER).join(name.as_str()),
            cache,
            conditions: conditions(options),
        })
    }

    /// The outcome of the last build with these options, if everything was cached, and is as
    /// it was but for some files.
    #[must_use]
    pub fn known(&self) -> Option<KnownOutcome> {
        let bytes = kept(&self.file)?;
        let (answer, differences) = compared(&bytes, &self.conditions, seconds()).ok()??;
        let mut unchanged: Unchanged = serde_json::from_slice(answer).ok()?;
        unchanged.record.start_ms = milliseconds();
        Some(match differences.is_empty() {
            true => KnownOutcome::Unchanged(unchanged),
            false => KnownOutcome::Partly(Partly {
                differences,
                unchanged,
                bytes,
            }),
        })
    }

    /// Notes from now on what the build looks at; `None`: its outcome is not kept.
    #[must_use]
    pub fn watch(self) -> Option<Watched> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Watched {
            place: self,
            began: i64::try_from(began.as_nanos()).ok()?,
            recording: Recording::open(),
        })
    }
}

/// Everything but files that decides what a build does: its options with the environment,
/// this program, the user, and the machine.
fn conditions(options: &BuildOptions) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    // The patterns name all fields, so that one that is added later is not forgotten.
    let BuildOptions {
        place:
            options::Place {
                here,
                cache,
                connection,
                program,
                environment,
                content_limit,
            },
        variant,
        pins,
        target,
        unnamed,
        tasks,
        content,
        output,
        cache_from,
        // If every result is here, it is not asked.
        remote: _,
        cache_size,
        run,
    } = options;
    let Connection {
        hosts,
        helper_folders,
        logins: _,
        on_retry: _,
    } = connection;
    add(format!("{here:?} {cache:?} {program:?} {content_limit:?}").as_bytes());
    add(format!("{hosts:?} {helper_folders:?}").as_bytes());
    add(format!("{environment:?}").as_bytes());
    add(format!("{variant:?} {pins:?} {target:?} {unnamed:?} {tasks:?}").as_bytes());
    add(format!("{content:?} {output:?} {cache_from:?} {cache_size:?} {run:?}").as_bytes());
    add(env!("CARGO_PKG_VERSION").as_bytes());
    let facts = program
        .as_ref()
        .and_then(|program| fs::metadata(program).ok());
    add(format!("{:?}", facts.map(|found| Stat::of(&found))).as_bytes());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        if OF_PROCESS.iter().any(|name| line.starts_with(name)) {
            add(line.as_bytes());
        }
    }
    let namespace = fs::read_link("/proc/self/ns/user").unwrap_or_default();
    add(namespace.as_os_str().as_encoded_bytes());
    for file in OF_MACHINE {
        add(&fs::read(file).unwrap_or_default());
    }
    add(rustix::system::uname().machine().to_bytes());
    hasher.finalize()
}

/// The content of a kept file. Anything else with its name, such as a pipe, which could
/// be waited for without end, counts as nothing.
fn kept(file: &Path) -> Option<Vec<u8>> {
    let is_file = fs::symlink_metadata(file).ok()?.is_file();
    is_file.then(|| disk::read(file, MAX_BYTES).ok()).flatten()
}

/// The parts of a file.
struct File<'f> {
    sum: [u8; 32],
    body: &'f [u8],
    conditions: [u8; 32],
    time: [u8; 8],
    answer: &'f [u8],
    stored: Stored<'f>,
    /// At the footprint.
    rest: Reader<&'f [u8]>,
}

impl<'f> File<'f> {
    fn read(bytes: &'f [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.magic(MAGIC, "the first bytes of a kept outcome, `jknull`")?;
        let sum: [u8; 32] = reader.array("a checksum")?;
        Ok(Self {
            body: &bytes[MAGIC.len() + sum.len()..],
            sum,
            conditions: reader.array("a digest of conditions")?,
            time: reader.array("a time")?,
            answer: reader.slice(MAX_BYTES, "an answer")?,
            stored: Stored::read(&mut reader)?,
            rest: reader,
        })
    }
}

/// An answer, and what is not as it was when it was given.
type Compared<'a> = (&'a [u8], Vec<Difference>);

/// The answer in a file; `None`: it does not hold.
fn compared<'a>(
    bytes: &'a [u8],
    conditions: &blake3::Hash,
    now: u64,
) -> Result<Option<Compared<'a>>, CodecError> {
    let mut file = File::read(bytes)?;
    let same = file.conditions == *conditions.as_bytes() && !is_old(&file.time, now);
    if !same || *blake3::hash(file.body).as_bytes() != file.sum {
        return Ok(None);
    }
    let found = differences(&mut file.rest, MAX_DIFFERENCES)?;
    Ok(found.map(|found| (file.answer, found)))
}

/// Whether `time`, as in the file, is too long ago.
fn is_old(time: &[u8], now: u64) -> bool {
    let kept = time.try_into().map_or(u64::MAX, u64::from_le_bytes);
    // A time in the future cannot be trusted.
    now < kept || now - kept > LIFETIME
}

fn written(
    conditions: &blake3::Hash,
    now: u64,
    answer: &[u8],
    kept: &Kept,
    footprint: &Footprint,
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(conditions.as_bytes());
    writer.u64(now);
    writer.bytes(answer);
    kept.write(&mut writer);
    footprint.write(&mut writer);
    let body = writer.into_bytes();
    [&MAGIC[..], blake3::hash(&body).as_bytes(), &body].concat()
}

impl Watched {
    /// Keeps the outcome, if every task was cached. If that fails, the next build costs
    /// what this one did.
    pub fn keep(self, order: &[String], remarks: &[String], built: &Built) {
        if is_plain(built) && built.record.tasks.len() == order.len() {
            let _ = self.try_keep(order, remarks, built);
        }
    }

    fn try_keep(self, order: &[String], remarks: &[String], built: &Built) -> Option<()> {
        let looks = self.looks()?;
        let footprint = Footprint::take(presence(&looks), self.began)?;
        let kept = built.whole.as_ref();
        let kept = kept.and_then(|whole| Kept::of(whole, &looks, &footprint));
        self.write(
            &answer(order, remarks, built)?,
            &kept.unwrap_or_else(Kept::nothing),
            &footprint,
        )
    }

    /// The same after a part of a plan, which took the rest from an earlier outcome: that is
    /// brought up to date.
    pub fn renew(self, partly: &Partly, built: &Built) {
        if is_plain(built) {
            let _ = self.try_renew(partly, built);
        }
    }

    fn try_renew(self, partly: &Partly, built: &Built) -> Option<()> {
        let mut looks = self.looks()?;
        for difference in &partly.differences {
            let look = Looked {
                present: difference.is_there(),
                ..Looked::default()
            };
            let known = looks.paths.entry(difference.path.clone());
            known.or_insert(look);
        }
        let File {
            stored, mut rest, ..
        } = File::read(&partly.bytes).ok()?;
        let before = Footprint::read(&mut rest).ok()?;
        let mut footprint = before.clone();
        footprint.update(Footprint::take(presence(&looks), self.began)?);
        let kept = stored.renewed(&self.place.cache, (&before, &footprint), &looks)?;
        let before = &partly.unchanged.record.tasks;
        let order: Vec<String> = before.iter().map(|task| task.task.clone()).collect();
        let answer = answer(&order, partly.remarks(), built)?;
        self.write(&answer, &kept, &footprint)
    }

    /// What the build looked at that counts.
    fn looks(&self) -> Option<Looks> {
        let mut looks = self.recording.taken()?;
        let cache = &self.place.cache;
        let (counting, pruned) = (
            [RESULTS, GOOD].map(|name| cache.join(name)),
            cache.join(PRUNED),
        );
        // Everything else in the cache is only a faster way to the same outcome.
        let counts = |path: &Path| counting.iter().any(|folder| path.starts_with(folder));
        let is_own = |path: &Path| path.starts_with(cache) && !counts(path);
        looks.paths.retain(|path, _| !is_own(path));
        let look = Looked {
            present: pruned.exists(),
            closely: true,
            ..Looked::default()
        };
        looks.paths.insert(pruned, look);
        Some(looks)
    }

    fn write(&self, answer: &[u8], kept: &Kept, footprint: &Footprint) -> Option<()> {
        let file = &self.place.file;
        let bytes = written(&self.place.conditions, seconds(), answer, kept, footprint);
        // Builds that make a plan in any case write the same only once.
        let known = self::kept(file).unwrap_or_default();
        let is_known = known.get(TIME.end..) == bytes.get(TIME.end..)
            && known.get(CONDITIONS) == bytes.get(CONDITIONS)
            && known.get(TIME).is_some_and(|time| !is_old(time, seconds()));
        if is_known {
            return Some(());
        }
        make_room(file.parent()?);
        disk::write_hint(file, &bytes).ok()
    }
}

/// Whether a build has done nothing, and said nothing that only some builds say.
fn is_plain(built: &Built) -> bool {
    let tasks = &built.record.tasks;
    built.failures.is_empty()
        && tasks.iter().all(|task| task.status == Status::Cached)
        && tasks.iter().all(|task| task.log.is_empty())
}

/// Whether something was there, by path.
fn presence(looks: &Looks) -> HashMap<PathBuf, bool> {
    let all = looks.paths.iter();
    all.map(|(path, look)| (path.clone(), look.present))
        .collect()
}

/// What a build with the same outcome answers, with its tasks in this order.
fn answer(order: &[String], remarks: &[String], built: &Built) -> Option<Vec<u8>> {
    let mut record = built.record.clone();
    let places: BTreeMap<&str, usize> = (order.iter().enumerate())
        .map(|(at, task)| (task.as_str(), at))
        .collect();
    let place = |task: &str| places.get(task).copied();
    record.tasks.sort_by_key(|task| place(&task.task));
    (record.start_ms, record.wall_ms) = (0, 0);
    for task in &mut record.tasks {
        (task.start_ms, task.wall_ms) = (0, 0);
    }
    let answer = Unchanged {
        remarks: remarks.to_vec(),
        notes: built.notes.clone(),
        record,
    };
    serde_json::to_vec(&answer).ok()
}

/// Removes the oldest files, if there are many.
fn make_room(folder: &Path) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let dated =
        files.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())));
    let mut files: Vec<_> = dated.collect();
    files.sort();
    let count = files.len().saturating_sub(MAX_FILES);
    for (_, file) in files.into_iter().take(count) {
        let _ = fs::remove_file(file);
    }
}

fn seconds() -> u64 {
    milliseconds() / 1000
}

fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
