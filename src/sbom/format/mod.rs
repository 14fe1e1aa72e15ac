//! Writers of documents, one file a format. They never scan.

pub mod spdx;
pub mod syft;
