//! Where existing packages come from.
//!
//! So far: skeleton packages, which definitions import from. Nothing that is
//! found here is trusted further than its digest.

mod skeleton;

pub use skeleton::{Origin, Skeleton, SkeletonError};
