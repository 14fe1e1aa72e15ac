//! Runs a plan: which step may start, starting it, and reporting what happened.
//!
//! Knows that steps have a kind of work, and no kind's inside.

mod assess;
mod drive;
pub mod event;
pub mod record;
pub mod schedule;
mod update;

pub(crate) use assess::ready;
pub use assess::{Verdict, assess};
pub use drive::{How, run};
pub(crate) use update::update;
