//! Headers of rpm: what databases and `.rpm` files have about a package.
//!
//! Source: "RPM V4 Package Format" of the rpm manual, section "Header".

/// What is wrong with a database, or with a package in it.
pub(super) type Damage = &'static str;

/// Gets the number and the header of a package after the other.
pub(super) type Visit<'v> = dyn FnMut(Result<(u32, &[u8]), Damage>) + 'v;

/// Longest header of a package, in bytes: 32 MiB. The largest known have three.
pub(super) const MAX_HEADER: usize = 32 << 20;

/// The name and the other tags that are read.
pub(super) mod tag {
    pub(in super::super) const NAME: u32 = 1000;
    pub(in super::super) const VERSION: u32 = 1001;
    pub(in super::super) const RELEASE: u32 = 1002;
    pub(in super::super) const EPOCH: u32 = 1003;
    pub(in super::super) const SIZE: u32 = 1009;
    pub(in super::super) const VENDOR: u32 = 1011;
    pub(in super::super) const LICENSE: u32 = 1014;
    pub(in super::super) const ARCH: u32 = 1022;
    pub(in super::super) const FILE_SIZES: u32 = 1028;
    pub(in super::super) const FILE_MODES: u32 = 1030;
    pub(in super::super) const FILE_DIGESTS: u32 = 1035;
    pub(in super::super) const FILE_FLAGS: u32 = 1037;
    pub(in super::super) const FILE_USER: u32 = 1039;
    pub(in super::super) const FILE_GROUP: u32 = 1040;
    pub(in super::super) const SOURCE_RPM: u32 = 1044;
    pub(in super::super) const PROVIDES: u32 = 1047;
    pub(in super::super) const REQUIRES: u32 = 1049;
    pub(in super::super) const DIR_INDEXES: u32 = 1116;
    pub(in super::super) const BASE_NAMES: u32 = 1117;
    pub(in super::super) const DIR_NAMES: u32 = 1118;
    pub(in super::super) const LONG_FILE_SIZES: u32 = 5008;
    pub(in super::super) const LONG_SIZE: u32 = 5009;
    pub(in super::super) const DIGEST_ALGORITHM: u32 = 5011;
    pub(in super::super) const MODULARITY: u32 = 5096;
    pub(in super::super) const RSA: u32 = 268;
    pub(in super::super) const PGP: u32 = 259;
}

/// Tags that are kept of the header of an installed package.
const KEPT: [u32; 26] = [
    tag::NAME,
    tag::VERSION,
    tag::RELEASE,
    tag::EPOCH,
    tag::SIZE,
    tag::VENDOR,
    tag::LICENSE,
    tag::ARCH,
    tag::FILE_SIZES,
    tag::FILE_MODES,
    tag::FILE_DIGESTS,
    tag::FILE_FLAGS,
    tag::FILE_USER,
    tag::FILE_GROUP,
    tag::SOURCE_RPM,
    tag::PROVIDES,
    tag::REQUIRES,
    tag::DIR_INDEXES,
    tag::BASE_NAMES,
    tag::DIR_NAMES,
    tag::LONG_FILE_SIZES,
    tag::LONG_SIZE,
    tag::DIGEST_ALGORITHM,
    tag::MODULARITY,
    tag::RSA,
    tag::PGP,
];

/// Tags below are regions: they mark parts of the header.
const FIRST_TAG: u32 = 100;

/// Most entries of a header, as in rpm.
const MAX_ENTRIES: usize = 0xffff;

/// A header without its magic number.
#[derive(Clone, Copy)]
pub(super) struct Header<'b> {
    index: &'b [u8],
    data: &'b [u8],
}

/// One tag.
struct Entry<'b> {
    tag: u32,
    kind: u32,
    count: u32,
    /// All of the data from its first byte on.
    data: &'b [u8],
}

impl<'b> Header<'b> {
    /// The header at the start of `bytes`, and its length.
    pub(super) fn parse(bytes: &'b [u8]) -> Option<(Self, usize)> {
        let entries = u32_at(bytes, 0)? as usize;
        let length = u32_at(bytes, 4)? as usize;
        if entries == 0 || entries > MAX_ENTRIES {
            return None;
        }
        let data = 8 + 16 * entries;
        let end = data.checked_add(length)?;
        let header = Self {
            index: bytes.get(8..data)?,
            data: bytes.get(data..end)?,
        };
        Some((header, end))
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = Entry<'b>> + use<'b> {
        let data = self.data;
        self.index.chunks_exact(16).filter_map(move |entry| {
            Some(Entry {
                tag: u32_at(entry, 0)?,
                kind: u32_at(entry, 4)?,
                data: data.get(u32_at(entry, 8)? as usize..)?,
                count: u32_at(entry, 12)?,
            })
        })
    }

    /// A tag may come twice; the last one was added later.
    fn get(&self, tag: u32) -> Option<Entry<'b>> {
        self.entries().rev().find(|entry| entry.tag == tag)
    }

    /// Whether the tag is there.
    pub(super) fn has(&self, tag: u32) -> bool {
        self.get(tag).is_some()
    }

