//! The pipeline file as checked values: tasks, verbs, parameters, matrices and
//! the expressions between them.
//!
//! It stands above `yaml` and `oci` and below the graph. It never opens a file,
//! reads a clock or looks at the environment.

pub mod check;
pub mod duration;
pub mod expand;
pub mod expression;
pub mod matrix;
pub mod model;
pub mod params;
mod place;
pub mod schema;
pub mod size;

pub use expand::{
    ExpandError, Facts, ImageLayer, ImageSource, ImagesSource, Instance, LayerSource,
    RenderedConfig, RenderedKind, RenderedOutput, RunsAfter, expand,
};
pub use model::{CacheLimits, Pipeline, Resources, Retries, RetryOn, Sandbox, Secret};
pub use params::ParamError;
pub use place::place;
