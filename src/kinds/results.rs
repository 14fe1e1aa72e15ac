//! Results of finished steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{Action, ActionKey, Output};
use crate::ground::{Class, Failure};
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
}

/// Finished steps by name.
pub(crate) type Results = BTreeMap<String, Arc<Done>>;

/// The result of `step`.
pub(crate) fn of<'r>(results: &'r Results, step: &str) -> Result<&'r Arc<Done>, Failure> {
    results.get(step).ok_or_else(|| {
        Failure::new(
            Class::Task,
            format!("depends on `{step}`, which failed or was skipped"),
        )
    })
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
