//! The pipeline file as checked values: tasks, verbs, parameters, matrices and
//! the expressions between them.
//!
//! `check` reads a file, `expand` makes task instances of it, and the planner
//! turns those into steps. A verb's keys are declared once, in `verb`. It never
//! opens a file, reads a clock or the environment.

mod check;
pub mod duration;
mod error;
mod expand;
mod expression;
mod kinds;
mod limits;
mod matrix;
mod model;
mod needs;
mod params;
mod place;
mod reader;
mod record;
mod render;
pub mod schema;
mod services;
mod settings;
pub mod size;
pub mod verb;

pub use check::{check_in, parse, parse_in};
pub use error::ExpandError;
pub(crate) use expand::is_of_git;
pub use expand::{
    Expanded, Facts, Instance, Member, RenderedOutput, RunsAfter, expand, expand_all,
};
pub use expression::GIT_FACTS;
pub use limits::{
    CACHES, CacheLimits, DownloadCache, Resources, Retries, RetryOn, Sandbox, Secret, SecretSource,
};
pub use model::{
    Identity, Param, ParamType, Pipeline, Schedule, Scheduled, Toolchain, WorkspaceSettings,
};
pub use needs::Needs;
pub use params::ParamError;
pub use place::{Place, place, span_of};
pub use services::{HttpAddress, Probe, Service};
pub use settings::Settings;
pub use verb::Verb;
