//! Why a pipeline has no instances.

use super::expression::ExpressionError;
use super::matrix::MatrixError;
use crate::codes::Code;

/// Why a pipeline cannot be expanded into task instances.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A template or condition has no value.
    #[error("`{key}` of the task `{instance}`")]
    Expression {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// What is wrong.
        source: ExpressionError,
        /// The next step.
        help: String,
    },
    /// A reference is not a selector once rendered.
    #[error("`{key}` of the task `{instance}`")]
    Selector {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// What is wrong.
        source: MatrixError,
    },
    /// A reference selects no instance.
    #[error(
        "`{key}` of the task `{instance}` selects `{selector}`, but no instance matches: use one of: {known}"
    )]
    NoInstance {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// The reference.
        selector: String,
        /// Instances that exist.
        known: String,
    },
    /// A reference names no task of the workspace.
    #[error(
        "`{key}` of the task `{instance}` names the task `{task}`, which does not exist: {near}a task of another folder is FOLDER:TASK, from the root of the workspace"
    )]
    NoTask {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// The reference.
        task: String,
        /// A suggestion, or nothing.
        near: String,
    },
    /// A reference selects several instances where one is expected.
    #[error(
        "`{key}` of the task `{instance}` selects {count} instances with `{selector}`, expected one: add [axis=value]"
    )]
    ManyInstances {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// The reference.
        selector: String,
        /// How many.
        count: usize,
    },
    /// A value that is wrong once it is rendered.
    #[error("`{key}` of the task `{instance}` is `{value}`, expected {expected}")]
    Value {
        /// The instance.
        instance: String,
        /// The key that holds it.
        key: String,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An output is a pattern.
    #[error(
        "the output `{path}` of the task `{instance}` is a pattern, expected a path: declare the folder, such as `dist/`"
    )]
    OutputPattern {
        /// The instance.
        instance: String,
        /// The pattern.
        path: String,
    },
    /// An output leaves the pipeline's folder.
    #[error(
        "the output `{path}` of the task `{instance}` is outside the folder of the pipeline file: write a path relative to it without `..`"
    )]
    OutputPath {
        /// The instance.
        instance: String,
        /// The path.
        path: String,
    },
    /// An output in the repository of Git.
    #[error(
        "the output `{path}` of the task `{instance}` has a part called `.git`, in which Git finds programs to run: give it another name"
    )]
    OutputOfGit {
        /// The instance.
        instance: String,
        /// The path.
        path: String,
    },
    /// Two instances write the same path.
    #[error(
        "the output `{path}` of the task `{instance}` overlaps an output of `{other}`: give each output one task. Paths are relative to the pipeline file, not to `workdir`; in a matrix, put a value in the path"
    )]
    OutputOverlap {
        /// The instance.
        instance: String,
        /// The path.
        path: String,
        /// The instance that has it already.
        other: String,
    },
    /// Too much for one run.
    #[error("the pipeline has more than {limit} {what}: use smaller matrices or selectors")]
    TooMany {
        /// What exceeds the limit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl ExpandError {
    /// The next step, where the text does not give one.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Expression { help, .. } => Some(help),
            _ => None,
        }
    }

    /// What kind of mistake it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Expression { .. } => Code::InvalidExpression,
            Self::NoTask { .. } => Code::UnknownTask,
            Self::Selector { .. } | Self::NoInstance { .. } | Self::ManyInstances { .. } => {
                Code::InvalidReference
            }
            Self::Value { .. } => Code::InvalidValue,
            Self::OutputPattern { .. } | Self::OutputPath { .. } | Self::OutputOfGit { .. } => {
                Code::InvalidOutput
            }
            Self::OutputOverlap { .. } => Code::OutputOverlap,
            Self::TooMany { .. } => Code::TooLarge,
        }
    }

    /// The instance and the key that it is about.
    #[must_use]
    pub fn about(&self) -> Option<(&str, &str)> {
        match self {
            Self::Expression { instance, key, .. }
            | Self::Selector { instance, key, .. }
            | Self::NoTask { instance, key, .. }
            | Self::NoInstance { instance, key, .. }
            | Self::ManyInstances { instance, key, .. }
            | Self::Value { instance, key, .. } => Some((instance, key)),
            Self::OutputPath { instance, .. }
            | Self::OutputPattern { instance, .. }
            | Self::OutputOfGit { instance, .. }
            | Self::OutputOverlap { instance, .. } => Some((instance, "outputs")),
            Self::TooMany { .. } => None,
        }
    }
}
