//! Registries: manifests and blobs over the OCI distribution protocol.
//!
//! `client` sends requests with logins and retries; `auth` knows the logins, `host`
//! what each host needs, `transfer` moves content. A store like the others: it
//! deals in descriptors and references, and yields bytes for `content` to verify.
//! Never reads the environment.

mod auth;
#[cfg(test)]
mod canned;
mod catalog;
mod client;
mod connection;
mod error;
mod host;
mod index;
mod probe;
mod referrers;
mod refusal;
mod retry;
pub mod runtime;
mod tags;
mod transfer;

pub use auth::credentials::{Credential, Credentials, CredentialsError, LoginText};
pub use auth::kept::{Kept, tell_helper, with_login, without_login};
pub use client::{Options, Registry};
pub use connection::{Connection, ConnectionError};
pub use error::{Payload, RegistryError, ServerMessage, UsedLogin};
pub use host::profile::{Chunks, PROFILES, Profile, ProfileError, Referrers};
pub use host::{Hosts, PerHost, PlainHttp, install_tls, service_client};
pub use index::{IndexUpdate, Merge, read_index};
pub use probe::Probe;
pub use referrers::{Attaching, ListedIn};
pub use retry::is_temporary;
pub use transfer::blob::Blobs;
pub use transfer::download::{DownloadError, MAX_DOWNLOAD_BYTES, download};
pub use transfer::push::{Hints, Sent};
pub use transfer::repository::{BlobReader, Repository};
pub use transfer::upload::BlobSource;
