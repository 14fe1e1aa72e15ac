//! jackal: a declarative build-pipeline runner that makes packages as cached,
//! parallel, reproducible steps.
//!
//! Modules stand on the road that a package's bytes take, and import only what
//! stands below them; `tests/it/architecture.rs` holds that order.

pub mod action;
pub mod app;
pub mod archive;
pub mod cas;
pub mod cli;
pub mod content;
pub mod exec;
pub mod graph;
pub mod layout;
pub mod oci;
pub mod package;
pub mod pipeline;
pub mod registry;
pub mod sbom;
pub mod source;
pub mod verify;
pub mod workspace;
pub mod yaml;
