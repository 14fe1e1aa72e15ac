//! What there is to do: steps with their work, and what each waits for.
//!
//! `implied` writes the plan of a folder with only a definition, `declared`
//! that of a pipeline file; `run` carries a plan out.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use error::PlanError;

use super::folders::Folders;
use super::provenance;
use super::schedule::When;
use crate::graph::{Graph, GraphError};
use crate::oci::{Platform, Reference, is_tag};
use crate::package::{
    self, ActionDefaults, Chart, Component, Definition, Dialect, File, RepoUrl, manifest,
};
use crate::pipeline::{CacheLimits, RenderedConfig, RenderedOutput, Resources, Retries, Sandbox};
use crate::release::Destination;
use crate::signers::{
    KeySources, KeylessOptions, Seal, Signer, SignerSetupError, key_signer, keyless_signer,
    password_in,
};
use crate::signing::Identity;

/// One thing to do.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// Steps whose results it reads, or that must merely come before it.
    pub after: Vec<String>,
    /// What it does.
    pub work: Work,
    /// The pool it takes a slot of.
    pub pool: Option<String>,
    /// The lock it holds.
    pub mutex: Option<String>,
    /// What follows a failed attempt.
    pub retries: Retries,
    /// What it occupies while it runs.
    pub resources: Resources,
    /// Among ready steps the larger goes first.
    pub priority: i32,
    /// After which outcomes of the steps before it.
    pub when: When,
    /// Whether its result may be remembered.
    pub cached: bool,
    /// Texts that its key holds besides.
    pub salts: Vec<String>,
    /// Words it is selected by.
    pub tags: Vec<String>,
    /// Its condition is false.
    pub skipped: bool,
    /// Its failure does not fail the run.
    pub may_fail: bool,
}

