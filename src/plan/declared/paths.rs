//! Edges that paths make: what a task reads by its path may be what another writes.
//!
//! A path that equals an output or lies in one is an edge, and so is a source of a
//! definition or an image that contains one. A pattern makes an edge only if what is
//! before its first wildcard equals an output or lies in one.
//! Source: docs/spec/pipeline.md, "Edges".

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Composed, Unit};
use crate::graph::GraphError;
use crate::ground::folders::{Folders, MadePath, lexical, relative_to};
use crate::ground::generated::Generated;
use crate::kinds::run::OutputNamed;
use crate::oci::place;
use crate::pipeline::verb::{ImageSource, ImagesFrom, LayerSource};
use crate::pipeline::{Instance, Verb};
use crate::plan::PlanError;
use crate::plan::parts::local_paths;
use crate::workspace::{self, fixed_part};

/// The outputs of all tasks of the workspace that run, by their places.
#[derive(Debug)]
pub struct Outputs {
    by_place: BTreeMap<PathBuf, MadePath>,
    /// The folder of each task that has any.
    folders: BTreeMap<String, PathBuf>,
    /// All places, for the commands.
    places: Arc<BTreeSet<PathBuf>>,
}

/// One thing that a task reads by its path.
struct Read {
    at: PathBuf,
    /// Whether what lies below it is read as well, whatever it is called.
    whole: bool,
}

