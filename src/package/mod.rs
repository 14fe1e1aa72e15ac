//! What a package is: its definition, its checksums, its names.
//!
//! Sits above `oci` and below every store: values in, values out. It never
//! opens a file, and it never decides whether a package is to be trusted; that
//! is for `verify`.

mod checksums;
mod dialect;
mod file_name;

pub use checksums::{Checksums, ChecksumsError};
pub use dialect::{Dialect, Kind};
pub use file_name::{ArchiveName, ArchiveNameError, SKELETON};
