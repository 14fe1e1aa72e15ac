//! The local cache: blobs by digest, results by key.
//!
//! It is consulted before anything runs. Everything read from it is verified, and a
//! damaged entry is a miss and gets replaced. It never decides what a key covers, and
//! never trusts a modification time.

mod access;
mod action_cache;
mod base;
mod check;
mod folder;
mod kept;
mod ledger;
mod prune;
mod sink;
mod stage;
mod stages;
mod store;
pub mod tree;

pub use action_cache::{Flush, Key};
pub use base::Base;
pub use check::Checked;
pub use folder::CacheFolder;
pub use kept::Kept;
pub(crate) use ledger::LedgerKey;
pub use prune::{Evicted, Limits, PRUNED, Usage};
pub use sink::{Sink, SinkError};
pub use stage::{STAGED_AT, Stage, staged_times};
pub(crate) use store::HISTORY;
pub use store::{Blob, Cas, CasError, Ingest, RESULTS, is_damage};
