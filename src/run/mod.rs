//! Runs a plan: schedules and runs steps, and reports what happens.
//!
//! Independent of the details of any kind of work.

mod affected;
mod assess;
mod attempt;
mod damage;
mod drive;
pub mod event;
mod junit;
mod list;
mod otlp;
mod page;
pub mod record;
pub mod schedule;
mod trace;
mod update;
mod watched;
mod why;

pub use affected::Cause;
pub(crate) use affected::{Baseline, differing, upstream};
pub use assess::{Assessed, Verdict};
pub(crate) use assess::{assess, prepare, ready};
pub use drive::{How, Ran, run};
pub use junit::junit;
pub use list::list_files;
pub use otlp::{Trace, otlp};
pub use page::{Planned, plan_page, run_page};
pub use trace::chrome_trace;
pub(crate) use update::update;
pub(crate) use watched::Watched;
pub use why::Known;
