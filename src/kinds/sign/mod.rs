//! `sign`: signs packages and attests how they were made.
//!
//! Signatures are cached by signer and signed content, so that an unchanged package is
//! not signed and logged again.

pub(crate) mod provenance;
pub(crate) mod signer;

use std::collections::BTreeMap;
use std::sync::Arc;

use provenance::BuildRequest;
use serde_json::Value;
use signer::SignerFrom;

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::Cas;
use crate::cas::tree::Tree;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, Readers, Withdrawal};
use crate::kinds::package::{self, Archive, export, withdraw};
use crate::kinds::pins::Pin;
use crate::kinds::{Bench, Context, Kind, Prepared, of};
use crate::package::{Dialect, MAX_DEFINITION_BYTES};
use crate::release::{self, Artifact, DocumentsError};
use crate::sbom::format::Format;
use crate::signers::{Seal, Signer, seal};
use crate::signing::{Identity, SLSA_PROVENANCE, Statement};
use crate::text::with_causes;
use crate::verify::{self, Policy, RequiredAttestation};

/// Version of the statements.
const SIGN_FORMAT: u32 = 2;

/// Suffix of outputs that are bundles; the package's name precedes it.
const BUNDLE: &str = "bundle:";

fields! {
    /// The signer, and the statements about every package.
    struct SignSettings {
        jackal: String = "jackal",
        signer: String = "signer",
        identity: String = "identity",
        seal: Option<String> = "seal",
        annotations: BTreeMap<String, String> = "annotations",
        provenance: bool = "attest.provenance",
        sbom: bool = "attest.sbom",
        builder: String = "builder",
        parameters: BTreeMap<String, String> = "parameters",
    }
}

#[derive(Clone, Debug)]
pub struct SignWork {
    /// The task, for messages.
    pub task: String,
    pub packages: Vec<SignedPackage>,
    pub signer: SignerFrom,
    /// The signature to write into the packages; `None`: nothing.
    pub seal: Option<Seal>,
    /// The attestations to make.
    pub attest: Attest,
    /// The facts about the run for provenance.
    pub request: provenance::BuildRequest,
    /// Annotations for the signature to cover.
    pub annotations: BTreeMap<String, serde_json::Value>,
}

/// A package to sign.
#[derive(Clone, Debug)]
pub struct SignedPackage {
    /// The step that makes it.
    pub step: String,
    /// This step and all steps it was made from, with their verbs.
    pub steps: Vec<(String, &'static str)>,
    /// Its archive, if it is written with the signature inside.
    pub archive: Option<Archive>,
}

/// The attestations about packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attest {
    /// How they were made: provenance.
    pub provenance: bool,
    pub sbom: bool,
}

/// The signer, opened once.
pub(crate) async fn signer(work: &SignerFrom) -> Result<Arc<Signer>, Failure> {
    let from = work.clone();
    blocking(move || {
        from.signer()
            .map_err(|error| Failure::caused_by(Class::Configuration, &error))
    })
    .await
}

