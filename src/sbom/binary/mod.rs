//! Facts in executables about what they were built from.
//!
//! Reads small executables in memory and large ones where they were put aside, with the
//! same functions. Every offset is checked; a damaged file has no facts.

mod go;
mod layout;
mod resources;

use std::io::{self, Read};

use object::read::macho::{FatArch as _, MachOFatFile32};
use object::read::{ReadCache, ReadRef as _};

use self::go::Search;
use self::layout::{AUDIT, Aside, Layout, NOTE, Part, Source};
use super::body::Body;
use super::programs::Signature;
pub use go::Go;
pub use resources::Resources;

/// Longest inflated dependency list, in bytes: 8 MiB. Real ones have a few hundred
/// kilobytes.
const AUDIT_LIMIT: u64 = 8 << 20;
/// Bytes of a file that [`is_executable`] looks at.
pub const HEAD_BYTES: usize = 8;
/// A universal binary has fewer parts than this. A Java class has the same magic
/// number, with a version of 45 or more in this place.
const FAT_PARTS: u8 = 45;

/// Facts of one executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub go: Option<Go>,
    /// Dependency list from cargo-auditable, as JSON.
    pub audit: Option<Vec<u8>>,
    /// The note about the package of an ELF file, as JSON.
    pub note: Option<Vec<u8>>,
    /// Version resources of a Windows program or library.
    pub resources: Option<Resources>,
    /// Programs that are recognised by landmarks.
    pub signatures: Vec<Signature>,
}

impl Facts {
    /// Approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let go = self.go.as_ref();
        let go = go.map_or(0, |go| {
            go.compiler.len() + go.modules.len() + go.machine.len()
        });
        let signatures = self.signatures.iter().map(Signature::size);
        go + self.audit.as_ref().map_or(0, Vec::len)
            + signatures.sum::<usize>()
            + self.note.as_ref().map_or(0, Vec::len)
            + self.resources.as_ref().map_or(0, Resources::size)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a file that begins with `head` is ELF, Mach-O or PE.
#[must_use]
pub fn is_executable(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
        || head.starts_with(b"MZ")
        || is_universal(head)
        || [
            [0xfe, 0xed, 0xfa, 0xce],
            [0xfe, 0xed, 0xfa, 0xcf],
            [0xce, 0xfa, 0xed, 0xfe],
            [0xcf, 0xfa, 0xed, 0xfe],
        ]
        .iter()
        .any(|magic| head.starts_with(magic))
}

fn is_universal(head: &[u8]) -> bool {
    head.starts_with(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0])
        && head.get(7).is_some_and(|parts| *parts < FAT_PARTS)
}

/// Finds facts in a whole executable. Of a universal binary, the first part with
/// facts counts.
#[must_use]
pub fn facts(bytes: &[u8]) -> Facts {
    let (mut facts, unread) = read(Source::held(bytes));
    if let Some(unread) = unread {
        let mut search = Search::default();
        for part in unread.parts {
            let start = usize::try_from(part.offset).ok();
            let size = usize::try_from(part.size).ok();
            let rest = start.and_then(|start| bytes.get(start..));
            if let Some(bytes) = rest.zip(size).and_then(|(rest, size)| rest.get(..size)) {
                search.look(bytes);
            }
        }
        facts.go = search.finish(unread.machine);
    }
    facts
}

