//! Evaluates the templates and references of one instance.
//!
//! Verbs are rendered through it. It knows the values that the instance may
//! use and the instances that it may refer to, and no task.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::error::ExpandError;
use super::expression::{Context, ExpressionError, Template};
use super::matrix::{Row, Selector, instance_name};
use crate::yaml::nearest;

/// The matrix rows of every task of the workspace, by its name with its folder: the
/// instances that references select among.
pub type Rows<'p> = BTreeMap<String, &'p [Row]>;

/// Maximum length of the texts in the instances of a pipeline, in bytes: 64 MiB. A
/// matrix multiplies every text of its task, and the variables of the pipeline.
const MAX_RENDERED_BYTES: usize = 64 << 20;

/// Maximum size of the values passed to instances, used or not, in bytes: 4 GiB,
/// which takes some seconds.
const MAX_CONTEXT_BYTES: usize = 4 << 30;

/// What a reference to a task of the workspace's own pipeline begins with, in a pipeline
/// of a folder below.
const ROOT: &str = ".:";

/// What the instances of a pipeline have taken so far.
#[derive(Debug, Default)]
pub struct Spent {
    rendered: Cell<usize>,
    context: Cell<usize>,
}

impl Spent {
    /// Counts a text of an instance.
    pub fn text(&self, bytes: usize) -> Result<(), ExpandError> {
        let what = "bytes of text in task instances";
        count(&self.rendered, bytes, what, MAX_RENDERED_BYTES)
    }

    /// Counts the values that an instance may use.
    pub fn context(&self, bytes: usize) -> Result<(), ExpandError> {
        let what = "bytes of values for task instances";
        count(&self.context, bytes, what, MAX_CONTEXT_BYTES)
    }
}

fn count(
    spent: &Cell<usize>,
    bytes: usize,
    what: &'static str,
    limit: usize,
) -> Result<(), ExpandError> {
    spent.set(spent.get().saturating_add(bytes));
    match spent.get() > limit {
        true => Err(ExpandError::TooMany { what, limit }),
        false => Ok(()),
    }
}

/// Evaluates for one instance.
pub struct Renderer<'p> {
    /// The instance, for messages.
    pub id: String,
    /// The values that templates use.
    pub context: Context,
    /// Begins the names of the tasks of its file.
    prefix: &'p str,
    rows: &'p Rows<'p>,
    pub(super) spent: &'p Spent,
    edges: RefCell<BTreeSet<String>>,
    reads: RefCell<BTreeSet<String>>,
}

impl<'p> Renderer<'p> {
    /// A renderer for the instance `id` of a file whose tasks' names begin with `prefix`.
    pub fn new(
        id: String,
        context: Context,
        prefix: &'p str,
        rows: &'p Rows<'p>,
        spent: &'p Spent,
    ) -> Self {
        Self {
            id,
            context,
            prefix,
            rows,
            spent,
            edges: RefCell::default(),
            reads: RefCell::default(),
        }
    }

    /// Every instance that was selected so far, and of these those that were selected by
    /// `dependsOn` alone.
    pub fn edges(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (edges, reads) = (self.edges.borrow(), self.reads.borrow());
        let order = edges.difference(&reads).cloned().collect();
        (edges.clone(), order)
    }

    /// The error of a template at `key`, with what to do about it.
    pub fn wrong(&self, key: &str, source: ExpressionError) -> ExpandError {
        let name = source.message.split('`').nth(1).unwrap_or_default();
        let help = match name.split_once('.') {
            Some(("params", name)) => {
                format!("give --param {name}=VALUE, or a `default` under `params`")
            }
            Some(("git", _)) => "run in a Git checkout with a commit, or guard it with `if`".into(),
            Some(("matrix", axis)) => format!("add the axis `{axis}`, or an include row for it"),
            Some(("env", name)) => format!("declare `{name}` under `env`, or set it for this run"),
            Some(("tasks", _)) => "results of tasks are not known before the run; remove it".into(),
            _ => "correct the expression".to_owned(),
        };
        ExpandError::Expression {
            instance: self.id.clone(),
            key: key.to_owned(),
            source,
            help,
        }
    }

    /// The value of a template.
    pub fn render(&self, key: &str, template: &Template) -> Result<String, ExpandError> {
        let text = template
            .render(&self.context)
            .map_err(|e| self.wrong(key, e))?;
        self.spent.text(text.len())?;
        Ok(text)
    }

    /// The value of a template, if there is one.
    pub fn optional(
        &self,
        key: &str,
        template: Option<&Template>,
    ) -> Result<Option<String>, ExpandError> {
        template.map(|t| self.render(key, t)).transpose()
    }

    /// The values of templates, in order.
    pub fn list(&self, key: &str, list: &[Template]) -> Result<Vec<String>, ExpandError> {
        list.iter().map(|t| self.render(key, t)).collect()
    }

    /// The instances that references select, each once, in the order of the
    /// references. All become edges.
    pub fn references(&self, key: &str, list: &[Template]) -> Result<Vec<String>, ExpandError> {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for reference in list {
            for id in self.select(key, &self.render(key, reference)?)? {
                if seen.insert(id.clone()) {
                    all.push(id);
                }
            }
        }
        Ok(all)
    }

    /// The instances of `task` or `task[axis=value]`.
    pub fn select(&self, key: &str, text: &str) -> Result<Vec<String>, ExpandError> {
        let selector = Selector::parse(text).map_err(|source| ExpandError::Selector {
            instance: self.id.clone(),
            key: key.to_owned(),
            source,
        })?;
        let task = &self.task(&selector.task);
        let Some(rows) = self.rows.get(task).copied() else {
            let near = nearest(task, self.rows.keys().map(String::as_str));
            return Err(ExpandError::NoTask {
                instance: self.id.clone(),
                key: key.to_owned(),
                task: selector.task,
                near: near.map_or_else(String::new, |near| format!("did you mean `{near}`? ")),
            });
        };
        let chosen: Vec<String> = rows
            .iter()
            .filter(|row| selector.selects(row))
            .map(|row| instance_name(task, row))
            .collect();
        if chosen.is_empty() {
            let known = rows.iter().take(20);
            let known: Vec<String> = known.map(|row| instance_name(task, row)).collect();
            return Err(ExpandError::NoInstance {
                instance: self.id.clone(),
                key: key.to_owned(),
                selector: text.to_owned(),
                known: known.join(", "),
            });
        }
        self.edges.borrow_mut().extend(chosen.iter().cloned());
        if key != "dependsOn" {
            self.reads.borrow_mut().extend(chosen.iter().cloned());
        }
        Ok(chosen)
    }

    /// The full name of a task: one of the same file, or `FOLDER:TASK`.
    fn task(&self, name: &str) -> String {
        let own = format!("{}{name}", self.prefix);
        match self.rows.contains_key(&own) {
            true => own,
            false => name.strip_prefix(ROOT).unwrap_or(name).to_owned(),
        }
    }

    /// The one instance of a reference.
    pub fn select_one(&self, key: &str, text: &str) -> Result<String, ExpandError> {
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