impl Step {
    /// A step that is run once its inputs are there, and remembered.
    pub(super) fn new(id: String, after: Vec<String>, work: Work) -> Self {
        Self {
            id,
            after,
            work,
            pool: None,
            mutex: None,
            retries: Retries::plain(0),
            resources: Resources { cpu: 1, memory: 0 },
            priority: 0,
            when: When::SUCCESS,
            cached: true,
            salts: Vec::new(),
            tags: Vec::new(),
            skipped: false,
            may_fail: false,
        }
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Work {
    /// Makes a component's tar.
    Component {
        /// Where its sources are.
        folders: Folders,
        /// The component, composed.
        component: Box<Component>,
        /// What other steps make of it.
        parts: Vec<Part>,
    },
    /// Runs commands that the definition has around a component.
    Actions(Box<ActionsWork>),
    /// Makes another part of a component.
    Part(Box<PartWork>),
    /// Packages a chart.
    Chart {
        /// Where the package's sources are.
        folders: Folders,
        /// As the component lists it.
        chart: Box<Chart>,
    },
    /// Brings an image into the store.
    Image {
        /// Pins are beside this folder's definition.
        folder: PathBuf,
        /// Where it is pulled from: its reference, unless that is overridden.
        reference: Reference,
        /// For which platform.
        platform: Platform,
        /// The pin is asked again when it was last asked longer ago.
        fresh: Option<Duration>,
    },
    /// Brings an image from the disk into the store.
    Import {
        /// Paths are relative to it.
        folder: PathBuf,
        /// An OCI layout or a docker-archive: a folder or a file.
        path: String,
        /// Which image of it.
        reference: Reference,
        /// For which platform.
        platform: Platform,
    },
    /// Flattens images into one layout.
    Images {
        /// Each reference with the step that brings it.
        images: Vec<(String, String)>,
    },
    /// Catalogues an image.
    ImageSbom {
        /// As the document names it.
        reference: String,
        /// The step that brings the image.
        of: String,
    },
    /// Catalogues a component.
    ComponentSbom {
        /// The component's name.
        name: String,
        /// The step that makes its tar.
        of: String,
    },
    /// Puts a package together and writes its archive.
    Package(Box<PackageWork>),
    /// Signs packages, and attests what they are made of.
    Sign(Box<SignWork>),
    /// Publishes packages.
    Publish(Box<PublishWork>),
    /// Builds an image from files, without a daemon.
    BuildImage(Box<BuildWork>),
    /// Runs a command.
    Run(Box<RunWork>),
}

/// Commands that run in the package's folder, one after the other.
#[derive(Clone, Debug)]
pub struct ActionsWork {
    /// Where they run; a `dir` is looked up in it.
    pub folders: Folders,
    /// The component's own step, by which its steps know each other.
    pub component: String,
    /// For each that says nothing else.
    pub defaults: ActionDefaults,
    /// In order.
    pub actions: Vec<package::Action>,
    /// They follow a failure of the component, and only of that one.
    pub on_failure: bool,
}

/// What one part of a component is made from.
#[derive(Clone, Debug)]
pub struct PartWork {
    /// Where sources are; pins are beside the own one.
    pub folders: Folders,
    /// What is made.
    pub kind: PartKind,
}

/// What is made for a component.
#[derive(Clone, Debug)]
pub enum PartKind {
    /// A clone of a Git repository.
    Repository(RepoUrl),
    /// A file or folder of an archive.
    Member(Box<File>),
    /// A kustomization's resources.
    Kustomization {
        /// A folder, or what else kustomize takes.
        source: String,
        /// Files outside of it may be read.
        any_folder: bool,
    },
}

/// What a component holds and another step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it stands in the component.
    pub place: String,
    /// The step that makes it: its first output.
    pub of: String,
}

/// What an image is built from.
#[derive(Clone, Debug)]
pub struct BuildWork {
    /// Layers' sources are relative to it.
    pub folder: PathBuf,
    /// The step that brings the base image.
    pub base: Option<String>,
    /// What it is for.
    pub platform: Platform,
    /// In order, lowest first.
    pub layers: Vec<LayerWork>,
    /// How it is run.
    pub config: RenderedConfig,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub struct LayerWork {
    /// A file or folder.
    pub source: String,
    /// Where it stands in the image.
    pub to: String,
    /// User and group, in numbers.
    pub owner: Option<(u32, u32)>,
    /// Permission bits of its files.
    pub mode: Option<u32>,
}

/// A command with all it may see.
#[derive(Clone, Debug)]
pub struct RunWork {
    /// The pipeline's folder: inputs and outputs are relative to it.
    pub folder: PathBuf,
    /// Program and arguments; one text for a shell.
    pub argv: Vec<String>,
    /// The shell that takes the text.
    pub shell: Option<String>,
    /// Input patterns; `!` excludes.
    pub globs: Vec<String>,
    /// Outputs of every task: never an input by pattern.
    pub generated: Arc<BTreeSet<String>>,
    /// Tasks whose outputs are inputs.
    pub input_tasks: Vec<String>,
    /// Parameters and variables that are inputs by name.
    pub input_values: BTreeMap<String, String>,
    /// Declared variables.
    pub env: BTreeMap<String, String>,
    /// Variables passed through, with their values.
    pub pass_through: BTreeMap<String, String>,
    /// Names of variables passed through, set or not.
    pub pass_through_names: Vec<String>,
    /// Values that the command sees; no key, log or record holds them.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Tools by name.
    pub tools: Vec<String>,
    /// Folders that tools are looked up in.
    pub path: Vec<PathBuf>,
    /// What it must leave behind.
    pub outputs: Vec<RenderedOutput>,
    /// Where it runs, relative to the folder.
    pub workdir: String,
    /// For one attempt.
    pub timeout: Duration,
    /// Between asking the command to stop and killing it.
    pub grace: Duration,
    /// Whether it is kept to what it declares.
    pub sandbox: Sandbox,
    /// What its outputs are for.
    pub platform: Platform,
}

/// A secret, which no message shows.
#[derive(Clone)]
pub enum SecretValue {
    /// The value.
    Text(String),
    /// The file that holds it, with a line break that is cut.
    File(PathBuf),
    /// A variable that is not set.
    Missing(String),
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a package is put together from.
#[derive(Clone, Debug)]
pub struct PackageWork {
    /// Composed; `build` and the aggregate checksum are filled in.
    pub definition: Definition,
    /// Component steps with the component's name.
    pub components: Vec<(String, String)>,
    /// The step that makes `images/`.
    pub images: Option<String>,
    /// SBOM steps with the document's file name.
    pub sboms: Vec<(String, String)>,
    /// What goes into the build section.
    pub build: BuildFacts,
    /// Where the archive goes; `None`: none is written.
    pub archive: Option<PathBuf>,
    /// Whether an archive is written, here or once it is signed.
    pub framed: bool,
    /// The folder that pins and messages are about.
    pub folder: PathBuf,
    /// Largest size of one file of the archive, in bytes.
    pub split: Option<u64>,
}

/// Packages that are signed.
#[derive(Clone, Debug)]
pub struct SignWork {
    /// The task, for messages.
    pub task: String,
    /// The packages.
    pub packages: Vec<SignedPackage>,
    /// Who signs.
    pub signer: SignerFrom,
    /// What is written into the packages; `None`: nothing.
    pub seal: Option<Seal>,
    /// What else is said of them.
    pub attest: Attest,
    /// What provenance says of the run.
    pub asked: provenance::Asked,
    /// What the signature says of the packages besides.
    pub annotations: BTreeMap<String, serde_json::Value>,
}

/// A package that is signed.
#[derive(Clone, Debug)]
pub struct SignedPackage {
    /// The step that makes it.
    pub step: String,
    /// It, and all that led to it, with their verbs.
    pub steps: Vec<(String, &'static str)>,
    /// Its archive, if it is written with the signature in it.
    pub archive: Option<SignedArchive>,
}

/// An archive with a signature in it.
#[derive(Clone, Debug)]
pub struct SignedArchive {
    /// Where it goes.
    pub path: PathBuf,
    /// Whether it is not compressed.
    pub uncompressed: bool,
    /// Largest size of one file of it, in bytes.
    pub split: Option<u64>,
}

/// What is attested of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attest {
    /// What they were made of, and how.
    pub provenance: bool,
    /// What is inside.
    pub sbom: bool,
}

/// Who signs, and how he is come by.
#[derive(Clone, Debug)]
pub struct SignerFrom {
    /// How.
    pub named: SignerNamed,
    /// Whom a certificate must name.
    pub identity: Option<Identity>,
    opened: Arc<OnceLock<Arc<Signer>>>,
}

/// How a signer is named.
#[derive(Clone, Debug)]
pub enum SignerNamed {
    /// He is here.
    Given(Arc<Signer>),
    /// By the key that a reference leads to.
    Key {
        /// A path, or what else keys are called by.
        reference: String,
        /// The file with its password.
        password_file: Option<PathBuf>,
        /// Variables and folders.
        sources: KeySources,
    },
    /// By a token and services.
    Keyless(Box<KeylessOptions>),
}

impl SignerFrom {
    /// One who is opened when he is first needed.
    #[must_use]
    pub fn new(named: SignerNamed, identity: Option<Identity>) -> Self {
        Self {
            named,
            identity,
            opened: Arc::default(),
        }
    }

