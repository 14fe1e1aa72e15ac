//! Nouns of the OCI specifications: parsed and printed, nothing else.
//!
//! The lowest layer: every other module may use these types, and these modules use no
//! file, socket or clock.

mod descriptor;
mod digest;
pub mod docker_archive;
mod manifest;
pub mod place;
mod platform;
mod reference;

pub use descriptor::{Descriptor, annotation, media_type};
pub use digest::{Digest, DigestError, Hasher};
pub use manifest::{Index, MAX_MANIFEST_BYTES, Manifest};
pub use platform::{Platform, PlatformError, host_architecture};
pub use reference::{
    DOCKER_HUB, DOCKER_HUB_API, DOCKER_HUB_HOSTS, Reference, ReferenceError, TAG_RULE,
    is_docker_hub, is_tag,
};
