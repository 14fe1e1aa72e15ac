//! Transfers: blobs and files in, blobs and manifests out.
//!
//! Every transfer verifies sizes and digests, resumes or retries after a broken
//! connection, and ends when it makes no progress.

pub(super) mod blob;
pub(super) mod download;
pub(super) mod pieces;
pub(super) mod push;
pub(super) mod repository;
pub(super) mod speed;
pub(super) mod upload;
