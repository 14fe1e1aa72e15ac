//! User operations: options in, outcome out, no printing.

mod package_verify;

pub use package_verify::{VerifyError, package_verify};
