//! The steps of `package` and `publish` tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::kinds::Work;
use crate::kinds::images::ImagesWork;
use crate::kinds::package::PackageWork;
use crate::kinds::publish::PublishWork;
use crate::kinds::sign::provenance::{Asked, BUILDER};
use crate::kinds::sign::signer::{SignerFrom, SignerNamed};
use crate::kinds::sign::{Attest, SignWork, SignedPackage};
use crate::pipeline::verb::{Package, Publish, Sign};
use crate::pipeline::{Instance, Verb};
use crate::plan::declared::{Declaring, Images};
use crate::plan::{Plan, PlanError, Step};
use crate::release::Destination;
use crate::signers::{KeySources, KeylessOptions, Seal};
use crate::signing::{Identity, IdentityError};

impl Declaring<'_> {
    pub(crate) fn publish_task(
        &self,
        plan: &mut Plan,
        instance: &Instance,
        publish: &Publish,
    ) -> Result<(), PlanError> {
        let Publish {
            packages,
            signatures,
            to,
            mirrors,
            tags,
            move_tags,
            split_layers,
            // `changed` is all that it can be, and always holds.
            when: _,
        } = publish;
        for task in packages {
            let found = self.by_id.get(task.as_str()).map(|found| &found.verb);
            if !matches!(found, Some(Verb::Package(_))) {
                return Err(PlanError::NoPackage {
                    task: instance.id.clone(),
                    of: task.clone(),
                });
            }
        }
        let destinations = std::iter::once(to)
            .chain(mirrors)
            .enumerate()
            .map(|(at, to)| {
                Destination::parse(to, &self.how.folder).map_err(|source| PlanError::Destination {
                    task: instance.id.clone(),
                    key: if at == 0 { "to" } else { "mirrors" },
                    source: Box::new(source),
                })
            });
        let to = destinations.collect::<Result<_, _>>()?;
        let work = Work::from(PublishWork {
            task: instance.id.clone(),
            packages: packages.clone(),
            to,
            tags: tags.clone(),
            move_tags: *move_tags,
            split_layers: *split_layers,
            signatures: self.signatures(plan, instance, packages, signatures)?,
        });
        let needed: Vec<String> = packages.iter().chain(signatures).cloned().collect();
        let after = plan.with_ancestors(&needed);
        let step = Step {
            // What a registry holds is asked for every time.
            cached: false,
            ..self.step(instance, instance.id.clone(), after, work)
        };
        plan.add(step);
        Ok(())
    }

    /// The tasks that sign what is published: all of it, or none.
    fn signatures(
        &self,
        plan: &Plan,
        instance: &Instance,
        packages: &[String],
        signatures: &[String],
    ) -> Result<Vec<(String, SignWork)>, PlanError> {
        let mut signing = Vec::new();
        for task in signatures {
            match plan.steps.get(task).map(|step| &step.work) {
                Some(Work::Sign(work)) => signing.push((task.clone(), (**work).clone())),
                _ => {
                    return Err(PlanError::NoSignature {
                        task: instance.id.clone(),
                        of: task.clone(),
                    });
                }
            }
        }
        if signing.is_empty() {
            return Ok(signing);
        }
        for package in packages {
            let by = signing.iter().filter(|(_, work)| {
                let mut signed = work.packages.iter();
                signed.any(|signed| signed.step == *package)
            });
            let (task, of) = (instance.id.clone(), package.clone());
            match by.count() {
                0 => return Err(PlanError::Unsigned { task, of }),
                1 => {}
                _ => return Err(PlanError::SignedTwice { task, of }),
            }
        }
        Ok(signing)
    }

    pub(crate) fn sign_task(
        &self,
        plan: &mut Plan,
        instance: &Instance,
        sign: &Sign,
    ) -> Result<(), PlanError> {
        let mut packages = Vec::new();
        for task in &sign.subjects {
            let found = self.by_id.get(task.as_str()).map(|found| &found.verb);
            if !matches!(found, Some(Verb::Package(_))) {
                return Err(PlanError::NoPackage {
                    task: instance.id.clone(),
                    of: task.clone(),
                });
            }
            packages.push(SignedPackage {
                step: task.clone(),
                steps: plan.led_to(task),
                archive: plan.take_archive(task),
            });
        }
        let beside = |path: &str| self.how.folder.join(path);
        let named = match &sign.key {
            Some(key) => SignerNamed::Key {
                reference: match key.contains("://") {
                    true => key.clone(),
                    false => beside(key).to_string_lossy().into_owned(),
                },
                password_file: sign.password_file.as_deref().map(beside),
                sources: KeySources {
                    environment: self.how.environment.clone(),
                    folders: self.how.path.clone(),
                },
            },
            None => SignerNamed::Keyless(Box::new(KeylessOptions {
                environment: self.how.environment.clone(),
                trust_config: sign.trust_config.as_deref().map(beside).or_else(|| {
                    let variable = self.how.environment.get("JACKAL_TRUST_CONFIG");
                    variable.map(PathBuf::from)
                }),
                log: true,
                ..KeylessOptions::default()
            })),
        };
        let wrong = |error: IdentityError| PlanError::Identity {
            task: instance.id.clone(),
            what: error.to_string(),
        };
        let identity = Identity::given(
            ["identity", "issuer"],
            (sign.identity.as_deref(), None),
            (sign.issuer.as_deref(), None),
        );
        let annotations = sign.annotations.iter();
        let work = SignWork {
            task: instance.id.clone(),
            signer: SignerFrom::new(named, identity.map_err(wrong)?),
            seal: match sign.key {
                // A certificate's bundle lies beside what is signed.
                None => None,
                Some(_) => sign.in_package.then_some(Seal::Plain),
            },
            attest: Attest {
                provenance: sign.provenance,
                sbom: sign.sbom,
            },
            asked: Asked {
                builder: sign.builder.clone().unwrap_or_else(|| BUILDER.to_owned()),
                parameters: self.how.parameters.clone(),
            },
            annotations: annotations
                .map(|(name, text)| (name.clone(), serde_json::json!(text)))
                .collect(),
            packages,
        };
        let after = plan.with_ancestors(&sign.subjects);
        plan.add(self.step(instance, instance.id.clone(), after, Work::from(work)));
        Ok(())
    }

    pub(crate) fn package_task(
        &self,
        plan: &mut Plan,
        instance: &Instance,
        package: &Package,
    ) -> Result<(), PlanError> {
        let Package {
            definition: path,
            // It was applied when the definition was composed.
            set: _,
            components,
            images,
            sboms,
        } = package;
        let definition = self.composed(instance, path)?.definition.clone();
        let architecture = definition.metadata.architecture.clone();
        let mut parts = Vec::new();
        for task in components {
            if let Some(Verb::Component(component)) =
                self.by_id.get(task.as_str()).map(|found| &found.verb)
            {
                parts.push((component.name.clone(), task.clone()));
            }
        }
        for component in &definition.components {
            let made = parts.iter().any(|(name, _)| *name == component.name);
            if crate::plan::implied::has_content(component) && !made {
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
                    self.by_id.get(one.as_str()).map(|i| &i.verb),
                    Some(Verb::Images(_))
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
                        Work::from(ImagesWork { images: all }),
                    )
                });
                Some(id)
            }
        };
        let mut documents = Vec::new();
        for task in sboms {
            documents.extend(self.sboms.get(task).cloned().unwrap_or_default());
        }
        crate::plan::implied::distinct(&documents)?;
        let archive = crate::plan::implied::archive_name(
            &definition,
            &architecture,
            &definition.build.flavor,
        )?;
        let mut after: Vec<String> = documents.iter().map(|(_, step)| step.clone()).collect();
        after.extend(layout.clone());
        // A component is done when its last actions are.
        let ends = parts.iter().map(|(_, task)| format!("{task}:after"));
        after.extend(ends.filter(|id| plan.steps.contains_key(id)));
        let work = Work::from(PackageWork {
            definition,
            components: parts,
            images: layout,
            sboms: documents,
            build: self.how.build.clone(),
            archive: Some(self.how.output.join(archive)),
            framed: true,
            folder: self.beside(path),
            split: self.how.split,
        });
        plan.add(self.step(instance, instance.id.clone(), after, work));
        Ok(())
    }
}
