//! jackal: a declarative build-pipeline runner that makes packages as cached,
//! parallel, reproducible steps.
//!
//! Modules stand on the roads that a package's bytes take, and import only what
//! stands below them; `tests/it/architecture.rs` holds that order.
//!
//! # The build road
//!
//! 1. [`pipeline`] turns a pipeline file into checked tasks, every mistake at
//!    once; a folder with only a definition has an implied one
//!    ([`exec::implied`]). [`package`] composes definitions and fills templates.
//! 2. [`exec::plan`] is what there is to do: steps, each with what it waits for;
//!    [`graph`] finds circles and critical paths.
//! 3. [`exec::schedule`], a state machine without clock or thread, says what may
//!    start; [`exec::run`] starts it.
//! 4. [`workspace`] lists and digests what a step reads. An [`action`] names the
//!    work: one walk over its fields gives the key and the explanation of a miss.
//! 5. A result that [`cas`] remembers under the key is used; else one of
//!    [`exec::executors`] makes it, [`registry`] brings what is far away, and
//!    [`sbom`] lists what is inside.
//! 6. The package is a projection of the store: [`archive`] writes it as a stream.
//!
//! # The reading road
//!
//! [`source`] and [`layout`] open a package of any form and from anywhere, and
//! trust nothing in it; [`verify`] is the one door; what `app` inspects, extracts,
//! compares, pulls or publishes has passed it, signatures included.
//!
//! # The release road
//!
//! [`signing`] knows keys, bundles, statements and identities, and asks nobody;
//! [`signers`] has the parties that do the signing: keys elsewhere, certificate
//! authorities, logs, clocks. [`release`] stages packages, attaches what vouches for
//! them, verifies that as a receiver would, and moves tags last; [`rehearsal`] is a
//! registry to try that with.
//!
//! [`cli`] alone prints, reads the environment and exits; [`app`] is one user
//! operation a file. [`oci`], [`content`] and [`yaml`] are the words that all
//! others are written in.

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
pub mod rehearsal;
pub mod release;
pub mod sbom;
pub mod signers;
pub mod signing;
pub mod source;
pub mod verify;
pub mod workspace;
pub mod yaml;
