//! Limits that the documents of a package share.

use crate::oci::Descriptor;
use crate::signing::{MAX_ATTESTATION_BYTES, Statement};

/// Most bytes of documents, as syft-JSON, that are in memory together to be put into one:
/// 2 GiB, those of a hundred large images.
const MAX_TOGETHER_BYTES: u64 = 2 << 30;

/// Room in a bundle for what is not its statement, in bytes: a certificate and log entries
/// have about 10 KiB.
const EVIDENCE_BYTES: u64 = 64 << 10;

/// The documents of a package are too large to be put into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its SBOMs have {0} bytes in total, and at most {MAX_TOGETHER_BYTES} are put into one document: name no format other than syft-json, or divide the package"
)]
pub struct TogetherTooLarge(u64);

/// Readers would not read all attestations of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its signatures and attestations have about {0} bytes, and readers read at most {MAX_ATTESTATION_BYTES}: attest SBOMs in fewer formats"
)]
pub struct BundlesTooLarge(u64);

/// Checks that `documents` can be in memory together.
///
/// # Errors
///
/// [`TogetherTooLarge`]
pub fn check_together<'d>(
    documents: impl IntoIterator<Item = &'d Descriptor>,
) -> Result<(), TogetherTooLarge> {
    let sizes = documents.into_iter().map(|document| document.size);
    match sizes.fold(0, u64::saturating_add) {
        sum if sum > MAX_TOGETHER_BYTES => Err(TogetherTooLarge(sum)),
        _ => Ok(()),
    }
}

/// Checks that readers will read the bundles of all `statements`, besides `others` with
/// this many bytes. Done before signing, which may leave permanent log entries.
///
/// # Errors
///
/// [`BundlesTooLarge`]
pub fn check_statements<'s>(
    statements: impl IntoIterator<Item = &'s Statement>,
    others: u64,
) -> Result<(), BundlesTooLarge> {
    // What cannot be written is reported when it is signed.
    let sizes = statements.into_iter().map(|statement| {
        let json = serde_json::to_vec(statement).unwrap_or_default();
        json.len() as u64
    });
    fit(sizes, others)
}

fn fit(statements: impl Iterator<Item = u64>, others: u64) -> Result<(), BundlesTooLarge> {
    let encoded = statements.map(|bytes| {
        let base64 = bytes.div_ceil(3).saturating_mul(4);
        base64.saturating_add(EVIDENCE_BYTES)
    });
    let bytes = encoded.fold(others, u64::saturating_add);
    match bytes <= MAX_ATTESTATION_BYTES {
        true => Ok(()),
        false => Err(BundlesTooLarge(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::signing::SIGN_PREDICATE;

    #[test]
    fn documents_that_are_put_into_one_are_limited_together() {
        let of = |size| Descriptor::blob(Digest::of(b""), size);
        let half = MAX_TOGETHER_BYTES / 2;
        assert_eq!(check_together(&[half, half].map(of)), Ok(()));
        for sizes in [[half, half + 1], [u64::MAX, u64::MAX]] {
            let error = check_together(&sizes.map(of)).unwrap_err();
            assert!(error.to_string().contains("syft-json"), "{error}");
        }
    }

    #[test]
    fn statements_must_fit_together_in_what_readers_read() {
        const MIB: u64 = 1 << 20;
        fn given(sizes: &[u64], others: u64) -> Result<(), BundlesTooLarge> {
            fit(sizes.iter().copied(), others)
        }
        assert_eq!(given(&[95 * MIB], 0), Ok(()));
        // Base64 has four bytes for three.
        assert!(given(&[96 * MIB], 0).is_err());
        assert!(given(&[60 * MIB, 60 * MIB], 0).is_err());
        assert_eq!(given(&[60 * MIB], 40 * MIB), Ok(()));
        assert!(given(&[60 * MIB], 60 * MIB).is_err());
        let error = given(&[u64::MAX, u64::MAX], u64::MAX).unwrap_err();
        assert!(error.to_string().contains("fewer formats"), "{error}");
        let statement = Statement::new(Vec::new(), SIGN_PREDICATE, serde_json::json!({}));
        assert_eq!(check_statements([&statement], 0), Ok(()));
        assert!(check_statements([&statement], 128 * MIB).is_err());
    }
}
