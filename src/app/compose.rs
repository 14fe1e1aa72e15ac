//! Definitions that are ready to build: read from disk, with imports resolved and
//! templates filled.
//!
//! Provides the I/O for `package::compose`, which is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::find::{Texts, read_text, shown};
use super::made::Made;
use super::options::{Place, TrustedImports, Variant};
use super::skeletons::Skeletons;
use crate::cas::Cas;
use crate::disk::look;
use crate::ground::folders::{Folders, lexical};
use crate::ground::source::{
    LocalSourceError, OwnFiles, WORKSPACE_FILE, bound, listed_in, located,
};
use crate::kinds::chart;
use crate::kinds::component::write::is_archive;
use crate::oci::host_architecture;
use crate::package::{
    Choice, Definition, ImportError, Look, SkeletonUrl, Surroundings, Warning, template_names,
};
use crate::plan;
use crate::plan::Composed;
use crate::text::with_causes;
use crate::workspace::Links;
use crate::yaml::{Mistakes, SourceText, nearest};

/// Asks the user for the value of a template; `None`: no answer.
pub type Ask<'a> = &'a mut dyn FnMut(&str) -> Option<String>;

/// Composes the definitions of one run, and collects warnings about them.
pub(super) struct Composer<'r> {
    /// The current folder of the user.
    pub(super) here: &'r Path,
    /// The folder of the cache.
    pub(super) cache: &'r Path,
    pub(super) flavor: &'r str,
    /// Values of templates.
    pub(super) set: &'r BTreeMap<String, String>,
    /// The user's architecture, which overrides that of the definitions.
    pub(super) architecture: Option<&'r str>,
    pub(super) ask: Ask<'r>,
    /// Whose commands may run.
    pub(super) trusted: &'r TrustedImports,
    pub(super) skeletons: Skeletons<'r>,
    /// Without duplicates, in the order in which files were read.
    pub(super) warnings: Vec<Warning>,
    /// Answers so far, so that the user is prompted once for each template.
    pub(super) answers: BTreeMap<String, Option<String>>,
    /// The templates of all definitions so far, also of components for other variants.
    templates: BTreeSet<String>,
}

/// Settings for one definition, in addition to the options of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chosen {
    /// Overrides the definition's architecture.
    pub(super) architecture: Option<String>,
    /// Values of templates that the run does not set.
    pub(super) set: BTreeMap<String, String>,
    /// Values of keys of `metadata`.
    pub(super) metadata: BTreeMap<String, String>,
}

/// One of the ways to compose.
type Compose = fn(
    SourceText,
    &mut dyn Surroundings,
    &Choice<'_>,
) -> Result<crate::package::Composed, Mistakes>;

impl Chosen {
    /// The user's settings for every definition.
    pub(super) fn of(variant: &Variant) -> Self {
        Self {
            architecture: variant.architecture.clone(),
            ..Self::default()
        }
    }
}

impl<'r> Composer<'r> {
    pub(super) fn new(
        place: &'r Place,
        variant: &'r Variant,
        skeletons: Skeletons<'r>,
        ask: Ask<'r>,
    ) -> Self {
        Self {
            here: &place.here,
            cache: &place.cache.path,
            flavor: &variant.flavor,
            set: &variant.set,
            architecture: variant.architecture.as_deref(),
            ask,
            trusted: &variant.trusted_imports,
            skeletons,
            warnings: Vec::new(),
            answers: BTreeMap::new(),
            templates: BTreeSet::new(),
        }
    }

