//! Signatures that are stored in the package, called seals.
//!
//! Source: docs/spec/signing.md, "Where a signature is stored".

use serde::{Deserialize, Serialize};

use super::signer::{Signer, SignerError};
use crate::package::{Dialect, mark_signed};
use crate::signing::write_signature_file;
use crate::text::with_causes;

/// The form of a signature in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seal {
    /// The form that the oldest readers of the dialect support: a plain
    /// signature for Jackal, a bundle for Zarf. Keyless signatures are bundles
    /// in both.
    Plain,
    /// A bundle, and for keys a plain signature as well. Jackal v0.32.7 refuses
    /// archives with a bundle.
    Bundle,
}

/// Signs a package with the definition `definition`, and returns the files to
/// add or replace. The definition is among them if it has to be marked as
/// signed.
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

/// Whether `files` are those that [`seal`] would return. Does not verify the
/// signatures.
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

/// The definition, marked as signed where the dialect needs it.
fn marked(dialect: Dialect, definition: &[u8]) -> Result<Vec<u8>, String> {
    match dialect {
        Dialect::Jackal => Ok(definition.to_vec()),
        Dialect::Zarf => {
            let marked = mark_signed(&String::from_utf8_lossy(definition));
            Ok(marked.map_err(|error| with_causes(&error))?.into_bytes())
        }
    }
}
