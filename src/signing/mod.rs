//! Keys, signatures, statements and bundles: signs and verifies bytes.
//!
//! Values in, values out: `signers` reads keys and passwords, and sends requests to
//! certificate authorities and logs; `app` reads trusted roots. `verify` decides by the
//! user's policy whether a verified signature is sufficient.
//!
//! How a signature is verified depends on the key or identity that the user
//! gave, never on the signed file. Formats: docs/spec/signing.md.

mod bundle;
mod claims;
mod container;
mod envelope;
mod evidence;
mod file;
mod identity;
mod json;
mod key;
mod pem_block;
mod public_key;
mod tagged;

pub use bundle::{
    Bundle, BundleError, Content, KeyBundleError, MAX_ATTESTATION_BYTES, MAX_BUNDLE_BYTES,
    MEDIA_TYPE as BUNDLE, Material,
};
pub use claims::Claims;
pub use container::{ContainerError, decrypt_container, encrypt_container};
pub use envelope::{
    CYCLONEDX_PREDICATE, Envelope, IN_TOTO, ResourceDescriptor, SIGN_PREDICATE, SLSA_PROVENANCE,
    SPDX_PREDICATE, Statement, StatementError, Subject, digests,
};
pub use evidence::{Demands, KeylessError, Proven, Root, RootError};
pub use file::{SignatureFileError, read_signature_file, write_signature_file};
pub use identity::{Identity, IdentityError, Pattern};
pub(crate) use json::parse_bounded as strict_json;
pub use key::{ImportError, KeyError, SignError, SigningKey, import};
pub use pem_block::MAX_KEY_BYTES;
pub use public_key::{Algorithm, Mismatch, PublicKey, PublicKeyError};