impl Kind for SignWork {
    fn verb(&self) -> &'static str {
        "sign"
    }

    fn has_effects(&self) -> bool {
        true
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        CheckoutReads::nothing()
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let signer = signer(&self.signer).await?;
        let mut action = Action::new("sign", SIGN_FORMAT);
        let expected = match &*signer {
            Signer::Key(_) => String::new(),
            Signer::Keyless(_) => {
                let signer = Arc::clone(&signer);
                let found = blocking(move || Ok(who(&signer))).await?;
                found.map_or_else(String::new, |who| {
                    format!("{} {}", who.subject.as_str(), who.issuer.as_str())
                })
            }
        };
        let Attest { provenance, sbom } = self.attest;
        let BuildRequest {
            builder,
            parameters,
        } = self.request.clone();
        let annotations = self.annotations.iter();
        let settings = SignSettings {
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            signer: signer.name(),
            identity: expected,
            seal: self.seal.map(|seal| match seal {
                Seal::Plain => "plain".to_owned(),
                Seal::Bundle => "bundle".to_owned(),
            }),
            annotations: annotations
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect(),
            provenance,
            sbom,
            builder,
            parameters,
        };
        settings.write("", &mut action.settings);
        let mut inputs = Inputs::new(&cx.site.cas);
        for package in &self.packages {
            inputs.outputs(&package.step, &of(cx.results, &package.step)?.outputs)?;
            if provenance {
                let predicate = provenance::predicate(&self.request, &package.steps, cx.results);
                action.settings.put(package.step.clone(), predicate);
            }
        }
        Ok(Prepared::of(action, inputs))
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        let signer = signer(&self.signer).await?;
        if site.options.offline && matches!(*signer, Signer::Keyless(_)) {
            let message = format!(
                "`{}` signs with a certificate, which --offline forbids",
                self.task
            );
            return Err(Failure::new(Class::Environment, message));
        }
        if let Some(pinned) = &self.signer.identity {
            // Checked before the signature is logged permanently.
            let (owned, pinned) = (Arc::clone(&signer), pinned.clone());
            let found = blocking(move || Ok(who(&owned))).await?;
            if let Some(found) = found.filter(|found| !found.is(&pinned)) {
                let message = format!(
                    "`{}`: the identity token is for `{}` ({}), but the task signs as `{}`; nothing was signed",
                    self.task,
                    found.subject.as_str(),
                    found.issuer.as_str(),
                    self.signer
                        .identity
                        .as_ref()
                        .map_or("", |who| who.subject.as_str()),
                );
                return Err(Failure::new(Class::Verification, message));
            }
        }
        let bench = Bench::of(site);
        let mut outputs = Vec::new();
        for package in &self.packages {
            let made = of(cx.results, &package.step)?.outputs.clone();
            let predicate = self
                .attest
                .provenance
                .then(|| provenance::predicate(&self.request, &package.steps, cx.results));
            let (cas, signer) = (Arc::clone(&site.cas), Arc::clone(&signer));
            let (shared, step) = (self.clone(), package.step.clone());
            let (members, bundles) =
                blocking(move || signed(&cas, &shared, &step, &signer, made, predicate)).await?;
            let named = |name: &str| format!("{}>{name}", package.step);
            let framed = package
                .archive
                .as_ref()
                .is_some_and(|archive| !archive.uncompressed);
            for (member, frames) in members {
                let frames = match frames {
                    None if framed => package::frames(&bench, &member).await?,
                    frames => frames,
                };
                outputs.extend(frames.map(|output| Output {
                    name: named(&output.name),
                    ..output
                }));
                outputs.push(Output {
                    name: named(&member.name),
                    ..member
                });
            }
            for (index, bundle) in bundles.into_iter().enumerate() {
                outputs.push(Output {
                    name: named(&format!("{BUNDLE}{index}")),
                    ..bundle
                });
            }
        }
        Ok(outputs.into())
    }

    /// Each machine signs for itself.
    fn travels(&self) -> bool {
        false
    }

    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        _trees: &[Tree],
        readers: Readers,
    ) -> Result<Vec<String>, Failure> {
        let mut files = Vec::new();
        for package in &self.packages {
            if let Some(archive) = &package.archive {
                let signed = signed_package(outputs, &package.step);
                files.extend(export(
                    site,
                    archive,
                    &signed.members,
                    &signed.bundles,
                    readers,
                )?);
            }
        }
        Ok(files)
    }

    fn withdraw(&self, site: &Site, withdrawal: &mut Withdrawal) -> Result<(), Failure> {
        let mut archives = self
            .packages
            .iter()
            .filter_map(|package| package.archive.as_ref());
        archives.try_for_each(|archive| withdraw(site, archive, withdrawal))
    }
}

/// The identity that a certificate will name, according to the token.
fn who(signer: &Signer) -> Option<Identity> {
    match signer {
        Signer::Keyless(keyless) => keyless.expected(),
        Signer::Key(_) => None,
    }
}

type Members = Vec<(Output, Option<Output>)>;

