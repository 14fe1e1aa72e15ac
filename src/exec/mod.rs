//! Running: which task runs next, what each one does, and what is remembered.
//!
//! Sits above the stores and the domain, below `app`. Never prints, and never
//! stores a result of a task that did not succeed.
//!
//! `plan` says what there is to do, `schedule` what may start, `run` drives
//! both, `work` is what one step does with its `site`: the stores, the network
//! and the pins that all steps share.

pub mod confine;
pub mod declared;
pub mod event;
pub mod executors;
mod exports;
mod failure;
pub mod folders;
pub mod implied;
pub mod lockfile;
pub mod log;
pub mod parts;
pub mod plan;
pub mod process;
pub mod provenance;
pub mod published;
pub mod record;
pub mod run;
pub mod schedule;
pub mod site;
pub mod update;
mod work;

pub use failure::{Again, Class, Failure};
