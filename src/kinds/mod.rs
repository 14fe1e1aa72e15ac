//! The kinds of work: one room each, behind one trait.
//!
//! A room has everything about its kind: the data of a step, the action that identifies the
//! result, the execution, the errors, pins, materials, and the delivery to the user's folders.
//! `plan` creates work and `run` runs it; neither knows its content.

pub(crate) mod actions;
pub(crate) mod alone;
mod bench;
pub(crate) mod chart;
pub(crate) mod clone;
pub(crate) mod component;
pub mod image;
pub(crate) mod images;
pub(crate) mod kustomization;
pub(crate) mod material;
pub(crate) mod member;
pub mod package;
pub(crate) mod pins;
pub(crate) mod publish;
mod results;
pub(crate) mod run;
pub(crate) mod sbom;
pub(crate) mod sign;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use crate::action::{Action, ActionKey, ActionResult, Fields, Output};
use crate::cas::tree::Tree;
use crate::ground::form::OutputForm;
use crate::ground::generated::Generated;
use crate::ground::inputs::Inputs;
use crate::ground::marks::{Mark, Marks};
use crate::ground::reads::CheckoutReads;
use crate::ground::sandbox::Level;
use crate::ground::site::{Made, Performed, Remembered, Site};
use crate::ground::source::OwnFiles;
use crate::ground::{Class, Failure, Readers, Withdrawal};
use crate::oci::{Descriptor, Platform};
use crate::pipeline::{Instance, Verb};
use crate::yaml::SourceText;

pub(crate) use bench::Bench;
use material::Material;
pub(crate) use results::{Done, Results, image_of, inputs_over, of};

/// The name of an output that is a tar of one file or folder, whose entries share a top
/// name; links are kept.
pub(crate) const TREE: &str = "tree.tar";

/// The context of some work: its step and its run.
pub(crate) struct Context<'a> {
    pub(crate) site: &'a Arc<Site>,
    /// The number of processors that the step requests.
    pub(crate) cpu: u32,
    /// The results of the steps before it.
    pub(crate) results: &'a Results,
}

/// A step that is ready to run.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) action: Action,
    /// The inputs of the action, with their locations.
    pub(crate) inputs: Inputs,
    /// The image that the step makes or fetches.
    pub(crate) manifest: Option<Descriptor>,
    /// What its outputs are.
    pub(crate) form: OutputForm,
    /// The marks of its result.
    pub(crate) marks: Marks,
    /// Levels of the sandbox above its own, the highest first: what was made there
    /// counts as well.
    pub(crate) levels_above: Vec<Level>,
    /// Why its result is never cached: the key does not cover everything that it
    /// reads.
    pub(crate) uncached: Option<&'static str>,
}

impl Prepared {
    /// An action of this kind and format, with settings.
    pub(crate) fn new(kind: &str, format: u32, settings: &impl Fields, inputs: Inputs) -> Self {
        let mut action = Action::new(kind, format);
        settings.write("", &mut action.settings);
        Self::of(action, inputs)
    }

    /// An action that reads `inputs`.
    pub(crate) fn of(mut action: Action, inputs: Inputs) -> Self {
        action.inputs = Arc::clone(&inputs.tree);
        Self {
            action,
            inputs,
            manifest: None,
            form: OutputForm::Blobs,
            marks: Marks::default(),
            levels_above: Vec::new(),
            uncached: None,
        }
    }
}

/// The setting that says at which level of the sandbox a command runs.
pub(crate) const LEVEL: &str = "sandbox";

impl Prepared {
    /// The cached result with its action: one that was made at a higher level of the
    /// sandbox, or else at its own.
    pub(crate) fn remembered(&self, site: &Site) -> Result<Option<(Action, Remembered)>, Failure> {
        // `clean` distrusts only the action itself.
        let is_clean = site.options.clean && self.marks.has(Mark::Incremental);
        let above = self.levels_above.iter().filter(|_| !is_clean);
        let above = above.map(|level| {
            let mut action = self.action.clone();
            action.settings.replace(LEVEL, level);
            action
        });
        for action in above.chain([self.action.clone()]) {
            if let Some(known) = site.remembered(&action.key(), self.form)? {
                return Ok(Some((action, known)));
            }
        }
        Ok(None)
    }

