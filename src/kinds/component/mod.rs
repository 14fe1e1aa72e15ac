//! `component`: the tar of one component.
//!
//! Charts, repositories, members of archives and kustomizations are made by separate
//! steps; this room adds their results to the tar.

pub(crate) mod files;
mod settings;
pub(crate) mod write;

use std::sync::Arc;

use files::{FileQuestion, is_remote};

use crate::action::{Action, Fields as _, Output};
use crate::ground::Failure;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::blocking;
use crate::kinds::material::Material;
use crate::kinds::pins::{Pin, answer};
use crate::kinds::{Bench, Context, Kind, Prepared, Results, TREE, inputs_over, of};
use crate::package::{Chart, Component};
use crate::workspace::Links;

pub(crate) use settings::{ComponentSettings, ManifestSettings};

/// The action that makes a component's tar.
pub(crate) const ACTION: &str = "component";

/// Version of the output format; incremented when its bytes change.
const COMPONENT_FORMAT: u32 = 2;

/// The sources of a component's tar.
#[derive(Clone, Debug)]
pub struct ComponentWork {
    /// The folders of its sources.
    pub folders: Folders,
    pub component: Component,
    /// The parts that other steps make.
    pub parts: Vec<Part>,
}

/// A part of a component that another step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its path in the component.
    pub place: String,
    /// The step whose first output it is.
    pub of: String,
}

impl ComponentWork {
    /// The URLs that the component itself downloads.
    fn questions(&self) -> Result<Vec<FileQuestion>, Failure> {
        let urls = sources(&self.component).filter(|source| is_remote(source));
        urls.map(|url| FileQuestion::of_component(&self.component, url))
            .collect()
    }

    fn local(&self, site: &Site, mut inputs: Inputs) -> Result<Inputs, Failure> {
        for source in sources(&self.component).filter(|source| !is_remote(source)) {
            write::refuse_scheme(source)?;
            inputs.source(site, &self.folders, source, Links::Packed)?;
        }
        Ok(inputs)
    }
}

impl Kind for ComponentWork {
    fn verb(&self) -> &'static str {
        "component"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        let mut reads = CheckoutReads::nothing();
        for source in sources(&self.component).filter(|source| !is_remote(source)) {
            reads.add_source(&self.folders, source);
        }
        reads
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let questions = self.questions()?.into_iter();
        Ok(questions
            .map(|question| Pin::of(&self.folders.own, question))
            .collect())
    }

    /// Computes the action: digests local files, and resolves unpinned URLs.
    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (site, own) = (Arc::clone(cx.site), self.clone());
        let inputs = inputs_over(cx, &self.folders.made)?;
        let mut inputs = blocking(move || own.local(&site, inputs)).await?;
        for question in self.questions()? {
            let pin = answer(cx.site, &self.folders.own, &question).await?;
            inputs.blob(&question.url, pin.digest, pin.size)?;
        }
        let mut trees = Vec::new();
        for part in &self.parts {
            let made = one(cx.results, part)?;
            inputs.blob(&part.place, made.digest, made.size)?;
            if made.name == TREE {
                trees.push(part.place.clone());
            }
        }
        let settings = ComponentSettings::of(&self.component, trees);
        let settings = settings.map_err(write::ComponentError::from)?;
        Ok(Prepared::new(ACTION, COMPONENT_FORMAT, &settings, inputs))
    }

    /// Downloads files that are not cached.
    async fn fetch(&self, cx: &Context<'_>, prepared: &Prepared) -> Result<u64, Failure> {
        let mut fetched = 0;
        for question in self.questions()? {
            fetched += question.fetch(cx.site, prepared).await?;
        }
        Ok(fetched)
    }

    fn materials(&self, action: &Action) -> Vec<Material> {
        files::materials(action)
    }
}

/// Makes the tar using only the action and its inputs.
pub(crate) async fn make(action: &Action, inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let settings = ComponentSettings::read("", &action.settings)?;
    let (cas, inputs) = (Arc::clone(&bench.cas), inputs.clone());
    blocking(move || {
        let written = write::write_component(&settings, &inputs, cas.ingest()?)?;
        // Without content there is no tar (docs/spec/package.md, "Component tar").
        let Some(ingest) = written else {
            return Ok(Made::default());
        };
        Ok(vec![ingest.output("component.tar")?].into())
    })
    .await
}

/// The result of a part's step.
fn one<'r>(results: &'r Results, part: &Part) -> Result<&'r Output, Failure> {
    of(results, &part.of)?
        .outputs
        .first()
        .ok_or_else(|| Failure::internal(format_args!("`{}` produced no output", part.of)))
}

/// Sources that this step reads, as opposed to a separate step.
fn sources(component: &Component) -> impl Iterator<Item = &str> {
    let files = component.files.iter();
    let files = files.filter(|file| file.extract_path.is_empty());
    let files = files.map(|file| &file.source);
    let data = component.data_injections.iter().map(|data| &data.source);
    let manifests = component.manifests.iter().flat_map(|m| &m.files);
    let packaged = component.charts.iter().map(|chart| &chart.local_path);
    let packaged = packaged.filter(|path| write::is_archive(path));
    let values = component.charts.iter().flat_map(Chart::all_values_files);
    let all = files.chain(data).chain(manifests);
    all.chain(packaged).chain(values).map(String::as_str)
}
