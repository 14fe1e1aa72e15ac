//! Software bills of materials: the packages in an image or a component.
//!
//! `layer` reads one tar, `squash` stacks layers, `catalog` finds packages, `relate`
//! puts them into a `document`, `format` writes it. Never opens a file.

mod binary;
mod body;
mod budget;
mod catalog;
mod cpe;
mod distro;
pub mod document;
pub mod findings;
pub mod format;
mod inner;
pub mod layer;
mod license;
mod license_text;
mod location;
mod media;
pub mod names;
mod programs;
mod purl;
mod relate;
pub mod scan;
mod squash;
mod stored;
pub mod unpack;
pub mod unread;
mod xml;
mod zip;

pub use body::Aside;
pub use catalog::CATALOGUE_VERSION;
pub use squash::StackError;
pub use stored::{StoredError, StoredScan};
