//! The checkout: its files and their digests.
//!
//! It never starts git, never follows a link, and never leaves its root.

mod footprint;
mod git;
mod index;
mod list;
mod snapshot;
mod stat_cache;
mod walk;
mod watch;

pub use footprint::{Difference, Footprint, differences, names_in};
pub use git::{Checkout, Stands, Tag, checkout, git_facts};
pub use index::{UnreadIndex, tracked_files};
pub use list::{Identity, Links, Rules, Written, list, list_by};
pub use snapshot::Snapshot;
pub use stat_cache::StatCache;
pub use walk::{
    Climbing, Entry, Globs, Kind, Stat, WalkError, Walked, climbed, fixed_part, taken_apart, walk,
    walk_all,
};
pub use watch::{Changes, WatchError, Watcher};
