//! Kernels of Linux and their modules.
//!
//! Reads the header of boot images (the x86 boot protocol of the kernel's documentation,
//! and ARM64 images) and the section `.modinfo` of modules, compressed or not.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endianness, elf};
use serde_json::{Value, json};

use super::{Cataloguer, Finds, Found, Scope};
use crate::archive::Compression;
use crate::sbom::body::Body;
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::layer::Extracted;
use crate::sbom::purl::purl;
use crate::sbom::squash::View;

pub(super) const KERNELS: Cataloguer = Cataloguer {
    ecosystem: KERNEL,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |_, name| {
            let starts = ["vmlinuz", "vmlinux", "bzImage", "zImage", "kernel-"];
            name == "kernel" || starts.iter().any(|start| name.starts_with(start))
        },
        longest: 1 << 30,
        extract: extract_kernel,
        find: find_kernel,
    },
};

pub(super) const MODULES: Cataloguer = Cataloguer {
    ecosystem: MODULE,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |folder, name| {
            let ends = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];
            format!("/{folder}/").contains("/lib/modules/")
                && ends.iter().any(|end| name.ends_with(end))
        },
        longest: 256 << 20,
        extract: extract_module,
        find: find_module,
    },
};

const KERNEL: Ecosystem = Ecosystem {
    kind: "linux-kernel",
    language: "",
    found_by: "linux-kernel-cataloger",
    metadata_type: "linux-kernel-archive",
};

const MODULE: Ecosystem = Ecosystem {
    kind: "linux-kernel-module",
    metadata_type: "linux-kernel-module",
    ..KERNEL
};

/// Bytes of a boot image that have its header and, in x86, the text that it points to.
const HEAD: u64 = 64 << 10;

/// Bytes of an ARM64 image that are searched for its version.
const SEARCHED: u64 = 64 << 20;

/// Most bytes of a module, unpacked: 64 MiB. The largest of Debian has 15 MiB.
const MOST_MODULE: u64 = 64 << 20;

/// Longest section `.modinfo`, in bytes: 1 MiB. Real ones have up to 100 KiB.
const MOST_INFO: u64 = 1 << 20;

/// Longest description of a version, in bytes.
const MOST_TEXT: usize = 512;

/// The metadata of a boot image.
fn extract_kernel(_: &str, body: &mut Body<'_>) -> Extracted {
    let mut head = Vec::new();
    if body.take(HEAD).read_to_end(&mut head).is_err() {
        return Extracted::Nothing;
    }
    let found = x86(&head).or_else(|| arm64(&head, body));
    match found.and_then(|facts| serde_json::to_vec(&facts).ok()) {
        Some(facts) => Extracted::Facts(facts),
        None => Extracted::Nothing,
    }
}

fn x86(head: &[u8]) -> Option<Value> {
    (head.get(0x202..0x206)? == b"HdrS").then_some(())?;
    let short = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    // The pointer counts from the end of the first sector.
    let text = head.get(usize::from(short(0x20e)?) + 0x200..)?;
    let text = text.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(&text[..text.len().min(MOST_TEXT)]);
    let format = match head.get(0x211)? & 1 {
        0 => "zImage",
        _ => "bzImage",
    };
    let mut facts = described("x86", &text, format)?;
    if short(0x1f2)? == 0 {
        facts["rwRootFS"] = json!(true);
    }
    let device = short(0x1fc)?;
    if device > 0 {
        facts["rootDevice"] = json!(device);
    }
    facts["videoMode"] = match short(0x1fa)? {
        0xffff => json!("Video mode 65535"),
        0xfffe => json!("Extended VGA"),
        0xfffd => json!("Prompt for Videomode"),
        mode => json!(format!("Video mode {mode}")),
    };
    Some(facts)
}

