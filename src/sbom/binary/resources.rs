//! The version resources of Windows programs and libraries.
//!
//! A tree of blocks, each with a length, a name in UTF-16 and a value. Source: the
//! documentation of the Windows API, `VS_VERSIONINFO`.

use object::read::pe::ResourceDirectory;
use object::{LittleEndian as LE, pe};

use super::layout::Layout;

/// Most bytes of all resources that are read, and of the version among them.
const MOST: u64 = 16 << 20;
const MOST_VERSION: usize = 64 << 10;

/// Most texts of one file, and the longest, in bytes.
const MOST_TEXTS: usize = 100;
const LONGEST: usize = 2 << 10;

/// What a Windows program says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Whether it runs in the .NET runtime.
    pub managed: bool,
    /// Names and values, in the order of the file.
    pub texts: Vec<(String, String)>,
}

impl Resources {
    pub(super) fn size(&self) -> usize {
        let texts = self.texts.iter();
        texts.map(|(key, value)| 48 + key.len() + value.len()).sum()
    }
}

/// The version resources.
pub(super) fn find(layout: &Layout<'_>) -> Option<Resources> {
    let place = layout.resources?;
    let data = layout.bytes(place, MOST)?;
    let directory = ResourceDirectory::new(data);
    let root = directory.root().ok()?;
    let version = u32::from(pe::RT_VERSION);
    let kind = root
        .entries
        .iter()
        .find(|entry| entry.name_or_id.get(LE) == version)?;
    let names = kind.data(directory).ok()?.table()?;
    let languages = names.entries.first()?.data(directory).ok()?.table()?;
    let entry = languages.entries.first()?.data(directory).ok()?.data()?;
    let at = u64::from(entry.offset_to_data.get(LE)).checked_sub(place.address)?;
    let at = usize::try_from(at).ok()?;
    let size = usize::try_from(entry.size.get(LE)).ok()?.min(MOST_VERSION);
    let bytes = data.get(at..)?;
    let mut texts = Vec::new();
    strings(&bytes[..bytes.len().min(size)], 0, &mut texts);
    (!texts.is_empty()).then_some(Resources {
        managed: layout.managed,
        texts,
    })
}

/// Collects the texts of the blocks in `bytes`: below the root are tables, and below
/// these, for each language, the texts.
fn strings(bytes: &[u8], depth: u8, texts: &mut Vec<(String, String)>) {
    let mut rest = bytes;
    while let Some(block) = Block::read(rest) {
        if texts.len() == MOST_TEXTS {
            return;
        }
        match depth {
            3 => {
                let value = utf16(block.value);
                if !texts.iter().any(|(key, _)| *key == block.key) {
                    texts.push((block.key, value));
                }
            }
            1 if block.key != "StringFileInfo" => {}
            _ => strings(block.children, depth + 1, texts),
        }
        let Some(next) = rest.get(block.length.max(4)..) else {
            return;
        };
        rest = next;
    }
}

struct Block<'a> {
    key: String,
    value: &'a [u8],
    children: &'a [u8],
    /// With the padding to the next one.
    length: usize,
}

impl<'a> Block<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
            Some(usize::from(u16::from_le_bytes(bytes)))
        };
        let (length, mut size) = (number(0)?, number(2)?);
        let whole = bytes.get(..length.min(bytes.len()))?;
        let name = whole.get(6..)?;
        let end = name.chunks_exact(2).position(|pair| pair == [0, 0])?;
        let start = (6 + 2 * end + 2).next_multiple_of(4);
        if number(4)? == 1 {
            // The length of a text counts characters.
            size *= 2;
        }
        let rest = whole.get(start..).unwrap_or_default();
        let value = &rest[..size.min(rest.len())];
        let children = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some(Self {
            key: utf16(&name[..2 * end]),
            value,
            children,
            length: length.next_multiple_of(4),
        })
    }
}

fn utf16(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let pairs = bytes.chunks_exact(2);
    let units = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(key: &str, text: Option<&str>, inside: &[Vec<u8>]) -> Vec<u8> {
        let wide = |text: &str| -> Vec<u8> {
            let units = text.encode_utf16().chain([0]);
            units.flat_map(u16::to_le_bytes).collect()
        };
        let mut bytes = vec![0; 6];
        bytes.extend(wide(key));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        if let Some(text) = text {
            let count = text.encode_utf16().count() as u16 + 1;
            bytes[2..4].copy_from_slice(&count.to_le_bytes());
            bytes[4] = 1;
            bytes.extend(wide(text));
        }
        for child in inside {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(child);
        }
        let length = bytes.len() as u16;
        bytes[..2].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn texts_are_read_and_damaged_ones_end_the_list() {
        let table = block(
            "040904b0",
            None,
            &[
                block("ProductName", Some("Näme"), &[]),
                block("FileVersion", Some("1.2.3.4"), &[]),
            ],
        );
        let all = block(
            "VS_VERSION_INFO",
            None,
            &[
                block(
                    "VarFileInfo",
                    None,
                    &[block("T", None, &[block("x", Some("y"), &[])])],
                ),
                block("StringFileInfo", None, &[table]),
            ],
        );
        let mut texts = Vec::new();
        strings(&all, 0, &mut texts);
        let expected = [("ProductName", "Näme"), ("FileVersion", "1.2.3.4")];
        let found: Vec<_> = texts
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected);
        for end in 0..all.len() {
            strings(&all[..end], 0, &mut Vec::new());
        }
        // A block of no length would be read for ever.
        strings(&[0; 4096], 0, &mut Vec::new());
    }
}
