//! Pins: references are resolved once, and the results stored in `jackal.lock`.
//!
//! A kind of work that resolves references has a [`Question`] for each type of
//! reference and lists its questions in [`Kind::pins`](super::Kind::pins). The lookup
//! of pins, `--locked`, `--offline` and `jackal update` are derived from that.

use std::path::{Path, PathBuf};
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use crate::ground::lockfile::{Dropped, Lockfile, LockfileError};
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::oci::Digest;
use crate::text::with_causes;

/// A mutable reference, and how to resolve it.
pub(crate) trait Question: Send + Sync + 'static {
    /// The type of the result.
    type Answer: Clone + Send + 'static;

    /// The reference, for `jackal update` and messages.
    fn name(&self) -> String;

    /// The platform of the result, or the type of reference.
    fn platform(&self) -> String;

    /// The pin, if it answers this question.
    fn pinned(&self, lock: &Lockfile) -> Option<Self::Answer>;

    fn pin(&self, lock: &mut Lockfile, answer: Self::Answer);

    /// The digest or commit in a result, for messages.
    fn shown(answer: &Self::Answer) -> String;

    /// A question to resolve instead, so that the result is consistent with other pins
    /// of the reference.
    fn beside(&self, lock: &Lockfile) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = lock;
        None
    }

    /// The other pins of the reference, which move along with this one.
    fn others(&self, lock: &Lockfile) -> Vec<Self>
    where
        Self: Sized,
    {
        let _ = lock;
        Vec::new()
    }

    /// Drops the pin: there is no answer any more.
    fn unpin(&self, lock: &mut Lockfile) {
        let _ = lock;
    }

    /// Resolves the reference, ignoring pins.
    fn ask(&self, site: &Arc<Site>) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// The result of `question`: the pin in `folder`, else resolved now.
pub(crate) async fn answer<Q: Question>(
    site: &Arc<Site>,
    folder: &Path,
    question: &Q,
) -> Result<Q::Answer, Failure> {
    let name = question.name();
    // For all pins of the reference: they are resolved together.
    let last = reference(site, folder, &name);
    let fresh = site.age_of(&last);
    let online = !site.options.locked && !site.options.offline;
    let too_old = |age| online && site.is_outdated(&last, age);
    let look = || -> Result<_, Failure> {
        let known = site.pins(folder, |lock| question.pinned(lock))?;
        Ok((known, fresh.is_some_and(too_old)))
    };
    if let (Some(pin), false) = look()? {
        return Ok(pin);
    }
    if let Some(failure) = site.unpinned(&name, folder) {
        return Err(failure);
    }
    // Tasks of several folders may ask the same question.
    let _turn = site.fetching.turn(Digest::of(last.as_bytes())).await;
    let (known, stale) = look()?;
    if let (Some(pin), false) = (&known, stale) {
        return Ok(pin.clone());
    }
    let writable = || -> Result<(), Failure> {
        let writable = site.pins(folder, |lock| lock.writable())?;
        writable.map_err(|error| unwritable(&name, &error))
    };
    if known.is_none() {
        writable()?;
    }
    let beside = site.pins(folder, |lock| question.beside(lock))?;
    // If the pin is too old, resolve the name.
    let beside = beside.filter(|_| !stale);
    let found = beside.as_ref().unwrap_or(question).ask(site).await?;
    if known.is_some_and(|known| Q::shown(&known) != Q::shown(&found)) {
        writable()?;
    }
    site.pins(folder, |lock| question.pin(lock, found.clone()))?;
    if fresh.is_some() && beside.is_none() {
        site.note_resolved(&last);
    }
    Ok(found)
}

/// What says when a reference was resolved: of a lock file, by its name.
fn reference(site: &Site, folder: &Path, name: &str) -> String {
    format!("{}\n{name}", site.lock_folder(folder).display())
}

/// The error for a reference whose pin could not be kept: a build that used it anyway
/// could differ the next time.
fn unwritable(name: &str, error: &LockfileError) -> Failure {
    let message = format!("`{name}` has no pin: {error}", error = with_causes(&error));
    Failure::new(Class::Environment, message)
}

/// One pin of a plan, and how to resolve it again.
pub(crate) struct Pin {
    /// The folder of its lock file.
    pub(crate) folder: PathBuf,
    /// See [`Question::name`].
    pub(crate) name: String,
    ask: Box<dyn Fn(Arc<Site>) -> Resolving + Send + Sync>,
}

/// A question in progress.
type Resolving = Pinned<Box<dyn Future<Output = Result<KeepPin, Failure>> + Send>>;

/// A result that is not in the lock file yet.
pub(crate) type KeepPin = Box<dyn FnOnce(&mut Lockfile) -> Vec<Moved> + Send>;

impl Pin {
    /// The pin of `question` in the lock file of `folder`.
    pub(crate) fn of<Q: Question>(folder: &Path, question: Q) -> Self {
        let (question, own) = (Arc::new(question), folder.to_owned());
        let name = question.name();
        let ask = move |site: Arc<Site>| -> Resolving {
            let (question, folder) = (Arc::clone(&question), own.clone());
            Box::pin(async move {
                let mut found = vec![(None, Some(question.ask(&site).await?))];
                let others = site.pins(&folder, |lock| question.others(lock))?;
                for other in others {
                    let answer = match other.ask(&site).await {
                        Ok(answer) => Some(answer),
                        // It no longer has a manifest for every platform.
                        Err(failure) if failure.class == Class::Configuration => None,
                        Err(failure) => return Err(failure),
                    };
                    found.push((Some(other), answer));
                }
                let keep = move |lock: &mut Lockfile| {
                    let questions = found.iter();
                    let before = questions.map(|(other, _)| {
                        let question = other.as_ref().unwrap_or(&question);
                        question.pinned(lock).as_ref().map(Q::shown)
                    });
                    let before: Vec<_> = before.collect();
                    let moved = found.into_iter().zip(before);
                    let moved = moved.map(|((other, answer), from)| {
                        let question = other.as_ref().unwrap_or(&question);
                        let to = answer.as_ref().map(Q::shown);
                        match answer {
                            Some(answer) => question.pin(lock, answer),
                            None => question.unpin(lock),
                        }
                        Moved {
                            reference: question.name(),
                            platform: question.platform(),
                            from,
                            to,
                        }
                    });
                    moved.collect()
                };
                Ok(Box::new(keep) as KeepPin)
            })
        };
        Self {
            folder: folder.to_owned(),
            name,
            ask: Box::new(ask),
        }
    }

    /// Lets every step of the run resolve the reference again if its pin is older than `age`:
    /// they all use one answer.
    pub(crate) fn limit_age(&self, site: &Site, age: Duration) {
        site.limit_age(reference(site, &self.folder, &self.name), age);
    }

    /// Resolves the question even if it has a pin; the returned value records the answer.
    pub(crate) fn ask(&self, site: &Arc<Site>) -> Resolving {
        (self.ask)(Arc::clone(site))
    }
}

/// A reference that was resolved again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub reference: String,
    /// The platform; `chart`, `repo` or `file` for references without one.
    pub platform: String,
    /// The previous digest or commit.
    pub from: Option<String>,
    /// The new digest or commit; `None`: the pin was dropped.
    pub to: Option<String>,
}

impl From<Dropped> for Moved {
    fn from(dropped: Dropped) -> Self {
        Self {
            reference: dropped.reference,
            platform: dropped.platform,
            from: Some(dropped.from),
            to: None,
        }
    }
}
