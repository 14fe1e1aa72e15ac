//! What a template drafts: tasks, and what of their results is packaged.

/// What is to be built of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    /// Where it is; empty: beside the pipeline.
    pub(super) at: String,
    pub(super) tasks: Vec<Task>,
    /// What goes into the package, and where it is put.
    pub(super) delivered: Vec<Delivered>,
    pub(super) charts: Vec<Chart>,
    /// What the user should look at.
    pub(super) notes: Vec<String>,
}

/// A task of kind `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) name: String,
    /// Why it is as it is; a line of comment each.
    pub(super) remarks: Vec<String>,
    pub(super) run: Run,
    /// Relative to the project, as all paths.
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) tools: Vec<String>,
    pub(super) caches: Vec<String>,
    /// What it fetches; `None`: nothing.
    pub(super) network: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Program(Vec<String>),
    Shell(String),
}

impl Default for Run {
    fn default() -> Self {
        Self::Program(Vec::new())
    }
}

impl Run {
    pub(super) fn program(line: &str) -> Self {
        Self::Program(line.split_whitespace().map(str::to_owned).collect())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) executable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) path: String,
}

impl Draft {
    pub(super) fn path(&self, path: &str) -> String {
        match (self.at.as_str(), path) {
            ("", path) => path.to_owned(),
            (at, "" | ".") => at.to_owned(),
            (at, path) => match path.strip_prefix('!') {
                Some(path) => format!("!{at}/{path}"),
                None => format!("{at}/{path}"),
            },
        }
    }
}

/// A remark on a task that only checks.
pub(super) const WITHOUT_OUTPUTS: &str =
    "A task without outputs runs again only when an input or a tool changes.";

pub(super) fn owned(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
