//! Writers of documents, one file a format. They never scan.

mod files;
pub mod spdx;
pub mod syft;
