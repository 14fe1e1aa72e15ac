//! Existing packages, wherever they are stored.
//!
//! [`Opened::open`] is the only entry point: it opens what a user names, assembles the
//! evidence and judges it. A source of packages is a file here with a row in
//! `SOURCES`. Skeleton packages, which definitions import from, are opened
//! by [`Skeleton`]. Nothing that is found here is trusted further than its digest.

mod artifact;
mod attached;
mod error;
mod file;
mod heartbeat;
mod image_layout;
mod open;
mod opening;
mod package;
mod registry;
mod remote;
mod sboms;
mod skeleton;
mod stored;
mod web;

pub use artifact::ArtifactEvidence;
pub use attached::{
    Candidates, EMPTY_CONFIG, bundle_manifest, bundles_about, bundles_of, candidates_about,
    tagged_about,
};
pub use error::{OpenError, PackageSourceError, RemoteError};
pub use heartbeat::{Heartbeat, HeartbeatError, heartbeat_about, heartbeat_tag};
pub use open::{JudgeError, Opened, forms, is_path, tags};
pub use opening::ReadOptions;
pub use package::{Copyable, Existing, Package, Republished};
pub use remote::RemotePackage;
pub use sboms::{AttachedSbom, AttachedSboms, sboms_about};
pub use skeleton::{Origin, Skeleton, SkeletonError};
pub use stored::StoredPackage;
