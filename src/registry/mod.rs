//! Registries: pulling manifests and blobs over the OCI distribution protocol.
//!
//! A store like the others: it speaks of descriptors and references, and hands
//! out bytes for `content` to verify. Never reads the environment.

mod auth;
mod blob;
mod client;
mod credentials;
mod download;
mod error;
mod repository;
mod sink;

pub use blob::Blob;
pub use client::{Options, Registry};
pub use credentials::{Credential, Credentials, CredentialsError};
pub use download::{DownloadError, download};
pub use error::RegistryError;
pub use repository::Repository;
pub use sink::{Sink, SinkError};