impl Outputs {
    /// # Errors
    ///
    /// [`PlanError::OutputOverlap`]: two files declare one path, or one within the other.
    pub fn of<'u>(units: impl Iterator<Item = &'u Unit>) -> Result<Self, PlanError> {
        let parts = units.map(|unit| (unit.folder.as_path(), unit.instances.as_slice()));
        match Self::all(parts) {
            (outputs, overlaps) if overlaps.is_empty() => Ok(outputs),
            (_, mut overlaps) => Err(overlaps.swap_remove(0)),
        }
    }

    /// All outputs of the instances of some folders, and every
    /// [`PlanError::OutputOverlap`].
    pub fn all<'u>(
        parts: impl Iterator<Item = (&'u Path, &'u [Instance])>,
    ) -> (Self, Vec<PlanError>) {
        let mut overlaps = Vec::new();
        let mut by_place: BTreeMap<PathBuf, MadePath> = BTreeMap::new();
        let mut folders = BTreeMap::new();
        for (folder, instances) in parts {
            for instance in instances.iter().filter(|instance| !instance.skipped) {
                for output in &instance.outputs {
                    let made = MadePath {
                        at: lexical(&folder.join(&output.path)),
                        step: instance.id.clone(),
                        output: output.path.clone(),
                    };
                    folders.insert(instance.id.clone(), folder.to_owned());
                    if let Some(of) = overlapping(&by_place, &made.at) {
                        overlaps.push(PlanError::OutputOverlap {
                            task: made.step,
                            output: made.output,
                            of: of.step.clone(),
                        });
                        continue;
                    }
                    by_place.insert(made.at.clone(), made);
                }
            }
        }
        let outputs = Self {
            places: Arc::new(by_place.keys().cloned().collect()),
            by_place,
            folders,
        };
        (outputs, overlaps)
    }

    /// All of them, each with the folder of its task.
    pub(crate) fn all_made(&self) -> impl Iterator<Item = (&MadePath, &Path)> {
        let all = self.by_place.values();
        all.filter_map(|made| Some((made, self.folders.get(&made.step)?.as_path())))
    }

    /// Those of which [`all_made`](Self::all_made) told.
    pub(crate) fn of_made(all: Vec<(MadePath, PathBuf)>) -> Self {
        let (mut by_place, mut folders) = (BTreeMap::new(), BTreeMap::new());
        for (made, folder) in all {
            folders.insert(made.step.clone(), folder);
            by_place.insert(made.at.clone(), made);
        }
        Self {
            places: Arc::new(by_place.keys().cloned().collect()),
            by_place,
            folders,
        }
    }

    /// Where tasks write, as the commands of `folder` see it.
    pub(super) fn generated(&self, folder: &Path) -> Generated {
        Generated::of(folder, &self.places)
    }

    /// The outputs of `task`, each with its path relative to `folder`.
    pub(super) fn of_task(&self, task: &str, folder: &Path) -> Option<String> {
        let own = self.folders.get(task).filter(|own| *own != folder)?;
        Some(relative_to(folder, own))
    }

    /// Adds the edges that paths make to the instances of a unit.
    pub fn link(&self, unit: &mut Unit) {
        let mut instances = std::mem::take(&mut unit.instances);
        let mut added = BTreeMap::new();
        for instance in &mut instances {
            let own = |glob: &String| at_home(&unit.folder, glob);
            instance.input_globs = instance.input_globs.iter().map(own).collect();
            instance.optional_globs = instance.optional_globs.iter().map(own).collect();
            for made in self.read_by(instance, unit) {
                // A command that reads what it writes is a circle of one.
                if made.step == instance.id && !matches!(instance.verb, Verb::Run(_)) {
                    continue;
                }
                instance.order_only.remove(&made.step);
                if !instance.depends_on.contains(&made.step) {
                    instance.depends_on.push(made.step.clone());
                    let path = made.at.strip_prefix(&unit.folder).unwrap_or(&made.at);
                    let edge = (instance.id.clone(), made.step.clone());
                    added.insert(edge, path.to_owned());
                }
            }
            instance.depends_on.sort();
        }
        unit.instances = instances;
        unit.path_edges = added;
    }

    /// Whether a unit reads something in `folder` by its path, and outside of its own
    /// folder.
    pub fn reads_elsewhere(&self, unit: &Unit, folder: &Path) -> bool {
        let all = unit.instances.iter();
        let mut reads = all.flat_map(|instance| self.reads(instance, unit));
        reads.any(|read| read.at.starts_with(folder) && !read.at.starts_with(&unit.folder))
    }

    /// The outputs that an instance reads by their paths.
    fn read_by(&self, instance: &Instance, unit: &Unit) -> Vec<&MadePath> {
        if self.by_place.is_empty() {
            return Vec::new();
        }
        let reads = self.reads(instance, unit);
        let mut found: BTreeMap<&Path, &MadePath> = BTreeMap::new();
        for read in &reads {
            let above = read.at.ancestors().find_map(|at| self.by_place.get(at));
            found.extend(above.map(|made| (made.at.as_path(), made)));
            if read.whole {
                let below = self.by_place.range::<Path, _>((
                    std::ops::Bound::Included(read.at.as_path()),
                    std::ops::Bound::Unbounded,
                ));
                let below = below.take_while(|(at, _)| at.starts_with(&read.at));
                found.extend(below.map(|(at, made)| (at.as_path(), made)));
            }
        }
        found.into_values().collect()
    }

    fn reads(&self, instance: &Instance, unit: &Unit) -> Vec<Read> {
        let here = |path: &str| lexical(&unit.folder.join(path));
        let whole = |path: &str| Read {
            at: here(path),
            whole: true,
        };
        match &instance.verb {
            Verb::Run(_) => {
                let globs = instance.input_globs.iter();
                let globs = globs.filter(|glob| !glob.starts_with('!'));
                let begin = globs.filter_map(|glob| {
                    let at = here(beginning(glob)?);
                    Some(Read { at, whole: false })
                });
                begin.collect()
            }
            Verb::Image(image) => {
                let layers = image.layers.iter();
                let paths = layers.filter_map(|layer| match &layer.from {
                    LayerSource::Path(path) => Some(whole(path)),
                    LayerSource::Task(_) => None,
                });
                paths.collect()
            }
            Verb::Images(images) => match &images.from {
                ImagesFrom::List(list) => {
                    let sources = list.iter();
                    let paths = sources.filter_map(|source| match source {
                        ImageSource::Reference(text) => {
                            let (_, rest) = place::on_disk(text)?;
                            Some(whole(rest.split(':').next().unwrap_or(rest)))
                        }
                        _ => None,
                    });
                    paths.collect()
                }
                ImagesFrom::Definition(path) => {
                    self.of_components(instance, path, unit, |composed| {
                        let components = composed.definition.components.iter();
                        let archives = components.flat_map(|one| &one.image_archives);
                        archives.map(|archive| archive.path.as_str()).collect()
                    })
                }
            },
            Verb::Component(verb) => {
                self.of_components(instance, &verb.definition, unit, |composed| {
                    let mut components = composed.definition.components.iter();
                    let component = components.find(|component| component.name == verb.name);
                    component.map(local_paths).unwrap_or_default()
                })
            }
            Verb::Package(package) => {
                self.of_components(instance, &package.definition, unit, |composed| {
                    let sources = composed.definition.attached().chain(&composed.schemas);
                    sources.map(String::as_str).collect()
                })
            }
            _ => Vec::new(),
        }
    }

    /// Sources of a definition, as places.
    fn of_components(
        &self,
        instance: &Instance,
        definition: &str,
        unit: &Unit,
        sources: impl Fn(&Composed) -> Vec<&str>,
    ) -> Vec<Read> {
        let Some(composed) = unit.definitions.get(&instance.id) else {
            return Vec::new();
        };
        let file = unit.folder.join(definition);
        let folders = Folders {
            own: file.parent().unwrap_or(&unit.folder).to_owned(),
            imported: composed.imported.clone(),
            ..Folders::default()
        };
        let place = |source: &str| {
            let found = folders.find(source);
            lexical(&found.root.join(found.below))
        };
        let all = sources(composed).into_iter();
        all.map(|source| Read {
            at: place(source),
            whole: true,
        })
        .collect()
    }

    /// What an instance reads of other tasks by path, for its work.
    pub(super) fn made_for(&self, instance: &Instance, unit: &Unit) -> Arc<Vec<MadePath>> {
        let found = self.read_by(instance, unit).into_iter();
        Arc::new(
            found
                .filter(|made| made.step != instance.id)
                .cloned()
                .collect(),
        )
    }

    /// The outputs that a command reads by path, each with the patterns that name it.
    pub(super) fn named_by(&self, instance: &Instance, unit: &Unit) -> Vec<OutputNamed> {
        let mut named: BTreeMap<&Path, OutputNamed> = BTreeMap::new();
        let excluded = || {
            let globs = instance.input_globs.iter();
            globs.filter(|glob| glob.starts_with('!'))
        };
        for glob in &instance.input_globs {
            let Some(begin) = beginning(glob) else {
                continue;
            };
            let at = lexical(&unit.folder.join(begin));
            let Some(made) = at.ancestors().find_map(|at| self.by_place.get(at)) else {
                continue;
            };
            if made.step == instance.id {
                continue;
            }
            let entry = named.entry(&made.at).or_insert_with(|| OutputNamed {
                task: made.step.clone(),
                output: made.output.clone(),
                path: relative_to(&unit.folder, &made.at),
                globs: excluded().cloned().collect(),
            });
            entry.globs.push(glob.clone());
        }
        named.into_values().collect()
    }
}

