//! Pins: a reference is resolved once, and the answer kept in `jackal.lock`.
//!
//! A kind of work that resolves references has a [`Question`] for each sort of
//! them and lists what it asks in [`Kind::pins`](super::Kind::pins); looking a
//! pin up, `--locked`, `--offline` and `jackal update` follow from that.

use std::path::{Path, PathBuf};
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use crate::ground::Failure;
use crate::ground::lockfile::Lockfile;
use crate::ground::site::Site;

/// A reference whose meaning can change, and how to find out what it means.
pub(crate) trait Question: Send + Sync + 'static {
    /// What the reference resolves to.
    type Answer: Clone + Send + 'static;

    /// The reference, as `jackal update` takes it and messages show it.
    fn name(&self) -> String;

    /// The platform that the answer is for, or the sort of reference.
    fn sort(&self) -> String;

    /// The pin, unless it is not an answer to this question.
    fn pinned(&self, lock: &Lockfile) -> Option<Self::Answer>;

    fn pin(&self, lock: &mut Lockfile, answer: Self::Answer);

    /// The digest or commit in an answer, for people.
    fn shown(answer: &Self::Answer) -> String;

    /// How old a pin may be before the reference is resolved again; `None`: any age.
    fn fresh(&self) -> Option<Duration> {
        None
    }

    /// What to ask instead, so that the answer fits other pins of the reference.
    fn beside(&self, lock: &Lockfile) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = lock;
        None
    }

    /// Asks, whatever is pinned.
    fn ask(&self, site: &Arc<Site>) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// The answer to `question`: the pin in `folder`, else what is found now.
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
    // A pin that is too old is resolved by its name.
    let beside = beside.filter(|_| question.fresh().is_none());
    let found = beside.as_ref().unwrap_or(question).ask(site).await?;
    site.pins(folder, |lock| question.pin(lock, found.clone()))?;
    if question.fresh().is_some() {
        site.asked_now(&last);
    }
    Ok(found)
}

/// One pin of a plan, with the way to ask for it again.
pub(crate) struct Pin {
    /// Where its lock file is.
    pub(crate) folder: PathBuf,
    /// See [`Question::name`].
    pub(crate) name: String,
    ask: Box<dyn Fn(Arc<Site>) -> Asking + Send + Sync>,
}

/// A question that is being asked.
type Asking = Pinned<Box<dyn Future<Output = Result<Answered, Failure>> + Send>>;

/// An answer that is not yet in the lock file.
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

/// One reference that was resolved again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub reference: String,
    /// For which platform; `chart`, `repo` or `file` for what has none.
    pub platform: String,
    /// The digest or commit it was pinned to.
    pub from: Option<String>,
    /// The digest or commit it is pinned to now.
    pub to: String,
}
