//! The checkout: its files and their digests.
//!
//! It never starts git, never follows a link, and never leaves its root.

mod git;
mod list;
mod stat_cache;
mod walk;

pub use git::{Checkout, Tag, checkout, git_facts};
pub use list::{Identity, Links, Rules, Written, list, list_by};
pub use stat_cache::StatCache;
pub use walk::{Entry, Globs, Kind, Stat, WalkError, walk};