    /// The keys of the action at every level of the sandbox, its own first.
    pub(crate) fn keys(&self) -> Vec<ActionKey> {
        let own = self.action.key();
        let others = self.at_other_levels().map(|action| action.key());
        [own].into_iter().chain(others).collect()
    }

    fn at_other_levels(&self) -> impl Iterator<Item = Action> {
        let own = self.level().map(str::to_owned);
        let levels = Level::ALL.into_iter().map(|level| level.to_string());
        let others = levels.filter(move |level| own.as_ref().is_some_and(|own| own != level));
        others.map(|level| {
            let mut action = self.action.clone();
            action.settings.replace(LEVEL, level);
            action
        })
    }

    /// Makes the action the one that has this key, of its [`keys`](Self::keys).
    pub(crate) fn with_key(&mut self, key: ActionKey) {
        if self.action.key() != key {
            let found = self.at_other_levels().find(|action| action.key() == key);
            self.action = found.unwrap_or_else(|| self.action.clone());
        }
    }

    /// The level of the sandbox at which its result is made.
    pub(crate) fn level(&self) -> Option<&str> {
        let is_command = self.action.kind == run::ACTION;
        self.action.settings.get(LEVEL).filter(|_| is_command)
    }
}

/// Makes the outputs of an action using only the action and its inputs, on any machine.
/// Every kind without effects is listed here by its action.
///
/// # Errors
///
/// The errors of the kind; [`Class::Configuration`] for an action that has effects or
/// is of an unknown kind.
pub(crate) fn make_pure<'a>(
    action: &'a Action,
    inputs: &'a Inputs,
    bench: &'a Bench,
) -> Pin<Box<dyn Future<Output = Result<Made, Failure>> + Send + 'a>> {
    match action.kind.as_str() {
        component::ACTION => Box::pin(component::make(action, inputs, bench)),
        chart::ACTION => Box::pin(chart::make(action, inputs, bench)),
        member::ACTION => Box::pin(member::make(action, inputs, bench)),
        image::BUILD => Box::pin(image::build(action, inputs, bench)),
        image::IMPORT => Box::pin(image::import(action, inputs, bench)),
        images::ACTION => Box::pin(images::make(action, inputs, bench)),
        sbom::IMAGE => Box::pin(sbom::of_image(action, inputs, bench)),
        sbom::COMPONENT => Box::pin(sbom::of_component(action, inputs, bench)),
        sbom::SCAN => Box::pin(sbom::scan_layer(inputs, bench)),
        sbom::convert::CONVERT => Box::pin(sbom::convert::convert(action, inputs, bench)),
        package::ACTION => Box::pin(package::make(action, inputs, bench)),
        package::COMPRESS => Box::pin(package::compress(inputs, bench)),
        other => {
            let message = format!("actions of kind `{other}` cannot run on their own");
            Box::pin(async { Err(Failure::new(Class::Configuration, message)) })
        }
    }
}

pub(crate) trait Kind {
    /// The verb, as pipelines and records write it.
    fn verb(&self) -> &'static str;

    /// Everything that `jackal.lock` pins for this work and `jackal update` resolves
    /// again. It has no default, so that a new kind cannot forget it.
    fn pins(&self) -> Result<Vec<pins::Pin>, Failure>;

    /// What it reads of the checkout, by name: also what does not exist, and would be read
    /// if it did. It has no default, so that a new kind cannot forget it.
    fn reads(&self, own: &OwnFiles) -> CheckoutReads;

    /// Computes the action that identifies the result: digests files, resolves
    /// references. Uses the network only for references without a pin.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure>;

