//! Which definition each task of a pipeline works on, composed for that task.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::build_error::{BuildError, locate_error};
use super::compose::{Chosen, Composer};
use crate::package::is_template_name;
use crate::pipeline::verb::ImagesFrom;
use crate::pipeline::{Instance, Verb};
use crate::plan::{Composed, PlanError};
use crate::yaml::SourceText;

/// Keys of `set` that set a key of `metadata`.
pub(super) const METADATA: [&str; 4] = ["name", "version", "description", "architecture"];

/// Why an instance has no definition.
pub(super) enum NoDefinition {
    Build(BuildError),
    Plan(PlanError),
}

impl NoDefinition {
    /// Converts the error for a build of the pipeline `text`.
    pub(super) fn of(self, text: &SourceText) -> BuildError {
        match self {
            Self::Build(error) => error,
            Self::Plan(error) => locate_error(text, error),
        }
    }
}

/// A composed definition with the names of its templates.
type WithTemplates = (Arc<Composed>, BTreeSet<String>);

/// Composes the definition of every instance that has one.
///
/// The `set` of a package task also applies to tasks that share its definition, unless
/// two packages set a template to different values.
pub(super) fn of_instances(
    composer: &mut Composer<'_>,
    folder: &Path,
    instances: &[Instance],
) -> Result<BTreeMap<String, Arc<Composed>>, NoDefinition> {
    let shared = shared(instances);
    let mut known: BTreeMap<(&str, Chosen), WithTemplates> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for instance in instances {
        let Some(name) = named(instance) else {
            continue;
        };
        let none = BTreeMap::new();
        let set = match &instance.verb {
            Verb::Package(package) => &package.set,
            _ => &none,
        };
        let mut chosen = Chosen {
            architecture: architecture(composer, instance),
            set: shared.get(name).cloned().unwrap_or_default(),
            ..Chosen::default()
        };
        let unknown = |key: &str| {
            NoDefinition::Plan(PlanError::Set {
                task: instance.id.clone(),
                key: key.to_owned(),
            })
        };
        for (key, value) in set {
            if METADATA.contains(&key.as_str()) {
                chosen.metadata.insert(key.clone(), value.clone());
                if key == "architecture" {
                    chosen.architecture = Some(value.clone());
                }
            } else if is_template_name(key) {
                chosen.set.insert(key.clone(), value.clone());
            } else {
                return Err(unknown(key));
            }
        }
        let key = (name, chosen);
        if !known.contains_key(&key) {
            let composed = composer.compose(&folder.join(name), &key.1);
            let (composed, templates) = composed.map_err(NoDefinition::Build)?;
            known.insert(key.clone(), (Arc::new(composed), templates));
        }
        let Some((composed, templates)) = known.get(&key) else {
            continue;
        };
        let stray = set
            .iter()
            .find(|(key, _)| !METADATA.contains(&key.as_str()) && !templates.contains(*key));
        if let Some((key, _)) = stray {
            return Err(unknown(key));
        }
        found.insert(instance.id.clone(), Arc::clone(composed));
    }
    Ok(found)
}

/// The definition that an instance works on.
pub(super) fn named(instance: &Instance) -> Option<&str> {
    match &instance.verb {
        Verb::Component(component) => Some(&component.definition),
        Verb::Package(package) => Some(&package.definition),
        Verb::Images(images) => match &images.from {
            ImagesFrom::Definition(definition) => Some(definition),
            ImagesFrom::List(_) => None,
        },
        _ => None,
    }
}

/// The architecture of the instance's platform, else the user's.
fn architecture(composer: &Composer<'_>, instance: &Instance) -> Option<String> {
    let own = match &instance.verb {
        Verb::Images(images) => images.platform.as_deref(),
        _ => None,
    };
    let platform = own.or(instance.platform.as_deref());
    let named = platform.filter(|text| *text != "any");
    let word = named.and_then(|text| text.split('/').nth(1));
    word.map(str::to_owned)
        .or_else(|| composer.architecture.map(str::to_owned))
}

/// For each definition, the templates that all of its package tasks set to the same
/// value.
fn shared(instances: &[Instance]) -> BTreeMap<&str, BTreeMap<String, String>> {
    let mut agreed: BTreeMap<&str, BTreeMap<String, Option<String>>> = BTreeMap::new();
    for instance in instances {
        let Verb::Package(package) = &instance.verb else {
            continue;
        };
        let values = agreed.entry(&package.definition).or_default();
        for (key, value) in package.set.iter().filter(|(key, _)| is_template_name(key)) {
            values
                .entry(key.clone())
                .and_modify(|old| {
                    if old.as_ref() != Some(value) {
                        *old = None;
                    }
                })
                .or_insert_with(|| Some(value.clone()));
        }
    }
    let agreed = agreed.into_iter().map(|(definition, values)| {
        let kept = values
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        (definition, kept.collect())
    });
    agreed.collect()
}
