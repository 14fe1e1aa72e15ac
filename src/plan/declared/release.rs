//! The steps of `sign` and `publish` tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Planner;
use crate::kinds::Work;
use crate::kinds::publish::PublishWork;
use crate::kinds::sign::provenance::{BUILDER, BuildRequest};
use crate::kinds::sign::signer::{SignerFrom, SignerNamed};
use crate::kinds::sign::{Attest, SignWork, SignedPackage};
use crate::pipeline::Instance;
use crate::pipeline::verb::{Publish, Sign};
use crate::plan::{PlanError, Step};
use crate::release::Destination;
use crate::signers::{KeySources, KeylessOptions, Seal};
use crate::signing::Identity;
use crate::text::with_causes;

/// Shortest value that is hidden where it is only a part of a user name or password.
const MIN_SECRET_BYTES: usize = 6;

impl Planner<'_> {
    pub(super) fn sign(&mut self, instance: &Instance, verb: &Sign) -> Result<(), PlanError> {
        self.all_packages(instance, &verb.subjects)?;
        let how = match &self.options.sign {
            Some(given) => given.clone(),
            None => self.signing(instance, verb)?,
        };
        let mut packages = Vec::new();
        for task in &verb.subjects {
            packages.push(SignedPackage {
                step: task.clone(),
                steps: self.plan.led_to(task),
                archive: self.plan.archive_of(task),
            });
        }
        let work = Work::from(SignWork {
            task: instance.id.clone(),
            packages,
            request: BuildRequest {
                parameters: self.public_parameters(),
                ..how.request.clone()
            },
            ..how
        });
        let mut after = self.plan.with_ancestors(&verb.subjects);
        after.extend(self.before(instance));
        let order = self.plan.apart_from(&verb.subjects, &after);
        let step = super::step_of(self.unit, instance, instance.id.clone(), after, work);
        self.plan.add(Step { order, ..step });
        Ok(())
    }

    /// The user's choices for provenance, which is public: what is part of a login in
    /// a definition is hidden.
    fn public_parameters(&self) -> BTreeMap<String, String> {
        let composed = self.unit.definitions.values();
        let logins: Vec<String> = composed.flat_map(|one| one.definition.logins()).collect();
        let secret = |value: &str| {
            logins.iter().any(|login| {
                let whole = value.len() >= MIN_SECRET_BYTES && login.contains(value);
                whole || login == value || login.split(':').any(|part| part == value)
            })
        };
        let parameters = self.unit.parameters.iter();
        let shown = parameters.map(|(name, value)| match secret(value) {
            true => (name.clone(), "***".to_owned()),
            false => (name.clone(), value.clone()),
        });
        shown.collect()
    }

    /// How a `sign` task signs, without its packages.
    fn signing(&self, instance: &Instance, verb: &Sign) -> Result<SignWork, PlanError> {
        let beside = |path: &str| self.unit.folder.join(path);
        let environment = &self.options.environment;
        let signer = match &verb.key {
            Some(key) => SignerNamed::Key {
                reference: match key.contains("://") {
                    true => key.clone(),
                    false => beside(key).to_string_lossy().into_owned(),
                },
                password_file: verb.password_file.as_deref().map(beside),
                sources: KeySources {
                    environment: environment.clone(),
                    folders: self.options.path.clone(),
                },
            },
            None => SignerNamed::Keyless(Box::new(KeylessOptions {
                environment: environment.clone(),
                trust_config: verb.trust_config.as_deref().map(beside).or_else(|| {
                    let variable = environment.get("JACKAL_TRUST_CONFIG");
                    let given = variable.filter(|path| !path.is_empty());
                    given.map(PathBuf::from)
                }),
                log: true,
                ..KeylessOptions::default()
            })),
        };
        let identity = Identity::given(
            ["identity", "issuer"],
            (verb.identity.as_deref(), None),
            (verb.issuer.as_deref(), None),
        );
        let identity = identity.map_err(|error| PlanError::Identity {
            task: instance.id.clone(),
            what: with_causes(&error),
        })?;
        let builder = verb.builder.clone();
        let annotations = verb.annotations.iter();
        Ok(SignWork {
            task: String::new(),
            packages: Vec::new(),
            signer: SignerFrom::new(signer, identity),
            // The bundle of a certificate is stored beside the package, not in it.
            seal: (verb.key.is_some() && verb.in_package).then_some(Seal::Plain),
            attest: Attest {
                provenance: verb.provenance,
                sbom: verb.sbom,
            },
            request: BuildRequest {
                builder: builder.unwrap_or_else(|| BUILDER.to_owned()),
                ..BuildRequest::default()
            },
            annotations: annotations
                .map(|(name, text)| (name.clone(), serde_json::json!(text)))
                .collect(),
        })
    }

    pub(super) fn publish(&mut self, instance: &Instance, verb: &Publish) -> Result<(), PlanError> {
        let (packages, signatures) = (&verb.packages, &verb.signatures);
        self.all_packages(instance, packages)?;
        let mirrors = verb.mirrors.iter().map(|to| ("mirrors", to));
        let to = std::iter::once(("to", &verb.to)).chain(mirrors);
        let to = to.map(|(key, to)| {
            Destination::parse(to, &self.unit.folder).map_err(|source| PlanError::Destination {
                task: instance.id.clone(),
                key,
                source: Box::new(source),
            })
        });
        let work = Work::from(PublishWork {
            task: instance.id.clone(),
            to: to.collect::<Result<_, _>>()?,
            signatures: self.signatures(instance, packages, signatures)?,
            verb: verb.clone(),
        });
        let mut after = self
            .plan
            .with_ancestors(&[packages.as_slice(), signatures].concat());
        after.extend(self.before(instance));
        let order = self.plan.apart_from(packages, &after);
        let step = super::step_of(self.unit, instance, instance.id.clone(), after, work);
        self.plan.add(Step {
            order,
            // What a registry holds is looked up in every run.
            cached: false,
            ..step
        });
        Ok(())
    }

    /// The tasks that sign what is published: all of it, or none.
    fn signatures(
        &self,
        instance: &Instance,
        packages: &[String],
        signatures: &[String],
    ) -> Result<Vec<(String, SignWork)>, PlanError> {
        let mut signing = Vec::new();
        for task in signatures {
            match self.plan.steps.get(task).map(|step| &step.work) {
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
}
