//! The values that one instance may use, and the references it makes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::instance::RunsAfter;
use super::{ExpandError, Facts};
use crate::pipeline::expression::{Context, ExpressionError, Outcome, Template, Value};
use crate::pipeline::matrix::{Row, Selector, instance_name};
use crate::pipeline::model::{Pipeline, Task, TaskRef};

/// Facts of the commit; a template needs the first three, and a condition none.
const COMMIT: &[&str] = &["sha", "shortSha", "commitTime"];

/// One instance while it is being made.
pub(super) struct Scope<'p> {
    pub(super) pipeline: &'p Pipeline,
    pub(super) task: &'p Task,
    pub(super) id: String,
    pub(super) context: Context,
    pub(super) runs_after: RunsAfter,
    pub(super) skipped: bool,
    pub(super) platform: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) params: &'p BTreeMap<String, String>,
    pub(super) facts: &'p Facts,
    pub(super) edges: RefCell<BTreeSet<String>>,
}

impl<'p> Scope<'p> {
    pub(super) fn new(
        pipeline: &'p Pipeline,
        task: &'p Task,
        row: &Row,
        params: &'p BTreeMap<String, String>,
        facts: &'p Facts,
    ) -> Result<Self, ExpandError> {
        let mut scope = Self {
            pipeline,
            task,
            id: instance_name(&task.id, row),
            context: context(pipeline, task, row, params, facts),
            runs_after: RunsAfter {
                success: true,
                failure: false,
                skipped: false,
            },
            skipped: false,
            platform: None,
            env: BTreeMap::new(),
            params,
            facts,
            edges: RefCell::default(),
        };
        let strict = scope.context.clone();
        fill_gaps(&mut scope.context, pipeline);
        if let Some(platform) = &task.platform {
            let platform = platform
                .render(&strict)
                .map_err(|e| scope.wrong("platform", e))?;
            set_platform(&mut scope.context, &platform);
            scope.platform = Some(platform);
        }
        // A condition may ask for what is not set; what it guards may not be rendered then.
        let lenient = scope.context.clone();
        scope.render_env(true)?;
        scope.decide()?;
        if !scope.skipped {
            scope.context = strict;
            if let Some(platform) = &scope.platform {
                set_platform(&mut scope.context, platform);
            }
            scope.render_env(false)?;
        } else {
            scope.context = lenient;
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
                let value = match template.render(&self.context) {
                    Ok(value) => value,
                    Err(_) if lenient => String::new(),
                    Err(e) => return Err(self.wrong(&format!("env.{name}"), e)),
                };
                made.push((name.clone(), value));
            }
            for (name, value) in made {
                self.context.set(format!("env.{name}"), value.as_str());
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
            self.context.outcome = outcome;
            condition.holds(&self.context).map_err(|e| (e, outcome))
        };
        let asks = condition.asks_outcome();
        let decided = after(Outcome::Success).and_then(|success| {
            Ok(RunsAfter {
                success,
                failure: asks && after(Outcome::Failure)?,
                skipped: asks && after(Outcome::Skipped)?,
            })
        });
        self.context.outcome = Outcome::Success;
        self.runs_after = decided.map_err(|(e, _)| self.wrong("if", e))?;
        let RunsAfter {
            success,
            failure,
            skipped,
        } = self.runs_after;
        self.skipped = !(success || failure || skipped);
        Ok(())
    }

    pub(super) fn wrong(&self, key: &str, source: ExpressionError) -> ExpandError {
        let name = source.message.split('`').nth(1).unwrap_or_default();
        let help = match name.split_once('.') {
            Some(("params", name)) => {
                format!("give --param {name}=VALUE, or a `default` under `params`")
            }
            Some(("git", _)) => "run in a Git checkout with a commit, or guard it with `if`".into(),
            Some(("matrix", axis)) => format!("add the axis `{axis}`, or an include row for it"),
            Some(("env", name)) => format!("declare `{name}` under `env`, or set it for this run"),
            Some(("tasks", _)) => {
                "results of tasks are known only after the plan; remove it".into()
            }
            _ => "correct the expression".to_owned(),
        };
        ExpandError::Expression {
            instance: self.id.clone(),
            key: key.to_owned(),
            source,
            help,
        }
    }

