//! Programs that are recognised by their name and by landmarks in their bytes, which
//! have the version.
//!
//! `table` has the programs. Files with other names cost one look into a map.

mod table;

use std::collections::HashMap;
use std::io::{self, Read as _, Seek as _};
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::body::Body;
pub(super) use table::{Files, Program};
use table::{Mark, all};

/// Bytes that are searched at a time, and how much of these is seen twice so that no
/// landmark is cut.
const WINDOW: usize = 4 << 20;
const OVERLAP: usize = 4 << 10;

/// Bytes before and after the fixed part of a landmark in which the rest of it is.
const BEFORE: usize = 160;
const AFTER: usize = 320;

/// Most occurrences of a fixed part that are tried in one window: a file that consists
/// of them must not take minutes.
const MAX_TRIES: usize = 4096;

/// Longest version, in bytes.
const MAX_VERSION: usize = 64;

/// A program that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// [`Program::id`].
    pub program: String,
    /// Its version, or, if `in_library`, the name of the library that has it.
    pub version: String,
    pub in_library: bool,
}

impl Signature {
    pub(super) fn size(&self) -> usize {
        64 + self.program.len() + self.version.len()
    }
}

/// The program of this id.
pub(super) fn program(id: &str) -> Option<&'static Program> {
    all().find(|program| program.id == id)
}

/// The programs that may be in a file of this name.
pub(super) fn named(name: &str) -> Vec<&'static Program> {
    static EXACT: LazyLock<HashMap<&str, Vec<&Program>>> = LazyLock::new(|| {
        let mut map: HashMap<&str, Vec<&Program>> = HashMap::new();
        for program in all() {
            if let Files::Named(names) = program.files {
                for name in names {
                    map.entry(name).or_default().push(program);
                }
            }
        }
        map
    });
    static LIKE: LazyLock<Vec<&Program>> = LazyLock::new(|| {
        let like = all();
        like.filter(|program| matches!(program.files, Files::Like(..)))
            .collect()
    });
    let exact = EXACT.get(name).into_iter().flatten();
    let like = LIKE.iter().filter(|program| match program.files {
        Files::Like(start, middle) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(middle)
        }
        Files::Named(_) => false,
    });
    exact.chain(like).copied().collect()
}

/// A search for the landmarks of some programs in one file.
pub(super) struct Search<'n> {
    name: &'n str,
    left: Vec<&'static Program>,
    found: Vec<Signature>,
    libraries: Vec<Signature>,
}

impl<'n> Search<'n> {
    pub(super) fn new(name: &'n str, programs: Vec<&'static Program>) -> Self {
        Self {
            name,
            left: programs,
            found: Vec::new(),
            libraries: Vec::new(),
        }
    }

