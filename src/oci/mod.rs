//! Nouns of the OCI specifications: parsed and printed, nothing else.
//!
//! The lowest layer: every other module may speak these words, and these
//! modules know no file, socket or clock.

mod descriptor;
mod digest;
mod platform;

pub use descriptor::{Descriptor, media_type};
pub use digest::{Digest, DigestError, Hasher};
pub use platform::{Platform, PlatformError};
