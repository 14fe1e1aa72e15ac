//! jackal: a declarative build-pipeline runner that makes packages as cached,
//! parallel, reproducible steps.
//!
//! `docs/architecture.md` is the map: the two roads that a package's bytes take, the
//! rooms in their import order, invariants, and a glossary. A module imports only those
//! below it; `tests/it/architecture.rs` checks that.
//!
//! - Words: `text`, [`oci`], [`content`], `codec`, [`archive`], [`yaml`].
//! - Domain, without files, network or clock: `cron`, `page`, `junit`, [`pipeline`], `graph`,
//!   `action`, [`package`], `sbom`, [`signing`], [`verify`].
//! - Stores: `disk`, `workspace`, [`cas`], [`layout`], [`registry`],
//!   [`rehearsal`], [`remote`], `signers`, [`source`], [`release`].
//! - Builds: `ground`, `kinds`, `plan`, `run`.
//! - Operations: [`app`]. The command line: [`cli`].

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests write files of their own")
)]

mod action;
pub mod app;
pub mod archive;
pub mod cas;
pub mod cli;
mod codec;
pub mod codes;
pub mod content;
mod cron;
mod disk;
mod graph;
mod ground;
mod junit;
mod kinds;
pub mod layout;
pub mod oci;
pub mod package;
mod page;
pub mod pipeline;
mod plan;
pub mod registry;
pub mod rehearsal;
pub mod release;
pub mod remote;
mod run;
mod sbom;
mod signers;
pub mod signing;
pub mod source;
mod text;
pub mod verify;
mod workspace;
pub mod yaml;

/// Used only by the integration tests and the fuzz targets.
#[doc(hidden)]
pub mod testing {
    pub use crate::disk::Enclosure;
    pub use crate::ground::launch::best;
    pub use crate::ground::sandbox::Level;
    pub use crate::ground::site::{Site, SiteOptions};
    pub use crate::junit::rewritten as rewritten_report;
    pub use crate::kinds::image::import::import_path;
    pub use crate::kinds::member::extract::extract_member;
    pub use crate::sbom::document::ScanTarget;
    pub use crate::sbom::format::syft::write as write_sbom;
    pub use crate::sbom::scan::{Image, component as catalogue_component, layer as scan_layer};
    pub use crate::sbom::{Aside, StoredScan};
}
