//! Packages as they lie on disk: a folder, a `.tar`, or a `.tar.zst`.
//!
//! Reads evidence for `verify`, as a stream, in one pass; it judges nothing.

mod read;

pub use read::{LayoutError, MAX_DOCUMENT_BYTES, read};
