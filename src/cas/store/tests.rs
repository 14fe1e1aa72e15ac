use super::*;

fn store(cas: &Cas, bytes: &[u8]) -> Digest {
    let mut ingest = cas.ingest().unwrap();
    ingest.write_all(bytes).unwrap();
    ingest.commit().unwrap().0
}

fn read(cas: &Cas, digest: &Digest) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cas.open_blob(digest)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_flipped_bit_is_a_miss_that_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let digest = store(&Cas::open(dir.path()).unwrap(), b"abc");
    let cas = Cas::open(dir.path()).unwrap();
    fs::write(cas.path_of(&digest), b"abd").unwrap();
    assert!(read(&cas, &digest).is_err());
    assert!(!cas.contains(&digest, 3).unwrap());
    store(&cas, b"abc");
    assert_eq!(read(&cas, &digest).unwrap(), b"abc");
}

#[test]
fn a_damaged_blob_that_cannot_be_removed_counts_as_gone_until_it_is_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let digest = store(&Cas::open(dir.path()).unwrap(), b"abc");
    let cas = Cas::open(dir.path()).unwrap();
    fs::write(cas.path_of(&digest), b"abd").unwrap();
    assert!(read(&cas, &digest).is_err());
    // As on a disk that is read-only.
    fs::write(cas.path_of(&digest), b"abd").unwrap();
    assert!(!cas.contains(&digest, 3).unwrap());
    assert!(cas.open_blob(&digest).is_err());
    assert_eq!(cas.found_damaged(), 1);
    store(&cas, b"abc");
    assert_eq!(read(&cas, &digest).unwrap(), b"abc");
}

#[test]
fn a_truncated_blob_is_not_contained_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let digest = store(&Cas::open(dir.path()).unwrap(), b"abc");
    let cas = Cas::open(dir.path()).unwrap();
    fs::write(cas.path_of(&digest), b"").unwrap();
    assert!(!cas.contains(&digest, 3).unwrap());
    let error = cas
        .fetch(&Descriptor::of("x", b"abc"))
        .err()
        .map(|e| e.kind());
    assert_eq!(error, Some(io::ErrorKind::NotFound));
    assert!(!cas.path_of(&digest).exists());
}

#[test]
fn two_writers_of_one_blob_both_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (
        Cas::open(dir.path()).unwrap(),
        Cas::open(dir.path()).unwrap(),
    );
    let (mut first, mut second) = (a.ingest().unwrap(), b.ingest().unwrap());
    first.write_all(b"same").unwrap();
    second.write_all(b"same").unwrap();
    assert_eq!(first.commit().unwrap(), second.commit().unwrap());
    assert_eq!(read(&a, &Digest::of(b"same")).unwrap(), b"same");
}

#[test]
fn a_drop_without_commit_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path()).unwrap();
    let mut ingest = cas.ingest().unwrap();
    ingest.write_all(b"half").unwrap();
    let path = ingest.path.clone();
    drop(ingest);
    assert!(!path.exists());
    assert!(!cas.contains(&Digest::of(b"half"), 4).unwrap());
}

#[test]
fn a_dead_session_is_reaped_and_a_live_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let live = Cas::open(dir.path()).unwrap();
    let ingest = live.ingest().unwrap();
    let dead = dir.path().join("v1/ingest/.jackal-tmp-dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("alive"), b"").unwrap();
    fs::write(dead.join("0"), b"half").unwrap();
    let _second = Cas::open(dir.path()).unwrap();
    assert!(!dead.exists());
    assert!(ingest.path.exists());
}

#[test]
fn other_content_than_announced_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Cas::open(dir.path()).unwrap();
    let descriptor = Descriptor::of("x", b"abc");
    for content in [&b"abd"[..], b"ab", b"abcd"] {
        assert!(matches!(
            cas.put(&descriptor, content),
            Err(CasError::Mismatch { .. })
        ));
    }
    assert!(!cas.contains(&descriptor.digest, 3).unwrap());
    cas.put(&descriptor, &b"abc"[..]).unwrap();
    assert!(cas.contains(&descriptor.digest, 3).unwrap());
}