    /// The texts of a tag, as bytes.
    pub(super) fn texts(&self, tag: u32) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let entry = self
            .get(tag)
            .filter(|entry| matches!(entry.kind, 6 | 8 | 9));
        let (mut rest, count) = entry.map_or((&[][..], 0), |entry| (entry.data, entry.count));
        let mut left = count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let end = memchr::memchr(0, rest)?;
            let (text, after) = rest.split_at(end);
            rest = &after[1..];
            Some(text)
        })
    }

    /// The text of a tag; empty if the header has none.
    pub(super) fn text(&self, tag: u32) -> String {
        let first = self.texts(tag).next().unwrap_or_default();
        String::from_utf8_lossy(first).into_owned()
    }

    /// The numbers of a tag.
    pub(super) fn numbers(&self, tag: u32) -> impl Iterator<Item = u64> + use<'b> {
        let entry = self.get(tag);
        let (size, data, count) = entry.map_or((1, &[][..], 0), |entry| {
            let size = match entry.kind {
                1 | 2 => 1,
                3 => 2,
                4 => 4,
                5 => 8,
                _ => return (1, &[][..], 0),
            };
            (size, entry.data, entry.count)
        });
        data.chunks_exact(size).take(count as usize).map(|bytes| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        })
    }

    pub(super) fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).next()
    }

    /// The header with those tags only that are read: descriptions, scripts and
    /// histories take most of it. `None`: its tags share their data, and would take
    /// more than the whole.
    pub(super) fn trimmed(&self) -> Option<Vec<u8>> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        let mut count = 0_u32;
        for tag in KEPT {
            let Some(entry) = self.get(tag) else { continue };
            let Some(bytes) = entry.bytes() else { continue };
            for word in [entry.tag, entry.kind, length(&data), entry.count] {
                index.extend_from_slice(&word.to_be_bytes());
            }
            count += 1;
            if data.len() + bytes.len() > self.data.len() {
                return None;
            }
            data.extend_from_slice(bytes);
        }
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.extend_from_slice(&length(&data).to_be_bytes());
        bytes.append(&mut index);
        bytes.append(&mut data);
        Some(bytes)
    }
}

/// Data of a header is shorter than four gigabytes.
fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}

impl<'b> Entry<'b> {
    /// The bytes of its values; `None`: there are fewer than it says.
    fn bytes(&self) -> Option<&'b [u8]> {
        if self.tag < FIRST_TAG {
            return None;
        }
        let count = self.count as usize;
        let size = match self.kind {
            1 | 2 | 7 => count,
            3 => count.checked_mul(2)?,
            4 => count.checked_mul(4)?,
            5 => count.checked_mul(8)?,
            6 | 8 | 9 => {
                let mut ends = memchr::memchr_iter(0, self.data);
                match count.checked_sub(1) {
                    Some(last) => ends.nth(last)? + 1,
                    None => 0,
                }
            }
            _ => return None,
        };
        self.data.get(..size)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A value of a tag, for tests.
#[cfg(test)]
pub(super) enum Value<'v> {
    Text(&'v str),
    Texts(&'v [&'v str]),
    Words(&'v [u32]),
    Shorts(&'v [u16]),
}

/// A header with these tags, for tests.
#[cfg(test)]
pub(super) fn made(tags: &[(u32, Value<'_>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        let begin = data.len();
        let (kind, count) = match value {
            Value::Text(text) => {
                data.extend_from_slice(format!("{text}\0").as_bytes());
                (6, 1)
            }
            Value::Texts(texts) => {
                for text in *texts {
                    data.extend_from_slice(format!("{text}\0").as_bytes());
                }
                (8, texts.len())
            }
            Value::Words(words) => {
                data.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                (4, words.len())
            }
            Value::Shorts(words) => {
                data.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                (3, words.len())
            }
        };
        for word in [*tag, kind, begin as u32, count as u32] {
            index.extend_from_slice(&word.to_be_bytes());
        }
    }
    let mut bytes = (tags.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
    bytes.append(&mut index);
    bytes.append(&mut data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trimmed_header_says_the_same() {
        let bytes = made(&[
            (63, Value::Words(&[1, 2, 3, 4])),
            (tag::NAME, Value::Text("old")),
            (1004, Value::Text("summary")),
            (tag::EPOCH, Value::Words(&[0])),
            (tag::FILE_MODES, Value::Shorts(&[0o100_644, 0o40755])),
            (tag::PROVIDES, Value::Texts(&["a", "b"])),
            (tag::NAME, Value::Text("new")),
        ]);
        let trimmed = Header::parse(&bytes).unwrap().0.trimmed().unwrap();
        assert!(trimmed.len() < bytes.len());
        for bytes in [&bytes, &trimmed] {
            let (header, length) = Header::parse(bytes).unwrap();
            assert_eq!(length, bytes.len());
            assert_eq!(header.text(tag::NAME), "new");
            assert_eq!(header.number(tag::EPOCH), Some(0));
            assert_eq!(header.number(tag::SIZE), None);
            let modes: Vec<u64> = header.numbers(tag::FILE_MODES).collect();
            assert_eq!(modes, [0o100_644, 0o40755]);
            assert_eq!(header.texts(tag::PROVIDES).count(), 2);
        }
    }

    #[test]
    fn lengths_that_lie_are_bounded() {
        let mut bytes = made(&[(tag::PROVIDES, Value::Texts(&["a", "b"]))]);
        let count = bytes.len() - 8;
        bytes[count..count + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let (header, _) = Header::parse(&bytes).unwrap();
        assert_eq!(header.texts(tag::PROVIDES).count(), 2);
        assert!(Header::parse(&header.trimmed().unwrap()).is_none());
        for end in 0..bytes.len() {
            assert!(Header::parse(&bytes[..end]).is_none(), "{end}");
        }
        bytes[..8].fill(0xff);
        assert!(Header::parse(&bytes).is_none());
    }
}
