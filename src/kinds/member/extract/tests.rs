use std::io::Write as _;

use super::*;

fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, text) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const ENTRIES: &[(&str, &str)] = &[("./d/b/tool", "tool"), ("d/a", "a"), ("dx", "no")];

#[test]
fn a_file_or_a_folder_is_extracted_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path()).unwrap();
    let tar = tar_of(ENTRIES);
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    let mut folders = Vec::new();
    for bytes in [gzip(&tar), xz(&tar), bzip(&tar), zst, zip(ENTRIES), tar] {
        let take = |wanted| extract_member(&cas, "x", io::Cursor::new(&bytes), wanted, None);
        let one = take("d/b/tool").unwrap();
        assert_eq!((one.name.as_str(), one.size), (FILE, 4));
        let folder = take("d/").unwrap();
        assert_eq!(folder.name, TREE);
        folders.push(folder.digest);
        let absent = take("e").unwrap_err().to_string();
        assert!(absent.contains("`d/b/tool`"), "{absent}");
    }
    folders.dedup();
    assert_eq!(folders.len(), 1, "the same folder, whatever held it");
    let odd = extract_member(&cas, "x", io::Cursor::new(b"text"), "d", None);
    assert!(matches!(odd, Err(MemberError::Form(_))));
}

type Entries<'e> = &'e [(tar::EntryType, &'e str, &'e str)];

use tar::EntryType as Kind;

/// A tar of files with a text, and of links with a target.
fn odd_tar(entries: Entries<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(0);
        if kind.is_file() {
            header.set_size(text.len() as u64);
        } else {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        let content = if kind.is_file() { text.as_bytes() } else { b"" };
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn taken(bytes: &[u8], wanted: &str, limit: Option<u64>) -> Result<Output, MemberError> {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path()).unwrap();
    extract_member(&cas, "x", io::Cursor::new(bytes), wanted, limit)
}

#[test]
fn what_leads_out_or_can_be_read_in_two_ways_is_refused() {
    let roads: &[Entries<'_>] = &[
        &[(Kind::Regular, "d/../../x", "")],
        &[(Kind::Regular, "d/..\\x", "")],
        &[(Kind::Regular, "d/a", "1"), (Kind::Regular, "d/a", "2")],
        &[(Kind::Regular, "d/a", "1"), (Kind::Regular, "d/./a", "2")],
        &[(Kind::Regular, "d/a", "1"), (Kind::Regular, "./d//a", "2")],
        &[
            (Kind::Symlink, "d/l", "/tmp"),
            (Kind::Regular, "d/l/f", "x"),
        ],
        &[
            (Kind::Regular, "d/l/f", "x"),
            (Kind::Symlink, "d/l", "/tmp"),
        ],
        &[(Kind::Symlink, "d/l", "/tmp"), (Kind::Directory, "d/l", "")],
        &[
            (Kind::Symlink, "d/l", "/tmp"),
            (Kind::Symlink, "d/l/k/m", "x"),
        ],
        &[(Kind::Symlink, "d/l", "a"), (Kind::Symlink, "d/l", "b")],
        &[(Kind::Symlink, "d/l", "")],
        &[(Kind::Regular, "d/f", "x"), (Kind::Regular, "d/f/g", "x")],
        &[(Kind::Regular, "d", "1"), (Kind::Regular, "d", "2")],
        &[(Kind::Regular, "d", "1"), (Kind::Regular, "d/f", "2")],
        &[(Kind::Symlink, "d", "/etc")],
        &[(Kind::Link, "d/h", "/etc/passwd")],
        &[(Kind::Link, "d", "/etc/passwd")],
        &[(Kind::Char, "d/c", "")],
        &[(Kind::Fifo, "d/p", "")],
        &[(Kind::GNUSparse, "d/s", "")],
    ];
    for entries in roads {
        let refused = taken(&odd_tar(entries), "d", None);
        let foreign = matches!(
            refused,
            Err(MemberError::Foreign { .. } | MemberError::SecondName { .. })
        );
        assert!(foreign, "{entries:?}: {refused:?}");
    }
    // A second name needs the file before it.
    let link = (Kind::Link, "d/b", "d/a");
    assert!(taken(&odd_tar(&[link, (Kind::Regular, "d/a", "1")]), "d", None).is_err());
    let pair = [(Kind::Regular, "d/a", "1"), link];
    let copies = [(Kind::Regular, "d/a", "1"), (Kind::Regular, "d/b", "1")];
    let of = |entries: &[(Kind, &str, &str)]| taken(&odd_tar(entries), "d", None).unwrap();
    assert_eq!(of(&pair), of(&copies));
    // What is elsewhere in the archive does no harm.
    for other in [
        (Kind::Regular, "../d/x", ""),
        (Kind::Regular, "/d/x", ""),
        (Kind::Link, "e", "/etc/passwd"),
    ] {
        let entries = [(Kind::Regular, "d/a", "1"), other];
        assert!(taken(&odd_tar(&entries), "d", None).is_ok(), "{other:?}");
    }
}

#[test]
fn an_archive_that_unpacks_to_more_than_its_size_allows_is_refused() {
    // A header that announces 60 GiB is enough.
    let mut header = tar::Header::new_gnu();
    header.set_size(60 << 30);
    header.set_path("f").unwrap();
    header.set_cksum();
    let refused = taken(&gzip(header.as_bytes()), "f", None);
    assert!(matches!(refused, Err(MemberError::TooLarge { .. })));
    // Wanted or not, it is unpacked.
    let big = tar_of(&[("f", &"0".repeat(1 << 20)), ("g", "x")]);
    for wanted in ["f", "g"] {
        for packed in [gzip(&big), xz(&big), bzip(&big), big.clone()] {
            let refused = taken(&packed, wanted, Some(1 << 19));
            assert!(matches!(refused, Err(MemberError::TooLarge { .. })));
            assert!(taken(&packed, wanted, Some(2 << 20)).is_ok());
        }
    }
    // Padding and what follows the end are bytes as well.
    let mut end = odd_tar(&[(Kind::Regular, "g", "x")]);
    end.resize(1 << 20, 0);
    assert!(taken(&gzip(&end), "g", Some(2048)).is_ok(), "not read");
    let zipped = zip(&[("d/f", &"0".repeat(1 << 20)), ("d/g", "x"), ("e", "x")]);
    let refused = taken(&zipped, "d", Some(1 << 20));
    assert!(matches!(refused, Err(MemberError::TooLarge { .. })));
    assert!(taken(&zipped, "e", Some(16)).is_ok(), "others are skipped");
}

/// Changes the directory of a zip: the bytes at `at` in the entry of `name`.
fn patched(zip: &[u8], name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut zip = zip.to_vec();
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&zip[from..], b"PK\x01\x02") {
        let entry = from + found;
        if zip[entry + 46..].starts_with(name.as_bytes()) {
            zip[entry + at..][..bytes.len()].copy_from_slice(bytes);
            return zip;
        }
        from = entry + 4;
    }
    panic!("no member {name}");
}

