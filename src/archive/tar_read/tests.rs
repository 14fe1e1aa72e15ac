use super::*;
use crate::archive::{EntryKind, header_bytes};

fn raw(kind: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A header with its content, padded.
fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = raw(kind, name.as_bytes(), content.len() as u64);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).find(|length| length.to_string().len() + rest == *length);
    format!("{} {key}={value}\n", length.unwrap()).into_bytes()
}

fn list(bytes: impl Read) -> io::Result<Vec<(TarEntry, Vec<u8>)>> {
    let mut tar = TarReader::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = tar.next()? {
        let mut content = Vec::new();
        tar.read_to_end(&mut content)?;
        found.push((entry, content));
    }
    Ok(found)
}

fn fault(bytes: impl Read) -> TarFault {
    let error = list(bytes).unwrap_err();
    error.downcast::<TarFault>().unwrap()
}

/// A reader that generates bytes and counts them.
struct Endless<'c> {
    unit: Vec<u8>,
    left: u64,
    read: &'c std::cell::Cell<u64>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.read.get() % self.unit.len() as u64;
        let rest = &self.unit[usize::try_from(at).unwrap()..];
        let count = rest.len().min(buffer.len());
        let count = count.min(usize::try_from(self.left).unwrap());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.left -= count as u64;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

#[test]
fn long_names_links_and_sizes_come_from_extended_headers() {
    let long = format!("{}/x", "d".repeat(300));
    let mut tar = header_bytes(&long, 0o755, 3, EntryKind::File).unwrap();
    tar.extend([b"abc".as_slice(), &[0; 509]].concat());
    tar.extend(entry(b'L', "n", b"gnu name\0ignored"));
    tar.extend(entry(b'K', "n", b"gnu target\0"));
    tar.extend(raw(b'2', b"short", 0));
    let pax = [
        record("path", "p"),
        record("size", "2"),
        record("mtime", "1.5"),
    ];
    tar.extend(entry(b'x', "n", &pax.concat()));
    let mut file = raw(b'0', b"short", 7);
    file.extend(b"hi");
    file.resize(1024, 0);
    tar.extend(file);
    tar.extend(entry(b'g', "n", &record("comment", "a commit")));
    tar.extend(raw(b'5', b"folder/", 0));
    let found = list(&tar[..]).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|(entry, content)| (entry.name_lossy(), entry.kind, content.as_slice()))
        .collect();
    assert_eq!(
        shown,
        [
            (long, TarKind::File, &b"abc"[..]),
            ("gnu name".to_owned(), TarKind::Symlink, b""),
            ("p".to_owned(), TarKind::File, b"hi"),
            ("folder/".to_owned(), TarKind::Directory, b""),
        ]
    );
    assert!(found[0].0.is_executable() && !found[2].0.is_executable());
    assert_eq!(found[1].0.link, b"gnu target");
    let (entry, content) = &found[2];
    let at = usize::try_from(entry.offset).unwrap();
    assert_eq!(&tar[at..][..content.len()], content);
}

#[test]
fn entries_without_content_hide_no_entry() {
    for kind in *b"123456" {
        let tar = [raw(kind, b"a", 512), entry(b'0', "hidden", b"x")].concat();
        let found = list(&tar[..]).unwrap();
        assert_eq!((found[0].0.size, found[0].0.stated), (0, 512));
        assert_eq!(found[1].0.name, b"hidden");
    }
}

#[test]
fn a_declared_gigabyte_of_extended_header_is_refused_before_it_is_read() {
    for kind in *b"xgLK" {
        let mut unit = raw(kind, b"n", 1 << 30);
        unit.resize(1 << 20, b'1');
        let read = std::cell::Cell::new(0);
        let tar = Endless {
            unit,
            left: 2 << 30,
            read: &read,
        };
        assert!(matches!(fault(tar), TarFault::Limit { at: 0, .. }));
        assert_eq!(read.get(), 512);
    }
}

#[test]
fn endless_chains_of_extended_headers_end() {
    for kind in *b"xgLK" {
        let unit = entry(kind, "n", &record("comment", &"c".repeat(900_000)));
        let read = std::cell::Cell::new(0);
        let tar = Endless {
            unit,
            left: u64::MAX,
            read: &read,
        };
        assert!(matches!(fault(tar), TarFault::Limit { .. }));
        assert!(read.get() < 16 << 20);
    }
}

#[test]
fn paths_and_link_targets_have_a_length_and_a_depth() {
    let long = "n".repeat(5000);
    let named = |name: &str| [entry(b'L', "n", name.as_bytes()), raw(b'0', b"a", 0)].concat();
    assert!(matches!(fault(&named(&long)[..]), TarFault::Limit { .. }));
    assert!(matches!(
        fault(&named(&"a/".repeat(300))[..]),
        TarFault::Limit { .. }
    ));
    assert!(list(&named(&"a/".repeat(200))[..]).is_ok());
    let linked = [
        entry(b'x', "n", &record("linkpath", &long)),
        raw(b'2', b"a", 0),
    ]
    .concat();
    assert!(matches!(fault(&linked[..]), TarFault::Limit { .. }));
    // Two hundred thousand folders do not fit into an extended header's path either.
    let deep = entry(b'x', "n", &record("path", &"a/".repeat(200_000)));
    assert!(matches!(
        fault(&[deep, raw(b'0', b"a", 0)].concat()[..]),
        TarFault::Limit { .. }
    ));
}