    /// Refuses values for templates that no definition has; `params` are the parameters of
    /// the pipelines.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoTemplate`]
    pub(super) fn has_templates(
        &self,
        given: &BTreeSet<String>,
        params: &BTreeSet<String>,
    ) -> Result<(), BuildError> {
        let Some(name) = given.difference(&self.templates).next() else {
            return Ok(());
        };
        let known = || self.templates.iter().map(String::as_str);
        let near = nearest(name, known());
        let param = params.iter().find(|param| param.eq_ignore_ascii_case(name));
        let help = match (param, near) {
            (Some(param), _) => format!("`{param}` is a parameter: use --param {param}=VALUE"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if self.templates.is_empty() => "there are none".to_owned(),
            (None, None) => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        Err(BuildError::NoTemplate {
            name: name.clone(),
            help,
        })
    }

    /// Composes the definition at `path` and returns the templates in it as well.
    pub(super) fn compose(
        &mut self,
        path: &Path,
        chosen: &Chosen,
    ) -> Result<(Composed, BTreeSet<String>), BuildError> {
        self.composed(path, chosen, Definition::compose)
    }

    /// Composes the definition at `path` for a skeleton.
    pub(super) fn skeleton(
        &mut self,
        path: &Path,
        chosen: &Chosen,
    ) -> Result<Composed, BuildError> {
        let (composed, _) = self.composed(path, chosen, Definition::compose_skeleton)?;
        Ok(composed)
    }

    fn composed(
        &mut self,
        path: &Path,
        chosen: &Chosen,
        compose: Compose,
    ) -> Result<(Composed, BTreeSet<String>), BuildError> {
        let source = source(self.here, path)?;
        let written = template_names(&source.text).map(str::to_owned);
        self.templates.extend(written);
        let mut set = chosen.set.clone();
        set.extend(self.set.clone());
        let choice = Choice {
            architecture: chosen.architecture.as_deref(),
            host: host_architecture(),
            flavor: self.flavor,
            set: &set,
            metadata: &chosen.metadata,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let own = OwnFiles {
            cache: self.cache.to_owned(),
            ..OwnFiles::default()
        };
        let mut disk = Disk {
            here: self.here,
            folders: Folders::from(folder.to_owned()),
            own,
            skeletons: Some(&mut self.skeletons),
            trial: None,
            ask: self.ask,
            answers: &mut self.answers,
            trusted: self.trusted,
            texts: &Texts::default(),
            made: None,
        };
        let composed = compose(source, &mut disk, &choice);
        let Disk { folders, .. } = disk;
        let composed = composed.map_err(|mistakes| match self.skeletons.failed {
            true => BuildError::Import(mistakes),
            false => BuildError::Mistakes(mistakes),
        })?;
        self.templates.extend(composed.templates.iter().cloned());
        for warning in composed.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let imported = composed.folders.into_iter().map(|name| {
            let place = folders.imported.get(&name).cloned();
            let place = place.unwrap_or_else(|| folder.join(&name));
            (name, place)
        });
        let imported = imported.collect();
        let definition = composed.definition;
        Ok((
            Composed {
                definition,
                imported,
                commands: composed.commands,
                schemas: composed.schemas,
            },
            composed.templates,
        ))
    }
}

/// The definition at `path`, named relative to `here`.
pub(super) fn source(here: &Path, path: &Path) -> Result<SourceText, BuildError> {
    let name = shown(here, path).to_string_lossy();
    Ok(SourceText::new(name, read_text(path)?))
}

/// The surroundings of a definition.
pub(super) struct Disk<'d, 'r> {
    pub(super) here: &'d Path,
    /// The definition's own folder, and those that it imports from, skeletons among
    /// them.
    pub(super) folders: Folders,
    /// What jackal itself writes.
    pub(super) own: OwnFiles,
    /// `None`: skeletons are not read.
    pub(super) skeletons: Option<&'d mut Skeletons<'r>>,
    /// Where to try what a build would do with a source; `None`: the build will.
    pub(super) trial: Option<Arc<Cas>>,
    pub(super) ask: &'d mut dyn FnMut(&str) -> Option<String>,
    pub(super) answers: &'d mut BTreeMap<String, Option<String>>,
    /// Whose commands may run.
    pub(super) trusted: &'d TrustedImports,
    /// Definitions as an editor has them.
    pub(super) texts: &'d Texts,
    /// What tasks make; `None`: the plan knows.
    pub(super) made: Option<&'d Made>,
}

impl Surroundings for Disk<'_, '_> {
    fn definition(&mut self, path: &str) -> Result<SourceText, ImportError> {
        let place = self.folders.own.join(path);
        let missing = || {
            let name = if path.is_empty() { "." } else { path };
            ImportError::NoDefinition(name.to_owned())
        };
        let (folder, file) = if self.texts.has(&place) {
            (
                path.rsplit_once('/').map_or("", |(folder, _)| folder),
                place,
            )
        } else {
            let (_, file) = plan::definition_in(&place).ok_or_else(missing)?;
            (path, file)
        };
        let text = self
            .texts
            .read(&file)
            .map_err(|error| ImportError::Unusable(with_causes(&error)))?;
        if !folder.is_empty() {
            let place = self.folders.own.join(folder);
            self.folders.imported.insert(folder.to_owned(), place);
        }
        Ok(SourceText::new(self.name(folder, &file), text))
    }

    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
        let skeletons = self.skeletons.as_mut().ok_or(ImportError::Unread)?;
        skeletons.definition(&self.folders.own, url)
    }

    fn skeleton_files(
        &mut self,
        url: &SkeletonUrl,
        component: &str,
    ) -> Result<String, ImportError> {
        let skeletons = self.skeletons.as_mut().ok_or(ImportError::Unread)?;
        let (name, place) = skeletons.files(&self.folders.own, url, component)?;
        self.folders.imported.insert(name.clone(), place);
        Ok(name)
    }

    fn trusts_commands(&mut self, url: &SkeletonUrl) -> bool {
        self.trusted.has(&url.to_string())
    }

    fn look(&mut self, path: &str) -> Look {
        match self.located(path) {
            Ok(real) if look::is_dir(&real) => Look::Folder,
            Ok(_) => Look::File,
            Err(LocalSourceError::LeadsOut { bound, .. }) => Look::Refused(
                format!("`{path}` leads out of `{}`", bound.display()),
                format!(
                    "Copy it into that folder, or put a {WORKSPACE_FILE} into a folder above both."
                ),
            ),
            Err(LocalSourceError::Outside(_)) => Look::Refused(
                format!("the path `{path}` is absolute"),
                "Make it relative to the definition's folder.".to_owned(),
            ),
            Err(_) => Look::Absent,
        }
    }

    fn chart_version(&mut self, path: &str) -> Option<String> {
        chart::version_of(&self.located(path).ok()?)
    }

    fn refusal(&mut self, key: &str, path: &str) -> Option<String> {
        let cas = Arc::clone(self.trial.as_ref()?);
        let folder = self.look(path) == Look::Folder;
        match key {
            "localPath" if folder || is_archive(path) => {
                let tried = chart::try_local(&cas, &self.folders, path, &self.own);
                tried.err().map(|failure| failure.message)
            }
            "files" | "valuesFiles" | "localPath" if folder => {
                Some(format!("`{path}` is a folder, expected a file"))
            }
            "source" => {
                let listed = listed_in(&self.folders, path, Links::Packed, &self.own);
                listed.err().map(|error| with_causes(&error))
            }
            _ => None,
        }
    }

    fn is_made(&mut self, path: &str) -> bool {
        let found = self.folders.find(path);
        let place = lexical(&found.root.join(found.below));
        self.made.is_some_and(|made| made.has(&place))
    }

    fn answer(&mut self, template: &str) -> Option<String> {
        if let Some(known) = self.answers.get(template) {
            return known.clone();
        }
        look::beyond_files();
        let answer = (self.ask)(template);
        self.answers.insert(template.to_owned(), answer.clone());
        answer
    }
}

impl Disk<'_, '_> {
    /// The name of an imported file in messages: relative to the user's folder.
    fn name(&self, folder: &str, path: &Path) -> String {
        let file = path.file_name().unwrap_or_default();
        let full = match look::canonicalize(path) {
            Ok(full) => full,
            Err(_) => self.folders.own.join(folder).join(file),
        };
        shown(self.here, &full).to_string_lossy().into_owned()
    }

    /// Where the source `path` really is.
    fn located(&self, path: &str) -> Result<PathBuf, LocalSourceError> {
        let found = self.folders.find(path);
        let bound = bound(found.root, &self.own.cache)?;
        located(found.root, &bound, found.below)
    }
}
