//! The values that one instance may use, and whether it runs.

use std::collections::{BTreeMap, BTreeSet};

use super::instance::RunsAfter;
use super::{Facts, Member};
use crate::pipeline::error::ExpandError;
use crate::pipeline::expression::{Context, Outcome, Value};
use crate::pipeline::matrix::{Row, instance_name};
use crate::pipeline::model::{Pipeline, Task};
use crate::pipeline::render::{Renderer, Rows, Spent};

/// Facts that only a commit has. A template fails without them; in a condition they
/// are empty.
const COMMIT: &[&str] = &["sha", "shortSha", "commitTime"];

/// One instance while it is being made.
pub(super) struct Scope<'p> {
    pub(super) pipeline: &'p Pipeline,
    pub(super) task: &'p Task,
    pub(super) renderer: Renderer<'p>,
    pub(super) runs_after: RunsAfter,
    pub(super) skipped: bool,
    pub(super) platform: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) params: &'p BTreeMap<String, String>,
    pub(super) facts: &'p Facts,
}

impl<'p> Scope<'p> {
    pub(super) fn new(
        member: &'p Member<'p>,
        task: &'p Task,
        row: &Row,
        (rows, usable): (&'p Rows<'p>, &BTreeSet<String>),
        spent: &'p Spent,
    ) -> Result<Self, ExpandError> {
        let Member {
            pipeline,
            prefix,
            params,
            facts,
        } = *member;
        let strict = context(pipeline, task, row, params, facts);
        spent.context(strict.bytes())?;
        let mut scope = Self {
            pipeline,
            task,
            renderer: Renderer::new(
                format!("{prefix}{}", instance_name(&task.id, row)),
                strict.clone(),
                prefix,
                rows,
                spent,
            ),
            runs_after: RunsAfter::SUCCESS,
            skipped: false,
            platform: None,
            env: BTreeMap::new(),
            params,
            facts,
        };
        fill_gaps(&mut scope.renderer.context, usable);
        if let Some(platform) = &task.platform {
            let platform = platform
                .render(&strict)
                .map_err(|e| scope.renderer.wrong("platform", e))?;
            set_platform(&mut scope.renderer.context, &platform);
            scope.platform = Some(platform);
        }
        // A condition may use values that are not set. The templates that it guards may
        // then have no value, so they are rendered only if it holds.
        let lenient = scope.renderer.context.clone();
        scope.render_env(true)?;
        scope.decide()?;
        if !scope.skipped {
            scope.renderer.context = strict;
            if let Some(platform) = &scope.platform {
                set_platform(&mut scope.renderer.context, platform);
            }
            scope.render_env(false)?;
        } else {
            scope.renderer.context = lenient;
            scope.render_env(true)?;
        }
        Ok(scope)
    }

    /// Renders the variables, those of the pipeline first, and makes them
    /// `env.NAME`. One that has no value is an empty text when `lenient`.
    fn render_env(&mut self, lenient: bool) -> Result<(), ExpandError> {
        self.env.clear();
        for list in [&self.pipeline.env, &self.task.env] {
            let mut made = Vec::new();
            for (name, template) in list {
                let value = match template.render(&self.renderer.context) {
                    Ok(value) => value,
                    Err(_) if lenient => String::new(),
                    Err(e) => return Err(self.renderer.wrong(&format!("env.{name}"), e)),
                };
                self.renderer.spent.text(name.len() + value.len())?;
                made.push((name.clone(), value));
            }
            for (name, value) in made {
                self.renderer
                    .context
                    .set(format!("env.{name}"), value.as_str());
                self.env.insert(name, value);
            }
        }
        Ok(())
    }

    fn decide(&mut self) -> Result<(), ExpandError> {
        let Some(condition) = &self.task.condition else {
            return Ok(());
        };
        let mut after = |outcome| {
            self.renderer.context.outcome = outcome;
            condition
                .holds(&self.renderer.context)
                .map_err(|e| (e, outcome))
        };
        let asks = condition.asks_outcome();
        let decided = after(Outcome::Success).and_then(|success| {
            Ok(RunsAfter {
                success,
                failure: asks && after(Outcome::Failure)?,
                skipped: asks && after(Outcome::Skipped)?,
            })
        });
        self.renderer.context.outcome = Outcome::Success;
        self.runs_after = decided.map_err(|(e, _)| self.renderer.wrong("if", e))?;
        let RunsAfter {
            success,
            failure,
            skipped,
        } = self.runs_after;
        self.skipped = !(success || failure || skipped);
        Ok(())
    }
}

fn context(
    pipeline: &Pipeline,
    task: &Task,
    row: &Row,
    params: &BTreeMap<String, String>,
    facts: &Facts,
) -> Context {
    let mut context = Context::default();
    for (name, param) in &pipeline.params {
        if let Some(text) = params.get(name) {
            context.set(format!("params.{name}"), param.value(text));
        }
    }
    for (axis, value) in row {
        context.set(format!("matrix.{axis}"), value.as_str());
    }
    for name in ["branch", "tag"] {
        context.set(format!("git.{name}"), "");
    }
    for (name, value) in &facts.git {
        context.set(format!("git.{name}"), value.as_str());
    }
    if let Some(dirty) = facts.git.get("dirty") {
        context.set("git.dirty", Value::Bool(dirty == "true"));
    }
    for name in pipeline
        .pass_through_env
        .iter()
        .chain(&task.settings.pass_through_env)
    {
        if let Some(value) = facts.env.get(name) {
            context.set(format!("env.{name}"), value.as_str());
        }
    }
    set_platform(&mut context, &facts.platform);
    context
}

/// The names of everything that a condition may use in any task of `pipeline`.
pub(super) fn usable(pipeline: &Pipeline) -> BTreeSet<String> {
    let params = pipeline.params.keys().map(|name| format!("params.{name}"));
    let commit = COMMIT.iter().map(|name| format!("git.{name}"));
    let axes = pipeline.tasks.values().flat_map(|task| &task.rows);
    let axes = axes.flat_map(|row| row.keys().map(|axis| format!("matrix.{axis}")));
    params.chain(commit).chain(axes).collect()
}

/// Gives an empty value to everything that is `usable` and not set.
fn fill_gaps(context: &mut Context, usable: &BTreeSet<String>) {
    for name in usable {
        if context.get(name).is_none() {
            context.set(name.clone(), "");
        }
    }
    if context.get("git.dirty").is_none() {
        context.set("git.dirty", Value::Bool(false));
    }
}

fn set_platform(context: &mut Context, platform: &str) {
    let mut parts = platform.split('/');
    if let (Some(os), Some(arch)) = (parts.next(), parts.next()) {
        context.set("platform.os", os);
        context.set("platform.arch", arch);
    }
}
