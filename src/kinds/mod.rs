//! The kinds of work: one room each, behind one trait.
//!
//! A room holds all that is known of its kind: the data that a plan puts into a
//! step, the action that names the result, the making, the errors, the pins in
//! `jackal.lock`, the provenance materials, and what reaches the user's folders.
//! `plan` creates work and `run` runs it; neither looks inside.

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

use std::pin::Pin;
use std::sync::Arc;

use crate::action::{Action, ActionResult, Output};
use crate::ground::form::OutputForm;
use crate::ground::inputs::Inputs;
use crate::ground::site::{Made, Performed, Site};
use crate::ground::{Class, Failure};
use crate::oci::Descriptor;

pub(crate) use bench::Bench;
use material::Material;
pub(crate) use results::{Done, Results, image_of, of};

/// The name of an output that is a tar of one file or folder, whose entries
/// begin with one name; links are kept.
pub(crate) const TREE: &str = "tree.tar";

/// What a kind of work knows of the step and the run that it is part of.
pub(crate) struct Context<'a> {
    pub(crate) site: &'a Arc<Site>,
    /// Processors that the step asks for.
    pub(crate) cpu: u32,
    /// What the steps before it left.
    pub(crate) results: &'a Results,
}

/// A step that could be run now.
pub(crate) struct Prepared {
    pub(crate) action: Action,
    /// What the action reads, and where that is.
    pub(crate) inputs: Inputs,
    /// The image that it is about.
    pub(crate) manifest: Option<Descriptor>,
    /// What its outputs are.
    pub(crate) form: OutputForm,
    /// Why its result is never remembered: the key does not cover all that it reads.
    pub(crate) uncached: Option<&'static str>,
}

impl Prepared {
    /// An action that reads `inputs`.
    pub(crate) fn of(mut action: Action, inputs: Inputs) -> Self {
        action.inputs = Arc::clone(&inputs.tree);
        Self {
            action,
            inputs,
            manifest: None,
            form: OutputForm::Blobs,
            uncached: None,
        }
    }
}

/// Makes the outputs of an action from the action and its inputs alone, wherever
/// that is: every kind without effects is listed here by its action.
///
/// # Errors
///
/// What the kind says; [`Class::Configuration`] for an action that has effects or
/// is of no kind.
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
        package::ACTION => Box::pin(package::make(action, inputs, bench)),
        package::COMPRESS => Box::pin(package::compress(inputs, bench)),
        other => {
            let message = format!("`{other}` is no action that can be carried out by itself");
            Box::pin(async { Err(Failure::new(Class::Configuration, message)) })
        }
    }
}

/// One kind of work.
pub(crate) trait Kind {
    /// The verb, as pipelines and records write it.
    fn verb(&self) -> &'static str;

    /// Everything that `jackal.lock` pins for this work, and `jackal update` asks
    /// for again. Without a default, so that a new kind cannot forget it.
    fn pins(&self) -> Result<Vec<pins::Pin>, Failure>;

    /// Finds out what names the result: digests files, resolves references.
    /// Uses the network only for a reference without a pin.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure>;

