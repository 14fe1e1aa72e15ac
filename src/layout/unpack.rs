//! Unpacks a tar inside a package: a component, or the SBOMs.
//!
//! The digest of the tar was verified, but its author is not trusted with the disk:
//! nothing is written outside the folder, through a link, or with special rights, and
//! nothing is replaced. Every tar gets a folder of its own, so that no path of one
//! leads through a link of another.
//!
//! [`Contained`] decides what is unpacked and bounds the memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::LayoutError;
use crate::archive::{Contained, Contents, SafePath, TarKind, TarReader};
use crate::disk::{Enclosure, Rights};

/// Unpacks the tar `content`, called `name` in messages, into the empty folder `into`.
///
/// Creates folders, regular files and symbolic links. Links come last, so that no file
/// is written through one. Only the executable bit of a file's mode is used.
///
/// # Errors
///
/// [`LayoutError`]: unsafe, duplicate or foreign entries, a damaged tar, or a failed
/// write.
pub fn unpack_tar(
    name: &Path,
    content: impl Read,
    into: &Enclosure,
    contents: Contents<'_>,
) -> Result<(), LayoutError> {
    let mut tar = TarReader::new(content);
    let mut judge = Contained::new(contents);
    let mut links = BTreeMap::new();
    while let Some(entry) = tar.next().map_err(|error| LayoutError::io(name, error))? {
        let accepted = judge.accept(&entry);
        let accepted = accepted.map_err(|fault| LayoutError::contained(name, fault))?;
        let Some(at) = accepted else {
            continue;
        };
        let failed = |error| failed(name, &at, error);
        match entry.kind {
            TarKind::Directory => into.folder(&at).map_err(failed)?,
            TarKind::File => {
                let rights = match entry.is_executable() {
                    true => Rights::Executable,
                    false => Rights::Plain,
                };
                let mut file = into.file(&at, rights).map_err(failed)?;
                copy(name, &at, &mut tar, &mut file)?;
            }
            _ => drop(links.insert(at, entry.link)),
        }
    }
    for (at, target) in links {
        into.link(&at, &target)
            .map_err(|error| failed(name, &at, error))?;
    }
    Ok(())
}

fn copy(
    name: &Path,
    at: &SafePath,
    content: &mut impl Read,
    file: &mut impl io::Write,
) -> Result<(), LayoutError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => file
                .write_all(&buffer[..count])
                .map_err(|error| failed(name, at, error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LayoutError::io(name, error)),
        }
    }
}

