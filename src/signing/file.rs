//! The file of a plain signature, such as `jackal.yaml.sig`.
//!
//! Source: docs/spec/signing.md, "Signature file".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Largest signature file that is read, in bytes: 64 KiB, as for keys.
const MAX_BYTES: usize = 64 << 10;

/// Why a file holds no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFileError {
    /// There is nothing in it.
    #[error("the signature file is empty")]
    Empty,
    /// Far more than a signature.
    #[error("the signature file is longer than {MAX_BYTES} bytes")]
    Large,
}

/// The signature in a file: base64, also wrapped over lines; else the bytes are
/// taken as they are.
///
/// # Errors
///
/// [`SignatureFileError`]
pub fn read_signature_file(content: &[u8]) -> Result<Vec<u8>, SignatureFileError> {
    if content.is_empty() {
        return Err(SignatureFileError::Empty);
    }
    if content.len() > MAX_BYTES {
        return Err(SignatureFileError::Large);
    }
    let text: Vec<u8> = content
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    Ok(STANDARD.decode(text).unwrap_or_else(|_| content.to_vec()))
}

/// `signature` as such a file: base64 without a line end.
#[must_use]
pub fn write_signature_file(signature: &[u8]) -> Vec<u8> {
    STANDARD.encode(signature).into_bytes()
}
