use super::*;
use crate::archive::{EntryKind, SeekableWriter, header_bytes};
use crate::oci::Digest;

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let noise = |seed: u32| {
        let byte = move |n: u32| (n.wrapping_mul(2_654_435_761) >> seed) as u8;
        (0..200_000).map(byte).collect()
    };
    vec![
        ("jackal.yaml", b"kind: x\n".to_vec()),
        ("components/a.tar", noise(7)),
        ("images/b", noise(11)),
        ("empty", Vec::new()),
    ]
}

/// The archive as jackal writes it, and the positions of each member's frames.
fn seekable() -> Vec<u8> {
    let mut writer = SeekableWriter::new(Vec::new()).unwrap();
    for (name, bytes) in contents() {
        let header = header_bytes(name, 0o644, bytes.len() as u64, EntryKind::File).unwrap();
        writer.compressed(&header).unwrap();
        writer
            .raw_frame(&mut &bytes[..], bytes.len() as u64)
            .unwrap();
        let padding = bytes.len().next_multiple_of(512) - bytes.len();
        writer.compressed(&vec![0; padding]).unwrap();
    }
    writer.compressed(&[0; 1024]).unwrap();
    writer.finish().unwrap()
}

fn tar() -> Vec<u8> {
    zstd::decode_all(&seekable()[..]).unwrap()
}

fn written(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("p");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn check(path: &Path) {
    let package = open(path).unwrap();
    let sizes: Vec<_> = package
        .members()
        .unwrap()
        .values()
        .map(|m| m.size)
        .collect();
    assert_eq!(sizes, [200_000, 0, 200_000, 8]);
    for (name, bytes) in contents() {
        let mut found = Vec::new();
        package.read_member(name, &mut found).unwrap();
        assert!(found == bytes, "{name}");
    }
    let other = package.read_member("other", &mut io::sink());
    assert!(matches!(other, Err(LayoutError::NoMember { .. })));
}

#[test]
fn names_that_collide_on_some_file_system_are_refused() {
    for (first, second) in [
        ("a/B", "a/b"),
        ("a/b", "a/B"),
        ("e\u{301}", "\u{e9}"),
        ("x", "x"),
    ] {
        let tar: Vec<u8> = [first, second]
            .iter()
            .flat_map(|name| header_bytes(name, 0o644, 0, EntryKind::File).unwrap())
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &tar);
        let found = open(&path).unwrap().members().map(BTreeMap::len);
        assert!(
            matches!(found, Err(LayoutError::Twice { .. })),
            "{first} {second}"
        );
    }
}

#[test]
fn an_archive_that_holds_far_more_than_its_size_is_not_read_to_its_end() {
    // A header that declares 1 TiB of zeros, and the start of them.
    let mut tar = header_bytes("components/a.tar", 0o644, 1 << 40, EntryKind::File).unwrap();
    tar.extend(vec![0; 1 << 20]);
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &zstd::encode_all(&tar[..], 3).unwrap());
    let package = open(&path).unwrap();
    let error = package
        .visit(|_, _, _| panic!("it was read"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("--max-content-size"), "{error}");
    // With an explicit limit, the archive is only damaged.
    let package = package.with_limit(Some(2 << 40));
    let error = package.members().unwrap_err().to_string();
    assert!(!error.contains("--max-content-size"), "{error}");
    let limited = open(&path).unwrap().with_limit(Some(1000));
    assert!(limited.members().is_err());
}

#[test]
fn every_form_holds_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    check(&written(dir.path(), &tar()));
    check(&written(
        dir.path(),
        &zstd::encode_all(&tar()[..], 3).unwrap(),
    ));
    let path = written(dir.path(), &seekable());
    assert!(open(&path).unwrap().is_seekable());
    check(&path);
    let folder = dir.path().join("folder");
    for (name, bytes) in contents() {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    check(&folder);
}