    /// Downloads inputs that are not cached. Returns the number of downloaded bytes.
    async fn fetch(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<u64, Failure> {
        let _ = (cx, prepared);
        Ok(0)
    }

    /// Makes the result using only the action and its inputs, unless the kind has
    /// effects and overrides this.
    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let bench = Bench::of(cx.site);
        make_pure(&prepared.action, &prepared.inputs, &bench).await
    }

    /// The manifest of the image that the step made or fetched.
    fn manifest(&self, prepared: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        let _ = outputs;
        prepared.manifest.clone()
    }

    /// Whether other machines may use the result: it consists only of its outputs, and
    /// contains no secret of this machine.
    fn travels(&self) -> bool {
        true
    }

    /// Whether a remote cache may hold its results.
    fn is_shared(&self) -> bool {
        !self.has_effects()
    }

    /// Whether it changes something elsewhere: then it is not ended halfway, unless the
    /// run is stopped.
    fn has_effects(&self) -> bool {
        false
    }

    /// Whether the work stops by itself in an orderly way when the run is stopped.
    fn stops_itself(&self) -> bool {
        false
    }

    /// The reason for running although nothing changed; `None`: its result is missing.
    fn always_runs(&self) -> Option<&'static str> {
        None
    }

    /// Whether it runs because an earlier step failed.
    fn follows_failure(&self) -> bool {
        false
    }

    /// Delivers the outputs, and `trees`, which are read from them where they are trees,
    /// to the user, in files for `readers` only. Returns the files and places to report.
    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        trees: &[Tree],
        readers: Readers,
    ) -> Result<Vec<String>, Failure> {
        let _ = (site, outputs, trees, readers);
        Ok(Vec::new())
    }

    /// Takes back what results of this step put into the user's folders, as far as it is
    /// as they put it there.
    fn withdraw(&self, site: &Site, withdrawal: &mut Withdrawal) -> Result<(), Failure> {
        let _ = (site, withdrawal);
        Ok(())
    }

    /// Who may read the outputs, given who may read every source of them.
    fn readers(&self, sources: Readers) -> Readers {
        sources
    }

    /// Warnings about the result, whether it was made now or before.
    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        let _ = (site, outputs);
        Vec::new()
    }

    /// The materials of the result, for provenance; files and tools are added for every
    /// kind.
    fn materials(&self, action: &Action) -> Vec<Material> {
        let _ = action;
        Vec::new()
    }
}

