//! The steps of `sbom` and `package` tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::images::{no_image, reference};
use super::{Named, Planner};
use crate::ground::folders::Folders;
use crate::kinds::Work;
use crate::kinds::images::ImagesWork;
use crate::kinds::package::PackageWork;
use crate::kinds::sbom::{ComponentSbomWork, ImageSbomWork, formats_of};
use crate::package::{ArchiveName, ArchiveNameError, Definition, Dialect, Kind};
use crate::pipeline::verb::{Package, Sbom};
use crate::pipeline::{Instance, Verb};
use crate::plan::PlanError;
use crate::plan::parts::has_content;
use crate::sbom::format::Format;
use crate::sbom::names;

impl Planner<'_> {
    pub(super) fn sbom(&mut self, instance: &Instance, verb: &Sbom) -> Result<(), PlanError> {
        // Packages have the formats of all their `sbom` tasks.
        let Sbom { of, formats: _ } = verb;
        let mut documents: Named = Vec::new();
        for subject in of.iter().filter(|_| !self.options.skip_sbom) {
            // Each document waits for its own subject alone.
            if let Some(images) = self.images.get(subject).cloned() {
                for (reference, step) in images {
                    let id = format!("{}:{reference}", instance.steps);
                    documents.push((names::image(&reference), id.clone()));
                    let after = vec![step.clone()];
                    let of = step;
                    let work = Work::from(ImageSbomWork { reference, of });
                    self.add_alone(instance, &id, after, work);
                }
            } else if let Some(Verb::Component(component)) = self.verb(subject) {
                let id = format!("{}:{}", instance.steps, component.name);
                documents.push((names::component(&component.name), id.clone()));
                let work = Work::from(ComponentSbomWork {
                    name: component.name.clone(),
                    of: subject.clone(),
                });
                self.add_alone(instance, &id, vec![subject.clone()], work);
            } else {
                return Err(no_image(instance, subject));
            }
        }
        let documents = distinct(documents)?;
        let steps = documents.iter().map(|(_, step)| step.clone()).collect();
        self.ends.insert(instance.id.clone(), steps);
        self.sboms.insert(instance.id.clone(), documents);
        Ok(())
    }

    pub(super) fn package(&mut self, instance: &Instance, verb: &Package) -> Result<(), PlanError> {
        let Package {
            definition: path,
            // It was applied when the definition was composed.
            set: _,
            components,
            images,
            sboms,
            sbom_viewer,
        } = verb;
        let composed = self.composed(instance, path)?;
        let folders = Folders {
            made: self.made_for(instance),
            ..self.folders(path, &composed)
        };
        let mut definition = composed.definition.without_logins();
        let overrides = &self.options.registry_overrides;
        definition.build.registry_overrides.clone_from(overrides);
        let mut parts: Named = Vec::new();
        for task in components {
            if let Some(Verb::Component(component)) = self.verb(task) {
                parts.push((component.name.clone(), task.clone()));
            }
        }
        for component in &definition.components {
            let made = parts.iter().any(|(name, _)| *name == component.name);
            if has_content(component) && !made {
                return Err(PlanError::ComponentLeftOut {
                    task: instance.id.clone(),
                    component: component.name.clone(),
                });
            }
        }
        self.all_images(instance, &definition, images)?;
        let layout = self.layout(instance, images)?;
        let documents = sboms.iter().filter_map(|task| self.sboms.get(task));
        let documents = documents.flatten().cloned();
        let dialect = named(&definition).dialect;
        let documents = documents.map(|(file, step)| match dialect {
            Dialect::Jackal => (file, step),
            Dialect::Zarf => (names::of_zarf(&file), step),
        });
        let documents = distinct(documents.collect())?;
        let mut formats = self.options.sbom_formats.clone();
        for task in sboms {
            if let Some(Verb::Sbom(verb)) = self.verb(task) {
                formats.extend(formats_of(&verb.formats));
            }
        }
        // Every package has that one.
        formats.remove(&Format::SyftJson);
        let archive = archive_name(&definition)?;
        let archived = self.options.publish.is_none();
        let archive = self.options.output.join(archive);
        if archived {
            let id = instance.id.clone();
            self.plan.archives.push((archive.clone(), id));
        }
        let after = layout.iter().cloned().collect();
        let work = Work::from(PackageWork {
            definition,
            components: parts,
            images: layout,
            sboms: documents,
            viewer: *sbom_viewer || self.options.sbom_viewer,
            formats,
            build: self.options.build.clone(),
            archive: archived.then_some(archive),
            framed: archived,
            folders,
            schemas: composed.all_schemas(),
            split: self.options.split,
        });
        self.add(instance, &instance.id, after, work);
        Ok(())
    }

    /// Refuses a package whose components declare an image that no task of `images`
    /// brings.
    fn all_images(
        &self,
        instance: &Instance,
        definition: &Definition,
        tasks: &[String],
    ) -> Result<(), PlanError> {
        let brought = tasks.iter().filter_map(|task| self.images.get(task));
        let brought: BTreeSet<&str> = brought.flatten().map(|(name, _)| name.as_str()).collect();
        for component in &definition.components {
            let archived = component.image_archives.iter().flat_map(|a| &a.images);
            for image in component.images.iter().chain(archived) {
                let full = reference(&component.name, image)?.to_string();
                if !brought.contains(full.as_str()) {
                    return Err(PlanError::ImageLeftOut {
                        task: instance.id.clone(),
                        component: component.name.clone(),
                        image: full,
                    });
                }
            }
        }
        Ok(())
    }

    /// The step that makes the package's `images/`: that of a lone `images` task, or a
    /// new one.
    fn layout(
        &mut self,
        instance: &Instance,
        tasks: &[String],
    ) -> Result<Option<String>, PlanError> {
        match tasks {
            [] => return Ok(None),
            [task] if matches!(self.verb(task), Some(Verb::Images(_))) => {
                return Ok(Some(task.clone()));
            }
            _ => {}
        }
        let mut images: BTreeMap<String, String> = BTreeMap::new();
        for task in tasks {
            let found = self.images.get(task);
            let found = found.ok_or_else(|| no_image(instance, task))?;
            for (name, step) in found {
                let known = images.entry(name.clone()).or_insert_with(|| step.clone());
                let built = |step: &String| matches!(self.verb(step), Some(Verb::Image(_)));
                if known != step && (built(known) || built(step)) {
                    return Err(PlanError::ImageNames {
                        one: known.clone(),
                        other: step.clone(),
                        name: name.clone(),
                    });
                }
            }
        }
        let images: Named = images.into_iter().collect();
        let id = format!("{}:images", instance.id);
        let after = images.iter().map(|(_, step)| step.clone()).collect();
        self.add_alone(instance, &id, after, Work::from(ImagesWork { images }));
        Ok(Some(id))
    }
}

