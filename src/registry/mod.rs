//! Registries: manifests and blobs over the OCI distribution protocol.
//!
//! A store like the others: it speaks of descriptors and references, and hands
//! out bytes for `content` to verify. Never reads the environment.

mod auth;
mod blob;
mod body;
#[cfg(test)]
mod canned;
mod client;
mod connection;
mod credentials;
mod download;
mod error;
mod host;
mod index;
mod pace;
mod pieces;
mod probe;
mod profile;
mod push;
mod referrers;
mod refusal;
mod repository;
mod retry;
pub mod runtime;
mod speed;
mod tags;

pub use blob::Blobs;
pub use body::Source;
pub use client::{Options, Registry};
pub use connection::{Connection, ConnectionError};
pub use credentials::{Credential, Credentials, CredentialsError, LoginText};
pub use download::{DownloadError, download};
pub use error::{Carried, RegistryError, Shown};
pub use host::{Hosts, PerHost, PlainHttp, install_tls};
pub use index::{Merge, read_index};
pub use probe::Probe;
pub use profile::{Chunks, PROFILES, Profile, ProfileError, Referrers};
pub use push::{Hints, Sent};
pub use refusal::Said;
pub use repository::{BlobReader, Repository};
