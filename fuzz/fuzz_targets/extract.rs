//! Any tars, unpacked one after the other as `extract --unarchive` does: nothing outside
//! the folder is written, changed or removed, whatever they name and wherever they link.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jackal::archive::{Contents, SafePath};
use jackal::layout::unpack_tar;
use jackal::testing::Enclosure;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

/// Names are made of a few parts, so that they meet.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Part {
    A,
    B,
    Upper,
    Dot,
    Up,
    Root,
    Outside,
    Backslash,
    Nothing,
}

impl Part {
    fn text(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Upper => "A",
            Self::Dot => ".",
            Self::Up => "..",
            Self::Root => "/",
            Self::Outside => "outside",
            Self::Backslash => "..\\..",
            Self::Nothing => "",
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Entry {
    kind: u8,
    name: Vec<Part>,
    link: Vec<Part>,
    /// Names it in PAX records or GNU headers as well.
    extended: u8,
    content: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Tar {
    Entries(Vec<Entry>),
    Bytes(Vec<u8>),
}

fn path(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| part.text())
        .collect::<Vec<_>>()
        .join("/")
}

fn header(kind: u8, name: &str, link: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    let put = |block: &mut Vec<u8>, at: usize, most: usize, text: &str| {
        let bytes = &text.as_bytes()[..text.len().min(most)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(&mut block, 0, 100, name);
    put(&mut block, 100, 8, "0006755\0");
    put(&mut block, 124, 12, &format!("{size:011o}\0"));
    block[156] = kind;
    put(&mut block, 157, 100, link);
    put(&mut block, 257, 8, "ustar\x0000");
    put(&mut block, 148, 8, "        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, 8, &format!("{sum:06o}\0 "));
    block
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

impl Tar {
    fn bytes(&self) -> Vec<u8> {
        let entries = match self {
            Self::Bytes(bytes) => return bytes.clone(),
            Self::Entries(entries) => entries,
        };
        let mut tar = Vec::new();
        for entry in entries {
            let (name, link) = (path(&entry.name), path(&entry.link));
            let kind = b"0125346LKxgS7\0"[usize::from(entry.kind) % 14];
            match entry.extended % 4 {
                1 => {
                    let record = format!(" path={name}\n");
                    let record = format!("{}{record}", record.len() + 2);
                    tar.extend(header(b'x', "x", "", record.len()));
                    tar.extend(padded(record.into_bytes()));
                }
                2 => {
                    tar.extend(header(b'L', "L", "", name.len()));
                    tar.extend(padded(name.clone().into_bytes()));
                }
                3 => {
                    tar.extend(header(b'K', "K", "", link.len()));
                    tar.extend(padded(link.clone().into_bytes()));
                }
                _ => {}
            }
            tar.extend(header(kind, &name, &link, entry.content.len()));
            tar.extend(padded(entry.content.clone()));
        }
        tar.extend([0; 1024]);
        tar
    }
}

/// Everything below `folder`, without following links.
fn listed(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, facts) = (entry.path(), entry.metadata().unwrap());
            let mut content = Vec::new();
            if facts.is_dir() {
                open.push(path.clone());
            } else if facts.is_file() {
                content = fs::read(&path).unwrap();
            }
            found.insert(path, (facts.mode(), facts.nlink(), facts.ino(), content));
        }
    }
    found
}

fuzz_target!(|tars: Vec<Tar>| {
    let around = tempfile::tempdir().unwrap();
    let outside = around.path().join("outside");
    fs::create_dir_all(outside.join("a")).unwrap();
    fs::write(outside.join("mine"), "mine").unwrap();
    fs::write(outside.join("a/b"), "mine").unwrap();
    let work = around.path().join("work");
    fs::create_dir(&work).unwrap();
    let before = listed(&outside);
    let inside = work.join("inside");
    fs::create_dir(&inside).unwrap();
    let inside = Enclosure::open(&inside).unwrap();
    for (number, tar) in tars.iter().take(4).enumerate() {
        let bytes = tar.bytes();
        let name = ["a", "b", "A", "documents"][number];
        let contents = match name {
            "documents" => Contents::Documents,
            name => Contents::Component(name),
        };
        let own = work.join(format!("own-{number}"));
        fs::create_dir(&own).unwrap();
        let own = Enclosure::open(&own).unwrap();
        let shown = Path::new("t");
        let done = budget::within(bytes.len(), || {
            unpack_tar(shown, &bytes[..], &own, contents)
        });
        // Refused or not, what it left becomes part of the whole.
        let _ = done;
        let top = SafePath::parse(name).unwrap();
        let _ = own.move_into(&top, &inside, &top);
        // A folder that others filled, also with links, is no way out either.
        let _ = unpack_tar(shown, &bytes[..], &inside, contents);
    }
    assert_eq!(listed(&outside), before);
    let names = fs::read_dir(around.path()).unwrap();
    assert_eq!(names.count(), 2, "something is beside the folder");
    for entry in fs::read_dir(&work).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "inside" || name.starts_with("own-"), "{name}");
    }
    // Documents have no links, wherever they would lead.
    let documents = work.join("own-3");
    let documents = match documents.is_dir() {
        true => listed(&documents),
        false => BTreeMap::new(),
    };
    for (path, (mode, _, _, _)) in documents {
        assert_ne!(mode & 0o170_000, 0o120_000, "{}", path.display());
    }
});
