//! jackal: a declarative build-pipeline runner that makes packages as cached,
//! parallel, reproducible steps.
//!
//! `docs/architecture.md` is the map: the two roads that a package's bytes take,
//! the rooms in their import order, invariants, and a glossary. A module imports
//! only those below it; `tests/it/architecture.rs` checks that.
//!
//! - Words: [`oci`], [`content`], `codec`, [`archive`], [`yaml`].
//! - Domain, without files, network or clock: [`pipeline`], [`graph`],
//!   [`action`], [`package`], [`sbom`], [`signing`], [`verify`].
//! - Stores: `disk`, [`workspace`], [`cas`], [`layout`], [`registry`],
//!   [`rehearsal`], [`signers`], [`source`], [`release`].
//! - Builds: [`ground`], [`kinds`], [`plan`], [`run`].
//! - Operations: [`app`]. The command line: [`cli`].

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests write files of their own")
)]

pub mod action;
pub mod app;
pub mod archive;
pub mod cas;
pub mod cli;
mod codec;
pub mod content;
mod disk;
pub mod graph;
pub mod ground;
pub mod kinds;
pub mod layout;
pub mod oci;
pub mod package;
pub mod pipeline;
pub mod plan;
pub mod registry;
pub mod rehearsal;
pub mod release;
pub mod run;
pub mod sbom;
pub mod signers;
pub mod signing;
pub mod source;
pub mod verify;
pub mod workspace;
pub mod yaml;
