//! Results of finished steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{Action, ActionKey, Output};
use crate::cas::tree;
use crate::ground::folders::{MadePath, MadePaths};
use crate::ground::inputs::{Inputs, Recorded};
use crate::ground::marks::Marks;
use crate::ground::{Class, Failure, Readers};
use crate::kinds::Context;
use crate::kinds::material::Material;
use crate::oci::Descriptor;

/// The result of a finished step, for the steps that depend on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) outputs: Vec<Output>,
    /// The manifest, if the step made or fetched an image.
    pub(crate) manifest: Option<Descriptor>,
    /// The key under which the result may be shared with other machines. `None`:
    /// the result is more than its outputs, or is private to this machine.
    pub(crate) key: Option<ActionKey>,
    /// The action that was run, or whose result was cached.
    pub(crate) action: Option<Action>,
    /// Its materials, for provenance.
    pub(crate) materials: Vec<Material>,
    /// Why it may differ the next time.
    pub(crate) marks: Marks,
    /// Who may read every source of it.
    pub(crate) readers: Readers,
    /// Whether a source of it, or of what it was made from, is only for its owner.
    pub(crate) private: bool,
}

/// Finished steps by name.
pub(crate) type Results = BTreeMap<String, Arc<Done>>;

pub(crate) fn of<'r>(results: &'r Results, step: &str) -> Result<&'r Arc<Done>, Failure> {
    results.get(step).ok_or_else(|| {
        Failure::new(
            Class::Task,
            format!("depends on `{step}`, which failed or was skipped"),
        )
    })
}

/// No inputs yet, over what tasks made at paths of the checkout.
pub(crate) fn inputs_over(cx: &Context<'_>, made: &MadePaths) -> Result<Inputs, Failure> {
    let mut recorded = Vec::with_capacity(made.read.len());
    for MadePath { at, step, output } in made.read.iter() {
        let outputs = &of(cx.results, step)?.outputs;
        // An optional output may be missing.
        let found = outputs.iter().find(|found| found.name == *output);
        if let Some(found) = found {
            recorded.push(Recorded {
                at: at.clone(),
                step: step.clone(),
                tree: tree::load(&cx.site.cas, &found.digest)?,
            });
        }
    }
    Ok(Inputs::over(&cx.site.cas, recorded))
}

/// The image that `step` made or fetched.
pub(crate) fn image_of<'r>(
    results: &'r Results,
    step: &str,
) -> Result<(&'r Descriptor, &'r Done), Failure> {
    let done = of(results, step)?;
    let manifest = done.manifest.as_ref();
    let manifest =
        manifest.ok_or_else(|| Failure::internal(format_args!("`{step}` made no image")))?;
    Ok((manifest, done))
}