/// A cycle, and if a path closes it, which one.
pub(super) fn of_cycle(units: &[Unit], path: Vec<String>) -> PlanError {
    let mut pairs = (path.windows(2)).map(|pair| (pair[0].clone(), pair[1].clone()));
    let added = |pair: &(String, String)| units.iter().find_map(|unit| unit.path_edges.get(pair));
    match pairs.find_map(|pair| Some((added(&pair)?, pair))) {
        None => PlanError::Graph(GraphError::Cycle { path }),
        Some((at, (task, of))) if task == of => PlanError::OwnOutput {
            task,
            path: at.clone(),
        },
        Some((at, (task, of))) => PlanError::PathCycle {
            task,
            of,
            path: at.clone(),
            cycle: path,
        },
    }
}

/// What already lies at `at`, in it, or above it.
fn overlapping<'m>(by_place: &'m BTreeMap<PathBuf, MadePath>, at: &Path) -> Option<&'m MadePath> {
    let above = at.ancestors().find_map(|at| by_place.get(at));
    above.or_else(|| {
        let (place, made) = by_place
            .range::<Path, _>((std::ops::Bound::Excluded(at), std::ops::Bound::Unbounded))
            .next()?;
        place.starts_with(at).then_some(made)
    })
}

/// A pattern that climbs out of `folder` and comes back, written without the detour.
fn at_home(folder: &Path, glob: &str) -> String {
    let (sign, bare) = match glob.strip_prefix('!') {
        Some(bare) => ("!", bare),
        None => ("", glob),
    };
    let (up, mut rest) = workspace::climbed(bare);
    let names: Vec<_> = folder.iter().collect();
    let own = names.len().checked_sub(up).map(|start| &names[start..]);
    let own = own.filter(|own| !own.is_empty()).unwrap_or_default();
    for name in own {
        let inner = name.to_str().and_then(|name| rest.strip_prefix(name));
        match inner.and_then(|inner| inner.strip_prefix('/')) {
            Some(inner) => rest = inner,
            None => return glob.to_owned(),
        }
    }
    match own {
        [] => glob.to_owned(),
        _ => format!("{sign}{rest}"),
    }
}

/// The path that a pattern begins with: all of it, or the folder before its first
/// wildcard. Nothing for one that excludes, or that begins with a wildcard.
fn beginning(glob: &str) -> Option<&str> {
    let bare = glob.trim_start_matches("./").trim_end_matches('/');
    if bare.starts_with('!') {
        return None;
    }
    let fixed = fixed_part(bare);
    if fixed.len() == bare.len() {
        return Some(bare);
    }
    fixed.rfind('/').map(|at| &fixed[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_with_what_has_no_wildcard() {
        for (glob, begin) in [
            ("dist/**", Some("dist")),
            ("./dist/", Some("dist")),
            ("dist/a*.js", Some("dist")),
            ("app", Some("app")),
            ("**", None),
            ("*.js", None),
            ("!dist/x", None),
            ("../lib/**", Some("../lib")),
        ] {
            assert_eq!(beginning(glob), begin, "{glob}");
        }
    }

    #[test]
    fn a_pattern_that_comes_back_is_one_of_the_folder() {
        let folder = Path::new("/w/apps/web");
        for (glob, own) in [
            ("../web/dist/**", "dist/**"),
            ("./../../apps/web/a", "a"),
            ("!../web/x", "!x"),
            ("../lib/**", "../lib/**"),
            ("../webs/x", "../webs/x"),
            ("../*/x", "../*/x"),
            ("src/**", "src/**"),
            ("../../../../../x", "../../../../../x"),
        ] {
            assert_eq!(at_home(folder, glob), own, "{glob}");
        }
    }
}