/// The header of these images has no version; the text that the kernel prints does.
fn arm64(head: &[u8], body: &mut Body<'_>) -> Option<Value> {
    (head.get(0x38..0x3c)? == b"ARM\x64").then_some(())?;
    body.seek(SeekFrom::Start(0)).ok()?;
    let mut image = Vec::new();
    body.take(SEARCHED).read_to_end(&mut image).ok()?;
    let start = b"Linux version ";
    memchr::memmem::find_iter(&image, start)
        .take(100)
        .find_map(|at| {
            let text = &image[at + start.len()..];
            let text = &text[..text.len().min(MOST_TEXT)];
            let text = text.split(|byte| matches!(byte, 0 | b'\n')).next()?;
            text.first()?.is_ascii_digit().then_some(())?;
            described("arm64", &String::from_utf8_lossy(text), "Image")
        })
}

/// The facts of an image that describes its version in this text.
fn described(architecture: &str, text: &str, format: &str) -> Option<Value> {
    let version = text.split_whitespace().next()?;
    Some(json!({
        "name": "", "architecture": architecture, "version": version,
        "extendedVersion": text.trim_end(), "format": format,
    }))
}

fn find_kernel(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let Ok(facts) = serde_json::from_slice::<Value>(extract) else {
        return;
    };
    let version = facts["version"].as_str().unwrap_or_default();
    let mut package = Package::new(KERNEL, "linux-kernel", version);
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    package.purl = purl("generic", "", "linux-kernel", version, &[]);
    package.cpes = vec![super::programs::cpe("o:linux:linux_kernel", version)];
    package.provides.push(version.to_owned());
    package.describe(&facts);
    found.push(package);
}

/// The section `.modinfo` of a module.
fn extract_module(_: &str, body: &mut Body<'_>) -> Extracted {
    let mut bytes = Vec::new();
    let mut head = [0; 8];
    let read = body.read(&mut head).and_then(|_| body.rewind());
    let read = read.and_then(|()| {
        let mut plain: Box<dyn Read + '_> = match Compression::of(&head) {
            Some(found) => found.decode(std::io::BufReader::new(&mut *body))?,
            None => Box::new(&mut *body),
        };
        plain.as_mut().take(MOST_MODULE).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return Extracted::Unreadable("it cannot be decompressed".to_owned());
    }
    let info = match bytes.get(4) {
        Some(1) => modinfo::<elf::FileHeader32<Endianness>>(&bytes),
        _ => modinfo::<elf::FileHeader64<Endianness>>(&bytes),
    };
    match info {
        Some(info) => Extracted::Facts(info.to_vec()),
        None => Extracted::Nothing,
    }
}

fn modinfo<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<&[u8]> {
    let header = E::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, bytes).ok()?;
    let (_, section) = sections.section_by_name(endian, b".modinfo")?;
    let data = section.data(endian, bytes).ok()?;
    (data.len() as u64 <= MOST_INFO).then_some(data)
}

fn find_module(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let package = found.reading(|found| {
        let read = found.text(8 * extract.len());
        read.then(|| module(path, extract)).flatten()
    });
    if let Some(mut package) = package {
        let at = view.location(path, Evidence::Primary);
        package.locations.extend(at);
        found.push(package);
    }
}

