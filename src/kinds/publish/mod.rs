//! `publish`: publishes packages from the cache as one release.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::sync::Arc;

use crate::action::{Action, ActionKey, Fields as _, Output};
use crate::cas::tree::Tree;
use crate::cas::{Cas, is_damage};
use crate::content::Fetch;
use crate::ground::form::OutputForm;
use crate::ground::inputs::Inputs;
use crate::ground::published::Published;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure, Readers};
use crate::kinds::pins::Pin;
use crate::kinds::sbom::formats_of;
use crate::kinds::sign::{self, SignWork};
use crate::kinds::{Context, Done, Kind, Prepared, of, package, sbom};
use crate::oci::Descriptor;
use crate::package::manifest;
use crate::pipeline::verb::Publish;
use crate::registry::{BlobSource, Registry, RegistryError, Repository};
use crate::release::{
    self, Artifact, Beat, Begun, Destination, Documents, DocumentsError, Item, Journal,
    ReleaseError, Results, Rules, Vouching,
};
use crate::text::with_causes;

/// Version of the receipt.
const PUBLISH_FORMAT: u32 = 1;

/// The packages and destinations.
#[derive(Clone, Debug)]
pub struct PublishWork {
    /// The task, for messages.
    pub task: String,
    /// Options from the pipeline.
    pub verb: Publish,
    /// `to` and `mirrors` of the verb; each gets all packages.
    pub to: Vec<Destination>,
    /// The steps that sign the packages: only packages that they signed become visible.
    pub signatures: Vec<(String, SignWork)>,
}

/// A package to publish.
struct Signed {
    /// Its members and their frames.
    members: Vec<(Output, Option<Output>)>,
    /// The bundles about it.
    bundles: Vec<Vec<u8>>,
    /// The policy it must satisfy before its tag moves; `None`: it is not signed.
    vouching: Option<Arc<Vouching>>,
    /// What to sign once it is published.
    heartbeat: Option<Beat>,
}

impl PublishWork {
    /// Every package at every place and tag, and what the user should know.
    async fn items(&self, cx: &Context<'_>) -> Result<(Vec<Item>, Vec<String>), Failure> {
        let site = cx.site;
        let (mut items, mut notes) = (Vec::new(), Vec::new());
        // Assembling a package is fast, and its frames would duplicate its content.
        let others = cx.results.iter();
        let others = others.filter(|(step, _)| !self.verb.packages.contains(step));
        let mut outputs: BTreeMap<ActionKey, Vec<Output>> = others
            .filter_map(|(_, done)| Some((done.key?, done.outputs.clone())))
            .collect();
        let made = cx.results.values().filter(|done| done.key.is_some());
        let made = made.filter_map(|done| done.action.as_ref());
        let actions: Vec<Action> = made
            .filter(|action| action.kind == sbom::IMAGE)
            .cloned()
            .collect();
        let to = Arc::clone(site);
        outputs.extend(blocking(move || scans(&to, &actions)).await?);
        let results = Arc::new(Results {
            outputs,
            actions: cx
                .results
                .values()
                .filter_map(|done| made_by(done))
                .collect(),
            source: borrowing(site, Arc::<Cas>::clone(&site.cas)),
        });
        for step in &self.verb.packages {
            let Signed {
                members,
                bundles,
                vouching,
                heartbeat,
            } = self.package(cx, step).await?;
            let cas = Arc::clone(&site.cas);
            let (artifact, definition) = blocking(move || {
                let files: Vec<Output> = members.into_iter().map(|(member, _)| member).collect();
                Ok(Artifact::stored(&cas, &files, None)?)
            })
            .await?;
            let configuration = |error: manifest::ArtifactError| {
                Failure::new(
                    Class::Configuration,
                    format!("`{step}`: {error}", error = with_causes(&error)),
                )
            };
            let tags = match self.verb.tags.as_slice() {
                [] => vec![manifest::tag(
                    &definition.metadata.version,
                    &definition.build.flavor,
                )],
                tags => tags.iter().cloned().map(Ok).collect(),
            };
            let artifact = Arc::new(with_borrowed(site, artifact));
            let (documents, note) = self.documents(site, step, &artifact).await?;
            notes.extend(note);
            let tags = tags.into_iter().collect::<Result<Vec<String>, _>>();
            let tags = tags.map_err(configuration)?;
            for to in &self.to {
                let mut artifact = Arc::clone(&artifact);
                for (number, tag) in tags.iter().enumerate() {
                    let place = to.place(&artifact.name, tag);
                    let place =
                        place.map_err(|error| Failure::caused_by(Class::Configuration, &error))?;
                    // This reads the whole package, so it is done once for all tags.
                    if self.verb.split_layers && number == 0 {
                        let fitting = release::fitting(&site.registry, &place, &artifact).await;
                        artifact = fitting.map_err(failure)?;
                    }
                    items.push(Item {
                        artifact: Arc::clone(&artifact),
                        place,
                        bundles: bundles.clone(),
                        vouching: vouching.clone(),
                        heartbeat: heartbeat.clone(),
                        results: Some(Arc::clone(&results)),
                        documents: documents.clone(),
                    });
                }
            }
        }
        Ok((items, notes))
    }