/// The only list of kinds: declares the enum, and `each!`, which delegates calls to the
/// work inside.
macro_rules! kinds {
    ($d:tt $($(#[$doc:meta])* $variant:ident($work:ty);)*) => {
        /// The work of a step.
        #[derive(Clone, Debug)]
        pub enum Work {
            $($(#[$doc])* $variant(Box<$work>),)*
        }

        $(impl From<$work> for Work {
            fn from(work: $work) -> Self {
                Self::$variant(Box::new(work))
            }
        })*

        macro_rules! each {
            ($d of:expr, $d work:ident => $d call:expr) => {
                match $d of {
                    $(Work::$variant($d work) => $d call,)*
                }
            };
        }
    };
}

kinds! {$
    /// Makes a component's tar.
    Component(component::ComponentWork);
    /// Runs commands that the definition has around a component.
    Actions(actions::ActionsWork);
    Chart(chart::ChartWork);
    /// Clones a Git repository.
    Clone(clone::CloneWork);
    /// Extracts a file or folder from an archive.
    Member(member::MemberWork);
    Kustomization(kustomization::KustomizationWork);
    Image(image::PullWork);
    /// Imports an image from a file or folder.
    Import(image::ImportWork);
    /// Builds an image from files, without a daemon.
    BuildImage(image::BuildWork);
    /// Combines images in one layout.
    Images(images::ImagesWork);
    ImageSbom(sbom::ImageSbomWork);
    ComponentSbom(sbom::ComponentSbomWork);
    /// Assembles a package and writes its archive.
    Package(package::PackageWork);
    /// Signs packages and attests how they were made.
    Sign(sign::SignWork);
    Publish(publish::PublishWork);
    Run(run::RunWork);
}

/// What the work of a task that is a single step is made from, besides the task.
pub(crate) struct Around<'a> {
    /// The folder of the pipeline: paths are relative to it.
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// Folders that tools are looked up in.
    pub(crate) path: &'a [PathBuf],
    /// Outputs of every task.
    pub(crate) generated: &'a Arc<Generated>,
    /// Outputs of other tasks that it reads by path.
    pub(crate) by_path: Vec<run::OutputNamed>,
    /// Tasks whose outputs it reads by name.
    pub(crate) input_tasks: Vec<run::InputTask>,
    /// The pipeline file, for messages.
    pub(crate) source: Option<&'a SourceText>,
    /// The platform of the task.
    pub(crate) platform: Platform,
}

/// The work of a task that is one step; `None`: `plan` makes several steps of it.
pub(crate) fn of_verb(instance: &Instance, around: Around<'_>) -> Option<Work> {
    match &instance.verb {
        Verb::Run(verb) => Some(run::RunWork::of(instance, verb, around).into()),
        Verb::Component(_)
        | Verb::Images(_)
        | Verb::Image(_)
        | Verb::Sbom(_)
        | Verb::Package(_)
        | Verb::Sign(_)
        | Verb::Publish(_) => None,
    }
}

impl Kind for Work {
    fn verb(&self) -> &'static str {
        each!(self, work => work.verb())
    }

    fn pins(&self) -> Result<Vec<pins::Pin>, Failure> {
        each!(self, work => work.pins())
    }

    fn reads(&self, own: &OwnFiles) -> CheckoutReads {
        each!(self, work => work.reads(own))
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        each!(self, work => work.action(cx).await)
    }

    async fn fetch(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<u64, Failure> {
        each!(self, work => work.fetch(cx, prepared).await)
    }

    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        each!(self, work => work.make(cx, prepared).await)
    }

    fn manifest(&self, prepared: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        each!(self, work => work.manifest(prepared, outputs))
    }

    fn travels(&self) -> bool {
        each!(self, work => work.travels())
    }

    fn is_shared(&self) -> bool {
        each!(self, work => work.is_shared())
    }

    fn has_effects(&self) -> bool {
        each!(self, work => work.has_effects())
    }

    fn stops_itself(&self) -> bool {
        each!(self, work => work.stops_itself())
    }

    fn always_runs(&self) -> Option<&'static str> {
        each!(self, work => work.always_runs())
    }

    fn follows_failure(&self) -> bool {
        each!(self, work => work.follows_failure())
    }

    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        trees: &[Tree],
        readers: Readers,
    ) -> Result<Vec<String>, Failure> {
        each!(self, work => work.deliver(site, outputs, trees, readers))
    }

    fn withdraw(&self, site: &Site, withdrawal: &mut Withdrawal) -> Result<(), Failure> {
        each!(self, work => work.withdraw(site, withdrawal))
    }

    fn readers(&self, sources: Readers) -> Readers {
        each!(self, work => work.readers(sources))
    }

    fn warnings(&self, site: &Site, outputs: &[Output]) -> Vec<String> {
        each!(self, work => work.warnings(site, outputs))
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        each!(self, work => work.materials(action))
    }
}

/// Makes the result of `work` outside of a plan, or takes it from the cache. Returns
/// its first output.
pub(crate) async fn output(site: &Arc<Site>, work: &Work) -> Result<Output, Failure> {
    let task = Task {
        work,
        cx: Context {
            site,
            cpu: 1,
            results: &Results::new(),
        },
        cached: true,
        local: false,
        salts: &[],
        order: &[],
    };
    let performed = task.perform(&task.prepare().await?).await?;
    let made = performed.result.outputs.into_iter().next();
    made.ok_or_else(|| Failure::internal("a step produced no output"))
}

/// A step's work in its context, with its cache settings.
pub(crate) struct Task<'a> {
    pub(crate) work: &'a Work,
    pub(crate) cx: Context<'a>,
    /// Whether its result may be cached.
    pub(crate) cached: bool,
    /// Whether its result stays on this machine.
    pub(crate) local: bool,
    /// Additional strings in its key.
    pub(crate) salts: &'a [String],
    /// Steps before it whose results it does not read.
    pub(crate) order: &'a [String],
}

