//! `jackal.yaml`: its records, their keys, and how they are read, checked and
//! written.
//!
//! Sits below `compose`, which makes one definition of several files. Never
//! opens a file.

mod check;
mod emit;
mod logins;
mod packaged;
mod parse;
mod part;
mod reading;
mod records;
mod row;
mod schema;

pub(crate) use check::{check, check_values, without_components};
pub use emit::{Tree, emit};
pub use parse::Strictness;
pub(crate) use parse::{documents, empty};
pub(crate) use part::Part;
pub(crate) use reading::Reading;
pub use records::{
    Action, ActionDefaults, ActionSet, Actions, BigBang, Build, Chart, ChartValue, ChartVariable,
    Component, Constant, DataInjection, DataTarget, Definition, Extensions, File, HealthCheck,
    ImageArchive, Import, Manifest, Metadata, Only, OnlyCluster, Scripts, SetVariable, Shell,
    Values, Variable, VersionRequirement, Wait, WaitCluster, WaitNetwork,
};
pub(crate) use row::{Row, Rule, find};
