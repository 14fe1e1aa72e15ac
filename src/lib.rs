//! jackal: a declarative build-pipeline runner that makes packages as cached,
//! parallel, reproducible steps.
//!
//! Modules stand on the road that a package's bytes take, and import only what
//! stands below them; `tests/it/architecture.rs` holds that order.
//!
//! - words: [`oci`], [`content`], [`yaml`]

pub mod action;
pub mod content;
pub mod exec;
pub mod graph;
pub mod oci;
pub mod yaml;
