use super::*;
use crate::oci::Digest;

fn ready(
    members: &[(Output, Option<Output>)],
) -> impl Iterator<Item = Result<(Output, Packing), ExportError>> + '_ {
    let members = members.iter().cloned();
    members.map(|(member, frames)| Ok((member, frames.into())))
}
use crate::kinds::package::assemble::compress_member;
use crate::oci::Descriptor;

fn members(cas: &Cas) -> Vec<(Output, Option<Output>)> {
    let large = vec![b'x'; 100_000];
    [
        ("jackal.yaml", &b"kind: x\n"[..]),
        ("images/blobs/sha256/00", &large),
    ]
    .iter()
    .map(|(name, bytes)| {
        let descriptor = Descriptor::of("x", bytes);
        cas.put(&descriptor, *bytes).unwrap();
        let member = Output::of(*name, &descriptor);
        let compressed = !name.starts_with("images");
        let frames = compressed.then(|| compress_member(cas, &member).unwrap());
        (member, frames)
    })
    .collect()
}

fn names(tar: impl Read) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn both_forms_hold_the_members_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path().join("c")).unwrap();
    let members = members(&cas);
    let tar = dir.path().join("out/p.tar");
    let zst = dir.path().join("out/p.tar.zst");
    for (to, format) in [(&tar, ArchiveFormat::Tar), (&zst, ArchiveFormat::TarZst)] {
        let to = Destination::new(to, format);
        export_archive(&cas, ready(&members), &to, &|| false).unwrap();
    }
    let plain = fs::read(&tar).unwrap();
    assert_eq!(names(&plain[..]), ["jackal.yaml", "images/blobs/sha256/00"]);
    assert_eq!(zstd::decode_all(File::open(&zst).unwrap()).unwrap(), plain);
}

#[test]
fn parts_join_to_the_whole_and_older_parts_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path().join("c")).unwrap();
    let members = members(&cas);
    let to = dir.path().join("p.tar");
    let export = |split, earlier: &[PathBuf]| {
        let to = Destination {
            split,
            earlier,
            mode: 0o640,
            ..Destination::new(&to, ArchiveFormat::Tar)
        };
        export_archive(&cas, ready(&members), &to, &|| false)
    };
    export(None, &[]).unwrap();
    let whole = fs::read(&to).unwrap();
    export(Some(15_000), &[]).unwrap();
    assert!(part(&to, 7).exists());
    let done = export(Some(40_000), &[]).unwrap();
    let joined: Vec<u8> = done.files[1..]
        .iter()
        .flat_map(|file| fs::read(file).unwrap())
        .collect();
    assert_eq!(joined, whole);
    assert!(!to.exists() && !part(&to, 4).exists() && !part(&to, 7).exists());
    let header = fs::read_to_string(&done.files[0]).unwrap();
    assert!(header.contains(&Digest::of(&whole).hex()), "{header}");
    for file in &done.files {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(file).unwrap());
        assert_eq!(mode & 0o607, 0o600, "{}", file.display());
    }
}

#[test]
fn files_that_only_have_the_names_of_parts_stay() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path().join("c")).unwrap();
    let members = members(&cas);
    let to = dir.path().join("p.tar");
    let export = |split, earlier: &[PathBuf]| {
        let to = Destination {
            split,
            earlier,
            ..Destination::new(&to, ArchiveFormat::Tar)
        };
        export_archive(&cas, ready(&members), &to, &|| false)
    };
    let parts = export(Some(40_000), &[]).unwrap().files;
    let stray = part(&to, 8);
    fs::write(&stray, "mine").unwrap();
    for split in [None, Some(40_000), Some(10_000)] {
        let error = export(split, &[]).unwrap_err();
        assert!(matches!(&error, ExportError::InTheWay(path) if *path == stray));
        assert!(!to.exists() && parts.iter().all(|part| part.exists()));
    }
    // Its own files that a record names, although they do not match their header.
    fs::remove_file(&stray).unwrap();
    fs::write(&parts[2], "other").unwrap();
    assert!(export(None, &parts[..2]).is_err());
    export(None, &parts).unwrap();
    assert!(to.exists() && !parts.iter().any(|part| part.exists()));
}

#[test]
fn a_damaged_blob_leaves_the_earlier_archive_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("c");
    let members = members(&Cas::open(&cache).unwrap());
    let to = dir.path().join("p.tar.zst");
    fs::write(&to, "earlier").unwrap();
    let hex = members[1].0.digest.hex();
    let blob = cache.join("v1/blobs/sha256").join(&hex[..2]).join(&hex);
    let mut permissions = fs::metadata(&blob).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(&blob, permissions).unwrap();
    fs::write(&blob, vec![b'y'; 100_000]).unwrap();
    let cas = Cas::open(&cache).unwrap();
    let archive = Destination::new(&to, ArchiveFormat::TarZst);
    assert!(export_archive(&cas, ready(&members), &archive, &|| false).is_err());
    assert_eq!(fs::read(&to).unwrap(), b"earlier");
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn a_small_archive_is_not_split_and_too_many_parts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path().join("c")).unwrap();
    let members = members(&cas);
    let to = dir.path().join("out/p.tar");
    let export = |split| {
        let to = Destination {
            split,
            ..Destination::new(&to, ArchiveFormat::Tar)
        };
        export_archive(&cas, ready(&members), &to, &|| false)
    };
    export(Some(40_000)).unwrap();
    let whole = export(None).unwrap();
    let bytes = fs::read(&to).unwrap();
    assert_eq!(export(Some(whole.bytes)).unwrap(), whole);
    let error = export(Some(1)).unwrap_err().to_string();
    assert!(error.contains("--max-package-size"), "{error}");
    assert_eq!(fs::read(&to).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1);
    let two = export(Some(whole.bytes - 1)).unwrap();
    assert_eq!((two.files.len(), two.bytes), (3, whole.bytes));
}

#[test]
fn stopping_at_any_moment_keeps_the_earlier_archive() {
    use std::cell::Cell;
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path().join("c")).unwrap();
    let members = members(&cas);
    let to = dir.path().join("out/p.tar");
    for split in [None, Some(40_000)] {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let before = [to.clone(), part(&to, 0), part(&to, 2)];
        for path in &before {
            fs::write(path, "earlier").unwrap();
        }
        let destination = Destination {
            split,
            earlier: &before,
            ..Destination::new(&to, ArchiveFormat::Tar)
        };
        for moment in 1.. {
            let polls = Cell::new(0);
            let stopped = || {
                polls.set(polls.get() + 1);
                polls.get() >= moment
            };
            match export_archive(&cas, ready(&members), &destination, &stopped) {
                Ok(_) => {
                    assert!(moment > 2, "it never checks for a stop");
                    break;
                }
                Err(error) => assert!(matches!(error, ExportError::Stopped), "{error}"),
            }
            for path in &before {
                assert_eq!(fs::read(path).unwrap(), b"earlier");
            }
            assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 3);
        }
        fs::remove_dir_all(to.parent().unwrap()).unwrap();
    }
}
