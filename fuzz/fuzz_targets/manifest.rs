//! Any bytes as a manifest or an index. What is accepted survives being written and
//! read again, and an edited manifest keeps everything else.
#![no_main]

use jackal::oci::{Descriptor, Index, Manifest};
use jackal::package::{Dialect, manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = serde_json::from_slice::<Manifest>(bytes) {
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), read);
        let files = [("jackal.yaml.sig".to_owned(), Descriptor::of("", b"x"))];
        let made = manifest::with_files(bytes, Dialect::Jackal, &[], files).unwrap();
        let again: Manifest = serde_json::from_slice(&made).unwrap();
        assert_eq!(
            (again.config, again.annotations),
            (read.config, read.annotations)
        );
        let named = |layer: &&Descriptor| manifest::title(layer) == Some("jackal.yaml.sig");
        assert_eq!(again.layers.iter().filter(named).count(), 1);
    }
    if let Ok(read) = serde_json::from_slice::<Index>(bytes) {
        let made = manifest::with_entry(Some(&read), &Descriptor::of("x", b"x"), "amd64");
        let entry = manifest::entry(&made, "amd64").unwrap();
        assert_eq!(entry.digest, Descriptor::of("x", b"x").digest);
    }
});
