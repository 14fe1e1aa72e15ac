//! Which steps of a workspace a plan keeps: targets.
//!
//! Source: docs/spec/pipeline.md, "Targets".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::kinds::Work;
use crate::plan::{Plan, PlanError, Step};
use crate::yaml::nearest;

/// Some steps, by what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those in a folder and below it.
    Below(PathBuf),
    /// Those of a pipeline file or definition.
    File(PathBuf),
    /// Those of a task, in one folder or in all.
    Task {
        /// `None`: every folder.
        folder: Option<PathBuf>,
        /// With the values of its matrix, or all of them.
        name: String,
    },
    /// Those with a tag.
    Tag(String),
}

/// A step, or a task that no step was made of yet, as targets see it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'c> {
    /// The folder of its pipeline file or definition.
    pub folder: &'c Path,
    pub file: &'c Path,
    /// Its name in that folder.
    pub name: &'c str,
    pub tags: &'c [String],
}

impl<'c> From<&'c Step> for Candidate<'c> {
    fn from(step: &'c Step) -> Self {
        Self {
            folder: &step.home,
            file: &step.file,
            name: &step.name,
            tags: &step.tags,
        }
    }
}

/// What a user chose.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub chosen: Vec<Named>,
    pub left_out: Vec<Chosen>,
}

/// Steps that a word names.
#[derive(Clone, Debug)]
pub struct Named {
    pub word: String,
    pub chosen: Chosen,
    /// What they need is chosen as well, for commands that only show tasks.
    pub needs: bool,
}

impl Selection {
    /// One choice that no word names.
    #[must_use]
    pub fn one(chosen: Chosen) -> Self {
        Self {
            chosen: vec![Named {
                word: String::new(),
                chosen,
                needs: false,
            }],
            left_out: Vec::new(),
        }
    }

    /// What is chosen, if it is one.
    #[must_use]
    pub fn only(&self) -> Option<&Chosen> {
        match self.chosen.as_slice() {
            [named] => Some(&named.chosen),
            _ => None,
        }
    }

    /// Whether the unit with this folder and file may have chosen steps.
    #[must_use]
    pub fn may_be_in(&self, folder: &Path, file: &Path) -> bool {
        let mut chosen = self.chosen.iter();
        chosen.any(|named| named.chosen.may_be_in(folder, file))
    }

    /// Whether it takes a task. One that publishes must be named.
    #[must_use]
    pub fn takes(&self, candidate: &Candidate<'_>, publishes: bool) -> bool {
        let mut chosen = self.chosen.iter().map(|named| &named.chosen);
        chosen.any(|one| one.takes(candidate) && (!publishes || one.publishes()))
            && !self.left_out.iter().any(|out| out.takes(candidate))
    }

    /// Whether it is all that lies below `root`.
    #[must_use]
    pub fn is_below(&self, root: &Path) -> bool {
        let is_root = |chosen: &Chosen| matches!(chosen, Chosen::Below(at) if at == root);
        self.left_out.is_empty() && self.chosen.iter().any(|named| is_root(&named.chosen))
    }

    /// The folders that it names, if it names nothing but places.
    #[must_use]
    pub fn places(&self) -> Vec<PathBuf> {
        let place = |named: &Named| match &named.chosen {
            Chosen::Below(folder) => Some(folder.clone()),
            Chosen::File(file) => file.parent().map(Path::to_owned),
            Chosen::Task { folder, .. } => folder.clone(),
            Chosen::Tag(_) => None,
        };
        let places: Option<Vec<PathBuf>> = self.chosen.iter().map(place).collect();
        places.unwrap_or_default()
    }
}

impl Named {
    /// Refuses a word that takes none of these, unless it names a place that exists.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoTarget`]
    pub fn known_among<'k>(
        &self,
        known: impl Iterator<Item = Candidate<'k>> + Clone,
    ) -> Result<(), PlanError> {
        let near = match &self.chosen {
            Chosen::Below(_) | Chosen::File(_) => return Ok(()),
            chosen if known.clone().any(|one| chosen.takes(&one)) => return Ok(()),
            Chosen::Task { name, .. } => nearest(name, known.map(|one| one.name)),
            Chosen::Tag(tag) => nearest(tag, known.flat_map(|one| one.tags).map(String::as_str)),
        };
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        Err(PlanError::NoTarget {
            target: self.word.clone(),
            near,
        })
    }
}

impl Chosen {
    /// Whether the unit with this folder and file may have such steps.
    #[must_use]
    pub fn may_be_in(&self, folder: &Path, file: &Path) -> bool {
        match self {
            Self::Below(above) => folder.starts_with(above),
            Self::File(own) => own == file,
            Self::Task { folder: own, .. } => own.as_deref().is_none_or(|own| own == folder),
            Self::Tag(_) => true,
        }
    }

    /// Whether it takes a step or task.
    #[must_use]
    pub fn takes(&self, candidate: &Candidate<'_>) -> bool {
        if !self.may_be_in(candidate.folder, candidate.file) {
            return false;
        }
        match self {
            Self::Below(_) | Self::File(_) => true,
            Self::Task { name, .. } => {
                let rest = candidate.name.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', ':']))
            }
            Self::Tag(tag) => candidate.tags.contains(tag),
        }
    }

    /// Whether it also takes steps that change what others see. A folder has them, but
    /// whoever builds a folder does not ask for them.
    fn publishes(&self) -> bool {
        !matches!(self, Self::Below(_))
    }
}

impl Plan {
    /// Keeps the steps that are chosen and the steps that they need. Steps that publish
    /// must be named, unless `publish`; the others are returned.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoTarget`]: a word names nothing.
    pub fn choose(
        &mut self,
        selection: &Selection,
        publish: bool,
    ) -> Result<Vec<String>, PlanError> {
        for step in self.steps.values() {
            if let Work::Publish(publish) = &step.work {
                for package in &publish.verb.packages {
                    let places = self.published_at.entry(package.clone()).or_default();
                    let tags = &publish.verb.tags;
                    places.extend(publish.to.iter().map(|to| (to.clone(), tags.clone())));
                }
            }
        }
        let (mut keep, mut left) = (BTreeSet::new(), BTreeSet::new());
        for named in &selection.chosen {
            let Named { chosen, needs, .. } = named;
            let mut any = false;
            for (id, step) in self
                .steps
                .iter()
                .filter(|(_, step)| chosen.takes(&(*step).into()))
            {
                any = true;
                if selection.left_out.iter().any(|out| out.takes(&step.into())) {
                    continue;
                }
                let publishes = publish || chosen.publishes();
                if matches!(step.work, Work::Publish(_)) && !publishes {
                    left.insert(id.clone());
                    continue;
                }
                if *needs {
                    let all = self.ancestors(std::slice::from_ref(id));
                    self.chosen.extend(all);
                }
                self.chosen.insert(id.clone());
                keep.insert(id.clone());
            }
            if !any {
                named.known_among(self.steps.values().map(Candidate::from))?;
            }
        }
        left.retain(|id| !keep.contains(id));
        self.keep(keep.into_iter().collect());
        left.retain(|id| !self.steps.contains_key(id));
        Ok(left.into_iter().collect())
    }
}