    /// Opens him; asked again, it is the same one.
    ///
    /// # Errors
    ///
    /// [`SignerSetupError`], or the password's file cannot be read.
    pub fn signer(&self) -> Result<Arc<Signer>, SignerSetupError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let signer = match &self.named {
            SignerNamed::Given(signer) => Arc::clone(signer),
            SignerNamed::Keyless(options) => keyless_signer((**options).clone())?,
            SignerNamed::Key {
                reference,
                password_file,
                sources,
            } => {
                let password = match password_file {
                    Some(path) => password_in(path)?,
                    None => {
                        let variable = sources.environment.get("COSIGN_PASSWORD");
                        variable.cloned().unwrap_or_default().into_bytes().into()
                    }
                };
                key_signer(reference, sources, &|| password.clone())?
            }
        };
        Ok(Arc::clone(self.opened.get_or_init(|| signer)))
    }
}

/// What is published, and where to.
#[derive(Clone, Debug)]
pub struct PublishWork {
    /// The task, for messages.
    pub task: String,
    /// Steps that make the packages.
    pub packages: Vec<String>,
    /// Where to; each gets all of them.
    pub to: Vec<Destination>,
    /// Instead of each package's version and flavor.
    pub tags: Vec<String>,
    /// Whether tags that name something else are moved.
    pub move_tags: bool,
    /// Whether files too large for a layer are put into several.
    pub split_layers: bool,
    /// The steps that sign the packages, with what they do: nothing that they
    /// did not sign becomes visible.
    pub signatures: Vec<(String, SignWork)>,
}

/// What a build section says beside the definition itself.
#[derive(Clone, Debug, Default)]
pub struct BuildFacts {
    /// Seconds since the Unix epoch; 0 unless the user says otherwise.
    pub timestamp: i64,
    /// Host name, if the user wants it recorded.
    pub terminal: Option<String>,
    /// User name, if the user wants it recorded.
    pub user: Option<String>,
}

impl Work {
    /// The verb, as pipelines and records write it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Component { .. } => "component",
            Self::Chart { .. } => "chart",
            Self::Actions(_) => "actions",
            Self::Part(work) => match work.kind {
                PartKind::Repository(_) => "repo",
                PartKind::Member(_) => "fetch",
                PartKind::Kustomization { .. } => "kustomization",
            },
            Self::Image { .. } | Self::Import { .. } => "image",
            Self::Images { .. } => "images",
            Self::ImageSbom { .. } | Self::ComponentSbom { .. } => "sbom",
            Self::Package(_) => "package",
            Self::Sign(_) => "sign",
            Self::Publish(_) => "publish",
            Self::BuildImage(_) => "image",
            Self::Run(_) => "run",
        }
    }
}

