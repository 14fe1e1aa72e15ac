//! Packages: definitions, their composition, and the files of a package.
//!
//! Sits above `oci` and `yaml` and below every store: values in, values out. Never
//! opens a file, and never decides whether a package is trusted; `verify` does.

mod artifact;
mod chart_version;
mod compose;
mod definition;
mod dialect;
pub mod diff;
mod differential;
mod git_links;
mod images_in;
mod lfs;
mod lint;
mod names_in;
mod parts;
mod repo_url;
mod shasum;
pub mod time;
mod values;

/// Largest definition or pipeline file, in bytes: 16 MiB.
pub const MAX_DEFINITION_BYTES: u64 = 16 << 20;

pub use artifact::{
    ArchiveName, ArchiveNameError, Checksums, ChecksumsError, EditError, MAX_FILES, MarkError,
    SKELETON, earlier, is_archive_name, layers, manifest, mark_signed, migrated,
};
pub use chart_version::{ChartConstraint, chart_version};
pub use compose::{
    Choice, Composed, ImportError, ImportedCommands, Look, MIGRATIONS, SkeletonUrl, Surroundings,
    UNLIMITED_RETRIES, Warning, is_name as is_template_name, template_names, unfilled,
};
pub use definition::{
    Action, ActionDefaults, ActionSet, Actions, BigBang, Build, Chart, ChartValue, ChartVariable,
    Component, Constant, DataInjection, DataTarget, Definition, Extensions, File, HealthCheck,
    ImageArchive, Import, Manifest, Metadata, Only, OnlyCluster, Scripts, SetVariable, Shell,
    Strictness, Tree, Values, Variable, VersionRequirement, Wait, WaitCluster, WaitNetwork, emit,
};
pub use dialect::{Dialect, Kind};
pub use differential::{Base, DifferentialError};
pub use git_links::patch_git_links;
pub use images_in::ImagesIn;
pub use lfs::{LFS_POINTER, lfs_pointer};
pub use lint::{Finding, Severity, lint};
pub use names_in::NamesIn;
pub use parts::{
    DeclaredPart, chart_file, declared_parts, has_older_names, kustomized, lacks_checksums,
    last_name, values_file,
};
pub use repo_url::{RepoUrl, RepoUrlError, Wanted};
pub use shasum::{address_and_sum, shasum};
pub use values::{merged_schemas, merged_values};
