//! Any documents as an OCI image layout: the index and what it names.
#![no_main]

use std::sync::Arc;

use jackal::cas::Cas;
use jackal::registry::{Options, Registry};
use jackal::testing::{Site, SiteOptions, import_path};
use jackal::layout::ImageLayout;
use jackal::oci::{Descriptor, Digest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (index, manifest, config) = input;
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    // Written with the digests that they have, so that they are reached.
    let name = |bytes: &[u8]| Digest::of(bytes).hex();
    let replaced = |text: &[u8], from: &str, to: &str| {
        String::from_utf8_lossy(text).replace(from, to).into_bytes()
    };
    let manifest = replaced(manifest, "CONFIG", &name(config));
    let index = replaced(index, "MANIFEST", &name(&manifest));
    for bytes in [&manifest[..], config] {
        std::fs::write(blobs.join(name(bytes)), bytes).unwrap();
    }
    std::fs::write(layout.join("index.json"), &index).unwrap();
    if let Ok(read) = ImageLayout::open(&layout) {
        let _ = read.index_at("1");
        let _ = read.bundles_about(&Descriptor::of("x", b"subject"));
    }
    let cas = Arc::new(Cas::open(&folder.path().join("cache")).unwrap());
    let registry = Registry::new(Options::default());
    let site = Site::new(cas, registry, folder.path(), SiteOptions::default());
    let platform = "linux/amd64".parse().unwrap();
    for wanted in [None, Some("1")] {
        let _ = import_path(&site, &layout, wanted, &platform);
    }
});