#[test]
fn nonsensical_headers_are_refused() {
    let pax = |text: &[u8]| [entry(b'x', "n", text), raw(b'0', b"a", 0)].concat();
    for text in [
        &b"99 path=b\n"[..],
        b"11 size=-1\n",
        b"10 path=bb",
        b"path=b\n",
        b"0 \n",
        b"999999999999 a=b\n",
        b"7 path\n",
    ] {
        let fault = fault(&pax(text)[..]);
        assert!(matches!(fault, TarFault::Malformed { .. }), "{fault}");
    }
    for key in ["path", "size", "linkpath", "GNU.sparse.major"] {
        let tar = [entry(b'g', "n", &record(key, "1")), raw(b'0', b"a", 0)].concat();
        assert!(matches!(fault(&tar[..]), TarFault::Malformed { .. }));
    }
    assert_eq!(fault(&[7; 512][..]), TarFault::NoHeader(0));
    assert!(matches!(
        fault(&raw(b'0', b"a", u64::MAX >> 1)[..]),
        TarFault::Limit { .. } | TarFault::Cut(_)
    ));
    assert_eq!(fault(&pax(b"")[..100]), TarFault::NoHeader(0));
    assert!(matches!(
        fault(&[entry(b'0', "a", b""), raw(b'0', b"b", 0)[..100].to_vec()].concat()[..]),
        TarFault::Cut(_)
    ));
    assert!(matches!(
        fault(&entry(b'x', "n", &record("path", "b"))[..]),
        TarFault::Cut(_)
    ));
}

#[test]
fn the_end_may_lack_padding_and_zeros_but_no_content() {
    let whole = entry(b'0', "a", b"abc");
    for end in 515..whole.len() {
        let mut tar = TarReader::new(&whole[..end]);
        tar.next().unwrap();
        assert!(tar.next().unwrap().is_none());
        assert!(tar.lacks_padding());
    }
    assert!(list(&whole[..514]).is_err());
    let mut tar = TarReader::new(&whole[..514]);
    tar.next().unwrap();
    assert!(tar.next().is_err());
}

#[test]
fn sparse_files_are_told_apart_and_skipped() {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..1].copy_from_slice(b"s");
    gnu.realsize[..11].copy_from_slice(b"00000010000");
    gnu.isextended[0] = 1;
    header.set_size(512);
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_cksum();
    let mut map = vec![0; 512];
    map[504] = 1;
    let tail = [&[0; 512][..], &[9; 512], &entry(b'0', "after", b"x")].concat();
    let tar = [header.as_bytes(), &map[..], &tail[..]].concat();
    let found = list(&tar[..]).unwrap();
    assert_eq!((found[0].0.kind, found[0].0.size), (TarKind::Sparse, 4096));
    assert_eq!(
        (&found[0].1[..], &found[1].0.name[..]),
        (&b""[..], &b"after"[..])
    );
    let read = std::cell::Cell::new(0);
    let mut endless = TarReader::new(header.as_bytes().chain(Endless {
        unit: map,
        left: u64::MAX,
        read: &read,
    }));
    assert!(endless.next().is_err());
    let pax = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.name", "real"),
        record("GNU.sparse.realsize", "77"),
    ];
    let tar = [entry(b'x', "n", &pax.concat()), entry(b'0', "odd", b"map")].concat();
    let (entry, content) = &list(&tar[..]).unwrap()[0];
    assert_eq!(
        (entry.kind, entry.size, content.len()),
        (TarKind::Sparse, 77, 0)
    );
    assert_eq!(entry.name, b"real");
}

#[test]
fn skipping_a_file_reads_headers_only_and_notices_its_end() {
    let tar = [entry(b'0', "a", &[1; 5000]), entry(b'0', "b", b"b")].concat();
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, &tar).unwrap();
    file.rewind().unwrap();
    let mut reader = TarReader::skipping(&file);
    assert_eq!(reader.next().unwrap().unwrap().name, b"a");
    assert_eq!(reader.next().unwrap().unwrap().name, b"b");
    file.set_len(4000).unwrap();
    file.rewind().unwrap();
    let mut reader = TarReader::skipping(&file);
    reader.next().unwrap();
    assert!(reader.next().is_err());
}

#[test]
fn no_damage_to_one_byte_panics() {
    let mut tar = header_bytes(&"n".repeat(200), 0o644, 3, EntryKind::File).unwrap();
    tar.extend([b"abc".as_slice(), &[0; 509]].concat());
    for at in 0..tar.len() {
        let mut broken = tar.clone();
        broken[at] ^= 0x35;
        let _ = list(&broken[..]);
        let _ = list(&tar[..at]);
    }
}

/// A reader that reports an error at its end, like those that verify digests.
struct Judge<'a>(&'a [u8]);

impl Read for Judge<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("another digest")),
            count => Ok(count),
        }
    }
}

#[test]
fn draining_reaches_the_verification_at_the_end() {
    let tar = [entry(b'0', "a", b"a"), vec![0; 2048]].concat();
    let mut reader = TarReader::new(Judge(&tar));
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_none(), "it ends at the zeros");
    assert!(reader.drain().is_err());
}
