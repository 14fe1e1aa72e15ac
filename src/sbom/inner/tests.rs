mod again;

use std::io::{Cursor, Write as _};

use super::super::body::{in_memory, tests::on_disk};
use super::super::document::Document;
use super::super::layer::tar_of;
use super::super::scan::component;
use super::*;

const PACKAGE: &[u8] = br#"{"name":"a","version":"1"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        let options = ::zip::write::SimpleFileOptions::default();
        let method = match content.len() {
            0..30 => ::zip::CompressionMethod::Stored,
            _ => ::zip::CompressionMethod::Deflated,
        };
        if let Some((path, target)) = path.split_once(" -> ") {
            out.add_symlink(path, target, options).unwrap();
            continue;
        }
        out.start_file(*path, options.compression_method(method))
            .unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

fn deb(data: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar", b"odd"),
        ("data.tar.xz", data),
    ] {
        let size = content.len();
        writeln!(out, "{name:<16}0           0     0     100644  {size:<10}`").unwrap();
        out.extend(content);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// Each file: path, mode, inode, links and content.
fn cpio(files: &[(&str, u32, u32, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let end: (&str, u32, u32, u32, &[u8]) = ("TRAILER!!!", 0, 0, 1, b"");
    for (path, mode, inode, links, content) in files.iter().chain([&end]) {
        let (size, name) = (content.len(), path.len() + 1);
        write!(
            out,
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}",
            0
        )
        .unwrap();
        write!(
            out,
            "{0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}{path}\0",
            0
        )
        .unwrap();
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn rpm(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xed, 0xab, 0xee, 0xdb];
    out.resize(96, 0);
    let mut header = |entries: u8, data: u8| {
        out.extend([
            0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, entries, 0, 0, 0, data,
        ]);
        out.resize(out.len() + 16 * usize::from(entries) + usize::from(data), 7);
        if entries == 1 {
            out.resize(out.len().next_multiple_of(8), 0);
        }
    };
    header(1, 5);
    header(3, 9);
    out.extend(payload);
    out
}

fn scanned(files: &[(&str, &[u8])]) -> Document {
    component("base", &tar_of(files)[..], &in_memory).unwrap()
}

/// Last locations of the packages, and the files that could not be read.
fn found(files: &[(&str, &[u8])]) -> (Vec<String>, Vec<String>) {
    let document = scanned(files);
    let packages = document.packages.iter();
    let packages = packages.map(|package| package.locations.last().unwrap().path.clone());
    let unknowns = document.unknowns.iter();
    let unknowns = unknowns.map(|unknown| format!("{} {}", unknown.location.path, unknown.reason));
    (packages.collect(), unknowns.collect())
}

#[test]
fn archives_are_recognized_by_their_first_bytes() {
    let inner = tar_of(&[("web/package.json", PACKAGE)]);
    let zip = zip(&[
        ("web/", b""),
        ("web/long.txt", &[b'x'; 500]),
        ("web/package.json", PACKAGE),
        ("web/link -> package.json", b""),
    ]);
    let payload = cpio(&[
        ("./web", 0o040_755, 1, 1, b""),
        ("./web/l", 0o120_777, 2, 1, b"package.json"),
        ("./other", 0o100_644, 3, 2, b""),
        ("./web/package.json", 0o100_644, 3, 2, PACKAGE),
    ]);
    let (packages, unknowns) = found(&[
        ("0/a.tar", &inner),
        ("1/b", &gzip(&inner)),
        ("2/c.tzst", &zstd::encode_all(&inner[..], 1).unwrap()),
        ("3/d.txz", &xz(&inner)),
        ("4/e.tar.bz2", &bzip2(&inner)),
        ("5/f.zip", &zip),
        ("6/g.udeb", &deb(&xz(&inner))),
        ("7/h.rpm", &rpm(&zstd::encode_all(&payload[..], 1).unwrap())),
        ("8/text.gz", &gzip(b"text")),
        ("8/archive.jar", &zip),
        ("9/package.json", PACKAGE),
    ]);
    let at = |archive: &str| format!("/{archive}:/web/package.json");
    let archives = [
        "0/a.tar",
        "1/b",
        "2/c.tzst",
        "3/d.txz",
        "4/e.tar.bz2",
        "5/f.zip",
        "6/g.udeb",
        "7/h.rpm",
    ];
    let mut expected: Vec<String> = archives.map(at).to_vec();
    expected.push("/9/package.json".to_owned());
    assert_eq!(packages, expected);
    assert_eq!(unknowns, [""; 0]);
    let document = scanned(&[("0/a.tar", &inner)]);
    assert_eq!(document.packages[0].locations[0].path, "/0/a.tar");
}

#[test]
fn a_wheel_has_its_distribution() {
    let wheel = zip(&[
        ("a/__init__.py", b""),
        ("a-1.dist-info/METADATA", b"Name: a\nVersion: 1\n\n"),
        ("a-1.dist-info/RECORD", b"a/__init__.py,,0\n"),
    ]);
    let document = scanned(&[("files/0/a-1-py3-none-any.whl", &wheel)]);
    assert_eq!(document.packages[0].purl, "pkg:pypi/a@1");
    let owned = "/files/0/a-1-py3-none-any.whl:/a/__init__.py";
    assert_eq!(document.packages[0].owns, [owned]);
}

#[test]
fn archives_are_opened_three_levels_deep() {
    let mut inner = tar_of(&[("package.json", PACKAGE)]);
    let mut files: Vec<(String, Vec<u8>)> = vec![("0/a".to_owned(), PACKAGE.to_vec())];
    for _ in 0..4 {
        files.push((format!("{}/a.tgz", files.len()), gzip(&inner)));
        inner = tar_of(&[("n.tar", &inner), ("text.gz", &gzip(b"text"))]);
    }
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, bytes)| (&path[..], &bytes[..]))
        .collect();
    let (packages, unknowns) = found(&files);
    assert_eq!(
        packages,
        [
            "/1/a.tgz:/package.json",
            "/2/a.tgz:/n.tar:/package.json",
            "/3/a.tgz:/n.tar:/n.tar:/package.json",
        ]
    );
    let deepest = "/4/a.tgz:/n.tar:/n.tar:/n.tar archive: it is inside three other archives";
    assert_eq!(unknowns, [deepest]);
}

#[test]
fn damaged_archives_are_listed_with_what_was_found_before() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..400_000).map(|_| next()).collect();
    let inner = tar_of(&[("package.json", PACKAGE), ("noise", &noise)]);
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let zip = zip(&[("noise", &noise), ("package.json", PACKAGE)]);
    let mut odd = zip.clone();
    // The header of the first file: the second one is found.
    odd[0x20] ^= 0xff;
    odd[2] = 3;
    odd[..4].copy_from_slice(b"PK\x05\x06");
    let mut sizes = deb(&inner);
    sizes[8 + 48] = b'x';
    let files: &[(&str, &[u8])] = &[
        ("0/cut.tgz", &half(gzip(&inner))),
        ("1/cut.txz", &half(xz(&inner))),
        ("2/cut.tar", &half(inner.clone())),
        ("3/cut.zip", &half(zip)),
        ("4/odd.zip", &odd),
        (
            "5/cut.rpm",
            &rpm(&cpio(&[("package.json", 0o100_644, 1, 1, PACKAGE)])[..150]),
        ),
        ("6/odd.udeb", &sizes),
        ("7/empty.zip", &self::zip(&[])),
        ("8/head.xz", &xz(&inner)[..20]),
    ];
    let (packages, unknowns) = found(files);
    let at = |archive: &str| format!("/{archive}:/package.json");
    assert_eq!(
        packages,
        [
            "0/cut.tgz",
            "1/cut.txz",
            "2/cut.tar",
            "4/odd.zip",
            "5/cut.rpm"
        ]
        .map(at)
    );
    let listed: Vec<&str> = unknowns
        .iter()
        .filter_map(|text| text.split(' ').next())
        .collect();
    let expected = [
        "/0/cut.tgz",
        "/1/cut.txz",
        "/2/cut.tar",
        "/3/cut.zip",
        "/4/odd.zip",
        "/5/cut.rpm",
        "/6/odd.udeb",
        "/8/head.xz",
    ];
    assert_eq!(listed, expected, "{unknowns:?}");
}

