//! What a difference of a path will mean, by how it was looked at.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::cas::PRUNED;
use crate::disk::look::{Looked, Looks};
use crate::ground::folders::MadePath;

/// Maximum number of tasks that one file may be an input of.
const MAX_READERS: usize = 64;

/// What a difference of one path means: [`How`] in the last bits, and before them the place
/// of those that it concerns among the groups of tasks.
pub(super) type Meaning = u32;

/// The meaning of results, and of what is kept for `--affected`: the tasks that are not run
/// must have results still.
pub(super) const RESULTS: Meaning = Meaning::MAX;

/// What may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing.
    Fixed = 0,
    /// What is in a file, or in the files of a folder.
    Content = 1,
    /// Anything: the tasks make it again.
    Anything = 2,
    /// What is in a folder.
    Folder = 3,
}

impl How {
    pub(super) fn with(self, set: u32) -> Meaning {
        set << 2 | self as u32
    }
}

/// What is known of looks, to say what their differences will mean.
pub(super) struct Judge<'j> {
    looks: &'j Looks,
    cache: &'j Path,
    /// What is touched when results are removed.
    pruned: PathBuf,
    /// The places of tasks, by those of readers.
    readers: Vec<Option<u32>>,
    /// The tasks that make something, by where it is.
    makers: HashMap<PathBuf, u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Results,
    Tasks(How, Vec<u32>),
}

impl<'j> Judge<'j> {
    pub(super) fn new<'m>(
        cache: &'j Path,
        looks: &'j Looks,
        tasks: impl Iterator<Item = &'m str>,
        made: impl Iterator<Item = (&'m MadePath, &'m Path)>,
    ) -> Self {
        let places: HashMap<&str, u32> = tasks.zip(0..).collect();
        let place = |task: &str| places.get(task).copied();
        let made = made.filter_map(|(made, _)| Some((made.at.clone(), place(&made.step)?)));
        Self {
            looks,
            cache,
            pruned: cache.join(PRUNED),
            readers: looks.readers.iter().map(|reader| place(reader)).collect(),
            makers: made.collect(),
        }
    }

    /// `None`: nothing may differ.
    pub(super) fn meaning(&self, path: &Path) -> Option<Judged> {
        let look = self.looks.paths.get(path)?;
        if path.starts_with(self.cache) {
            let is_result = look.present && path != self.pruned;
            return is_result.then_some(Judged::Results);
        }
        let Looked {
            present,
            closely,
            listed,
            digested,
            placed,
            readers,
        } = look;
        if !present || *closely {
            return None;
        }
        let mut set = BTreeSet::new();
        for reader in readers {
            let place = self.readers.get(usize::try_from(*reader).ok()?)?;
            set.insert((*place)?);
        }
        let is_read = !set.is_empty();
        let maker = placed.then(|| path.ancestors().find_map(|at| self.makers.get(at)));
        let maker = maker.flatten().copied();
        // Someone asked what is in it, and is not known.
        if *digested && !is_read && maker.is_none() || set.len() > MAX_READERS {
            return None;
        }
        set.extend(maker);
        let how = match (*placed, maker.is_some(), *listed || is_read) {
            (true, true, false) => How::Anything,
            (true, false, false) => How::Folder,
            _ => How::Content,
        };
        Some(Judged::Tasks(how, set.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of `/w/f`: a walk finds it, and `with` says what else is asked.
    fn judged(path: &str, with: impl FnOnce(&mut Looked)) -> Option<Judged> {
        let mut look = Looked {
            present: true,
            listed: true,
            ..Looked::default()
        };
        with(&mut look);
        let mut looks = Looks {
            readers: ["b", "unknown"].map(str::to_owned).into(),
            ..Looks::default()
        };
        looks.paths.insert(path.into(), look);
        let made = MadePath {
            at: "/w/out".into(),
            step: "a".to_owned(),
            output: "out".to_owned(),
        };
        let made = [(&made, Path::new("/w"))];
        let judge = Judge::new(
            Path::new("/cache"),
            &looks,
            ["a", "b"].into_iter(),
            made.into_iter(),
        );
        judge.meaning(Path::new(path))
    }

    #[test]
    fn what_is_in_a_file_may_differ_if_only_known_tasks_asked_for_it() {
        let content = |tasks: &[u32]| Some(Judged::Tasks(How::Content, tasks.to_vec()));
        assert_eq!(judged("/w/f", |_| {}), content(&[]));
        let read = |look: &mut Looked| {
            look.digested = true;
            look.readers = vec![0];
        };
        assert_eq!(judged("/w/f", read), content(&[1]));
        let wrong: [fn(&mut Looked); 5] = [
            |look| look.closely = true,
            |look| look.present = false,
            // What asked for it is not known.
            |look| look.digested = true,
            |look| look.readers = vec![0, 1],
            |look| look.readers = vec![7],
        ];
        for with in wrong {
            assert_eq!(judged("/w/f", with), None);
        }
    }

    #[test]
    fn what_a_task_has_left_concerns_that_task() {
        let anything = Some(Judged::Tasks(How::Anything, vec![0]));
        let placed = |look: &mut Looked| {
            look.placed = true;
            look.digested = true;
            look.listed = false;
        };
        assert_eq!(judged("/w/out", placed), anything);
        assert_eq!(judged("/w/out/below", placed), anything);
        let listed = |look: &mut Looked| look.placed = true;
        assert_eq!(
            judged("/w/out/below", listed),
            Some(Judged::Tasks(How::Content, vec![0]))
        );
        // A folder on the way, and what no task makes.
        let on_the_way = |look: &mut Looked| {
            look.placed = true;
            look.listed = false;
        };
        assert_eq!(
            judged("/w", on_the_way),
            Some(Judged::Tasks(How::Folder, Vec::new()))
        );
        assert_eq!(judged("/w/other", placed), None);
    }

    #[test]
    fn results_may_differ_but_not_that_some_were_removed() {
        let closely = |look: &mut Looked| look.closely = true;
        assert_eq!(judged("/cache/results/x", closely), Some(Judged::Results));
        assert_eq!(judged("/cache/pruned", closely), None);
    }
}
