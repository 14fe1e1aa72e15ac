//! Pins: references are resolved once, and the results stored in `jackal.lock`.
//!
//! A kind of work that resolves references has a [`Question`] for each type of
//! reference and lists its questions in [`Kind::pins`](super::Kind::pins). The lookup
//! of pins, `--locked`, `--offline` and `jackal update` are derived from that.

use std::path::{Path, PathBuf};
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use crate::ground::Failure;
use crate::ground::lockfile::Lockfile;
use crate::ground::site::Site;

/// A mutable reference, and how to resolve it.
pub(crate) trait Question: Send + Sync + 'static {
    /// The type of the result.
    type Answer: Clone + Send + 'static;

    /// The reference, for `jackal update` and messages.
    fn name(&self) -> String;

    /// The platform of the result, or the type of reference.
    fn sort(&self) -> String;

    /// The pin, if it answers this question.
    fn pinned(&self, lock: &Lockfile) -> Option<Self::Answer>;

    fn pin(&self, lock: &mut Lockfile, answer: Self::Answer);

    /// The digest or commit in a result, for messages.
    fn shown(answer: &Self::Answer) -> String;

    /// The maximum age of a pin; `None`: unlimited.
    fn fresh(&self) -> Option<Duration> {
        None
    }

    /// A question to resolve instead, so that the result is consistent with other pins
    /// of the reference.
    fn beside(&self, lock: &Lockfile) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = lock;
        None
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
    let last = format!("{}\n{name}\n{}", folder.display(), question.sort());
    let known = site.pins(folder, |lock| question.pinned(lock))?;
    if let Some(pin) = known {
        let asking = !site.wishes.locked && !site.wishes.offline;
        let stale = |age| asking && site.asked_before(&last, age);
        if !question.fresh().is_some_and(stale) {
            return Ok(pin);
        }
    }
    if let Some(failure) = site.unpinned(&name, folder) {
        return Err(failure);
    }
    let beside = site.pins(folder, |lock| question.beside(lock))?;
    // If the pin is too old, resolve the name.
    let beside = beside.filter(|_| question.fresh().is_none());
    let found = beside.as_ref().unwrap_or(question).ask(site).await?;
    site.pins(folder, |lock| question.pin(lock, found.clone()))?;
    if question.fresh().is_some() {
        site.asked_now(&last);
    }
    Ok(found)
}

/// One pin of a plan, and how to resolve it again.
pub(crate) struct Pin {
    /// The folder of its lock file.
    pub(crate) folder: PathBuf,
    /// See [`Question::name`].
    pub(crate) name: String,
    ask: Box<dyn Fn(Arc<Site>) -> Asking + Send + Sync>,
}

/// A question in progress.
type Asking = Pinned<Box<dyn Future<Output = Result<Answered, Failure>> + Send>>;

/// A result that is not in the lock file yet.
pub(crate) type Answered = Box<dyn FnOnce(&mut Lockfile) -> Moved + Send>;

impl Pin {
    /// The pin of `question` in the lock file of `folder`.
    pub(crate) fn of<Q: Question>(folder: &Path, question: Q) -> Self {
        let question = Arc::new(question);
        let name = question.name();
        let ask = move |site: Arc<Site>| -> Asking {
            let question = Arc::clone(&question);
            Box::pin(async move {
                let found = question.ask(&site).await?;
                let keep = move |lock: &mut Lockfile| {
                    let from = question.pinned(lock).as_ref().map(Q::shown);
                    let to = Q::shown(&found);
                    question.pin(lock, found);
                    Moved {
                        reference: question.name(),
                        platform: question.sort(),
                        from,
                        to,
                    }
                };
                Ok(Box::new(keep) as Answered)
            })
        };
        Self {
            folder: folder.to_owned(),
            name,
            ask: Box::new(ask),
        }
    }

    /// Asks, whatever is pinned; what is returned writes the answer down.
    pub(crate) fn ask(&self, site: &Arc<Site>) -> Asking {
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
    /// The new digest or commit.
    pub to: String,
}
