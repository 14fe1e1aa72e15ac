//! The local cache: blobs by digest, results by key.
//!
//! A store beside `layout` and `registry`; `exec` asks it before it runs
//! anything. Whatever comes out is verified, and damage is a miss that heals.
//! It never decides what a key covers, and never trusts a file's own mtime.

mod access;
mod action_cache;
mod check;
mod prune;
mod sink;
mod stage;
mod store;
pub mod tree;

pub use action_cache::Key;
pub use check::Checked;
pub use prune::{Limits, Usage};
pub use sink::{Sink, SinkError};
pub use stage::Stage;
pub use store::{Blob, Cas, CasError, Ingest, is_damage};
