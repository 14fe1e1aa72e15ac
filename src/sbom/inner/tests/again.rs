//! A property: a component that is scanned with the findings of earlier ones has the
//! document of a scan without any, and only files that changed are scanned.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::sbom::binary::tests::elf;
use crate::sbom::findings::{Pack, Packs};
use crate::sbom::format::syft;
use crate::sbom::scan::component_with;

type Make = fn(u8) -> Vec<u8>;

fn json(variant: u8) -> Vec<u8> {
    format!(r#"{{"name":"p{variant}","version":"1.{variant}","license":"MIT"}}"#).into_bytes()
}

fn jar(variant: u8) -> Vec<u8> {
    let manifest = format!("Implementation-Version: 1.{variant}\nMain-Class: org.a.B\n");
    zip(&[("META-INF/MANIFEST.MF", manifest.as_bytes())])
}

fn root(variant: u8) -> Vec<u8> {
    let status = format!("Package: d\nVersion: {variant}\nArchitecture: amd64\n\n");
    tar_of(&[
        ("etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n"),
        ("var/lib/dpkg/status", status.as_bytes()),
        ("app/package.json", &json(variant)),
        ("app/link -> package.json", b""),
        ("app/hard == app/package.json", b""),
        ("lib/a.jar", &jar(variant)),
        ("odd/package.json", b"{"),
    ])
}

fn nested(variant: u8) -> Vec<u8> {
    let third = zip(&[("x.zip", &zip(&[("a", b"a")])), ("package.json", &json(9))]);
    let second = tar_of(&[("c/third.zip", &third), ("c/package.json", &json(variant))]);
    zip(&[("second.tgz", &gzip(&second)), ("package.json", &json(7))])
}

fn program(variant: u8) -> Vec<u8> {
    let text = format!("\0BusyBox v1.3{variant}.1 (2024-01-01)\0");
    elf(&[(".rodata", text.as_bytes())])
}

/// What a component may have, and whether its findings are kept.
const KINDS: &[(&str, bool, Make)] = &[
    ("package.json", false, json),
    ("plain.txt", false, |variant| vec![variant; 700]),
    ("LICENSE", true, |_| {
        b"Permission is hereby granted, free of charge, to any person obtaining a copy".to_vec()
    }),
    ("busybox", true, program),
    ("other", true, |variant| elf(&[(".text", &[variant; 90])])),
    ("a.jar", true, jar),
    ("a.war", true, |variant| {
        zip(&[
            ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"),
            ("WEB-INF/lib/in-2.0.jar", &jar(variant)),
        ])
    }),
    ("root.tar", true, root),
    ("root.tar.gz", true, |variant| gzip(&root(variant))),
    ("root.tar.xz", true, |variant| xz(&root(variant))),
    ("nested.zip", true, nested),
    ("cut.zip", true, |variant| {
        let whole = nested(variant);
        whole[..whole.len() - 9].to_vec()
    }),
    ("cut.tar", true, |variant| root(variant)[..2900].to_vec()),
    ("cut.gz", true, |variant| {
        let whole = gzip(&root(variant));
        whole[..whole.len() / 2].to_vec()
    }),
    ("text.gz", true, |variant| gzip(&[variant; 3000])),
    ("a.deb", true, |variant| deb(&xz(&root(variant)))),
    ("a.rpm", true, |variant| {
        rpm(&gzip(&cpio(&[
            ("./web/link", 0o100_644, 3, 2, b""),
            ("./web/package.json", 0o100_644, 3, 2, &json(variant)),
        ])))
    }),
];

const FOLDERS: &[&str] = &["", "a/", "a/b/", "node_modules/m/"];

/// Kind, folder, variant.
type One = (usize, usize, u8);

fn ones() -> impl Strategy<Value = Vec<One>> {
    let one = (0..KINDS.len(), 0..FOLDERS.len(), 0..3_u8);
    prop::collection::vec(one, 1..9)
}

/// The tar of a component, and which files in it are costly: name and content.
fn made(ones: &[One]) -> (Vec<u8>, HashSet<(&'static str, Vec<u8>)>) {
    let mut paths = HashSet::new();
    let mut files = Vec::new();
    let mut costly = HashSet::new();
    for (kind, folder, variant) in ones {
        let (name, costs, make) = KINDS[*kind];
        let path = format!("base/{}{name}", FOLDERS[*folder]);
        if paths.insert(path.clone()) {
            if costs {
                costly.insert((name, make(*variant)));
            }
            files.push((path, make(*variant)));
        }
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    (tar_of(&files), costly)
}

fn text(document: Document) -> String {
    let mut out = Vec::new();
    syft::write(document, "1", &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Findings that count what they did not know.
struct Counting(Packs<Cursor<Vec<u8>>, Vec<u8>>, usize);

impl Findings for Counting {
    fn find(&mut self, key: &Digest) -> Option<Vec<u8>> {
        let found = self.0.find(key);
        self.1 += usize::from(found.is_none());
        found
    }

    fn keep(&mut self, key: &Digest, finding: &[u8]) {
        self.0.keep(key, finding);
    }
}

/// Document, pack, and how many files were scanned.
fn with(tar: &[u8], packs: &[&Vec<u8>]) -> (String, Vec<u8>, usize) {
    let opened = packs.iter().filter(|pack| !pack.is_empty());
    let opened = opened.map(|pack| Pack::open(Cursor::new((*pack).clone())).unwrap());
    let mut findings = Counting(Packs::new(opened.collect(), Vec::new()), 0);
    let document = component_with("base", tar, &in_memory, &mut findings).unwrap();
    let (pack, _) = findings.0.finish().unwrap();
    (text(document), pack.unwrap_or_default(), findings.1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_was_found_before_is_not_scanned_again(first in ones(), second in ones()) {
        let both: Vec<One> = first.iter().chain(&second).copied().collect();
        let (first, known) = made(&first);
        let (both, costly) = made(&both);
        let (alone, pack, _) = with(&first, &[]);
        prop_assert_eq!(alone, text(component("base", &first[..], &in_memory).unwrap()));
        let whole = text(component("base", &both[..], &in_memory).unwrap());
        let (again, newer, scanned) = with(&both, &[&pack]);
        prop_assert_eq!(&again, &whole);
        // A folder may make another cataloguer responsible, and equal files are scanned in
        // each place.
        prop_assert!(scanned >= costly.difference(&known).count());
        let (third, same, scanned) = with(&both, &[&newer]);
        prop_assert_eq!((&third, &same, scanned), (&whole, &newer, 0));
    }
}

#[test]
fn of_many_files_one_that_changed_is_scanned() {
    let files = |changed: u8| {
        let mut files = Vec::new();
        for number in 0..60_u8 {
            let name = format!("base/files/{number}/a.jar");
            files.push((name, jar(if number == 7 { changed } else { number })));
        }
        files.push(("base/other/b.zip".to_owned(), nested(1)));
        let files: Vec<_> = files
            .iter()
            .map(|(path, content)| (path.as_str(), content.as_slice()))
            .collect();
        tar_of(&files)
    };
    let (_, pack, scanned) = with(&files(200), &[]);
    assert_eq!(scanned, 61);
    let (text_again, _, scanned) = with(&files(201), &[&pack]);
    assert_eq!(scanned, 1);
    assert!(text_again.contains("1.201") && !text_again.contains("1.200"));
}

#[test]
fn damaged_packs_and_findings_are_not_used() {
    let (tar, _) = made(&[(5, 0, 1), (7, 1, 2)]);
    let (whole, pack, _) = with(&tar, &[]);
    for at in (0..pack.len()).step_by(7) {
        let mut odd = pack.clone();
        odd[at] ^= 1;
        if let Some(opened) = Pack::open(Cursor::new(odd)) {
            let mut findings = Packs::new(vec![opened], Vec::new());
            let document = component_with("base", &tar[..], &in_memory, &mut findings).unwrap();
            assert_eq!(text(document), whole, "{at}");
        }
        assert!(Pack::open(Cursor::new(pack[..at].to_vec())).is_none());
    }
}

#[test]
fn a_finding_holds_only_while_as_much_may_be_unpacked() {
    let zeros = vec![0; 600 << 10];
    let bomb = zstd::encode_all(
        &tar_of(&[("zeros", &zeros), ("package.json", PACKAGE)])[..],
        1,
    );
    let bomb = bomb.unwrap();
    let mut pack = Vec::new();
    for spare in [800 << 10, 100 << 10, 800 << 10] {
        let opened = Pack::open(Cursor::new(std::mem::take(&mut pack)));
        let mut findings = Counting(Packs::new(opened.into_iter().collect(), Vec::new()), 0);
        let mut opener = Opener::new(&in_memory, Some(&mut findings));
        opener.spare = spare;
        let mut keeper = Keeper::new(catalog::wanted_of_components, &in_memory);
        let size = bomb.len() as u64;
        let kept = opener.file(&mut keeper, "a.zst", size, &mut &bomb[..]);
        assert!(kept.unwrap().is_none());
        let fits = spare > 600 << 10;
        let left = opener.spare;
        assert_eq!(
            opener.found.finish().unwrap().packages.len(),
            usize::from(fits)
        );
        assert!(left < spare);
        pack = findings.0.finish().unwrap().0.unwrap();
    }
}