#[test]
fn archives_that_are_too_large_do_not_refuse_their_component() {
    let many: Vec<String> = (0..90_000).map(|n| format!("{n:06}/e")).collect();
    let many: Vec<_> = many.iter().map(|path| (path.as_str(), &b""[..])).collect();
    let files = [&[("package.json", PACKAGE)], &many[..]].concat();
    let large = zip(&files);
    let middle = tar_of(&[("b.zip", &large), ("z/package.json", PACKAGE)]);
    let outer = tar_of(&[("a.tar", &middle)]);
    let (packages, unknowns) = found(&[("x.tar", &outer), ("y/package.json", PACKAGE)]);
    assert_eq!(
        unknowns,
        ["/x.tar:/a.tar:/b.zip archive: it has too many files or links"]
    );
    assert_eq!(packages.len(), 3, "{packages:?}");
}

#[test]
fn places_outside_of_a_zip_archive_are_damage() {
    let text = vec![b'x'; 17 << 20];
    let sound = zip(&[("a", &b"x"[..]), ("package.json", PACKAGE)]);
    let mut record = b"PK\x06\x07\0\0\0\0".to_vec();
    record.extend([0xff; 8]);
    record.extend([1, 0, 0, 0]);
    record.extend(b"PK\x05\x06\0\0\0\0");
    record.extend([0xff; 12]);
    record.extend([0, 0]);
    let far = [&sound[..100], &text, &record].concat();
    let files = tar_of(&[("a.zip", &far), ("y/package.json", PACKAGE)]);
    let document = component("base", &files[..], &on_disk).unwrap();
    assert_eq!(document.packages.len(), 1);
    assert_eq!(document.unknowns.len(), 1);
}

