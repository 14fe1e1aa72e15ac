//! The steps of `images` and `image` tasks.

use std::collections::BTreeMap;

use super::{Composed, Planner};
use crate::kinds::Work;
use crate::kinds::image::{BuildWork, ImportWork, LayerWork, PullWork};
use crate::kinds::images::ImagesWork;
use crate::oci::{Platform, Reference, is_tag, place};
use crate::pipeline::verb::{Image, ImageLayer, ImageSource, Images, ImagesFrom, LayerSource};
use crate::pipeline::{Instance, RenderedOutput, Verb};
use crate::plan::PlanError;

impl Planner<'_> {
    pub(super) fn image(&mut self, instance: &Instance, verb: &Image) -> Result<(), PlanError> {
        let platform = self.platform(instance, verb.platform.as_deref())?;
        let base = match &verb.base {
            ImageSource::Scratch => None,
            ImageSource::Task(task) => Some(self.one_image(instance, task)?),
            ImageSource::Reference(text) => {
                let id = format!("{}:base", instance.id);
                let (_, work) = self.listed(instance, text, &platform)?;
                self.add(instance, &id, Vec::new(), work);
                Some(id)
            }
        };
        let mut layers = Vec::new();
        for layer in &verb.layers {
            layers.extend(self.layers(instance, layer)?);
        }
        let work = Work::from(BuildWork {
            folder: self.unit.folder.clone(),
            made: self.made_for(instance),
            base: base.clone(),
            platform,
            layers,
            verb: verb.clone(),
        });
        self.add(instance, &instance.id, base.into_iter().collect(), work);
        let name = named(instance, verb, &self.unit.name)?;
        let list = vec![(name, instance.id.clone())];
        self.images.insert(instance.id.clone(), list);
        Ok(())
    }

    /// The instance that builds the image called `name` for `platform`.
    fn built_for(&self, name: &str, platform: &Platform) -> Result<Option<String>, PlanError> {
        for id in self.local.get(name).into_iter().flatten() {
            if let Some((_, instance)) = self.by_id.get(id.as_str())
                && let Verb::Image(verb) = &instance.verb
                && self.platform(instance, verb.platform.as_deref())? == *platform
            {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn one_image(&self, instance: &Instance, task: &str) -> Result<String, PlanError> {
        match self.images.get(task).map(Vec::as_slice) {
            Some([(_, step)]) => Ok(step.clone()),
            _ => Err(no_image(instance, task)),
        }
    }

    fn layers(&self, instance: &Instance, layer: &ImageLayer) -> Result<Vec<LayerWork>, PlanError> {
        let owner = match &layer.owner {
            None => None,
            Some(text) => Some(owner(text).ok_or_else(|| PlanError::Owner {
                task: instance.id.clone(),
                owner: text.clone(),
            })?),
        };
        let work = |source: &str, of: Option<&String>, to: String| LayerWork {
            source: source.to_owned(),
            of: of.cloned(),
            to,
            owner,
            verb: layer.clone(),
        };
        let task = match &layer.from {
            LayerSource::Path(path) => return Ok(vec![work(path, None, layer.to.clone())]),
            LayerSource::Task(task) => task,
        };
        let of = self.by_id.get(task.as_str());
        let outputs: &[RenderedOutput] = of.map_or(&[], |(_, of)| of.outputs.as_slice());
        if outputs.is_empty() {
            return Err(PlanError::NoOutputs {
                task: instance.id.clone(),
                of: task.clone(),
            });
        }
        let layers = outputs.iter().map(|output| {
            let name = output.path.rsplit('/').next().unwrap_or_default();
            // The content of a lone directory goes to `to`; several outputs keep their
            // names below it.
            let to = if output.directory && outputs.len() == 1 {
                layer.to.clone()
            } else {
                format!("{}/{name}", layer.to.trim_end_matches('/'))
            };
            work(&output.path, Some(task), to)
        });
        Ok(layers.collect())
    }

    pub(super) fn images(&mut self, instance: &Instance, verb: &Images) -> Result<(), PlanError> {
        let platform = self.platform(instance, verb.platform.as_deref())?;
        let mut images: BTreeMap<String, String> = BTreeMap::new();
        // By reference: an image is fetched once.
        let mut fetched: BTreeMap<String, Work> = BTreeMap::new();
        match &verb.from {
            ImagesFrom::Definition(path) => {
                let composed = self.composed(instance, path)?;
                self.of_definition(instance, path, &composed, &platform, &mut fetched)?;
            }
            ImagesFrom::List(list) => {
                for source in list {
                    match source {
                        ImageSource::Scratch => {}
                        ImageSource::Reference(text) => {
                            let (full, work) = self.listed(instance, text, &platform)?;
                            fetched.insert(full, work);
                        }
                        ImageSource::Task(task) => {
                            let found = self.images.get(task);
                            let found = found.ok_or_else(|| no_image(instance, task))?;
                            images.extend(found.iter().cloned());
                        }
                    }
                }
            }
        }
        for (full, work) in fetched {
            // An image that is built here is not in a registry.
            if let (Some(local), Work::Image(_)) = (self.built_for(&full, &platform)?, &work) {
                images.insert(full, local);
                continue;
            }
            let id = format!("{}:{full}", instance.steps);
            self.add(instance, &id, Vec::new(), work);
            images.insert(full, id);
        }
        let images: Vec<_> = images.into_iter().collect();
        let after = images.iter().map(|(_, step)| step.clone()).collect();
        self.images.insert(instance.id.clone(), images.clone());
        let work = Work::from(ImagesWork { images });
        self.add(instance, &instance.id, after, work);
        Ok(())
    }

    /// The images of a definition. Images inside archives are not pulled.
    fn of_definition(
        &self,
        instance: &Instance,
        path: &str,
        composed: &Composed,
        platform: &Platform,
        fetched: &mut BTreeMap<String, Work>,
    ) -> Result<(), PlanError> {
        let folders = self.folders(path, composed);
        let made = self.made_for(instance);
        let components = &composed.definition.components;
        for component in components {
            for image in &component.images {
                let reference = reference(&component.name, image)?;
                let work = self.pull(reference.clone(), platform)?;
                fetched.insert(reference.to_string(), work);
            }
        }
        for component in components {
            for archive in &component.image_archives {
                let found = folders.find(&archive.path);
                for image in &archive.images {
                    let reference = reference(&component.name, image)?;
                    let work = Work::from(ImportWork {
                        folder: found.root.to_owned(),
                        made: made.clone(),
                        path: found.below.to_owned(),
                        wanted: reference.to_string(),
                        platform: platform.clone(),
                    });
                    fetched.insert(reference.to_string(), work);
                }
            }
        }
        Ok(())
    }

    /// An image that a task lists: of a registry, or of a file or folder.
    fn listed(
        &self,
        instance: &Instance,
        text: &str,
        platform: &Platform,
    ) -> Result<(String, Work), PlanError> {
        let Some((transport, rest)) = place::on_disk(text) else {
            let reference = reference(&instance.id, text)?;
            let full = reference.to_string();
            return Ok((full, self.pull(reference, platform)?));
        };
        let unnamed = || PlanError::Unnamed {
            task: instance.id.clone(),
            image: text.to_owned(),
        };
        let (path, name) = rest.split_once(':').ok_or_else(unnamed)?;
        let path = path.trim_end_matches('/');
        // A word alone is a tag of the layout, whose images have no other name.
        let (full, wanted) = match transport != place::DOCKER_ARCHIVE && is_tag(name) {
            true => (layout_name(path, name), name.to_owned()),
            false => {
                let full = reference(&instance.id, name)?.to_string();
                (full.clone(), full)
            }
        };
        let work = Work::from(ImportWork {
            folder: self.unit.folder.clone(),
            made: self.made_for(instance),
            path: path.to_owned(),
            wanted,
            platform: platform.clone(),
        });
        Ok((full, work))
    }

    /// Pulls an image, from where --registry-override says.
    fn pull(&self, reference: Reference, platform: &Platform) -> Result<Work, PlanError> {
        let full = reference.to_string();
        let to = overridden(&full, &self.options.registry_overrides);
        let from = match to == full {
            true => reference.clone(),
            false => to.parse().map_err(|source| PlanError::Override {
                image: full,
                to,
                source,
            })?,
        };
        Ok(Work::from(PullWork {
            folder: self.unit.folder.clone(),
            reference,
            from,
            platform: platform.clone(),
        }))
    }
}

/// The reference under which packages declare the image of an `image` task.
pub(super) fn named(
    instance: &Instance,
    verb: &Image,
    pipeline: &str,
) -> Result<String, PlanError> {
    match &verb.name {
        Some(name) => Ok(reference(&instance.id, name)?.to_string()),
        None => Ok(local_name(pipeline, &instance.id)),
    }
}

/// The reference of an image that is built here without a `name`.
fn local_name(pipeline: &str, task: &str) -> String {
    format!("localhost/{}/{}:latest", word(pipeline), word(task))
}

/// The reference of an image that is only a tag of the layout at `path`.
fn layout_name(path: &str, tag: &str) -> String {
    let name = path.rsplit('/').map(word).find(|name| !name.is_empty());
    format!("localhost/{}:{tag}", name.unwrap_or("layout".to_owned()))
}

/// `text` as a part of a repository's name.
fn word(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = lower.chars().map(plain).collect();
    text.trim_matches('-').to_owned()
}

/// Where an image is pulled from: the longest prefix that fits decides.
///
/// Source: docs/spec/package.md, "Images".
fn overridden(full: &str, overrides: &BTreeMap<String, String>) -> String {
    let fitting = overrides
        .iter()
        .filter_map(|(from, to)| Some((from, to, full.strip_prefix(from.as_str())?)));
    match fitting.max_by_key(|(from, _, _)| from.len()) {
        Some((_, to, rest)) => format!("{to}{rest}"),
        None => full.to_owned(),
    }
}

/// A reference that `by`, a component or task, lists.
pub(super) fn reference(by: &str, text: &str) -> Result<Reference, PlanError> {
    text.parse().map_err(|source| PlanError::Reference {
        by: by.to_owned(),
        image: text.to_owned(),
        source,
    })
}

pub(super) fn no_image(instance: &Instance, of: &str) -> PlanError {
    PlanError::NoImage {
        task: instance.id.clone(),
        of: of.to_owned(),
    }
}

/// `uid:gid` in numbers.
fn owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Some((user.parse().ok()?, group.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_a_layout_is_named_after_its_folder() {
        assert_eq!(layout_name("a/Lay_1", "1.4"), "localhost/lay-1:1.4");
        assert_eq!(layout_name(".", "x"), "localhost/layout:x");
    }

    #[test]
    fn the_longest_override_that_fits_says_where_an_image_is_pulled_from() {
        let overrides = [
            ("docker.io", "mirror.example.com"),
            ("docker.io/library", "mirror.example.com:5000/hub"),
            ("quay.io", "unused.example.com"),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .into();
        let from = |full: &str| overridden(full, &overrides);
        assert_eq!(
            from("docker.io/library/nginx:1"),
            "mirror.example.com:5000/hub/nginx:1"
        );
        assert_eq!(from("docker.io/a/b:1"), "mirror.example.com/a/b:1");
        assert_eq!(from("ghcr.io/a/docker.io:1"), "ghcr.io/a/docker.io:1");
    }
}