    /// The SBOM documents to attach to the package that `step` makes. One without SBOMs,
    /// which may be next to others that have some, gets a note.
    async fn documents(
        &self,
        site: &Site,
        step: &str,
        artifact: &Arc<Artifact>,
    ) -> Result<(Option<Arc<Documents>>, Option<String>), Failure> {
        let formats = formats_of(&self.verb.sbom_formats);
        let (cas, artifact) = (Arc::clone(&site.cas), Arc::clone(artifact));
        let step = step.to_owned();
        blocking(move || {
            let (mut found, mut note) = (Documents::of(&cas, &artifact, &formats), None);
            if matches!(found, Err(DocumentsError::None)) {
                found = Documents::of(&cas, &artifact, &BTreeSet::new());
                note = Some(format!(
                    "`{step}` has no SBOMs: none are attached in the formats of `sbomFormats`"
                ));
            }
            found
                .map(|found| (found.map(Arc::new), note))
                .map_err(|error| {
                    let class = match &error {
                        DocumentsError::None | DocumentsError::TooLarge(_) => Class::Configuration,
                        _ => Class::Verification,
                    };
                    Failure::new(class, format!("`{step}`: {}", with_causes(&error)))
                })
        })
        .await
    }

    /// The members of the package that `step` makes, with its bundles and policy.
    async fn package(&self, cx: &Context<'_>, step: &str) -> Result<Signed, Failure> {
        let mut signing = self.signatures.iter();
        let signing = signing.find(|(_, sign)| sign.packages.iter().any(|p| p.step == *step));
        let Some((id, sign)) = signing else {
            return Ok(Signed {
                members: package::members(&of(cx.results, step)?.outputs),
                bundles: Vec::new(),
                vouching: None,
                heartbeat: None,
            });
        };
        let signed = sign::signed_package(&of(cx.results, id)?.outputs, step);
        let bundles = package::bundles(&cx.site.cas, &signed.bundles)?;
        let signer = sign::signer(&sign.signer).await?;
        let policy = sign::policy(sign, &signer, &bundles).await?;
        let heartbeat = self.verb.heartbeat.then(|| Beat {
            signer: Arc::clone(&signer),
            now: jiff::Timestamp::now(),
            action_key: cx
                .results
                .get(step)
                .and_then(|done| done.key)
                .map(|key| key.to_string()),
        });
        // Only the signer of this task counts.
        let vouching = Vouching {
            policy,
            signer: None,
        };
        Ok(Signed {
            members: package::members(&signed.members),
            bundles,
            vouching: Some(Arc::new(vouching)),
            heartbeat,
        })
    }
}