#[test]
fn a_zip_whose_descriptions_disagree_is_refused() {
    let text = "text".repeat(1000);
    let sound = zip(&[("d/one", &text), ("d/two", &text), ("e/x", "x")]);
    assert!(taken(&sound, "d", None).is_ok());
    for size in [10_u32, 3999, 4001, 1 << 20] {
        let lie = patched(&sound, "d/one", 24, &size.to_le_bytes());
        assert!(taken(&lie, "d", None).is_err(), "{size}");
        assert!(taken(&lie, "d/one", None).is_err(), "{size}");
    }
    // Both members at the place of the first.
    let shared = patched(&sound, "d/two", 42, &0_u32.to_le_bytes());
    let refused = taken(&shared, "d", None).unwrap_err().to_string();
    assert!(refused.contains("the data of another"), "{refused}");
    let twice = patched(&sound, "d/two", 46, b"d/one");
    assert!(taken(&twice, "d", None).is_err());
    let crc = patched(&sound, "d/one", 16, &[1, 2, 3, 4]);
    assert!(taken(&crc, "d", None).is_err());
    for name in ["d/../x", "d/..\\x"] {
        assert!(taken(&zip(&[(name, "x")]), "d", None).is_err(), "{name}");
    }
    for name in ["/d/x", "C:\\d\\x", "../d/x"] {
        let refused = taken(&zip(&[(name, "x")]), "d", None);
        assert!(matches!(refused, Err(MemberError::Absent { .. })), "{name}");
    }
    // A link and what is below it; a device.
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.add_symlink("d/l", "/tmp", options).unwrap();
    writer.start_file("d/l/f", options).unwrap();
    let linked = writer.finish().unwrap().into_inner();
    assert!(taken(&linked, "d", None).is_err());
    // More members than are held.
    let end = memchr::memmem::rfind(&sound, b"PK\x05\x06").unwrap();
    let mut many = sound.clone();
    many[end + 10..end + 12].copy_from_slice(&[0xff, 0xff]);
    many.splice(end..end, zip64(300_000, end as u64));
    let refused = taken(&many, "d", None);
    assert!(
        matches!(refused, Err(MemberError::TooMany(_))),
        "{refused:?}"
    );
}

/// The records at the end of a zip with this number of members.
fn zip64(members: u64, at: u64) -> Vec<u8> {
    let mut record = b"PK\x06\x06".to_vec();
    record.resize(56, 0);
    record[32..40].copy_from_slice(&members.to_le_bytes());
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend(at.to_le_bytes());
    record.extend([0; 4]);
    record
}

#[test]
fn deep_folders_that_an_archive_leaves_out_are_counted() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    for number in 0..2000 {
        let path = format!("d/{}f", format!("{number:014}/").repeat(250));
        let empty = &b""[..];
        builder.append_data(&mut header, path, empty).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let refused = taken(&bytes, "d", None);
    assert!(
        matches!(refused, Err(MemberError::TooMany(_))),
        "{refused:?}"
    );
}
