//! What a package is: its definition, its checksums, its names.
//!
//! Sits above `oci` and below every store: values in, values out. It never
//! opens a file, and it never decides whether a package is to be trusted; that
//! is for `verify`.

mod chart_version;
mod check;
mod checksums;
mod compose;
mod definition;
mod dialect;
pub mod diff;
mod differential;
mod emit;
mod file_name;
mod git_links;
mod images_in;
pub mod layers;
mod lint;
pub mod manifest;
mod mark_signed;
mod parse;
mod repo_url;
mod schema;
mod surroundings;
mod template;
pub mod time;

pub use chart_version::{ChartConstraint, chart_version};
pub use checksums::{Checksums, ChecksumsError};
pub use compose::{Choice, Composed, MIGRATIONS, UNLIMITED_RETRIES, Warning};
pub use definition::{
    Action, ActionDefaults, ActionSet, Actions, BigBang, Build, Chart, ChartValue, ChartVariable,
    Component, Constant, DataInjection, DataTarget, Definition, Extensions, File, HealthCheck,
    ImageArchive, Import, Manifest, Metadata, Only, OnlyCluster, Scripts, SetVariable, Shell,
    Values, Variable, VersionRequirement, Wait, WaitCluster, WaitNetwork,
};
pub use dialect::{Dialect, Kind};
pub use differential::{Base, DifferentialError};
pub use emit::{Tree, emit};
pub use file_name::{ArchiveName, ArchiveNameError, SKELETON};
pub use git_links::patch_git_links;
pub use images_in::ImagesIn;
pub use lint::{Finding, Severity, lint};
pub use mark_signed::{MarkError, mark_signed};
pub use parse::Strictness;
pub use repo_url::{RepoUrl, RepoUrlError, Wanted};
pub use surroundings::{ImportError, SkeletonUrl, Surroundings};
pub use template::is_name as is_template_name;
