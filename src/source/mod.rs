//! Where existing packages come from.
//!
//! Skeleton packages, which definitions import from; packages in files and in
//! registries, with their blobs. Nothing that is found here is trusted further
//! than its digest.

mod attached;
mod local;
mod package;
mod remote;
mod skeleton;

pub use attached::{EMPTY_CONFIG, bundles_about, speaking_manifest, tagged_about};
pub use local::PackageBlobs;
pub use package::{Package, Remote, SourceError};
pub use remote::{RemoteError, RemotePackage};
pub use skeleton::{Origin, Skeleton, SkeletonError};
