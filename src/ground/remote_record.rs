//! A result as a remote cache keeps it: with the key it belongs to, and a code that only
//! who knows the secret can make.

use std::fmt;

use zeroize::Zeroizing;

use crate::action::{ActionKey, ActionResult};
use crate::codec::{Reader, Writer};

const MAGIC: &[u8; 4] = b"JKRR";
/// Incremented when this encoding changes.
const VERSION: u32 = 1;

/// Separates names of results of this form from others.
pub(super) const FORMAT: &[u8] = b"jackal result 1";

/// Shortest secret, in bytes: a shorter one could be guessed.
const MIN_SECRET: usize = 32;

/// What our own results are told from others by.
#[derive(Clone)]
pub struct Secret {
    /// Signs results.
    key: Zeroizing<[u8; 32]>,
    /// Names them.
    name: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that is too short.
#[derive(Debug, thiserror::Error)]
#[error("it has {0} bytes, expected at least {MIN_SECRET}: make one with `openssl rand -hex 32`")]
pub struct SecretError(usize);

impl Secret {
    /// The secret in a file, without the line break at its end.
    ///
    /// # Errors
    ///
    /// [`SecretError`]
    pub fn new(text: &[u8]) -> Result<Self, SecretError> {
        let text = text.trim_ascii_end();
        if text.len() < MIN_SECRET {
            return Err(SecretError(text.len()));
        }
        let derive = |context| Zeroizing::new(blake3::derive_key(context, text));
        Ok(Self {
            key: derive("jackal 2026-12-01 code of a result in a remote cache"),
            name: derive("jackal 2026-12-01 name of a result in a remote cache"),
        })
    }

    /// What stands for `key` in names.
    pub(super) fn of(&self, key: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.name, key).as_bytes()
    }
}

/// A result and what it is the result of.
pub(super) struct Record<'a> {
    pub(super) key: &'a ActionKey,
    pub(super) result: &'a ActionResult,
}

impl Record<'_> {
    pub(super) fn encode(&self, secret: Option<&Secret>) -> Vec<u8> {
        let result = self.result.encode();
        let mut writer = Writer::new(MAGIC);
        writer.u32(VERSION);
        writer.array(self.key.as_bytes());
        writer.flag(secret.is_some());
        if let Some(secret) = secret {
            writer.array(code(secret, self.key, &result).as_bytes());
        }
        writer.array(&result);
        writer.into_bytes()
    }
}

fn code(secret: &Secret, key: &ActionKey, result: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&secret.key);
    // The key has a fixed length.
    hasher.update(key.as_bytes()).update(result).finalize()
}

/// Reads what [`Record::encode`] wrote, for `key`.
///
/// # Errors
///
/// Why it must not be used.
pub(super) fn decode(
    bytes: &[u8],
    key: &ActionKey,
    secret: Option<&Secret>,
) -> Result<ActionResult, &'static str> {
    const DAMAGED: &str = "a result is damaged";
    let mut reader = Reader::new(bytes);
    let head = |_| DAMAGED;
    if reader.array("four magic bytes").map_err(head)? != *MAGIC {
        return Err(DAMAGED);
    }
    if reader.u32("a version").map_err(head)? != VERSION {
        return Err("a result was written by another version of jackal");
    }
    let of: [u8; 32] = reader.array("a key").map_err(head)?;
    if of != *key.as_bytes() {
        return Err("a result belongs to another task");
    }
    let signed = match reader.flag().map_err(head)? {
        true => Some(reader.array("a code").map_err(head)?),
        false => None,
    };
    let start = MAGIC.len() + 4 + 32 + 1 + signed.map_or(0, |_| 32);
    let result = bytes.get(start..).ok_or(DAMAGED)?;
    if let Some(secret) = secret {
        // Hashes are compared in constant time.
        let valid = signed.map(blake3::Hash::from_bytes) == Some(code(secret, key, result));
        if !valid {
            return Err("a result is not signed with the secret of --remote-secret-file");
        }
    }
    ActionResult::decode(result).map_err(|_| DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, Output};
    use crate::oci::Digest;

    fn result() -> ActionResult {
        ActionResult {
            outputs: vec![Output::new("a", (Digest::of(b"a"), 1))],
            log: None,
            reports: None,
            wall_ms: 7,
        }
    }

    #[test]
    fn only_a_result_of_the_same_key_and_secret_is_read() {
        let [key, other] = [1, 2].map(|format| Action::new("run", format).key());
        let secret = Secret::new(&[b'x'; 32]).unwrap();
        let stranger = Secret::new(&[b'y'; 32]).unwrap();
        let result = result();
        let record = |secret| {
            Record {
                key: &key,
                result: &result,
            }
            .encode(secret)
        };
        let (plain, signed) = (record(None), record(Some(&secret)));
        assert_eq!(decode(&plain, &key, None).unwrap(), result);
        assert_eq!(decode(&signed, &key, None).unwrap(), result);
        assert_eq!(decode(&signed, &key, Some(&secret)).unwrap(), result);
        assert!(decode(&plain, &other, None).is_err());
        assert!(decode(&plain, &key, Some(&secret)).is_err());
        assert!(decode(&record(Some(&stranger)), &key, Some(&secret)).is_err());
        for at in 0..signed.len() {
            let mut bytes = signed.clone();
            bytes[at] ^= 1;
            assert!(decode(&bytes, &key, Some(&secret)).is_err(), "byte {at}");
            assert!(decode(&signed[..at], &key, Some(&secret)).is_err(), "{at}");
            assert!(decode(&signed[..at], &key, None).is_err(), "{at}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_shown() {
        assert!(Secret::new(b"password\n").is_err());
        let secret = Secret::new(&[b'x'; 40]).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
    }
}
