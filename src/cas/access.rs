//! The access log: when each blob was last used.
//!
//! Fixed-size records, each appended in one write; torn or altered records are skipped.
//! `store` records accesses and `prune` reads them. File times are not used, because
//! backups, mount options and copies change them.

use std::collections::HashMap;

use crate::oci::Digest;

/// A digest, milliseconds, and the first bytes of a checksum over both.
pub(super) const RECORD: usize = 32 + 8 + 8;

/// One record, ready to be appended.
pub(super) fn record(digest: &Digest, milliseconds: u64) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..32].copy_from_slice(digest.as_bytes());
    bytes[32..40].copy_from_slice(&milliseconds.to_le_bytes());
    let sum = blake3::hash(&bytes[..40]);
    bytes[40..].copy_from_slice(&sum.as_bytes()[..8]);
    bytes
}

/// The latest access of every digest in `log`; resynchronises after damage.
pub(super) fn parse(mut log: &[u8]) -> HashMap<Digest, u64> {
    let mut latest = HashMap::new();
    while log.len() >= RECORD {
        let sum = blake3::hash(&log[..40]);
        if sum.as_bytes()[..8] != log[40..RECORD] {
            log = &log[1..];
            continue;
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&log[..32]);
        let mut time = [0; 8];
        time.copy_from_slice(&log[32..40]);
        let time = u64::from_le_bytes(time);
        let known = latest.entry(Digest::from_bytes(digest)).or_insert(time);
        *known = time.max(*known);
        log = &log[RECORD..];
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_does_not_hide_the_next() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let mut log = record(&a, 5)[..17].to_vec();
        log.extend(record(&b, 9));
        log.extend(record(&b, 7));
        let latest = parse(&log);
        assert_eq!(latest.get(&b), Some(&9));
        assert_eq!(latest.get(&a), None);
    }
}
