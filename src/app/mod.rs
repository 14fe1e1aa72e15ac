//! User operations: options in, outcome out, no printing.

mod build;
mod cache;
mod package_verify;

pub use build::{BuildError, BuildOptions, Built, Prepared, prepare};
pub use cache::{cache_prune, cache_usage, cache_verify};
pub use package_verify::{VerifyError, package_verify};
