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

    fn takes(&self, step: &Step) -> bool {
        if !self.may_be_in(&step.home, &step.file) {
            return false;
        }
        match self {
            Self::Below(_) | Self::File(_) => true,
            Self::Task { name, .. } => {
                let rest = step.name.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', ':']))
            }
            Self::Tag(tag) => step.tags.contains(tag),
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
        for Named {
            word,
            chosen,
            needs,
        } in &selection.chosen
        {
            let mut any = false;
            for (id, step) in self.steps.iter().filter(|(_, step)| chosen.takes(step)) {
                any = true;
                if selection.left_out.iter().any(|out| out.takes(step)) {
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
            if !any && !matches!(chosen, Chosen::File(_) | Chosen::Below(_)) {
                return Err(self.no_target(word, chosen));
            }
        }
        left.retain(|id| !keep.contains(id));
        self.keep(keep.into_iter().collect());
        left.retain(|id| !self.steps.contains_key(id));
        Ok(left.into_iter().collect())
    }

    fn no_target(&self, word: &str, chosen: &Chosen) -> PlanError {
        let known = self.steps.values();
        let near = match chosen {
            Chosen::Task { name, .. } => nearest(name, known.map(|step| step.name.as_str())),
            Chosen::Tag(tag) => nearest(tag, known.flat_map(|step| &step.tags).map(String::as_str)),
            _ => None,
        };
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        PlanError::NoTarget {
            target: word.to_owned(),
            near,
        }
    }
}
