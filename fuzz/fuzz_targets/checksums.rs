//! Any bytes as `checksums.txt`. What is accepted is written back unchanged, and no
//! path leaves the package.
#![no_main]

use jackal::archive::SafePath;
use jackal::package::Checksums;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = Checksums::parse(bytes) else {
        return;
    };
    for (path, _) in read.iter() {
        assert!(SafePath::parse(path).is_ok(), "{path}");
    }
    let again = Checksums::parse(read.render().as_bytes()).unwrap();
    assert!(again.iter().eq(read.iter()));
});