    /// Looks at bytes of the file; those at their ends may be seen twice.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        let Self {
            name,
            left,
            found,
            libraries,
        } = self;
        left.retain(|program| {
            let signature = |version: String, in_library| Signature {
                program: program.id.to_owned(),
                version,
                in_library,
            };
            let mut marks = program.marks.iter();
            let fits = |version: &str| (program.fits)(name, version);
            match marks.find_map(|mark| find(mark, bytes, &fits)) {
                Some(version) => {
                    found.push(signature(version, false));
                    false
                }
                None => {
                    let linked = program.library.as_ref();
                    let known = libraries.iter().any(|known| known.program == program.id);
                    if let Some(mark) = linked.filter(|_| !known)
                        && let Some(library) = find(mark, bytes, &|_| true)
                    {
                        libraries.push(signature(library, true));
                    }
                    true
                }
            }
        });
    }

    /// Looks at a file that is put aside.
    pub(super) fn look_in(&mut self, body: &mut Body<'_>) -> io::Result<()> {
        body.rewind()?;
        let mut window = Vec::new();
        while !self.left.is_empty() {
            let before = window.len();
            body.take(WINDOW as u64).read_to_end(&mut window)?;
            if window.len() == before {
                break;
            }
            self.look(&window);
            window.drain(..window.len().saturating_sub(OVERLAP));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Signature> {
        let (mut found, left) = (self.found, self.left);
        let still = |library: &Signature| left.iter().any(|left| left.id == library.program);
        found.extend(self.libraries.into_iter().filter(still));
        let programs = found.iter().filter_map(|found| program(&found.program));
        let hidden: Vec<&str> = programs.flat_map(|found| found.hides).copied().collect();
        found.retain(|found| !hidden.contains(&found.program.as_str()));
        found
    }
}

/// The version, at the first place where `mark` is.
fn find(mark: &Mark, bytes: &[u8], fits: &dyn Fn(&str) -> bool) -> Option<String> {
    let pattern = compiled(mark)?;
    let version = |bytes: &[u8]| {
        pattern
            .captures_iter(bytes)
            .take(MAX_TRIES)
            .find_map(|captures| {
                let version = captures.get(1)?.as_bytes();
                let version = std::str::from_utf8(version).ok()?;
                (version.len() <= MAX_VERSION && fits(version)).then(|| version.to_owned())
            })
    };
    if mark.fixed.is_empty() {
        return version(bytes);
    }
    let places = memmem::find_iter(bytes, mark.fixed).take(MAX_TRIES);
    places
        .map(|at| &bytes[at.saturating_sub(BEFORE)..bytes.len().min(at + AFTER)])
        .find_map(version)
}

/// The compiled pattern of a landmark.
fn compiled(mark: &Mark) -> Option<Regex> {
    static KNOWN: LazyLock<std::sync::Mutex<HashMap<&'static str, Option<Regex>>>> =
        LazyLock::new(Default::default);
    let mut known = KNOWN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let pattern = known.entry(mark.pattern).or_insert_with(|| {
        let mut builder = RegexBuilder::new(mark.pattern);
        builder
            .unicode(false)
            .dot_matches_new_line(true)
            .build()
            .ok()
    });
    pattern.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(name: &str, bytes: &[u8]) -> Vec<Signature> {
        let mut search = Search::new(name, named(name));
        search.look(bytes);
        search.finish()
    }

    #[test]
    fn every_program_is_recognised_by_its_example() {
        for program in all() {
            let (name, bytes, version) = program.example;
            let found = search(name, &[&[1; 40], bytes, &[1; 40]].concat());
            let found = found.iter().find(|found| found.program == program.id);
            let found = found.unwrap_or_else(|| panic!("{} is not recognised", program.id));
            assert_eq!(
                (found.version.as_str(), found.in_library),
                (version, false),
                "{}",
                program.id
            );
        }
    }

    #[test]
    fn what_only_resembles_a_program_is_not_one() {
        let aws = search("openssl", b"\0OpenSSL 1.1.1 (compatible; AWS-LC 1.30.0)\0");
        assert_eq!(
            (aws.len(), aws[0].program.as_str()),
            (1, "openssl-binary-aws-lc")
        );
        let java = b"\0openjdk\0java\x0021.0\x0021.0.1+13-jvmci-23.1-b30\0";
        let java = search("java", java);
        assert_eq!(
            (java.len(), java[0].program.as_str()),
            (1, "java-binary-graalvm")
        );
        let java = search("java", b"\0openjdk\0java\x0021.0\x0021.0.4+13-LTS\0");
        assert_eq!(
            (java.len(), java[0].program.as_str()),
            (1, "java-binary-openjdk")
        );
        assert!(search("jdb", b"x21.0.15+13\0").is_empty());
        assert!(search("grafana", b"release-12.0.16-pre1\0").is_empty());
        assert!(search("nginx-ingress-controller", b"v1.0.20-rc.1\0").is_empty());
        assert!(search("deno", b"OTel-Exporter-Deno/0.80.0grpc").is_empty());
        assert!(search("python3.12", b"\x003.11.2\0").is_empty());
        assert!(named("python-config").is_empty() && named("libstd-1.so").is_empty());
    }

    #[test]
    fn ids_and_patterns_are_sound() {
        for program in all() {
            let same = all().filter(|other| other.id == program.id);
            assert_eq!(same.count(), 1, "{}", program.id);
            for mark in program.marks.iter().chain(&program.library) {
                let pattern = compiled(mark).expect(mark.pattern);
                assert_eq!(pattern.captures_len(), 2, "{}", mark.pattern);
            }
        }
    }

    #[test]
    fn landmarks_are_found_across_the_ends_of_windows() {
        let mut bytes = vec![b'x'; 2 * WINDOW + 100];
        bytes[WINDOW - 9..WINDOW + 9].copy_from_slice(b"\0BusyBox v1.36.1 (");
        let size = bytes.len() as u64;
        let mut body = Body::read(&mut &bytes[..], size, &crate::sbom::body::in_memory).unwrap();
        let mut search = Search::new("busybox", named("busybox"));
        search.look_in(&mut body).unwrap();
        assert_eq!(search.finish()[0].version, "1.36.1");
    }

    #[test]
    fn a_file_of_fixed_parts_ends_soon() {
        let start = std::time::Instant::now();
        assert!(search("bash", &b"@(#)Bash version ".repeat(1 << 17)).is_empty());
        assert!(search("jq", &b"\x001.7\x01".repeat(1 << 17)).is_empty());
        assert!(start.elapsed().as_secs() < 20);
    }
}
