//! Workspaces as they were read last, kept for the next question.
//!
//! Reading one takes as long as it is large, and editors ask at each keystroke. Source:
//! adr/0080, "A language server".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::schemas::FileKind;
use super::{Editor, kind_of};
use crate::app::find::{Files, Texts};
use crate::app::options::Place;
use crate::app::survey::Survey;
use crate::ground::source::WORKSPACE_FILE;
use crate::workspace::Stat;

/// A workspace as it was read.
pub(super) struct Kept {
    survey: Rc<Survey>,
    /// The files that were read from the disk, as they were.
    read: Vec<(PathBuf, Option<Stat>)>,
    /// Files that were opened, or whose text changed, since.
    changed: BTreeSet<PathBuf>,
}

fn stat(path: &Path) -> Option<Stat> {
    std::fs::metadata(path).ok().map(|found| Stat::of(&found))
}

impl Kept {
    fn new(survey: &Rc<Survey>, texts: &Texts) -> Self {
        let files = survey.pipelines.iter().map(|read| read.file.clone());
        let files = files.chain([survey.root.join(WORKSPACE_FILE)]);
        let on_disk = files.filter(|file| !texts.0.contains_key(file));
        Self {
            survey: Rc::clone(survey),
            read: on_disk.map(|file| (file.clone(), stat(&file))).collect(),
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn note_changed(&mut self, path: &Path) {
        self.changed.insert(path.to_owned());
    }

    /// Whether all but the text of `path` is as it was. Files that are new are found by the
    /// next check of mistakes, or when the client says that files changed.
    fn is_current_for(&self, path: &Path) -> bool {
        self.changed.iter().all(|changed| changed == path)
            && (self.read.iter()).all(|(file, known)| file == path || stat(file) == *known)
    }
}

impl Editor {
    /// The workspace around `path`, for questions about other files of it. It may be older
    /// than the text of `path`: what is being typed changes with each question.
    pub(super) fn survey_for(&self, path: &Path) -> Rc<Survey> {
        let root = self.root(path);
        let kept = self.kept.borrow();
        match kept.get(&root).filter(|kept| kept.is_current_for(path)) {
            Some(kept) => Rc::clone(&kept.survey),
            None => {
                drop(kept);
                self.survey(&self.place_of(&root))
            }
        }
    }

    /// A workspace as it is now. Messages name files from its root.
    pub(super) fn survey(&self, place: &Place) -> Rc<Survey> {
        let root = place.here.as_path();
        // A folder that is no workspace may be anything: nothing below it is read.
        let mut files = match place.is_marked(root) {
            true => Files::default(),
            false => Files::in_folder(root),
        };
        for (path, text) in &self.texts.0 {
            if path.starts_with(root) && !path.exists() {
                match kind_of(path, text) {
                    Some(FileKind::Pipeline) => files.pipelines.push(path.clone()),
                    Some(FileKind::Package) => files.definitions.push(path.clone()),
                    _ => {}
                }
            }
        }
        let survey = Rc::new(Survey::around(place, root, files, &self.texts));
        let kept = Kept::new(&survey, &self.texts);
        self.kept.borrow_mut().insert(root.to_owned(), kept);
        survey
    }
}
