//! Go's build information in an executable.
//!
//! Three forms: since Go 1.18 both texts follow the magic number; from Go 1.13 pointers
//! to them do; before that, and in programs whose publishers removed it, only the module
//! text between its two marks is left.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::Regex;

use super::super::body::Body;
use super::layout::{GO_INFO, GO_INFO_MACHO, Layout, Part};

/// Start of Go's build information.
pub(super) const MAGIC: &[u8] = b"\xff Go buildinf:";

/// Marks around the module text. Source: the Go project, `cmd/go/internal/modload`.
pub(super) const START: [u8; 16] =
    *b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
pub(super) const END: [u8; 16] =
    *b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";

/// Longest build information, and longest data that is searched for it, in bytes: 16 MiB.
const MOST: u64 = 16 << 20;

/// Bytes that are searched at a time, and how much of the next ones is read with them:
/// a module text has at most a megabyte.
const WINDOW: usize = 4 << 20;
const OVERLAP: usize = 1 << 20;

/// What a Go program says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Go {
    /// Version of the compiler; empty if it is unknown.
    pub compiler: String,
    /// The module text.
    pub modules: String,
    /// The processor, as Go calls it.
    pub machine: String,
}

/// The build information at the places where the linker puts it.
pub(super) fn find(layout: &Layout<'_>) -> Option<Go> {
    let named = layout.section(GO_INFO).or(layout.section(GO_INFO_MACHO));
    let part = match named {
        Some(part) => part,
        None => layout.data.filter(|_| layout.may_be_go())?,
    };
    let data = layout.bytes(part, MOST)?;
    let found = memmem::find_iter(data, MAGIC).find_map(|at| {
        let data = &data[at..];
        inline(data).or_else(|| pointed(layout, data))
    });
    let (compiler, modules) = found?;
    Some(Go {
        compiler,
        modules,
        machine: layout.machine.to_owned(),
    })
}

/// Reads build information that begins with its magic number (Go 1.18 and later).
pub(super) fn inline(data: &[u8]) -> Option<(String, String)> {
    if data.get(15)? & 2 == 0 {
        return None;
    }
    let (version, rest) = counted(data.get(32..)?)?;
    let (wrapped, _) = counted(rest)?;
    Some((own(version), own(unwrapped(wrapped))))
}

/// Reads build information with pointers to its strings (before Go 1.18).
fn pointed(layout: &Layout<'_>, data: &[u8]) -> Option<(String, String)> {
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
    let text = |index: usize| {
        let header = layout.at(number(data.get(16..)?, index)?, 2 * width as u64)?;
        let size = number(header, 1)?;
        (size <= MOST).then_some(())?;
        layout.at(number(header, 0)?, size)
    };
    let version = own(text(0)?);
    let modules = text(1).map_or_else(String::new, |wrapped| own(unwrapped(wrapped)));
    (!version.is_empty()).then_some((version, modules))
}

/// The module text without the marks at both ends.
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

/// Looks for the module text between its marks.
#[derive(Default)]
pub(super) struct Search {
    modules: Option<String>,
    compilers: BTreeSet<String>,
}

impl Search {
    /// Looks at bytes of the file; those at its ends may be seen twice.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        static VERSION: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"(?-u)go1\.[0-9]{1,2}(?:\.[0-9]{1,2}|rc[0-9]|beta[0-9])?").ok()
        });
        if self.modules.is_none() {
            let text = memmem::find_iter(bytes, &START).find_map(|at| {
                let rest = &bytes[at + START.len()..];
                let text = &rest[..memmem::find(rest, &END)?];
                text.starts_with(b"path\t").then(|| own(text))
            });
            self.modules = text;
        }
        let found = VERSION.iter().flat_map(|version| version.find_iter(bytes));
        for version in found {
            // Programs that read other Go programs name many versions.
            if self.compilers.len() > 1 {
                break;
            }
            self.compilers.insert(own(version.as_bytes()));
        }
    }

    /// What was found: the version of the compiler if the program names only one.
    pub(super) fn finish(self, machine: &str) -> Option<Go> {
        let mut compilers = self.compilers.into_iter();
        let compiler = match (compilers.next(), compilers.next()) {
            (Some(only), None) => only,
            _ => String::new(),
        };
        Some(Go {
            compiler,
            modules: self.modules?,
            machine: machine.to_owned(),
        })
    }

    /// Looks at `parts` of a file that is put aside.
    pub(super) fn look_in(&mut self, body: &mut Body<'_>, parts: &[Part]) -> io::Result<()> {
        let mut window = Vec::new();
        for part in parts {
            body.seek(SeekFrom::Start(part.offset))?;
            let mut rest = body.take(part.size);
            window.clear();
            loop {
                let before = window.len();
                rest.by_ref().take(WINDOW as u64).read_to_end(&mut window)?;
                if window.len() == before {
                    break;
                }
                self.look(&window);
                window.drain(..window.len().saturating_sub(OVERLAP));
            }
        }
        Ok(())
    }
}