    /// Brings the inputs that come over the network and are not in the cache.
    /// Returns how many bytes came.
    async fn fetch(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<u64, Failure> {
        let _ = (cx, prepared);
        Ok(0)
    }

    /// Makes the result: from the action and its inputs alone, unless the kind has
    /// effects and says otherwise.
    async fn make(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<Made, Failure> {
        let bench = Bench::of(cx.site);
        make_pure(&prepared.action, &prepared.inputs, &bench).await
    }

    /// The manifest of the image that the step made or fetched.
    fn manifest(&self, prepared: &Prepared, outputs: &[Output]) -> Option<Descriptor> {
        let _ = outputs;
        prepared.manifest.clone()
    }

    /// Whether other machines may use the result: its outputs are all of it, and
    /// no secret of this machine went into it.
    fn travels(&self) -> bool {
        true
    }

    /// Whether the work ends by itself, and in order, when the run is stopped.
    fn stops_itself(&self) -> bool {
        false
    }

    /// Why it runs although nothing changed; `None`: its result is missing.
    fn always_runs(&self) -> Option<&'static str> {
        None
    }

    /// Whether it runs because a step before it failed.
    fn follows_failure(&self) -> bool {
        false
    }

    /// Puts the outputs where the user looks for them. Returns the files and
    /// places to report.
    fn deliver(&self, site: &Site, outputs: &[Output]) -> Result<Vec<String>, Failure> {
        let _ = (site, outputs);
        Ok(Vec::new())
    }

    /// What the result was made from, for provenance; files and tools are added
    /// for every kind.
    fn materials(&self, action: &Action) -> Vec<Material> {
        let _ = action;
        Vec::new()
    }
}

/// The one list of kinds: the enum, and `each!`, which hands a call on to the
/// work inside.
macro_rules! kinds {
    ($d:tt $($(#[$doc:meta])* $variant:ident($work:ty);)*) => {
        /// What a step does.
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
    /// Reads an image from a file or folder.
    Import(image::ImportWork);
    /// Builds an image from files, without a daemon.
    BuildImage(image::BuildWork);
    /// Flattens images into one layout.
    Images(images::ImagesWork);
    ImageSbom(sbom::ImageSbomWork);
    ComponentSbom(sbom::ComponentSbomWork);
    /// Puts a package together and writes its archive.
    Package(package::PackageWork);
    /// Signs packages, and attests what they are made of.
    Sign(sign::SignWork);
    Publish(publish::PublishWork);
    Run(run::RunWork);
}

impl Kind for Work {
    fn verb(&self) -> &'static str {
        each!(self, work => work.verb())
    }

    fn pins(&self) -> Result<Vec<pins::Pin>, Failure> {
        each!(self, work => work.pins())
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

    fn stops_itself(&self) -> bool {
        each!(self, work => work.stops_itself())
    }

    fn always_runs(&self) -> Option<&'static str> {
        each!(self, work => work.always_runs())
    }

    fn follows_failure(&self) -> bool {
        each!(self, work => work.follows_failure())
    }

    fn deliver(&self, site: &Site, outputs: &[Output]) -> Result<Vec<String>, Failure> {
        each!(self, work => work.deliver(site, outputs))
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        each!(self, work => work.materials(action))
    }
}

/// Makes the result of `work` outside of a plan, or takes it from the cache; its
/// first output.
pub(crate) async fn output(site: &Arc<Site>, work: &Work) -> Result<Output, Failure> {
    let task = Task {
        work,
        cx: Context {
            site,
            cpu: 1,
            results: &Results::new(),
        },
        cached: true,
        salts: &[],
    };
    let prepared = task.prepare().await?;
    let performed = task.perform(&prepared).await?;
    let made = performed.result.outputs.into_iter().next();
    made.ok_or_else(|| Failure::new(Class::Task, "internal error: a step made nothing"))
}

/// A step's work in its context, with what decides whether its result is kept.
pub(crate) struct Task<'a> {
    pub(crate) work: &'a Work,
    pub(crate) cx: Context<'a>,
    /// Whether its result may be remembered.
    pub(crate) cached: bool,
    /// Texts that its key holds besides.
    pub(crate) salts: &'a [String],
}

impl Task<'_> {
    /// Finds out what names the result.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Failure> {
        let mut prepared = self.work.action(&self.cx).await?;
        prepared.action.salt = self.salts.join("\n");
        Ok(prepared)
    }

    /// Whether the result of a prepared step is remembered.
    pub(crate) fn remembers(&self, prepared: &Prepared) -> bool {
        self.cached && prepared.uncached.is_none()
    }

    /// The result of a prepared step: from the cache, or made now.
    pub(crate) async fn perform(&self, prepared: &Prepared) -> Result<Performed, Failure> {
        if self.remembers(prepared) {
            let site = self.cx.site;
            return site
                .perform(&prepared.action, prepared.form, || self.sound(prepared))
                .await;
        }
        let made = self.sound(prepared).await?;
        Ok(Performed {
            result: ActionResult {
                outputs: made.outputs,
                log: made.log.map(|log| log.digest),
                wall_ms: 0,
            },
            cached: false,
            log: made.text,
            fetched: made.fetched,
        })
    }

    /// What the step leaves for those after it.
    pub(crate) fn done(&self, prepared: &Prepared, performed: &Performed) -> Done {
        let outputs = performed.result.outputs.clone();
        let travels = self.remembers(prepared) && self.work.travels();
        Done {
            manifest: self.work.manifest(prepared, &outputs),
            outputs,
            key: travels.then(|| prepared.action.key()),
            materials: self.work.materials(&prepared.action),
            action: Some(prepared.action.clone()),
        }
    }

    /// Makes the result, and refuses it if a source is not what it was when the
    /// key was made: the cache would keep new bytes under an old key.
    async fn sound(&self, prepared: &Prepared) -> Result<Made, Failure> {
        let fetched = self.work.fetch(&self.cx, prepared).await?;
        let made = self.work.make(&self.cx, prepared).await;
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
