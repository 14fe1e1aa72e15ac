//! Makes one instance.

use std::collections::BTreeMap;

use super::instance::{Instance, RenderedOutput};
use super::scope::Scope;
use crate::pipeline::error::ExpandError;
use crate::pipeline::record::Record;
use crate::pipeline::verb::Verb;

impl Scope<'_> {
    pub(super) fn instance(self) -> Result<Instance, ExpandError> {
        let (task, renderer) = (self.task, &self.renderer);
        let verb = task.verb.render(renderer)?;
        let settings = task.settings.render("", renderer)?;
        let (mut input_globs, mut input_values) = (Vec::new(), BTreeMap::new());
        let mut inputs = renderer.list("inputs", &task.inputs)?;
        let optional_globs = renderer.list("inputs", &task.optional_inputs)?;
        inputs.extend(optional_globs.iter().cloned());
        if matches!(verb, Verb::Run(_)) {
            inputs.extend(renderer.list("globalInputs", &self.pipeline.global_inputs)?);
        }
        for text in inputs {
            if let Some(name) = text.strip_prefix("param:") {
                let value = self.params.get(name).cloned();
                input_values.extend(value.map(|value| (text, value)));
            } else if let Some(name) = text.strip_prefix("env:") {
                let value = self.env.get(name).or(self.facts.env.get(name)).cloned();
                input_values.extend(value.map(|value| (text, value)));
            } else {
                input_globs.push(text);
            }
        }
        let mut input_tasks = renderer.references("inputs", &task.input_tasks)?;
        input_tasks.sort();
        let workdir = settings.workdir.clone().unwrap_or_else(|| ".".to_owned());
        let outputs = self.outputs()?;
        let names = self.pipeline.pass_through_env.iter();
        let names = names.chain(&settings.pass_through_env).cloned();
        let mut pass_through: Vec<String> = names.collect();
        pass_through.sort();
        pass_through.dedup();
        let salts = [&self.pipeline.salt, &settings.cache.salt];
        let salts = salts.into_iter().filter(|salt| !salt.is_empty()).cloned();
        let (edges, order_only) = self.renderer.edges();
        Ok(Instance {
            id: self.renderer.id.clone(),
            steps: self.renderer.id.clone(),
            skipped: self.skipped,
            runs_after: self.runs_after,
            verb,
            salts: salts.collect(),
            settings,
            input_globs,
            optional_globs: optional_globs.into_iter().collect(),
            input_values,
            input_tasks,
            outputs,
            env: self.env,
            pass_through,
            toolchains: self.pipeline.toolchains.clone(),
            workdir,
            platform: self.platform,
            depends_on: edges.into_iter().collect(),
            order_only,
        })
    }

    fn outputs(&self) -> Result<Vec<RenderedOutput>, ExpandError> {
        let mut outputs = Vec::new();
        for output in &self.task.outputs {
            let text = self.renderer.render("outputs", &output.path)?;
            let instance = || self.renderer.id.clone();
            if text.contains(['*', '?']) || text.contains('{') && text.contains(',') {
                return Err(ExpandError::OutputPattern {
                    instance: instance(),
                    path: text,
                });
            }
            let Some(path) = inside(&text).filter(|path| !path.is_empty()) else {
                return Err(ExpandError::OutputPath {
                    instance: instance(),
                    path: text,
                });
            };
            if is_of_git(&path) {
                return Err(ExpandError::OutputOfGit {
                    instance: instance(),
                    path: text,
                });
            }
            outputs.push(RenderedOutput {
                path,
                directory: text.ends_with('/'),
                optional: output.optional,
            });
        }
        Ok(outputs)
    }
}

/// Whether what is at `path` is, or is in, what Git takes for a repository: its settings
/// and hooks name programs that the user's next `git` runs. Some file systems do not
/// tell upper case from lower case.
pub(crate) fn is_of_git(path: &str) -> bool {
    path.split('/')
        .any(|name| name.eq_ignore_ascii_case(".git"))
}

/// A relative path without `.` parts and doubled slashes; nothing for one that
/// is absolute or climbs.
fn inside(text: &str) -> Option<String> {
    let climbs = text.split('/').any(|part| part == "..");
    if climbs || text.starts_with('/') || text.contains('\0') {
        return None;
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    Some(parts.join("/"))
}