#[test]
fn a_comment_of_a_zip_archive_is_not_its_end() {
    let mut commented = zip(&[("package.json", PACKAGE)]);
    let end = commented.len();
    commented[end - 2] = 7;
    commented.extend(b"PK\x05\x06 ok");
    // A signature is a part of the list.
    let plain = zip(&[("package.json", PACKAGE)]);
    let (list, record) = plain.split_at(plain.len() - 22);
    let mut signed = [list, b"PK\x05\x05\x28\0", &[b's'; 40], record].concat();
    let at = signed.len() - 22 + 12;
    signed[at] += 46;
    let (packages, unknowns) = found(&[("a.zip", &commented), ("b.zip", &signed)]);
    assert_eq!((packages.len(), unknowns.len()), (2, 0), "{unknowns:?}");
}

#[test]
fn empty_files_with_hard_links_are_there() {
    let payload = cpio(&[
        ("d/b", 0o100_644, 9, 2, b""),
        ("d/c", 0o100_644, 4, 1, b""),
        ("d/a", 0o100_644, 9, 2, b""),
        ("d/e", 0o100_600, 3, 2, b""),
    ]);
    let mut entries = Vec::new();
    cpio::walk(&payload[..], &mut |_, _, _| Ok(None), &mut |entry| {
        entries.push((entry.path, entry.kind));
        Ok(())
    })
    .unwrap();
    let link = layer::NodeKind::Hardlink("d/b".to_owned());
    let expected = [
        ("d/c", layer::NodeKind::File),
        ("d/e", layer::NodeKind::File),
        ("d/b", layer::NodeKind::File),
        ("d/a", link),
    ];
    assert_eq!(
        entries,
        expected.map(|(path, kind)| (path.to_owned(), kind))
    );
}

#[test]
fn bombs_share_a_budget() {
    let zeros = vec![0; 600 << 10];
    let bomb = tar_of(&[("zeros", &zeros), ("package.json", PACKAGE)]);
    let bomb = zstd::encode_all(&bomb[..], 1).unwrap();
    let nested = zip(&[("b.tar.zst", &bomb), ("package.json", PACKAGE)]);
    let mut opener = Opener::new(&in_memory, None);
    // The first one fits into it, and the others into nothing.
    opener.spare = 800 << 10;
    let mut keeper = Keeper::new(catalog::wanted_of_components, &in_memory);
    for (path, bytes) in [("0/a.zst", &bomb), ("1/b.zip", &nested), ("2/c.zst", &bomb)] {
        let size = bytes.len() as u64;
        let kept = opener
            .file(&mut keeper, path, size, &mut &bytes[..])
            .unwrap();
        assert!(kept.is_none());
    }
    let findings = opener.found.finish().unwrap();
    assert_eq!(findings.packages.len(), 1);
    assert_eq!(
        findings.packages[0].locations[0].path,
        "/0/a.zst:/package.json"
    );
    let unknowns = findings.unknowns.iter();
    let unknowns: Vec<_> = unknowns
        .map(|one| (&one.location.path[..], &one.reason[..]))
        .collect();
    let reason = "archive: it unpacks to too many bytes";
    let listed = ["/1/b.zip:/b.tar.zst", "/1/b.zip", "/2/c.zst"];
    assert_eq!(unknowns, listed.map(|path| (path, reason)));
}

#[test]
fn hostile_lists_of_zip_archives_end() {
    let small = zip(&[("package.json", PACKAGE)]);
    let end = small.len() - 22;
    let cases: [(usize, &[u8]); 5] = [
        (end + 12, &[0xff; 4]),
        (end + 16, &[0xff; 4]),
        (end + 12, &[0; 4]),
        (end + 12, &[1, 0, 0, 0]),
        (end - 12, &[0xff; 10]),
    ];
    for (at, bytes) in cases {
        let mut odd = small.clone();
        odd[at..at + bytes.len()].copy_from_slice(bytes);
        let (packages, _) = found(&[("a.zip", &odd)]);
        assert!(packages.is_empty() || bytes.len() == 10, "{at}");
    }
}
