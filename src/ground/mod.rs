//! What all kinds of work share: the cache, the pins, the checkout, installed programs,
//! and cancellation.
//!
//! Independent of kinds of work and plans.

pub(crate) mod apart;
mod child;
pub(crate) mod commit;
pub mod confine;
mod failure;
pub(crate) mod folders;
pub(crate) mod form;
pub(crate) mod generated;
pub(crate) mod in_flight;
pub(crate) mod inputs;
pub mod launch;
pub(crate) mod link;
pub(crate) mod lockfile;
pub(crate) mod log;
pub(crate) mod marks;
pub(crate) mod path;
pub(crate) mod process;
pub(crate) mod published;
mod readers;
pub(crate) mod reads;
pub(crate) mod remote_cache;
mod remote_record;
pub(crate) mod repository;
pub(crate) mod revision;
mod running;
pub mod sandbox;
pub(crate) mod services;
pub(crate) mod site;
pub(crate) mod source;
pub(crate) mod stop;
pub mod terminal;
pub(crate) mod threads;
pub(crate) mod tools;
mod withdrawal;

pub use failure::{Again, Cause, CauseKind, Class, Failure, Reported};
pub(crate) use failure::{
    RECALLED, failures, is_of_disk, of_cas, of_io, of_tree, shown, system_cause,
};
pub(crate) use readers::Readers;
pub use remote_record::{Secret, SecretError};
pub use stop::Stop;
pub use withdrawal::{Stays, Withdrawal};