impl Kind for PublishWork {
    fn verb(&self) -> &'static str {
        "publish"
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

    /// Never cached; the key is for records.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("publish", PUBLISH_FORMAT);
        // Without `..`: a new key belongs here, unless the inputs already hold it.
        let Publish {
            packages,
            signatures: _,
            to: _,
            mirrors: _,
            tags,
            move_tags,
            split_layers,
            sbom_formats,
            heartbeat,
            when: _,
        } = &self.verb;
        let to: Vec<String> = self.to.iter().map(Destination::text).collect();
        to.write("to", &mut action.settings);
        tags.write("tags", &mut action.settings);
        action.settings.put("moveTags", *move_tags);
        action.settings.put("splitLayers", *split_layers);
        action.settings.put("heartbeat", *heartbeat);
        let formats = formats_of(sbom_formats).into_iter();
        let formats: Vec<String> = formats.map(|format| format.name().to_owned()).collect();
        formats.write("sbomFormats", &mut action.settings);
        let mut inputs = Inputs::new(&cx.site.cas);
        let signed = self.signatures.iter().map(|(step, _)| step);
        for step in packages.iter().chain(signed) {
            inputs.outputs(step, &of(cx.results, step)?.outputs)?;
        }
        Ok(Prepared::of(action, inputs))
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        let (items, mut notes) = self.items(cx).await?;
        let begun = Begun {
            sources: self.verb.packages.clone(),
            move_tag: self.verb.move_tags,
            split_layers: self.verb.split_layers,
            ..Begun::new(items.iter().map(Item::known).collect())
        };
        // Only the pipeline itself can resume the release, by running again.
        let folder = site.cas.root().join("releases");
        let rules = Rules {
            move_tag: self.verb.move_tags,
            sign_indexes: true,
            concurrency: release::CONCURRENCY,
            pushed: Some(site.cas.root().join(release::PUSHED)),
            proofs: (!site.cas.is_read_only()).then(|| site.cas.root().join(release::PROOFS)),
        };
        let id = begun.id();
        let journal = || Journal::begin(&folder, begun);
        let released = release::run(&site.registry, &items, rules, journal).await;
        let released = released.map_err(failure)?;
        Journal::forget(&folder, &id).map_err(|error| failure(error.into()))?;
        notes.extend(released.iter().filter_map(|made| made.note.clone()));
        let text = notes.iter().map(|note| format!("{note}\n")).collect();
        let receipt: Vec<serde_json::Value> = released
            .iter()
            .map(|made| {
                let entries: BTreeMap<&str, serde_json::Value> = [
                    ("place", made.item.place.clone().into()),
                    ("architecture", made.item.architecture.clone().into()),
                    ("manifest", made.item.manifest.to_string().into()),
                    ("unchanged", made.unchanged.into()),
                    ("uploadedBytes", made.moved.uploaded_bytes.into()),
                ]
                .into();
                serde_json::json!(entries)
            })
            .collect();
        let cas = Arc::clone(&site.cas);
        let receipt = blocking(move || {
            let receipt = serde_json::to_vec(&receipt).map_err(io::Error::from)?;
            Ok(cas.store("receipt.json", &receipt)?)
        });
        Ok(Made {
            text,
            ..vec![receipt.await?].into()
        })
    }

    fn always_runs(&self) -> Option<&'static str> {
        Some("inputs unchanged; the registry is always checked")
    }

    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        _trees: &[Tree],
        _: Readers,
    ) -> Result<Vec<String>, Failure> {
        places(site, outputs)
    }
}

/// The scans of layers, and findings about files, that documents were made of: other
/// machines may use them for other images and components. Where the whole document was
/// published, they may be known only there.
fn scans(site: &Site, actions: &[Action]) -> Result<BTreeMap<ActionKey, Vec<Output>>, Failure> {
    let mut found = BTreeMap::new();
    for places in actions
        .iter()
        .flat_map(|action| sbom::scans_of(&site.cas, action))
    {
        let stored = site.stored_outputs(&places.own, OutputForm::Documents)?;
        let published = || Some(site.published.get()?.outputs(&places.shared)?.to_vec());
        found.extend(stored.or_else(published).map(|scan| (places.shared, scan)));
    }
    Ok(found)
}

