//! Running: decides which task runs next.
//!
//! Sits above the stores and the domain, below `app`. Never prints, and never
//! stores a result of a task that did not succeed.

pub mod schedule;
