//! Which blobs travel together: a message has a limit, and each request a price.

use crate::oci::Digest;

/// A digest with the size of its bytes.
pub type Blob = (Digest, u64);

/// Blobs by how they are sent.
pub(super) struct Packed {
    /// Those that fit in one message.
    pub(super) batches: Vec<Vec<Blob>>,
    /// Those that fit in none.
    pub(super) large: Vec<Blob>,
}

/// What a blob adds to a message besides its bytes, at most.
pub(super) const ENTRY: u64 = 300;

/// Most entries in a batch, so that one of empty files is no endless message.
const MAX_ENTRIES: usize = 4000;

pub(super) fn packed(blobs: &[Blob], limit: u64) -> Packed {
    let mut packed = Packed {
        batches: Vec::new(),
        large: Vec::new(),
    };
    let mut left = 0;
    for blob in blobs {
        let needs = blob.1.saturating_add(ENTRY);
        if needs > limit {
            packed.large.push(*blob);
            continue;
        }
        match packed.batches.last_mut() {
            Some(batch) if needs <= left && batch.len() < MAX_ENTRIES => batch.push(*blob),
            _ => {
                packed.batches.push(vec![*blob]);
                left = limit;
            }
        }
        left -= needs;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(number: u8, size: u64) -> Blob {
        (Digest::of(&[number]), size)
    }

    #[test]
    fn batches_stay_below_the_limit_and_the_rest_is_streamed() {
        let blobs: Vec<Blob> = (0..200).map(|number| blob(number, 1000)).collect();
        let found = packed(&blobs, 65_536);
        assert!(found.large.is_empty());
        let counts: Vec<usize> = found.batches.iter().map(Vec::len).collect();
        assert_eq!(counts, [50, 50, 50, 50]);
        let found = packed(&[blob(1, 65_536), blob(2, 1), blob(3, u64::MAX)], 65_536);
        assert_eq!(found.large, [blob(1, 65_536), blob(3, u64::MAX)]);
        assert_eq!(found.batches, [vec![blob(2, 1)]]);
    }
}
