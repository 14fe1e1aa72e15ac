//! Signers: keys by reference, key management services, certificate authorities
//! with their logs and timestamps.
//!
//! Sits above `signing`, which knows the formats, and gets what needs a network,
//! a program or the environment. Source: docs/spec/signing.md, "Key references",
//! "Certificates, logs and timestamps".

mod http;
mod keyless;
mod plugin;
mod reference;
mod root_fetch;
mod seal;
mod setup;
mod signer;
#[cfg(test)]
mod stub;
mod token;
mod trust_config;
mod vault;

pub use reference::{KeyReferenceError, KeySources};
pub use root_fetch::{FetchError, fetch_root};
pub use seal::{Seal, is_seal, seal};
pub use setup::{KeylessOptions, SignerSetupError, key_signer, keyless_signer, password_in};
pub use signer::{Signer, SignerError};
pub use trust_config::TrustConfig;