/// Everything there is to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By name.
    pub steps: BTreeMap<String, Step>,
    /// Slots of each named pool.
    pub pools: BTreeMap<String, u32>,
    /// What the cache may hold, as far as a pipeline file says.
    pub cache_limits: CacheLimits,
}

impl Plan {
    /// These steps and everything they are made of: a step that publishes them
    /// tells the results of all.
    pub(super) fn with_ancestors(&self, steps: &[String]) -> Vec<String> {
        self.ancestors(steps).into_iter().collect()
    }

    /// These steps and everything they are made of, with their verbs.
    pub(super) fn led_to(&self, step: &str) -> Vec<(String, &'static str)> {
        let found = self.ancestors(&[step.to_owned()]).into_iter();
        let named = found.filter_map(|id| {
            let verb = self.steps.get(&id)?.work.verb();
            Some((id, verb))
        });
        named.collect()
    }

    fn ancestors(&self, steps: &[String]) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut open = steps.to_vec();
        while let Some(id) = open.pop() {
            if let Some(step) = self.steps.get(&id)
                && found.insert(id)
            {
                open.extend(step.after.iter().cloned());
            }
        }
        found
    }

    /// The archive that `step`, which makes a package, would write: whoever
    /// signs writes it instead.
    pub(super) fn take_archive(&mut self, step: &str) -> Option<SignedArchive> {
        let Work::Package(package) = &mut self.steps.get_mut(step)?.work else {
            return None;
        };
        Some(SignedArchive {
            path: package.archive.take()?,
            uncompressed: package.definition.metadata.uncompressed,
            split: package.split,
        })
    }
}

impl Plan {
    pub(super) fn add(&mut self, step: Step) {
        self.steps.insert(step.id.clone(), step);
    }

    /// The steps as a graph.
    ///
    /// # Errors
    ///
    /// [`GraphError`]
    pub fn graph(&self) -> Result<Graph<String>, GraphError> {
        let edges = self
            .steps
            .values()
            .flat_map(|step| step.after.iter().map(|on| (step.id.clone(), on.clone())));
        Graph::build(self.steps.keys().cloned(), edges)
    }

