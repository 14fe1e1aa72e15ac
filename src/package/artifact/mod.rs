//! The package as files: their names, their checksums, and the OCI manifest and
//! layers that hold them.
//!
//! Sits above `definition` and below the stores, which bring the bytes. Never
//! reads a file.

mod checksums;
mod file_name;
pub mod layers;
pub mod manifest;
mod mark_signed;
mod migrated;

pub use checksums::{Checksums, ChecksumsError, MAX_FILES};
pub use file_name::{ArchiveName, ArchiveNameError, SKELETON, is_archive_name};
pub use mark_signed::{MarkError, mark_signed};
pub use migrated::{EditError, earlier, migrated};