fn module(path: &str, info: &[u8]) -> Option<Package> {
    // Of several values, the last counts.
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut parameters: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    for line in info.split(|byte| *byte == 0) {
        let line = String::from_utf8_lossy(line);
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let fact = match key {
            "parm" => "description",
            "parmtype" => "type",
            _ => {
                values.insert(key.to_owned(), value.to_owned());
                continue;
            }
        };
        let (name, text) = value.split_once(':').unwrap_or((value, ""));
        let parameter = parameters.entry(name.to_owned()).or_default();
        parameter.insert(fact, text.to_owned());
    }
    let get = |key: &str| values.get(key).map_or("", String::as_str);
    let kernel = get("vermagic").split_whitespace().next()?;
    let (name, version) = (get("name"), get("version"));
    let mut package = Package::new(MODULE, name, version);
    package.purl = purl("generic", "", name, version, &[]);
    if !get("license").is_empty() {
        package
            .licenses
            .insert(License::new(get("license").to_owned()));
    }
    let mut facts = json!({"path": format!("/{path}"), "kernelVersion": kernel});
    let texts = [
        ("name", "name"),
        ("version", "version"),
        ("sourceVersion", "srcversion"),
        ("description", "description"),
        ("author", "author"),
        ("license", "license"),
        ("versionMagic", "vermagic"),
    ];
    for (fact, key) in texts.iter().filter(|(_, key)| !get(key).is_empty()) {
        facts[*fact] = json!(get(key));
    }
    if !parameters.is_empty() {
        facts["parameters"] = json!(parameters);
    }
    package.describe(&facts);
    package.requires.push(kernel.to_owned());
    Some(package)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::find_in;
    use super::*;
    use crate::sbom::binary::tests::elf;

    fn image() -> Vec<u8> {
        let mut bytes = vec![0; 0x300];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&[0x40, 0]);
        bytes[0x211] = 1;
        bytes[0x1f2] = 1;
        bytes[0x1fa..0x1fc].copy_from_slice(&[0xff, 0xff]);
        let text = b"6.1.0-1-amd64 (a@b) #1 SMP\0";
        bytes[0x240..0x240 + text.len()].copy_from_slice(text);
        bytes
    }

    #[test]
    fn boot_images_have_a_version_and_other_files_of_this_name_have_none() {
        let bytes = image();
        let files: &[(&str, &[u8])] = &[
            ("boot/vmlinuz-6.1", &bytes),
            ("boot/vmlinuz-cut", &bytes[..0x230]),
            ("usr/bin/kernel-install", b"#!/bin/sh\n"),
        ];
        let found = find_in(&KERNELS, files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:generic/linux-kernel@6.1.0-1-amd64");
        assert_eq!(
            found[0].cpes,
            ["cpe:2.3:o:linux:linux_kernel:6.1.0-1-amd64:*:*:*:*:*:*:*"]
        );
        let metadata: Value =
            serde_json::from_str(found[0].metadata.as_ref().unwrap().get()).unwrap();
        assert_eq!(metadata["extendedVersion"], "6.1.0-1-amd64 (a@b) #1 SMP");
        assert_eq!(metadata["format"], "bzImage");
        let mut arm = vec![0; 100];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        arm.extend(b"Linux version %s\0Linux version 6.6.1 (x@y)\n");
        assert_eq!(find_in(&KERNELS, &[("vmlinux", &arm)])[0].version, "6.6.1");
    }

    #[test]
    fn modules_are_read_packed_or_not() {
        let info = b"license=GPL\0parm=a:What it does\0parmtype=a:bool\0name=dm\0version=1.2\0vermagic=6.1.0 SMP \0";
        let plain = elf(&[(".modinfo", info)]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstandard = zstd::encode_all(&plain[..], 1).unwrap();
        let files: &[(&str, &[u8])] = &[
            ("usr/lib/modules/6.1.0/dm.ko", &plain),
            ("usr/lib/modules/6.1.0/b/dm.ko.gz", &gzip),
            ("usr/lib/modules/6.1.0/b/dm.ko.zst", &zstandard),
            ("usr/lib/modules/6.1.0/b/cut.ko.zst", &zstandard[..20]),
            ("usr/lib/modules/6.1.0/b/other.ko", b"text"),
            ("opt/dm.ko", &plain),
        ];
        let found = find_in(&MODULES, files);
        let names: Vec<_> = found
            .iter()
            .map(|p| (p.name.as_str(), p.version.as_str()))
            .collect();
        assert_eq!(names, [("dm", "1.2"); 3]);
        assert_eq!(found[0].requires, ["6.1.0"]);
        let metadata = found[0].metadata.as_ref().unwrap().get();
        assert!(
            metadata.contains(r#""a":{"description":"What it does","type":"bool"}"#),
            "{metadata}"
        );
        assert!(module("a", b"name=a\0").is_none());
    }
}
