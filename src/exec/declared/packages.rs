//! The steps of `package` and `publish` tasks.

use std::collections::BTreeMap;

use super::{Declaring, Images};
use crate::exec::plan::{PackageWork, Plan, PlanError, PublishWork, Step, Work};
use crate::pipeline::{Instance, RenderedKind};
use crate::release::Destination;

impl Declaring<'_> {
    pub(super) fn publish_task(
        &self,
        plan: &mut Plan,
        instance: &Instance,
    ) -> Result<(), PlanError> {
        let RenderedKind::Publish {
            packages,
            to,
            tags,
            move_tags,
        } = &instance.kind
        else {
            return Ok(());
        };
        for task in packages {
            let found = self.by_id.get(task.as_str()).map(|found| &found.kind);
            if !matches!(found, Some(RenderedKind::Package { .. })) {
                return Err(PlanError::NoPackage {
                    task: instance.id.clone(),
                    of: task.clone(),
                });
            }
        }
        let destinations = to.iter().map(|to| Destination::parse(to, &self.how.folder));
        let to =
            destinations
                .collect::<Result<_, _>>()
                .map_err(|source| PlanError::Destination {
                    task: instance.id.clone(),
                    source,
                })?;
        let work = Work::Publish(Box::new(PublishWork {
            task: instance.id.clone(),
            packages: packages.clone(),
            to,
            tags: tags.clone(),
            move_tags: *move_tags,
        }));
        let after = plan.with_ancestors(packages);
        let step = Step {
            // What a registry holds is asked for every time.
            cached: false,
            ..self.step(instance, instance.id.clone(), after, work)
        };
        plan.add(step);
        Ok(())
    }

    pub(super) fn package_task(
        &self,
        plan: &mut Plan,
        instance: &Instance,
    ) -> Result<(), PlanError> {
        let RenderedKind::Package {
            definition: path,
            set: _,
            components,
            images,
            sboms,
        } = &instance.kind
        else {
            return Ok(());
        };
        // What `set` says was put in when the definition was composed.
        let definition = self.composed(instance, path)?.definition.clone();
        let architecture = definition.metadata.architecture.clone();
        crate::exec::implied::buildable(&definition)?;
        let mut parts = Vec::new();
        for task in components {
            if let Some(RenderedKind::Component { name, .. }) =
                self.by_id.get(task.as_str()).map(|found| &found.kind)
            {
                parts.push((name.clone(), task.clone()));
            }
        }
        for component in &definition.components {
            let made = parts.iter().any(|(name, _)| *name == component.name);
            if crate::exec::implied::has_content(component) && !made {
                return Err(PlanError::ComponentLeftOut {
                    task: instance.id.clone(),
                    component: component.name.clone(),
                });
            }
        }
        let layout = match images.as_slice() {
            [] => None,
            [one]
                if matches!(
                    self.by_id.get(one.as_str()).map(|i| &i.kind),
                    Some(RenderedKind::Images { .. })
                ) =>
            {
                Some(one.clone())
            }
            several => {
                // Image tasks, or several of them: flattened for this package.
                let mut all = BTreeMap::new();
                for task in several {
                    let found = self.images.get(task).ok_or_else(|| PlanError::NoImage {
                        task: instance.id.clone(),
                        of: task.clone(),
                    })?;
                    all.extend(found.iter().cloned());
                }
                let all: Images = all.into_iter().collect();
                let id = format!("{}:images", instance.id);
                let after = all.iter().map(|(_, step)| step.clone()).collect();
                plan.add(Step {
                    after,
                    ..self.step(
                        instance,
                        id.clone(),
                        Vec::new(),
                        Work::Images { images: all },
                    )
                });
                Some(id)
            }
        };
        let mut documents = Vec::new();
        for task in sboms {
            documents.extend(self.sboms.get(task).cloned().unwrap_or_default());
        }
        crate::exec::implied::distinct(&documents)?;
        let archive = crate::exec::implied::archive_name(
            &definition,
            &architecture,
            &definition.build.flavor,
        )?;
        let mut after: Vec<String> = documents.iter().map(|(_, step)| step.clone()).collect();
        after.extend(layout.clone());
        // A component is done when its last actions are.
        let ends = parts.iter().map(|(_, task)| format!("{task}:after"));
        after.extend(ends.filter(|id| plan.steps.contains_key(id)));
        let work = Work::Package(Box::new(PackageWork {
            definition,
            components: parts,
            images: layout,
            sboms: documents,
            build: self.how.build.clone(),
            archive: Some(self.how.output.join(archive)),
            folder: self.beside(path),
            split: self.how.split,
        }));
        plan.add(self.step(instance, instance.id.clone(), after, work));
        Ok(())
    }
}