fn failed(name: &Path, at: &SafePath, error: io::Error) -> LayoutError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => LayoutError::Twice {
            path: name.to_owned(),
            entry: at.to_string(),
        },
        io::ErrorKind::NotADirectory => LayoutError::Foreign {
            path: name.to_owned(),
            entry: at.to_string(),
            what: "below a file or a link",
        },
        _ => LayoutError::Output {
            path: name.to_owned(),
            entry: at.to_string(),
            source: error,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use tar::EntryType as Kind;

    use super::*;
    use crate::archive::list;

    fn header(kind: Kind, name: &[u8], link: &[u8], size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o6755);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn tar_of(entries: &[(Kind, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, link) in entries {
            let content: &[u8] = if kind.is_file() { b"hi" } else { b"" };
            let size = content.len() as u64;
            let header = header(*kind, name.as_bytes(), link.as_bytes(), size);
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// Unpacks into `in` beside a folder `out` with a file, and checks that nothing
    /// outside `in` has changed.
    fn unpacked(
        bytes: &[u8],
        contents: Contents<'_>,
    ) -> (tempfile::TempDir, Result<(), LayoutError>) {
        let dir = tempfile::tempdir().unwrap();
        let (inside, out) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("mine"), "mine").unwrap();
        let into = Enclosure::open(&inside).unwrap();
        let done = unpack_tar(Path::new("t"), bytes, &into, contents);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert_eq!(fs::read(out.join("mine")).unwrap(), b"mine");
        assert_eq!(fs::metadata(out.join("mine")).unwrap().nlink(), 1);
        (dir, done)
    }

    const APP: Contents<'_> = Contents::Component("a");

    #[test]
    fn files_folders_and_links_are_made_without_special_rights() {
        let bytes = tar_of(&[
            (Kind::Directory, ".", ""),
            (Kind::Directory, "a/empty", ""),
            (Kind::Regular, "a/run", ""),
            (Kind::Symlink, "a/link", "/etc/passwd"),
            (Kind::Symlink, "a/up", "../../out"),
        ]);
        let (dir, done) = unpacked(&bytes, APP);
        done.unwrap();
        let at = |name: &str| dir.path().join("in").join(name);
        assert_eq!(fs::read(at("a/run")).unwrap(), b"hi");
        let mode = fs::metadata(at("a/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7700, 0o700);
        assert!(at("a/empty").is_dir());
        let target = fs::read_link(at("a/link")).unwrap();
        assert_eq!(target, Path::new("/etc/passwd"));
    }

    /// Ways out of the folder, and ambiguous trees.
    const ROADS: &[&[(Kind, &str, &str)]] = &[
        &[(Kind::Regular, "../out/x", "")],
        &[(Kind::Regular, "a/../../out/x", "")],
        &[(Kind::Regular, "/tmp/out", "")],
        &[(Kind::Regular, "a\\..\\..\\out", "")],
        &[(Kind::Regular, "C:/out", "")],
        &[(Kind::Directory, "../out/d", "")],
        &[(Kind::Symlink, "../out/l", "x")],
        &[(Kind::Regular, "b/planted", "")],
        &[(Kind::Symlink, "b", "../out")],
        &[(Kind::Symlink, "a", "../out")],
        &[(Kind::Symlink, "./a/", "../out")],
        &[(Kind::Regular, "a", "")],
        &[(Kind::Symlink, "a/d", ".."), (Kind::Regular, "a/d/x", "")],
        &[(Kind::Regular, "a/d/x", ""), (Kind::Symlink, "a/d", "..")],
        &[(Kind::Symlink, "a/d", ".."), (Kind::Symlink, "a/d/x", "y")],
        &[
            (Kind::Symlink, "a/d", "../../out"),
            (Kind::Directory, "a/d", ""),
        ],
        &[
            (Kind::Directory, "a/d", ""),
            (Kind::Symlink, "a/d", "../../out"),
        ],
        &[
            (Kind::Symlink, "a/one", "../../out"),
            (Kind::Symlink, "a/two", "one"),
            (Kind::Symlink, "a/two/l", "x"),
        ],
        &[(Kind::Symlink, "a/l", "x"), (Kind::Symlink, "a/l", "y")],
        &[(Kind::Symlink, "a/l", "x"), (Kind::Symlink, "./a//l", "y")],
        &[(Kind::Regular, "a/f", ""), (Kind::Regular, "./a/./f", "")],
        &[(Kind::Regular, "a/f", ""), (Kind::Symlink, "a/f", "b")],
        &[
            (Kind::Symlink, "a/f", "../../out/mine"),
            (Kind::Regular, "a/f", ""),
        ],
        &[(Kind::Regular, "a/f", ""), (Kind::Regular, "a/f/below", "")],
        &[(Kind::Regular, "a/f", ""), (Kind::Directory, "a/f", "")],
        &[(Kind::Symlink, "a/l", "")],
        &[(Kind::Link, "a/hard", "../out/mine")],
        &[(Kind::Link, "a/hard", "/etc/passwd")],
        &[(Kind::Regular, "a/f", ""), (Kind::Link, "a/hard", "a/f")],
        &[(Kind::Char, "a/null", "")],
        &[(Kind::Block, "a/disk", "")],
        &[(Kind::Fifo, "a/pipe", "")],
        &[(Kind::GNUSparse, "a/holes", "")],
    ];

    #[test]
    fn nothing_is_written_outside_or_through_a_link() {
        for entries in ROADS {
            let bytes = tar_of(entries);
            let (_, done) = unpacked(&bytes, APP);
            assert!(done.is_err(), "{entries:?}");
            assert!(list(&bytes[..], APP).is_err(), "{entries:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

        /// Whatever tars name and wherever they link, one after the other in one folder.
        #[test]
        fn no_tars_lead_out_of_their_folder(
            tars in proptest::collection::vec(
                proptest::collection::vec((0..8_usize, parts(), parts()), 0..12),
                1..3,
            ),
        ) {
            const KINDS: [Kind; 8] = [
                Kind::Regular,
                Kind::Regular,
                Kind::Directory,
                Kind::Symlink,
                Kind::Symlink,
                Kind::Link,
                Kind::Fifo,
                Kind::XGlobalHeader,
            ];
            let dir = tempfile::tempdir().unwrap();
            let (inside, out) = (dir.path().join("in"), dir.path().join("out"));
            fs::create_dir(&inside).unwrap();
            fs::create_dir(&out).unwrap();
            fs::write(out.join("mine"), "mine").unwrap();
            let into = Enclosure::open(&inside).unwrap();
            for tar in &tars {
                let entries = tar.iter().map(|(kind, name, link)| {
                    (KINDS[*kind], name.as_str(), link.as_str())
                });
                let bytes = tar_of(&entries.collect::<Vec<_>>());
                // Refused or not: what it left is on the way of the next one.
                let _ = unpack_tar(Path::new("t"), &bytes[..], &into, APP);
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
            assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
            assert_eq!(fs::read(out.join("mine")).unwrap(), b"mine");
            assert_eq!(fs::metadata(out.join("mine")).unwrap().nlink(), 1);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

        /// `verify` lists a tar, `extract` unpacks it.
        #[test]
        fn what_is_listed_can_be_unpacked_and_nothing_else(
            tar in proptest::collection::vec((0..4_usize, parts(), parts()), 0..12),
            documents in proptest::bool::ANY,
        ) {
            const KINDS: [Kind; 4] = [Kind::Regular, Kind::Directory, Kind::Symlink, Kind::Link];
            let entries = tar.iter().map(|(kind, name, link)| {
                (KINDS[*kind], name.as_str(), link.as_str())
            });
            let bytes = tar_of(&entries.collect::<Vec<_>>());
            let contents = if documents { Contents::Documents } else { APP };
            let (_, done) = unpacked(&bytes, contents);
            assert_eq!(list(&bytes[..], contents).is_ok(), done.is_ok(), "{done:?}");
        }
    }

    /// Paths of a few parts, so that they meet.
    fn parts() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::strategy::Strategy as _;
        let part = proptest::sample::select(&["a", "a", "b", "A", ".", "..", "", "out", "/"][..]);
        let parts = proptest::collection::vec(part, 1..6);
        parts.prop_map(|parts| parts.join("/"))
    }

    #[test]
    fn documents_have_no_links() {
        for target in ["/etc/passwd", "../out/mine", "a.json"] {
            let entries = [(Kind::Regular, "a.json", ""), (Kind::Symlink, "l", target)];
            let (_, done) = unpacked(&tar_of(&entries), Contents::Documents);
            assert!(done.is_err(), "{target}");
        }
        let entries = [(Kind::Directory, "./", ""), (Kind::Regular, "d/a.json", "")];
        unpacked(&tar_of(&entries), Contents::Documents).1.unwrap();
    }

    #[test]
    fn long_and_odd_names_are_refused_and_do_not_lead_out() {
        let pax = |key: &str, value: &str, kind: Kind| {
            let body = format!(" {key}={value}\n");
            let mut length = body.len();
            while length != length.to_string().len() + body.len() {
                length = length.to_string().len() + body.len();
            }
            let record = format!("{length}{body}");
            let mut builder = tar::Builder::new(Vec::new());
            let extended = header(Kind::XHeader, b"pax", b"", record.len() as u64);
            builder.append(&extended, record.as_bytes()).unwrap();
            builder
                .append(&header(kind, b"a/f", b"x", 0), &b""[..])
                .unwrap();
            builder.into_inner().unwrap()
        };
        let deep = format!("a/{}f", "d/".repeat(300));
        for bytes in [
            pax("path", "../out/x", Kind::Regular),
            pax("path", "/tmp/x", Kind::Regular),
            pax("path", "a/x\0y", Kind::Regular),
            pax("path", &format!("a/{}", "n".repeat(300)), Kind::Regular),
            pax("path", &format!("a/{}", "n".repeat(5000)), Kind::Regular),
            pax("path", &deep, Kind::Regular),
            pax("linkpath", &"t/".repeat(3000), Kind::Symlink),
            pax("GNU.sparse.name", "../out/x", Kind::Regular),
            pax("SCHILY.realsize", "x", Kind::new(b'S')),
        ] {
            assert!(unpacked(&bytes, APP).1.is_err());
        }
        let mut builder = tar::Builder::new(Vec::new());
        let odd = header(Kind::Regular, b"a/\xff", b"", 0);
        builder.append(&odd, &b""[..]).unwrap();
        assert!(unpacked(&builder.into_inner().unwrap(), APP).1.is_err());
    }

    #[test]
    fn a_folder_that_others_filled_with_links_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        fs::create_dir_all(dir.path().join("out")).unwrap();
        fs::create_dir_all(inside.join("a")).unwrap();
        symlink("../../out", inside.join("a/d")).unwrap();
        let into = Enclosure::open(&inside).unwrap();
        let bytes = tar_of(&[(Kind::Regular, "a/d/x", "")]);
        assert!(unpack_tar(Path::new("t"), &bytes[..], &into, APP).is_err());
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
    }
}
