//! Running: which task runs next, and how a command is run.
//!
//! Sits above the stores and the domain, below `app`. Never prints, and never
//! stores a result of a task that did not succeed.

pub mod executors;
pub mod process;
pub mod schedule;