/// Signs one package: returns its members with the signature, and the bundles about it.
fn signed(
    cas: &Arc<Cas>,
    work: &SignWork,
    step: &str,
    signer: &Signer,
    made: Vec<Output>,
    provenance: Option<Value>,
) -> Result<(Members, Vec<Output>), Failure> {
    let mut members = package::members(&made);
    let failed = |why: &str| Failure::new(Class::Task, format!("`{}`: `{step}`: {why}", work.task));
    let found = members
        .iter()
        .find_map(|(file, _)| Some((Dialect::of_definition_file(&file.name)?, file.clone())));
    let (dialect, file) = found.ok_or_else(|| failed("it does not make a package"))?;
    let mut definition = cas.document(&file.digest, MAX_DEFINITION_BYTES)?;
    if let Some(how) = work.seal {
        let sealed = seal(dialect, &definition, signer, how)
            .map_err(|error| failed(&with_causes(&error)))?;
        for (name, bytes) in sealed {
            if name == dialect.definition_file() {
                definition.clone_from(&bytes);
            }
            members.retain(|(member, _)| member.name != name);
            members.push((cas.store(name, &bytes)?, None));
        }
        members.sort_by_key(|(member, _)| dialect.place_in_archive(&member.name));
    }
    let files: Vec<Output> = members.iter().map(|(member, _)| member.clone()).collect();
    let (artifact, _) = Artifact::stored(cas, &files, None)?;
    let mut subjects = release::subjects(&artifact, &definition, dialect);
    let mut statements = Vec::new();
    if let Some(predicate) = provenance {
        statements.push(Statement::new(subjects.clone(), SLSA_PROVENANCE, predicate));
    }
    if work.attest.sbom {
        let mut formats = release::carried(&artifact);
        formats.insert(Format::SpdxJson);
        match release::predicates(cas, &artifact, &formats) {
            Ok(found) => statements.extend(
                found
                    .into_iter()
                    .map(|(kind, document)| Statement::new(subjects.clone(), kind, document)),
            ),
            // There is nothing to attest.
            Err(DocumentsError::None) => {}
            Err(error) => return Err(failed(&with_causes(&error))),
        }
    }
    for subject in &mut subjects {
        subject.annotations.clone_from(&work.annotations);
    }
    statements.insert(0, release::signature_statement(subjects));
    release::check_statements(&statements, 0).map_err(|error| {
        let class = Class::Configuration;
        Failure::new(class, format!("`{}`: `{step}`: {error}", work.task))
    })?;
    let mut bundles = Vec::new();
    for statement in &statements {
        let bundle = signer
            .statement(statement)
            .map_err(|error| failed(&with_causes(&error)))?;
        bundles.push(cas.store(BUNDLE, bundle.as_bytes())?);
    }
    Ok((members, bundles))
}

pub(crate) struct SignedOutputs {
    /// Its members and their frames, as a package step leaves them.
    pub(crate) members: Vec<Output>,
    /// The bundles about it.
    pub(crate) bundles: Vec<Output>,
}

/// The signed form of `package`.
pub(crate) fn signed_package(outputs: &[Output], package: &str) -> SignedOutputs {
    let own = outputs.iter().filter_map(|output| {
        let name = output.name.strip_prefix(package)?.strip_prefix('>')?;
        Some(Output {
            name: name.to_owned(),
            ..output.clone()
        })
    });
    let (bundles, members) = own.partition(|output| output.name.starts_with(BUNDLE));
    SignedOutputs { members, bundles }
}

/// The policy that each package must satisfy before its tag moves. `bundles` may be
/// signed with a certificate; the identity comes from them, unless the task sets it.
pub(crate) async fn policy(
    work: &SignWork,
    signer: &Arc<Signer>,
    bundles: &[Vec<u8>],
) -> Result<Policy, Failure> {
    let owned = Arc::clone(signer);
    // Getting the identity in a token may need a request.
    let mut policy = blocking(move || Ok(release::policy_of(&owned))).await?;
    let pinned = work.signer.identity.clone().map(verify::Signer::Identity);
    match (&**signer, pinned) {
        (Signer::Keyless(_), Some(pinned)) => {
            policy
                .rules
                .iter_mut()
                .for_each(|rule| rule.signers = vec![pinned.clone()]);
        }
        (Signer::Keyless(_), None) => {
            for bundle in bundles {
                release::accept_identity(&mut policy, bundle);
            }
        }
        (Signer::Key(_), _) => {}
    }
    let required = work.attest.provenance.then(|| RequiredAttestation {
        predicate_type: SLSA_PROVENANCE.to_owned(),
        builder: Some(work.request.builder.clone()),
    });
    for rule in &mut policy.rules {
        rule.attestations.extend(required.clone());
    }
    Ok(policy)
}
