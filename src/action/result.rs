//! Action results: what an action wrote, as the action cache keeps it.
//!
//! The encoding is versioned, ends in a BLAKE3 checksum, and has one form for
//! each result. Decoding refuses anything else, and never panics: to the
//! cache, a damaged entry is a miss.

use crate::oci::Digest;

const MAGIC: &[u8; 4] = b"JKAR";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 32;

/// Largest encoded result, in bytes: 16 MiB, some hundred thousand outputs.
pub const MAX_RESULT_BYTES: usize = 16 << 20;

/// What a successful action left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// In the order in which the task declares them.
    pub outputs: Vec<Output>,
    /// The captured log, if one was kept.
    pub log: Option<Digest>,
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

/// Why bytes are not an action result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// More bytes than any result has.
    #[error("action result has {0} bytes, expected at most {MAX_RESULT_BYTES}")]
    TooLarge(usize),
    /// The checksum does not match, or there is no room for one.
    #[error("action result is damaged: its checksum does not match")]
    Checksum,
    /// Not the first bytes of a result.
    #[error("not an action result: expected it to begin with `JKAR`")]
    Magic,
    /// Written by another version.
    #[error("action result has version {0}, expected {VERSION}")]
    Version(u32),
    /// Sound, but not of the expected shape.
    #[error("action result is malformed at byte {at}: expected {expected}")]
    Malformed {
        /// Offset of the fault.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
}

impl ActionResult {
    /// The one encoding of this result.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.wall_ms.to_le_bytes());
        bytes.push(u8::from(self.log.is_some()));
        if let Some(log) = &self.log {
            bytes.extend(log.as_bytes());
        }
        bytes.extend((self.outputs.len() as u64).to_le_bytes());
        for output in &self.outputs {
            bytes.extend((output.name.len() as u64).to_le_bytes());
            bytes.extend(output.name.as_bytes());
            bytes.extend(output.digest.as_bytes());
            bytes.extend(output.size.to_le_bytes());
        }
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
        let mut reader = Reader { body, at: 0 };
        if reader.array("four magic bytes") != Ok(*MAGIC) {
            return Err(ResultError::Magic);
        }
        match u32::from_le_bytes(reader.array("a version")?) {
            VERSION => {}
            other => return Err(ResultError::Version(other)),
        }
        let wall_ms = reader.number("a wall time")?;
        let log = match reader.array("0 or 1")? {
            [0u8] => None,
            [1] => Some(reader.digest()?),
            _ => return Err(reader.malformed("0 or 1")),
        };
        // Pushed one by one, so that a false count cannot ask for memory.
        let mut outputs = Vec::new();
        for _ in 0..reader.number("a count of outputs")? {
            outputs.push(Output {
                name: reader.text()?,
                digest: reader.digest()?,
                size: reader.number("a size")?,
            });
        }
        if reader.at != body.len() {
            return Err(reader.malformed("the end"));
        }
        Ok(Self {
            outputs,
            log,
            wall_ms,
        })
    }
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn malformed(&self, expected: &'static str) -> ResultError {
        let at = self.at;
        ResultError::Malformed { at, expected }
    }

    fn take(&mut self, count: u64, expected: &'static str) -> Result<&'a [u8], ResultError> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .and_then(|end| self.body.get(self.at..end))
            .ok_or_else(|| self.malformed(expected))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], ResultError> {
        let taken = self.take(N as u64, expected)?;
        taken.try_into().map_err(|_| self.malformed(expected))
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, ResultError> {
        self.array(expected).map(u64::from_le_bytes)
    }

    fn digest(&mut self) -> Result<Digest, ResultError> {
        self.array("a digest").map(Digest::from_bytes)
    }

    fn text(&mut self) -> Result<String, ResultError> {
        let count = self.number("the length of a name")?;
        let bytes = self.take(count, "a name")?;
        let text = str::from_utf8(bytes).map_err(|_| self.malformed("a name in UTF-8"))?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn results() -> impl Strategy<Value = ActionResult> {
        let output = (".{0,20}", any::<[u8; 32]>(), any::<u64>());
        let outputs = prop::collection::vec(output, 0..5);
        (outputs, any::<Option<[u8; 32]>>(), any::<u64>()).prop_map(|(outputs, log, wall_ms)| {
            let output = |(name, digest, size)| Output {
                name,
                digest: Digest::from_bytes(digest),
                size,
            };
            ActionResult {
                outputs: outputs.into_iter().map(output).collect(),
                log: log.map(Digest::from_bytes),
                wall_ms,
            }
        })
    }

    proptest! {
        #[test]
        fn every_result_survives_the_round_trip(result in results()) {
            prop_assert_eq!(ActionResult::decode(&result.encode()), Ok(result));
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
        assert_eq!(ActionResult::decode(&bytes), Err(ResultError::Version(9)));
    }
}
