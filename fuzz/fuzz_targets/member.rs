//! Any bytes as an archive that `extractPath` takes a file or folder out of: refused, or
//! taken within the limit, and a folder is a tar that can be read in one way only.
#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;

use jackal::archive::{TarKind, TarReader};
use jackal::cas::Cas;
use jackal::testing::extract_member;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

/// Most bytes that are taken.
const LIMIT: u64 = 1 << 20;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// How the bytes are packed.
    form: u8,
    wanted: &'a str,
    bytes: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let packed = match input.form % 3 {
        1 => zstd::encode_all(input.bytes, 1).unwrap(),
        2 => [b"PK\x03\x04", input.bytes].concat(),
        _ => input.bytes.to_vec(),
    };
    let folder = tempfile::tempdir().unwrap();
    let cas = Cas::open(folder.path()).unwrap();
    for wanted in [input.wanted, "a", "a/b"] {
        let taken = budget::within(packed.len(), || {
            extract_member(&cas, "x", Cursor::new(&packed), wanted, Some(LIMIT))
        });
        let Ok(taken) = taken else { continue };
        // Headers of the tar come on top of what is taken.
        if taken.name != "tree.tar" {
            assert!(taken.size <= LIMIT);
            continue;
        }
        let mut tar = TarReader::new(cas.open_blob(&taken.digest).unwrap());
        let mut seen = BTreeMap::new();
        while let Some(entry) = tar.next().unwrap() {
            let name = entry.name_lossy().trim_end_matches('/').to_owned();
            if let Some((above, _)) = name.rsplit_once('/') {
                assert_eq!(seen.get(above), Some(&TarKind::Directory), "{name}");
            }
            assert_eq!(seen.insert(name, entry.kind), None);
        }
    }
});