    pub(super) fn render(&self, key: &str, template: &Template) -> Result<String, ExpandError> {
        template
            .render(&self.context)
            .map_err(|e| self.wrong(key, e))
    }

    pub(super) fn optional(
        &self,
        key: &str,
        template: Option<&Template>,
    ) -> Result<Option<String>, ExpandError> {
        template.map(|t| self.render(key, t)).transpose()
    }

    pub(super) fn list(&self, key: &str, list: &[Template]) -> Result<Vec<String>, ExpandError> {
        list.iter().map(|t| self.render(key, t)).collect()
    }

    pub(super) fn map(
        &self,
        key: &str,
        pairs: &[(String, Template)],
    ) -> Result<BTreeMap<String, String>, ExpandError> {
        let value = |(name, t): &(String, Template)| {
            Ok((name.clone(), self.render(&format!("{key}.{name}"), t)?))
        };
        pairs.iter().map(value).collect()
    }

    /// The instances that references select, in order of the references, each
    /// once; all become edges.
    pub(super) fn references(
        &self,
        key: &str,
        references: &[TaskRef],
    ) -> Result<Vec<String>, ExpandError> {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for reference in references {
            let text = self.render(key, &reference.selector)?;
            for id in self.select(key, &text)? {
                if seen.insert(id.clone()) {
                    all.push(id);
                }
            }
        }
        Ok(all)
    }

    /// The instances of `task` or `task[axis=value]`.
    pub(super) fn select(&self, key: &str, text: &str) -> Result<Vec<String>, ExpandError> {
        let selector = Selector::parse(text).map_err(|source| ExpandError::Selector {
            instance: self.id.clone(),
            key: key.to_owned(),
            source,
        })?;
        let rows = self.pipeline.tasks.get(&selector.task).map(|t| &t.rows[..]);
        let rows = rows.unwrap_or_default();
        let chosen: Vec<String> = rows
            .iter()
            .filter(|row| selector.selects(row))
            .map(|row| instance_name(&selector.task, row))
            .collect();
        if chosen.is_empty() {
            let known = rows.iter().take(20);
            let known: Vec<String> = known.map(|r| instance_name(&selector.task, r)).collect();
            return Err(ExpandError::NoInstance {
                instance: self.id.clone(),
                key: key.to_owned(),
                selector: text.to_owned(),
                known: known.join(", "),
            });
        }
        self.edges.borrow_mut().extend(chosen.iter().cloned());
        Ok(chosen)
    }

    /// The one instance of a reference.
    pub(super) fn select_one(&self, key: &str, text: &str) -> Result<String, ExpandError> {
        let mut chosen = self.select(key, text)?;
        match chosen.len() {
            1 => Ok(chosen.remove(0)),
            count => Err(ExpandError::ManyInstances {
                instance: self.id.clone(),
                key: key.to_owned(),
                selector: text.to_owned(),
                count,
            }),
        }
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
        .chain(&task.pass_through_env)
    {
        if let Some(value) = facts.env.get(name) {
            context.set(format!("env.{name}"), value.as_str());
        }
    }
    set_platform(&mut context, &facts.platform);
    context
}

/// Gives what a condition may ask for although it is not set an empty value.
fn fill_gaps(context: &mut Context, pipeline: &Pipeline) {
    let params = pipeline.params.keys().map(|name| format!("params.{name}"));
    let commit = COMMIT.iter().map(|name| format!("git.{name}"));
    let axes = pipeline.tasks.values().flat_map(|task| &task.rows);
    let axes = axes.flat_map(|row| row.keys().map(|axis| format!("matrix.{axis}")));
    let names: BTreeSet<String> = params.chain(commit).chain(axes).collect();
    for name in names {
        if context.get(&name).is_none() {
            context.set(name, "");
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