#[test]
fn any_part_or_the_bare_name_opens_a_split_package() {
    let dir = tempfile::tempdir().unwrap();
    let whole = seekable();
    let base = dir.path().join("p.tar.zst");
    let pieces: Vec<&[u8]> = whole.chunks(90_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        std::fs::write(parts::part(&base, index + 1), piece).unwrap();
    }
    let header = format!(
        r#"{{"sha256Sum":"{}","bytes":{},"count":{}}}"#,
        Digest::of(&whole).hex(),
        whole.len(),
        pieces.len()
    );
    std::fs::write(parts::part(&base, 0), header).unwrap();
    check(&base);
    for number in 0..=pieces.len() {
        check(&parts::part(&base, number));
    }
    let mut altered = pieces[1].to_vec();
    altered[100] ^= 1;
    std::fs::write(parts::part(&base, 2), altered).unwrap();
    let sum = open(&base).unwrap().check_parts();
    assert!(matches!(sum, Err(LayoutError::PartsSum { .. })));
    std::fs::remove_file(parts::part(&base, 2)).unwrap();
    let missing = open(&base);
    assert!(matches!(missing, Err(LayoutError::PartMissing { .. })));
}

#[test]
fn with_a_seek_table_only_the_frames_of_a_member_are_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = seekable();
    let (_, other) = &contents()[1];
    // Ruin every block header of the other member, so that decoding it fails.
    let at = bytes.windows(64).position(|w| w == &other[..64]).unwrap();
    bytes[at - 3..at].fill(0xff);
    let path = written(dir.path(), &bytes);
    let package = open(&path).unwrap();
    for (name, content) in contents() {
        let mut found = Vec::new();
        let read = package.read_member(name, &mut found);
        if name == "components/a.tar" {
            assert!(read.is_err());
        } else {
            read.unwrap();
            assert!(found == content, "{name}");
        }
    }
    assert!(
        package
            .visit(|_, _, content| {
                io::copy(content, &mut io::sink())
                    .map_err(|error| LayoutError::io(&path, error))?;
                Ok(())
            })
            .is_err()
    );
}

#[test]
fn many_headers_in_one_large_frame_are_read_from_the_start_instead() {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = Vec::new();
    for number in 0..3000 {
        let name = format!("f{number}");
        tar.extend(header_bytes(&name, 0o644, 0, EntryKind::File).unwrap());
    }
    let mut writer = SeekableWriter::new(Vec::new()).unwrap();
    writer.compressed(&tar).unwrap();
    let path = written(dir.path(), &writer.finish().unwrap());
    assert_eq!(open(&path).unwrap().members().unwrap().len(), 3000);
}

#[test]
fn a_wrong_seek_table_is_an_error_or_ignored_and_never_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let sound = seekable();
    for back in 1..150 {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            let at = bytes.len() - back;
            bytes[at] ^= flip;
            let package = open(&written(dir.path(), &bytes));
            let Ok(package) = package else { continue };
            let mut read = Vec::new();
            if package.read_member("images/b", &mut read).is_ok() {
                // As a reader of the whole stream finds it.
                let (_, content) = &contents()[2];
                assert!(read == *content, "{back} {flip}");
            }
        }
    }
}

#[test]
fn data_after_the_end_of_the_tar_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = [tar(), b"hidden".to_vec()].concat();
    let package = open(&written(dir.path(), &bytes)).unwrap();
    assert!(
        package
            .visit(|_, _, content| {
                io::copy(content, &mut io::sink()).unwrap();
                Ok(())
            })
            .is_err()
    );
}

#[test]
fn the_paths_of_all_files_have_a_limit_in_bytes() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    let folder = format!("{}/", "n".repeat(200)).repeat(18);
    for number in 0..10_000 {
        let path = format!("{folder}{number}");
        builder.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), builder.into_inner().unwrap()).unwrap();
    let error = open(file.path()).unwrap().members().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its paths take more than 32 MiB"),
        "{error}"
    );
}
