//! Action results: the outputs of an action, as the action cache stores them.
//!
//! The encoding is versioned, ends with a BLAKE3 checksum, and is unique for each
//! result. Decoding rejects anything else and never panics: a damaged entry is a cache
//! miss.

use crate::codec::{CodecError, Reader, Writer};
use crate::oci::{Descriptor, Digest};

const MAGIC: &[u8; 4] = b"JKAR";
/// Incremented when this encoding changes, or that of trees or logs, which results
/// name.
const VERSION: u32 = 3;
const CHECKSUM_BYTES: usize = 32;

/// Largest encoded result, in bytes: 16 MiB, some hundred thousand outputs.
pub const MAX_RESULT_BYTES: usize = 16 << 20;

/// The result of a successful action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// In the order in which the task declares them.
    pub outputs: Vec<Output>,
    /// The captured log, if one was kept.
    pub log: Option<Digest>,
    /// Reports of its tests, if it declares any: a document of `junit`.
    pub reports: Option<Digest>,
    /// Wall time of the successful attempt, in milliseconds.
    pub wall_ms: u64,
}

/// One output of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The declared path or name.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

impl Output {
    /// The output `name` with the content that `content` describes.
    #[must_use]
    pub fn of(name: impl Into<String>, content: &Descriptor) -> Self {
        Self::new(name, (content.digest, content.size))
    }

    /// The output `name` with content of this digest and size.
    #[must_use]
    pub fn new(name: impl Into<String>, (digest, size): (Digest, u64)) -> Self {
        let name = name.into();
        Self { name, digest, size }
    }
}

/// Why bytes are not an action result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Larger than any valid result.
    #[error("action result has {0} bytes, expected at most {MAX_RESULT_BYTES}")]
    TooLarge(usize),
    /// The checksum is missing or does not match.
    #[error("action result is damaged: its checksum does not match")]
    Checksum,
    /// It does not begin with the magic number.
    #[error("not an action result: expected it to begin with `JKAR`")]
    Magic,
    /// Written by another version.
    #[error("action result has version {0}, expected {VERSION}")]
    Version(u32),
    /// The checksum matches, but the content is malformed.
    #[error("action result is malformed")]
    Malformed(#[from] CodecError),
}

impl ActionResult {
    /// The unique encoding of this result.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC);
        writer.u32(VERSION);
        writer.u64(self.wall_ms);
        for blob in [&self.log, &self.reports] {
            writer.flag(blob.is_some());
            if let Some(digest) = blob {
                writer.digest(digest);
            }
        }
        writer.u64(self.outputs.len() as u64);
        for output in &self.outputs {
            writer.text(&output.name);
            writer.digest(&output.digest);
            writer.u64(output.size);
        }
        let mut bytes = writer.into_bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend(checksum.as_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// A [`ResultError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ResultError> {
        if bytes.len() > MAX_RESULT_BYTES {
            return Err(ResultError::TooLarge(bytes.len()));
        }
        let (body, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(ResultError::Checksum)?;
        if blake3::hash(body).as_bytes() != checksum {
            return Err(ResultError::Checksum);
        }
        Self::decode_body(body)
    }

    fn decode_body(body: &[u8]) -> Result<Self, ResultError> {
        let mut reader = Reader::new(body);
        if reader.array("four magic bytes")? != *MAGIC {
            return Err(ResultError::Magic);
        }
        match reader.u32("a version")? {
            VERSION => {}
            other => return Err(ResultError::Version(other)),
        }
        let wall_ms = reader.u64("a wall time")?;
        let mut blob = || {
            Ok::<_, CodecError>(match reader.flag()? {
                true => Some(reader.digest()?),
                false => None,
            })
        };
        let (log, reports) = (blob()?, blob()?);
        let outputs = reader.list(|reader| {
            Ok(Output {
                name: reader.text(MAX_RESULT_BYTES as u64, "a name")?,
                digest: reader.digest()?,
                size: reader.u64("a size")?,
            })
        })?;
        reader.end()?;
        Ok(Self {
            outputs,
            log,
            reports,
            wall_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn results() -> impl Strategy<Value = ActionResult> {
        let output = (".{0,20}", any::<[u8; 32]>(), any::<u64>());
        let outputs = prop::collection::vec(output, 0..5);
        let blobs = any::<[Option<[u8; 32]>; 2]>();
        (outputs, blobs, any::<u64>()).prop_map(|(outputs, [log, reports], wall_ms)| {
            let output = |(name, digest, size)| Output {
                name,
                digest: Digest::from_bytes(digest),
                size,
            };
            ActionResult {
                outputs: outputs.into_iter().map(output).collect(),
                log: log.map(Digest::from_bytes),
                reports: reports.map(Digest::from_bytes),
                wall_ms,
            }
        })
    }

    proptest! {
        #[test]
        fn every_result_survives_the_round_trip(result in results()) {
            prop_assert_eq!(ActionResult::decode(&result.encode()).unwrap(), result);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ActionResult::decode(&bytes).is_err());
        }

        #[test]
        fn any_damaged_byte_is_noticed(result in results(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = result.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(ActionResult::decode(&bytes).is_err());
        }

        #[test]
        fn a_body_with_a_right_checksum_decodes_only_if_it_is_canonical(
            result in results(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let mut bytes = result.encode();
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes.extend(blake3::hash(&bytes.clone()).as_bytes());
            if let Ok(decoded) = ActionResult::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_result_of_another_version_is_refused_by_its_number() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(9u32.to_le_bytes());
        bytes.extend(blake3::hash(&bytes.clone()).as_bytes());
        let decoded = ActionResult::decode(&bytes);
        assert!(matches!(decoded, Err(ResultError::Version(9))));
    }
}