/// Gives each document a file name of its own: of two references such as `a/b:1` and
/// `a_b:1`, the second gets a suffix. Refuses one document twice.
fn distinct(sboms: Named) -> Result<Named, PlanError> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut made = Vec::with_capacity(sboms.len());
    for (file, step) in sboms {
        let file = match seen.get(&file) {
            Some(other) if *other != step => names::distinct(&file, &step),
            _ => file,
        };
        if let Some(other) = seen.insert(file.clone(), step.clone()) {
            return Err(PlanError::SbomNames(other, step));
        }
        made.push((file, step));
    }
    Ok(made)
}

fn archive_name(definition: &Definition) -> Result<String, ArchiveNameError> {
    named(definition).render()
}

/// How the names of a package's archives begin; empty if it can have none.
pub(super) fn archive_prefix(definition: &Definition) -> String {
    named(definition).prefix().unwrap_or_default()
}

fn named(definition: &Definition) -> ArchiveName<'_> {
    let (dialect, kind) =
        Dialect::of_kind(&definition.kind).unwrap_or((Dialect::Jackal, Kind::Package));
    let (metadata, build) = (&definition.metadata, &definition.build);
    ArchiveName {
        dialect,
        kind,
        name: &metadata.name,
        architecture: &metadata.architecture,
        version: &metadata.version,
        flavor: &build.flavor,
        differential_base: build
            .differential
            .then_some(build.differential_package_version.as_str()),
        uncompressed: metadata.uncompressed,
    }
}