impl Task<'_> {
    pub(crate) async fn prepare(&self) -> Result<Prepared, Failure> {
        // The future has room for those of all kinds: on its own, it is never moved.
        let mut prepared = Box::pin(self.work.action(&self.cx)).await?;
        prepared.action.salt = self.salts.join("\n");
        let mut earlier = Marks::default();
        for (step, done) in self.cx.results {
            if !self.order.contains(step) {
                earlier |= done.marks;
            }
        }
        // Its own marks are in its settings.
        for mark in earlier.without(prepared.marks).all() {
            prepared.action.settings.put(mark.name(), "inputs");
        }
        prepared.marks |= earlier;
        if prepared.marks.has(Mark::Incremental) && self.cx.site.options.clean {
            self.cx.site.distrust(prepared.action.key());
        }
        Ok(prepared)
    }

    /// Whether the result of a prepared step is cached.
    pub(crate) fn remembers(&self, prepared: &Prepared) -> bool {
        self.cached && prepared.uncached.is_none()
    }

    /// The result of a prepared step, from the cache or newly made.
    pub(crate) async fn perform(&self, prepared: &Prepared) -> Result<Performed, Failure> {
        if self.remembers(prepared) {
            let how = (prepared.form, self.shares(prepared));
            let making = || self.sound(prepared);
            return self.cx.site.perform(&prepared.action, how, making).await;
        }
        let made = self.sound(prepared).await?;
        Ok(Performed {
            result: ActionResult {
                outputs: made.outputs,
                log: made.log.map(|log| log.digest),
                reports: None,
                wall_ms: 0,
            },
            cached: false,
            log: made.text,
            report: made.report,
            fetched: made.fetched,
            warnings: made.warnings,
        })
    }

    /// Whether a remote cache may hold the result: with a mark it is not what its key says.
    fn shares(&self, prepared: &Prepared) -> bool {
        let public = prepared.marks.is_empty() && !self.is_private(prepared);
        public && !self.local && self.work.is_shared()
    }

    fn is_private(&self, prepared: &Prepared) -> bool {
        let mut earlier = self.cx.results.values();
        prepared.inputs.readers().only_owner() || earlier.any(|done| done.private)
    }

    /// Who may read the outputs of a prepared step.
    pub(crate) fn readers(&self, prepared: &Prepared) -> Readers {
        let earlier = self.cx.results.values().map(|done| done.readers);
        let sources = earlier.fold(prepared.inputs.readers(), Readers::and);
        self.work.readers(sources)
    }

    /// The result of the step, which has the key `key`, for the steps after it.
    pub(crate) fn done(&self, prepared: Prepared, performed: Performed, key: ActionKey) -> Done {
        let outputs = performed.result.outputs;
        let travels = self.remembers(&prepared) && self.work.travels() && prepared.marks.is_empty();
        let (readers, private) = (self.readers(&prepared), self.is_private(&prepared));
        Done {
            manifest: self.work.manifest(&prepared, &outputs),
            outputs,
            key: travels.then_some(key),
            materials: self.work.materials(&prepared.action),
            marks: prepared.marks,
            action: Some(prepared.action),
            readers,
            private,
        }
    }

    /// Makes the result, and rejects it if a source has changed since the key was
    /// computed: otherwise the cache would have new bytes under an old key.
    async fn sound(&self, prepared: &Prepared) -> Result<Made, Failure> {
        let fetched = Box::pin(self.work.fetch(&self.cx, prepared)).await?;
        let made = Box::pin(self.work.make(&self.cx, prepared)).await;
        if let Some(path) = prepared.inputs.changed() {
            return Err(Failure::changed(path));
        }
        let mut made = made?;
        made.fetched += fetched;
        Ok(made)
    }
}

#[cfg(test)]
mod tests;
