//! Facts in executables about what they were built from.
//!
//! Reads executables held in memory and checks every offset; a damaged file has no
//! facts. `search` reads larger files.

use std::io::Read;

use object::read::macho::MachOFatFile32;
use object::{File, Object as _, ObjectSection as _, ObjectSegment as _};

/// Longest inflated dependency list, in bytes: 8 MiB. Real ones have a few hundred
/// kilobytes.
pub(super) const AUDIT_LIMIT: u64 = 8 << 20;
/// Start of Go's build information.
pub(super) const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Bytes of a file that [`is_executable`] looks at.
pub const HEAD_BYTES: usize = 8;
/// A universal binary has fewer parts than this. A Java class has the same magic
/// number, with a version of 45 or more in this place.
const FAT_PARTS: u8 = 45;

/// Facts of one executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Go compiler version and module text.
    pub go: Option<(String, String)>,
    /// Dependency list from cargo-auditable, as JSON.
    pub audit: Option<Vec<u8>>,
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
pub fn facts(bytes: &[u8]) -> Option<Facts> {
    if is_universal(bytes) {
        let fat = MachOFatFile32::parse(bytes).ok()?;
        return fat.arches().iter().find_map(|part| {
            let part = object::read::macho::FatArch::data(part, bytes).ok()?;
            single(part)
        });
    }
    single(bytes)
}

fn single(bytes: &[u8]) -> Option<Facts> {
    let file = File::parse(bytes).ok()?;
    let section = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| file.section_by_name(name))
            .and_then(|section| section.data().ok())
    };
    let info = match section(&[".go.buildinfo", "__go_buildinfo"]) {
        Some(data) => Some(data),
        None if bytes.starts_with(b"MZ") => section(&[".data"]),
        None => None,
    };
    let go = info.and_then(|data| {
        let data = &data[memchr::memmem::find(data, GO_MAGIC)?..];
        go_inline(data).or_else(|| go_pointed(&file, data))
    });
    let audit = section(&[".dep-v0"]).and_then(|data| inflate(data, AUDIT_LIMIT));
    (go.is_some() || audit.is_some()).then_some(Facts { go, audit })
}

/// Inflates zlib data of at most `limit` plain bytes.
pub(super) fn inflate(data: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut input = flate2::read::ZlibDecoder::new(data).take(limit + 1);
    input.read_to_end(&mut text).ok()?;
    (text.len() as u64 <= limit).then_some(text)
}

/// Reads contiguous build information that begins with its magic number (Go 1.18
/// and later).
pub(super) fn go_inline(data: &[u8]) -> Option<(String, String)> {
    if data.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = counted(data.get(32..)?)?;
    let (wrapped, _) = counted(rest)?;
    Some((own(version), own(unwrapped(wrapped))))
}

/// Reads build information with pointers to its strings (before Go 1.18).
fn go_pointed(file: &File<'_>, data: &[u8]) -> Option<(String, String)> {
    let (width, flags) = (usize::from(*data.get(14)?), *data.get(15)?);
    if flags & 2 != 0 || !matches!(width, 4 | 8) {
        return None;
    }
    let number = |bytes: &[u8], index: usize| {
        let bytes = bytes.get(index * width..(index + 1) * width)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if flags & 1 == 0 {
            bytes.iter().rev().fold(0, join)
        } else {
            bytes.iter().fold(0, join)
        })
    };
    let at = |address: u64, size: u64| {
        file.segments()
            .find_map(|segment| segment.data_range(address, size).ok().flatten())
    };
    let text = |index: usize| {
        let header = at(number(data.get(16..)?, index)?, 2 * width as u64)?;
        at(number(header, 0)?, number(header, 1)?)
    };
    let version = own(text(0)?);
    let modules = text(1).map_or_else(String::new, |wrapped| own(unwrapped(wrapped)));
    (!version.is_empty()).then_some((version, modules))
}

/// The module text without the 16-byte marks at both ends.
fn unwrapped(wrapped: &[u8]) -> &[u8] {
    if wrapped.len() >= 33 {
        &wrapped[16..wrapped.len() - 16]
    } else {
        &[]
    }
}

fn own(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Splits off a string with a varint length prefix.
fn counted(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in data.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = data.get(index + 1..)?;
            return Some((rest.get(..length)?, rest.get(length..)?));
        }
    }
    None
}

/// Build information of a Go program, for tests.
#[cfg(test)]
pub(super) fn build_information() -> Vec<u8> {
    let mut data = GO_MAGIC.to_vec();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_build_information_is_read_and_damaged_one_is_not() {
        let data = build_information();
        assert_eq!(
            go_inline(&data),
            Some(("go1.22".to_owned(), "path\tx\n".to_owned()))
        );
        for end in 0..data.len() {
            assert_eq!(go_inline(&data[..end]), None);
        }
        assert_eq!(facts(b"\x7fELF broken"), None);
    }

    #[test]
    fn universal_binaries_are_distinguished_from_java_classes() {
        assert!(is_executable(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]));
        assert!(!is_executable(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52]));
        assert_eq!(facts(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2, 9]), None);
    }
}
