//! Nouns of the OCI specifications: parsed and printed, nothing else.
//!
//! The lowest layer: every other module may use these types, and these modules use no
//! file, socket or clock.

mod descriptor;
mod digest;
mod manifest;
mod platform;
mod reference;

pub use descriptor::{Descriptor, annotation, media_type};
pub use digest::{Digest, DigestError, Hasher};
pub use manifest::{Index, MAX_MANIFEST_BYTES, Manifest};
pub use platform::{Platform, PlatformError, host_architecture};
pub use reference::{Reference, ReferenceError, TAG_RULE, is_tag};
