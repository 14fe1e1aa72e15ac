//! Any bytes as a tar: read whole, and skipped, within a budget. Both see the same.
#![no_main]

use std::io::{self, Read as _};

use jackal::archive::{Stream, TarReader};
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

fuzz_target!(|bytes: &[u8]| {
    let read = |skip: bool| {
        let mut tar = TarReader::skipping(Stream(bytes));
        let mut seen = Vec::new();
        while let Ok(Some(entry)) = tar.next() {
            assert!(entry.name.len() <= 4096 && entry.link.len() <= 4096);
            if !skip {
                let copied = io::copy(&mut tar.by_ref(), &mut io::sink());
                assert!(copied.is_err() || copied.unwrap() <= entry.stated.max(entry.size));
            }
            seen.push(entry);
        }
        seen
    };
    let (whole, skipped) = budget::within(bytes.len(), || (read(false), read(true)));
    // What is cut is noticed when it is read, or at the next header.
    assert!(whole.len() <= skipped.len() + 1);
    for (one, other) in whole.iter().zip(&skipped) {
        assert_eq!(one, other);
    }
});