    /// Whether what is to be published can be, as far as that is known before
    /// anything is built.
    ///
    /// # Errors
    ///
    /// [`PlanError::Offline`], [`PlanError::Tag`], [`PlanError::Untagged`]
    pub fn publishable(&self, offline: bool) -> Result<(), PlanError> {
        for step in self.steps.values().filter(|step| !step.skipped) {
            let Work::Publish(work) = &step.work else {
                continue;
            };
            let task = &work.task;
            let mut to = work.to.iter();
            if offline && to.any(|to| matches!(to, Destination::Registry(_))) {
                return Err(PlanError::Offline { task: task.clone() });
            }
            if let Some(tag) = work.tags.iter().find(|tag| !is_tag(tag)) {
                let (task, tag) = (task.clone(), tag.clone());
                return Err(PlanError::Tag { task, tag });
            }
            if !work.tags.is_empty() {
                continue;
            }
            for of in &work.packages {
                if let Some(Work::Package(package)) = self.steps.get(of).map(|step| &step.work) {
                    let (metadata, build) =
                        (&package.definition.metadata, &package.definition.build);
                    let tag = manifest::tag(&metadata.version, &build.flavor);
                    tag.map_err(|source| PlanError::Untagged {
                        task: task.clone(),
                        of: of.clone(),
                        source: Box::new(source),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Keeps `wanted` and what they need. A name stands for itself, and for
    /// every step of that name in any package (`package` for `web:package`);
    /// `tag:WORD` stands for every step that carries the tag.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoTask`]
    pub fn narrow(&mut self, wanted: &[String]) -> Result<(), PlanError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut keep = BTreeSet::new();
        for name in wanted {
            let suffix = format!(":{name}");
            let instance = format!("{name}[");
            let of_task = format!("{name}:");
            let tag = name.strip_prefix("tag:");
            let before = keep.len();
            keep.extend(self.steps.iter().filter_map(|(id, step)| {
                let named = id == name
                    || id.ends_with(&suffix)
                    || id.starts_with(&instance)
                    || id.starts_with(&of_task);
                let tagged = tag.is_some_and(|tag| step.tags.iter().any(|own| own == tag));
                (named || tagged).then_some(id)
            }));
            if keep.len() == before {
                let near = self
                    .steps
                    .keys()
                    .min_by_key(|id| strsim::damerau_levenshtein(id, name))
                    .map_or(String::new(), |id| format!("did you mean `{id}`? "));
                return Err(PlanError::NoTask {
                    task: name.clone(),
                    near,
                });
            }
        }
        let mut open: Vec<String> = keep.iter().map(|id| (*id).clone()).collect();
        let mut needed: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(id) = open.pop() {
            for before in self.steps.get(&id).map_or(&[][..], |step| &step.after) {
                if needed.insert(before.clone()) {
                    open.push(before.clone());
                }
            }
        }
        // Who fails must be able to clean up after all that was kept.
        let follows = |step: &Step| {
            let follows = matches!(&step.work, Work::Actions(work) if work.on_failure);
            follows && step.after.iter().all(|on| needed.contains(on))
        };
        let followers: Vec<String> = (self.steps.values())
            .filter(|step| follows(step))
            .map(|step| step.id.clone())
            .collect();
        needed.extend(followers);
        self.steps.retain(|id, _| needed.contains(id));
        Ok(())
    }
}

/// Whether a folder holds a definition to build, and under which name. A
/// package that was unpacked there, checksums and all, is none.
#[must_use]
pub fn definition_in(folder: &Path) -> Option<(Dialect, PathBuf)> {
    if folder.join(Dialect::CHECKSUMS).is_file() {
        return None;
    }
    Dialect::ALL.into_iter().find_map(|dialect| {
        let path = folder.join(dialect.definition_file());
        path.is_file().then_some((dialect, path))
    })
}
