//! The file of a plain signature, such as `jackal.yaml.sig`.
//!
//! Source: docs/spec/signing.md, "Signature file".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Maximum size of a signature file, in bytes: 64 KiB, as for keys.
const MAX_BYTES: usize = 64 << 10;

/// Why a signature file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFileError {
    #[error("the signature file is empty")]
    Empty,
    #[error("the signature file is longer than {MAX_BYTES} bytes")]
    Large,
}

/// Reads the signature in a file: base64, possibly over several lines, otherwise
/// raw bytes.
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

/// The content of a signature file: base64 without a line break.
#[must_use]
pub fn write_signature_file(signature: &[u8]) -> Vec<u8> {
    STANDARD.encode(signature).into_bytes()
}
