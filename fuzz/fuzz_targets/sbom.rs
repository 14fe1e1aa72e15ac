//! Any files as the layers of an image and as a component: catalogued within a budget, or
//! refused, and the same each time.
#![no_main]

use std::io::{self, Cursor, Read};

use jackal::testing::{Aside, Image, ScanTarget, StoredScan, catalogue_component, scan_layer, write_sbom};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

/// Where lists of packages are.
const PLACES: &[&str] = &[
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/a",
    "var/lib/dpkg/info/a.md5sums",
    "usr/share/doc/a/copyright",
    "lib/apk/db/installed",
    "etc/os-release",
    "a/package.json",
    "a/package-lock.json",
    "a/yarn.lock",
    "a/pnpm-lock.yaml",
    "a/bun.lock",
    "a/deno.lock",
    "a/Cargo.lock",
    "a/go.mod",
    "a/go.sum",
    "a/requirements.txt",
    "a/setup.py",
    "a/poetry.lock",
    "a/Pipfile.lock",
    "a/uv.lock",
    "a/pdm.lock",
    "a/Gemfile.lock",
    "a/specifications/b.gemspec",
    "a/composer.lock",
    "a/installed.json",
    "a/b.dist-info/METADATA",
    "a/b.dist-info/RECORD",
    "bin/program",
    "a/b.zip",
    "a/b.rpm",
    "a/b.deb",
    "a/b.tar.xz",
    "a/.wh.b",
    "a/.wh..wh..opq",
    "lib/opkg/status",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite-wal",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "var/lib/rpmmanifest/container-manifest-2",
    "var/lib/pacman/local/a-1/desc",
    "var/lib/pacman/local/a-1/files",
    "var/lib/pacman/local/a-1/mtree",
    "var/db/pkg/a/b-1/CONTENTS",
    "var/db/pkg/a/b-1/LICENSE",
    "nix/store/0c7c96gikmzv87i7lv3vq5s1cmfjd6zf-a-1/b",
    "snap/manifest.yaml",
    "usr/share/snappy/dpkg.yaml",
    "opt/bitnami/a/.spdx-a.spdx",
    "a/Cellar/b/1/.brew/b.rb",
    "a/b.gguf",
    "a/release",
    "a/pom.xml",
    "a/gradle.lockfile",
    "a/b.jar",
    "boot/vmlinuz",
    "lib/modules/1/a.ko",
    "lib/modules/1/a.ko.gz",
    "lib/modules/1/a.ko.xz",
    "a/b.dll",
    "a/b.egg-info/PKG-INFO",
    "a/b.egg-info/installed-files.txt",
    "a/b.dist-info/direct_url.json",
    "a/b.dist-info/top_level.txt",
    "a/b.gemspec",
    "vendor/composer/installed.json",
    "a/b.deps.json",
    "a/packages.lock.json",
    ".github/workflows/a.yml",
    ".github/actions/a/action.yml",
    "a/rebar.lock",
    "a/mix.lock",
    "a/ebin/b.app",
    "a/stack.yaml",
    "a/stack.yaml.lock",
    "a/cabal.project.freeze",
    "a/DESCRIPTION",
    "conda-meta/a.json",
    "a/b.rockspec",
    "usr/share/php/.registry/a.reg",
    "usr/lib/perl5/auto/A/.packlist",
    "usr/lib/perl5/.meta/A-1/install.json",
    "usr/lib/perl5/A.pm",
    "wp-content/plugins/a/b.php",
    "a/Package.resolved",
    "a/Podfile.lock",
    "a/pubspec.lock",
    "a/pubspec.yaml",
    "a/conanfile.txt",
    "a/conan.lock",
    "a/1/b/c/package/d/conaninfo.txt",
    "a/vcpkg.json",
    "a/.terraform.lock.hcl",
    "a/opam",
    "a/pack.pl",
    "a/LICENSE",
    "usr/bin/python3.11",
];

#[derive(Arbitrary, Debug)]
struct File<'a> {
    place: u8,
    /// A link to this place instead.
    link: Option<u8>,
    content: &'a [u8],
    /// Repeats the content, as compression would.
    times: u16,
}

#[derive(Arbitrary, Debug)]
struct Layers<'a>(Vec<Vec<File<'a>>>, &'a [u8]);

fn tar_of(files: &[File<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    let put = |block: &mut [u8], at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    for file in files.iter().take(16) {
        let place = |number: u8| PLACES[usize::from(number) % PLACES.len()];
        let times = usize::from(file.times).min((1 << 20) / file.content.len().max(1));
        let content = match file.link {
            Some(_) => Vec::new(),
            None => file.content.repeat(times.max(1)),
        };
        let mut block = [0; 512];
        put(&mut block, 0, place(file.place));
        put(&mut block, 100, "0000755\0");
        put(&mut block, 124, &format!("{:011o}\0", content.len()));
        block[156] = b'0';
        if let Some(link) = file.link {
            block[156] = if link & 128 == 0 { b'2' } else { b'1' };
            put(&mut block, 157, place(link));
        }
        put(&mut block, 257, "ustar\x0000");
        put(&mut block, 148, "        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block, 148, &format!("{sum:06o}\0 "));
        tar.extend(block);
        tar.extend(&content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    tar
}

fn aside(input: &mut dyn Read) -> io::Result<Box<dyn Aside>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    Ok(Box::new(Cursor::new(bytes)))
}

fuzz_target!(|input: Layers<'_>| {
    let mut layers: Vec<Vec<u8>> = input.0.iter().take(4).map(|files| tar_of(files)).collect();
    layers.push(input.1.to_vec());
    let length = layers.iter().map(Vec::len).sum();
    let catalogued = || {
        let mut image = Image::default();
        for layer in &layers {
            let Ok(scanned) = scan_layer(&layer[..], &aside) else {
                continue;
            };
            let stored = scanned.store(Vec::new()).unwrap();
            let stored = StoredScan::open(&stored[..]).unwrap();
            if image.stack(stored).is_err() {
                return Vec::new();
            }
        }
        let source = ScanTarget {
            id: "s".to_owned(),
            name: String::new(),
            version: String::new(),
            kind: "image",
            metadata: serde_json::Value::Null,
        };
        let mut out = Vec::new();
        if let Ok(document) = image.document(source) {
            write_sbom(document, "1", &mut out).unwrap();
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
        }
        out
    };
    let first = budget::within(length, catalogued);
    assert_eq!(first, catalogued());
    budget::within(length, || {
        for layer in &layers {
            let _ = catalogue_component("a", &layer[..], &aside);
        }
    });
});
