//! The signature of a package that lies in the package.
//!
//! Source: docs/spec/signing.md, "Where a signature is stored".

use serde::{Deserialize, Serialize};

use super::signer::{Signer, SignerError};
use crate::package::{Dialect, mark_signed};
use crate::signing::write_signature_file;

/// What is written into a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seal {
    /// What the oldest readers of the dialect that can check anything read: a
    /// plain signature for Jackal, a bundle for Zarf. By a certificate, a
    /// bundle for both.
    Plain,
    /// A bundle, beside the plain signature where there is a key. Jackal
    /// v0.32.7 refuses archives with it.
    Bundle,
}

/// Signs a package whose definition is `definition`, and returns the files that
/// are new or replaced; the definition is among them if it had to say that it
/// is signed.
///
/// # Errors
///
/// [`SignerError`]
pub fn seal(
    dialect: Dialect,
    definition: &[u8],
    signer: &Signer,
    how: Seal,
) -> Result<Vec<(String, Vec<u8>)>, SignerError> {
    let mut files = Vec::new();
    let marked = marked(dialect, definition).map_err(SignerError::Stopped)?;
    let plain = match (dialect, signer) {
        (Dialect::Jackal, Signer::Key(key)) => Some(key),
        _ => None,
    };
    if let Some(key) = plain {
        let signature = write_signature_file(&key.sign(&marked)?);
        files.push((dialect.signature_file().to_owned(), signature));
    }
    if plain.is_none() || how == Seal::Bundle {
        let bundle = signer.blob(&marked)?.into_bytes();
        files.push((dialect.bundle_file().to_owned(), bundle));
    }
    if marked != definition {
        files.push((dialect.definition_file().to_owned(), marked));
    }
    Ok(files)
}

/// Whether `files` are what [`seal`] makes, but for the signatures themselves,
/// which nobody has checked.
#[must_use]
pub fn is_seal(
    dialect: Dialect,
    definition: &[u8],
    signer: &Signer,
    how: Seal,
    files: &[(String, Vec<u8>)],
) -> bool {
    let has = |name: &str| files.iter().any(|(found, _)| found == name);
    let plain = dialect == Dialect::Jackal && matches!(signer, Signer::Key(_));
    let Ok(marked) = marked(dialect, definition) else {
        return false;
    };
    files.iter().all(|(name, bytes)| match name {
        name if name == dialect.definition_file() => *bytes == marked,
        name => name == dialect.signature_file() || name == dialect.bundle_file(),
    }) && has(dialect.signature_file()) == plain
        && has(dialect.bundle_file()) == (!plain || how == Seal::Bundle)
        && has(dialect.definition_file()) == (marked != definition)
}

/// The definition as it is signed.
fn marked(dialect: Dialect, definition: &[u8]) -> Result<Vec<u8>, String> {
    match dialect {
        Dialect::Jackal => Ok(definition.to_vec()),
        Dialect::Zarf => {
            let marked = mark_signed(&String::from_utf8_lossy(definition));
            Ok(marked.map_err(|error| error.to_string())?.into_bytes())
        }
    }
}