/// As [`facts`], for an executable that is not in memory.
///
/// # Errors
///
/// `body` fails.
pub(super) fn facts_aside(body: &mut Body<'_>) -> io::Result<Facts> {
    let (mut facts, unread) = {
        let cache = ReadCache::new(&mut *body as Aside<'_>);
        let left = Source::allowance();
        read(Source::aside(&cache, &left))
    };
    if let Some(unread) = unread {
        let mut search = Search::default();
        search.look_in(body, &unread.parts)?;
        facts.go = search.finish(unread.machine);
    }
    Ok(facts)
}

/// A program of Go without build information: where its module text may be.
struct Unread {
    parts: Vec<Part>,
    machine: &'static str,
}

/// The facts that headers and sections have.
fn read(source: Source<'_>) -> (Facts, Option<Unread>) {
    let head = source.read_bytes_at(0, HEAD_BYTES as u64);
    if !head.is_ok_and(is_universal) {
        return single(source);
    }
    let Ok(fat) = MachOFatFile32::parse(source) else {
        return Default::default();
    };
    let mut parts = fat.arches().iter().filter_map(|part| {
        let (offset, size) = part.file_range();
        Some(single(source.part(offset, size)?))
    });
    let found = parts.find(|(facts, unread)| !facts.is_empty() || unread.is_some());
    found.unwrap_or_default()
}

fn single(source: Source<'_>) -> (Facts, Option<Unread>) {
    let Some(layout) = Layout::read(source) else {
        return Default::default();
    };
    let audit = layout.section(AUDIT);
    let audit = audit.and_then(|part| layout.bytes(part, AUDIT_LIMIT));
    let facts = Facts {
        go: go::find(&layout),
        audit: audit.and_then(|data| inflate(data, AUDIT_LIMIT)),
        note: note(&layout),
        resources: resources::find(&layout),
        signatures: Vec::new(),
    };
    let unread = (facts.go.is_none() && layout.is_go()).then(|| Unread {
        parts: layout.constants(),
        machine: layout.machine,
    });
    (facts, unread)
}

/// Longest note about a package, in bytes: 16 KiB. Real ones have a few hundred.
const MOST_NOTE: u64 = 16 << 10;

/// The JSON text in the note about the package. Source: the ELF package metadata
/// specification.
fn note(layout: &Layout<'_>) -> Option<Vec<u8>> {
    let note = layout.bytes(layout.section(NOTE)?, MOST_NOTE)?;
    // Lengths of name and text, and type; then the name, `FDO`, and the text.
    let start = memchr::memchr(b'{', note)?;
    let end = memchr::memrchr(b'}', note)?;
    note.get(start..=end).map(<[u8]>::to_vec)
}

/// Inflates zlib data of at most `limit` plain bytes.
fn inflate(data: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut input = flate2::read::ZlibDecoder::new(data).take(limit + 1);
    input.read_to_end(&mut text).ok()?;
    (text.len() as u64 <= limit).then_some(text)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::sbom::body::{in_memory, tests::on_disk};

    /// Build information of a Go program, for tests.
    fn build_information() -> Vec<u8> {
        let mut data = go::MAGIC.to_vec();
        data.extend([8, 2]);
        data.resize(32, 0);
        data.push(6);
        data.extend(b"go1.22");
        data.push(32 + 7);
        data.extend([b's'; 16]);
        data.extend(b"path\tx\n");
        data.extend([b'e'; 16]);
        data
    }

    /// A library with these sections, of which the first is also loaded.
    pub(in crate::sbom) fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        let mut names = vec![0];
        let mut headers = vec![0; 64];
        let mut add = |bytes: &mut Vec<u8>, name: &str, data: &[u8], names: &mut Vec<u8>| {
            let at = bytes.len() as u64;
            let mut header = Vec::new();
            header.extend((names.len() as u32).to_le_bytes());
            header.extend(if name == ".shstrtab" { 3_u32 } else { 1 }.to_le_bytes());
            header.extend([0; 8]);
            header.extend(at.to_le_bytes());
            header.extend(at.to_le_bytes());
            header.extend((data.len() as u64).to_le_bytes());
            header.resize(64, 0);
            headers.extend(header);
            names.extend(name.as_bytes());
            names.push(0);
            bytes.extend(data);
        };
        for (name, data) in sections {
            add(&mut bytes, name, data, &mut names);
        }
        let mut all = names.clone();
        all.extend(b".shstrtab\0");
        add(&mut bytes, ".shstrtab", &all, &mut names);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let at = bytes.len() as u64;
        bytes.extend(headers);
        bytes[16..20].copy_from_slice(&[3, 0, 62, 0]);
        bytes[20] = 1;
        bytes[40..48].copy_from_slice(&at.to_le_bytes());
        let count = sections.len() as u16 + 2;
        bytes[52..54].copy_from_slice(&64_u16.to_le_bytes());
        bytes[58..60].copy_from_slice(&64_u16.to_le_bytes());
        bytes[60..62].copy_from_slice(&count.to_le_bytes());
        bytes[62..64].copy_from_slice(&(count - 1).to_le_bytes());
        bytes
    }

    /// What is found in memory, and aside; both are the same.
    fn both(bytes: &[u8]) -> Facts {
        let held = facts(bytes);
        let mut body = Body::read(&mut &bytes[..], bytes.len() as u64, &in_memory).unwrap();
        assert_eq!(facts_aside(&mut body).unwrap(), held);
        held
    }

    #[test]
    fn facts_are_the_same_in_memory_and_aside() {
        let go = both(&elf(&[(".go.buildinfo", &build_information())]))
            .go
            .unwrap();
        assert_eq!(
            (go.compiler.as_str(), go.modules.as_str()),
            ("go1.22", "path\tx\n")
        );
        assert_eq!(go.machine, "x86_64");
        let list = br#"{"packages":[]}"#;
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(list).unwrap();
        let audited = elf(&[(".dep-v0", &packed.finish().unwrap())]);
        assert_eq!(both(&audited).audit.as_deref(), Some(&list[..]));
        for end in 0..audited.len() {
            both(&audited[..end]);
        }
    }

    #[test]
    fn modules_without_build_information_are_found_by_their_marks() {
        let mut text = b"xgo1.20.5x".to_vec();
        text.extend(go::START);
        text.extend(b"path\te.org/a\n");
        text.extend(go::END);
        let marked = [(".rodata", &text[..]), (".gopclntab", b"")];
        let go = both(&elf(&marked)).go.unwrap();
        assert_eq!(
            (go.compiler.as_str(), go.modules.as_str()),
            ("go1.20.5", "path\te.org/a\n")
        );
        // Other programs may have the marks as data.
        assert!(both(&elf(&marked[..1])).is_empty());
        text.extend(b"go1.21");
        let go = both(&elf(&[(".rodata", &text), (".gopclntab", b"")]))
            .go
            .unwrap();
        assert_eq!(go.compiler, "");
    }

    /// A program of Go whose segments are at these places of it.
    fn segmented(segments: &[(u64, u64)], text: &[u8]) -> Vec<u8> {
        let mut bytes = elf(&[(".gopclntab", b"")]);
        let at = bytes.len() as u64;
        bytes[32..40].copy_from_slice(&at.to_le_bytes());
        bytes[54] = 56;
        bytes[56] = segments.len() as u8;
        for (offset, size) in segments {
            let mut header = [1_u32.to_le_bytes(), 4_u32.to_le_bytes()].concat();
            header.extend(offset.to_le_bytes());
            header.extend([0; 16]);
            header.extend(size.to_le_bytes());
            header.resize(56, 0);
            bytes.extend(header);
        }
        bytes.extend(text);
        bytes
    }

    #[test]
    fn segments_outside_of_a_program_are_left_out_and_all_together_are_bounded() {
        let mut text = go::START.to_vec();
        text.extend(b"path\te.org/a\n");
        text.extend(go::END);
        let segments = [(1 << 63, 9), (u64::MAX, u64::MAX), (9, 0), (0, 4096)];
        let mut bytes = segmented(&segments, &text);
        bytes.resize(4096, 0);
        let go = both(&bytes);
        assert_eq!(go.go.as_ref().unwrap().modules, "path\te.org/a\n");
        bytes.resize((16 << 20) + 1, 0);
        let mut body = Body::read(&mut &bytes[..], bytes.len() as u64, &on_disk).unwrap();
        assert_eq!(facts_aside(&mut body).unwrap(), go);
        let many = segmented(&[(0, 9000); 200], &[0; 100]);
        let parts = Layout::read(Source::held(&many)).unwrap().constants();
        let size: u64 = parts.iter().map(|part| part.size).sum();
        assert_eq!(size, 2 * many.len() as u64);
    }

    #[test]
    fn inline_build_information_is_read_and_damaged_one_is_not() {
        let data = build_information();
        assert_eq!(
            go::inline(&data),
            Some(("go1.22".to_owned(), "path\tx\n".to_owned()))
        );
        for end in 0..data.len() {
            assert_eq!(go::inline(&data[..end]), None);
        }
        assert!(facts(b"\x7fELF broken").is_empty());
    }

    #[test]
    fn universal_binaries_are_distinguished_from_java_classes() {
        assert!(is_executable(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]));
        assert!(!is_executable(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52]));
        assert!(facts(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2, 9]).is_empty());
    }
}
