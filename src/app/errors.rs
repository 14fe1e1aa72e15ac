//! Every error that an operation can return, with the types they contain.
//!
//! The command line selects exit codes and hints by variant, and needs no other room
//! for that.

pub use super::build_error::BuildError;
pub use super::generate::GenerateError;
pub use super::images::ImageError;
pub use super::init::InitError;
pub use super::key_files::KeyFileError;
pub use super::logins::LoginError;
pub use super::migrate_error::PackageMigrateError;
pub use super::package_delta::PackageDeltaError;
pub use super::package_sign::PackageSignError;
pub use super::publish::PublishError;
pub use super::pull::PullError;
pub use super::read_error::PackageReadError;
pub use super::sbom::TreeError;
pub use super::skeleton::SkeletonMakeError;
pub use super::trust::TrustError;
pub use crate::cas::CasError;
pub use crate::graph::GraphError;
pub use crate::ground::{Class, Failure};
pub(crate) use crate::ground::{is_of_disk, system_cause};
pub use crate::kinds::package::export::ExportError;
pub use crate::layout::{DeltaError, LayoutError};
pub use crate::package::manifest::ArtifactError;
pub use crate::registry::{DownloadError, RegistryError};
pub use crate::release::{DocumentsError, JournalError, ReleaseError};
pub use crate::source::{HeartbeatError, OpenError, PackageSourceError, RemoteError};
pub use crate::workspace::WatchError;