/// The action of a step, with what it made if later keys contain that: the list of the
/// files of a command.
fn made_by(done: &Done) -> Option<(ActionKey, Vec<Output>)> {
    let action = done.action.as_ref()?;
    let outputs = match action.kind == super::run::ACTION {
        true => done.outputs.clone(),
        false => Vec::new(),
    };
    Some((action.key(), outputs))
}

/// Adds access to blobs that were left in their registry: they are mounted from the
/// other repository if possible, and copied otherwise.
fn with_borrowed(site: &Arc<Site>, artifact: Artifact) -> Artifact {
    let Some(published) = site.published.get().and_then(Published::repository) else {
        return artifact;
    };
    Artifact {
        source: borrowing(site, Arc::clone(&artifact.source)),
        origin: Some(published.clone()),
        ..artifact
    }
}

/// What is `here`, or else in the repository of published results.
fn borrowing(site: &Arc<Site>, here: BlobSource) -> BlobSource {
    match site.published.get().and_then(Published::repository) {
        None => here,
        Some(published) => Arc::new(Borrowed {
            here,
            there: Repository {
                registry: Arc::clone(&site.registry),
                reference: published.clone(),
                runtime: tokio::runtime::Handle::current(),
            },
        }),
    }
}

/// Yields blobs from the cache, or else from the registry they were left in.
struct Borrowed {
    here: BlobSource,
    there: Repository<Arc<Registry>>,
}

impl Fetch for Borrowed {
    fn fetch(&self, blob: &Descriptor) -> io::Result<Box<dyn io::Read + Send + '_>> {
        match self.here.fetch(blob) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.there.fetch(blob),
            found => found,
        }
    }

    fn fetch_from(
        &self,
        blob: &Descriptor,
        offset: u64,
    ) -> io::Result<Box<dyn io::Read + Send + '_>> {
        match self.here.fetch_from(blob, offset) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.there.fetch_from(blob, offset)
            }
            found => found,
        }
    }
}

/// The places and digests of packages in a receipt.
fn places(site: &Site, outputs: &[Output]) -> Result<Vec<String>, Failure> {
    let mut places = Vec::new();
    for output in outputs {
        let mut text = String::new();
        site.cas
            .open_blob(&output.digest)?
            .read_to_string(&mut text)?;
        let receipt: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&text).map_err(io::Error::from)?;
        for made in &receipt {
            let field = |key: &str| made.get(key).and_then(|value| value.as_str());
            if let (Some(place), Some(manifest)) = (field("place"), field("manifest")) {
                places.push(format!("{place}@{manifest}"));
            }
        }
    }
    Ok(places)
}

fn failure(error: ReleaseError) -> Failure {
    let class = match &error {
        ReleaseError::Twice { .. } => Class::Configuration,
        ReleaseError::Taken { .. } | ReleaseError::Registry(RegistryError::Immutable { .. }) => {
            Class::Conflict
        }
        ReleaseError::Unproven { .. } => Class::Verification,
        // The cached content is damaged and will be recreated.
        ReleaseError::Registry(RegistryError::Source { damaged: true, .. }) => Class::Verification,
        ReleaseError::Copy { source, .. } if is_damage(source) => Class::Verification,
        ReleaseError::Registry(RegistryError::Content { .. } | RegistryError::Lost { .. }) => {
            Class::Verification
        }
        _ => Class::Environment,
    };
    let advice = match &error {
        ReleaseError::Taken { .. } => {
            ", or allow the tag to move: `moveTags: true` in a pipeline, --move-tag with `package publish`"
        }
        _ => "",
    };
    Failure::new(
        class,
        format!("{error}{advice}", error = with_causes(&error)),
    )
}
