//! Facts that executables carry about what they were built from.
//!
//! Reads bytes in hand; every offset is checked, damage means no facts.

use std::io::Read;

use object::{Object as _, ObjectSection as _};

/// Longest inflated dependency list; real ones are some hundred kilobytes.
const AUDIT_LIMIT: u64 = 8 << 20;
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";

/// What was found in one executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Go compiler version and module text.
    pub go: Option<(String, String)>,
    /// Dependency list that cargo-auditable embeds: JSON.
    pub audit: Option<Vec<u8>>,
}

/// Whether a file that begins with `head` is ELF, Mach-O or PE.
#[must_use]
pub fn is_executable(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
        || head.starts_with(b"MZ")
        || [
            [0xfe, 0xed, 0xfa, 0xce],
            [0xfe, 0xed, 0xfa, 0xcf],
            [0xce, 0xfa, 0xed, 0xfe],
            [0xcf, 0xfa, 0xed, 0xfe],
        ]
        .iter()
        .any(|magic| head.starts_with(magic))
}

/// Looks for known facts in a whole executable.
#[must_use]
pub fn facts(bytes: &[u8]) -> Option<Facts> {
    let file = object::File::parse(bytes).ok()?;
    let section = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| file.section_by_name(name))
            .and_then(|section| section.data().ok())
    };
    let go = match section(&[".go.buildinfo", "__go_buildinfo"]) {
        Some(data) => go_text(data),
        None if bytes.starts_with(b"MZ") => section(&[".data"]).and_then(go_text),
        None => None,
    };
    let audit = section(&[".dep-v0"]).and_then(|data| {
        let mut text = Vec::new();
        let mut input = flate2::read::ZlibDecoder::new(data).take(AUDIT_LIMIT + 1);
        input.read_to_end(&mut text).ok()?;
        (text.len() as u64 <= AUDIT_LIMIT).then_some(text)
    });
    (go.is_some() || audit.is_some()).then_some(Facts { go, audit })
}

/// Bytes of build information that are looked at behind its magic: 4 MiB, as
/// the largest known programs list some thousand modules in 300 KiB.
const GO_WINDOW: usize = 4 << 20;

/// Searches a stream for Go's build information, without holding the stream.
///
/// The magic also stands in programs that read build information themselves;
/// there no readable text follows, and the search goes on.
///
/// # Errors
///
/// The stream's own.
pub fn search_go(input: &mut impl Read) -> std::io::Result<Option<(String, String)>> {
    let finder = memchr::memmem::Finder::new(GO_MAGIC);
    let mut window: Vec<u8> = Vec::new();
    let mut ended = false;
    loop {
        let before = window.len();
        input.by_ref().take(1 << 20).read_to_end(&mut window)?;
        ended |= window.len() == before;
        let mut from = 0;
        while let Some(at) = finder.find(&window[from..]).map(|at| from + at) {
            if window.len() - at < GO_WINDOW && !ended {
                window.drain(..at);
                let missing = (GO_WINDOW - window.len()) as u64;
                input.by_ref().take(missing).read_to_end(&mut window)?;
                ended = window.len() < GO_WINDOW;
                from = 0;
                continue;
            }
            if let Some(found) = go_text(&window[at..]) {
                return Ok(Some(found));
            }
            from = at + GO_MAGIC.len();
        }
        if ended {
            return Ok(None);
        }
        let keep = window.len().saturating_sub(GO_MAGIC.len() - 1).max(from);
        window.drain(..keep);
    }
}

/// Reads inline build information (Go 1.18 and later).
fn go_text(section: &[u8]) -> Option<(String, String)> {
    let start = memchr::memmem::find(section, GO_MAGIC)?;
    let data = section.get(start..)?;
    if data.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = counted(data.get(32..)?)?;
    let (wrapped, _) = counted(rest)?;
    let text = if wrapped.len() >= 33 {
        &wrapped[16..wrapped.len() - 16]
    } else {
        &[]
    };
    let own = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((own(version), own(text)))
}

/// Splits off bytes that a varint length stands before.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of `size` bytes with build information at `at`.
    fn with_go(size: usize, at: usize) -> Vec<u8> {
        let mut data = GO_MAGIC.to_vec();
        data.extend([8, 2]);
        data.resize(32, 0);
        data.push(6);
        data.extend(b"go1.22");
        data.push(32 + 7);
        data.extend([b's'; 16]);
        data.extend(b"path\tx\n");
        data.extend([b'e'; 16]);
        let mut stream = vec![1; size];
        stream[at..at + data.len()].copy_from_slice(&data);
        stream
    }

    #[test]
    fn build_information_is_found_wherever_the_stream_is_cut() {
        let found = Some(("go1.22".to_owned(), "path\tx\n".to_owned()));
        let chunk = 1 << 20;
        for at in [0, 100, chunk - 7, chunk, 5 * chunk + 3, 6 * chunk - 100] {
            let mut stream = with_go(6 * chunk, at.min(6 * chunk - 100));
            assert_eq!(search_go(&mut &stream[..]).unwrap(), found, "{at}");
            // A bare magic before it is passed over.
            if at > 50 {
                stream[..GO_MAGIC.len()].copy_from_slice(GO_MAGIC);
                assert_eq!(search_go(&mut &stream[..]).unwrap(), found, "{at}");
            }
        }
        assert_eq!(search_go(&mut &vec![1; 3 * chunk][..]).unwrap(), None);
    }

    #[test]
    fn inline_build_information_is_read_and_damage_is_nothing() {
        let mut data = GO_MAGIC.to_vec();
        data.extend([8, 2]);
        data.resize(32, 0);
        data.push(6);
        data.extend(b"go1.22");
        data.push(32 + 7);
        data.extend([b's'; 16]);
        data.extend(b"path\tx\n");
        data.extend([b'e'; 16]);
        assert_eq!(
            go_text(&data),
            Some(("go1.22".to_owned(), "path\tx\n".to_owned()))
        );
        for end in 0..data.len() {
            assert_eq!(go_text(&data[..end]), None);
        }
        assert_eq!(facts(b"\x7fELF broken"), None);
    }
}
