//! Software bills of materials: what is inside an image or a component.
//!
//! `layer` reads one tar, `squash` stacks layers, `catalog` finds packages,
//! `document` holds them, `format` writes them. Nothing here opens a file.

pub mod binary;
pub mod catalog;
pub mod document;
pub mod format;
pub mod layer;
pub mod names;
mod purl;
mod relate;
pub mod scan;
pub mod search;
pub mod squash;
mod stored;
pub mod unpack;

pub use stored::{CATALOGUE_VERSION, StoredError};
