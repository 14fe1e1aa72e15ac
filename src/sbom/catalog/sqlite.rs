//! Tables of `SQLite` databases, read page by page.
//!
//! Databases of packages have hundreds of megabytes, so no page is held longer than
//! necessary. Each page is used once: loops end, and what is read is never more than
//! the file. Source: the `SQLite` database file format, <https://sqlite.org/fileformat2.html>.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use crate::sbom::body::{Aside, Body};

/// Longest row that is read, in bytes: 32 MiB.
const MAX_ROW: u64 = 32 << 20;
/// Deepest tree: a table of two hundred million rows is not deeper.
const MAX_DEPTH: usize = 20;
/// Most pages of a database that is read: a gigabyte of the smallest pages.
const MAX_PAGES: u32 = 2 << 20;
/// Most columns of a row that are read.
const MAX_COLUMNS: usize = 64;

/// What is wrong with a database.
pub(super) type Damage = &'static str;

/// Why a page could not be used.
const LOOPS: Damage = "its pages lead in a cycle";
const SHORT: Damage = "it is cut short";
const BROKEN: Damage = "a page is damaged";

/// Where pages come from.
pub(super) trait Pages {
    /// The bytes of page `number`; pages count from one.
    fn page(&mut self, number: u32) -> Result<Vec<u8>, Damage>;
}

/// The pages of a file.
pub(super) struct FilePages<'b> {
    body: &'b mut dyn Aside,
    size: usize,
    used: Vec<u64>,
}

impl<'b> FilePages<'b> {
    /// Reads the header of the database.
    pub(super) fn open(body: &'b mut Body<'_>) -> Result<Self, Damage> {
        let mut head = [0; 100];
        body.rewind().map_err(|_| SHORT)?;
        body.read_exact(&mut head).map_err(|_| SHORT)?;
        let size = page_size(&head).ok_or("it is not an SQLite database")?;
        let pages = (body.size() / size as u64).min(u64::from(MAX_PAGES));
        let used = vec![0; usize::try_from(pages).unwrap_or(0) / 64 + 1];
        Ok(Self { body, size, used })
    }

    /// Lets the pages be used once more, for another table.
    fn forget(&mut self) {
        self.used.fill(0);
    }
}

impl Pages for FilePages<'_> {
    fn page(&mut self, number: u32) -> Result<Vec<u8>, Damage> {
        let index = number.checked_sub(1).ok_or(BROKEN)? as usize;
        let word = self.used.get_mut(index / 64).ok_or(SHORT)?;
        let bit = 1 << (index % 64);
        if *word & bit != 0 {
            return Err(LOOPS);
        }
        *word |= bit;
        let mut bytes = vec![0; self.size];
        let at = SeekFrom::Start(index as u64 * self.size as u64);
        self.body.seek(at).map_err(|_| SHORT)?;
        self.body.read_exact(&mut bytes).map_err(|_| SHORT)?;
        Ok(bytes)
    }
}

/// The length of a page by the first page, if that is one of a database.
pub(super) fn page_size(head: &[u8]) -> Option<usize> {
    if !head.starts_with(b"SQLite format 3\0") {
        return None;
    }
    match u16::from_be_bytes([*head.get(16)?, *head.get(17)?]) {
        1 => Some(1 << 16),
        size if size >= 512 && size.is_power_of_two() => Some(size.into()),
        _ => None,
    }
}

/// What a page of a table has.
pub(super) enum Page {
    /// The pages below.
    Folder(Vec<u32>),
    Leaf(Vec<Cell>),
}

/// A row, as a page has it.
pub(super) struct Cell {
    pub(super) row: i64,
    /// Length of the row, in bytes.
    length: u64,
    /// The first bytes of the row.
    start: Vec<u8>,
    /// The page with the rest; zero if there is none.
    pub(super) rest: u32,
}

/// Reads page `number` of a table.
///
/// Source: "B-tree Pages" in the format.
pub(super) fn parse(bytes: &[u8], number: u32) -> Result<Page, Damage> {
    let parsed = || {
        let head = if number == 1 { 100 } else { 0 };
        let kind = *bytes.get(head)?;
        let count = u16_at(bytes, head + 3)? as usize;
        let cells = head + if kind == 5 { 12 } else { 8 };
        let cell = |index: usize| u16_at(bytes, cells + 2 * index).map(usize::from);
        match kind {
            5 => {
                let mut below = Vec::new();
                for index in 0..count {
                    below.push(u32_at(bytes, cell(index)?)?);
                }
                below.push(u32_at(bytes, head + 8)?);
                Some(Page::Folder(below))
            }
            13 => {
                let (mut rows, mut taken) = (Vec::new(), 0);
                for index in 0..count {
                    let row = parse_cell(bytes, cell(index)?)?;
                    // Cells that share their bytes would multiply the page. Each has at
                    // least two numbers of a byte before its row.
                    taken += 2 + row.start.len();
                    if taken > bytes.len() {
                        return None;
                    }
                    rows.push(row);
                }
                Some(Page::Leaf(rows))
            }
            _ => None,
        }
    };
    parsed().ok_or(BROKEN)
}

fn parse_cell(bytes: &[u8], at: usize) -> Option<Cell> {
    // Pages may reserve some bytes at their end; the databases read here never do.
    let usable = bytes.len();
    let (length, one) = varint(bytes.get(at..)?)?;
    let (row, two) = varint(bytes.get(at + one..)?)?;
    let at = at + one + two;
    // Source: "B-tree Pages", the amount of payload that spills onto overflow pages.
    let most = usable - 35;
    let least = (usable - 12) * 32 / 255 - 23;
    let here = match usize::try_from(length) {
        Ok(length) if length <= most => length,
        _ => {
            let spare = usize::try_from((length - least as u64) % (usable as u64 - 4)).ok()?;
            if least + spare <= most {
                least + spare
            } else {
                least
            }
        }
    };
    let start = bytes.get(at..at + here)?.to_vec();
    let rest = match here as u64 == length {
        true => 0,
        false => u32_at(bytes, at + here)?,
    };
    Some(Cell {
        row: row.cast_signed(),
        length,
        start,
        rest,
    })
}

impl Cell {
    /// All bytes of the row.
    pub(super) fn whole(self, pages: &mut dyn Pages) -> Result<Vec<u8>, Damage> {
        if self.length > MAX_ROW {
            return Err("a row is too long");
        }
        let length = usize::try_from(self.length).map_err(|_| BROKEN)?;
        let (mut bytes, mut next) = (self.start, self.rest);
        while bytes.len() < length {
            let page = pages.page(next)?;
            next = u32_at(&page, 0).ok_or(BROKEN)?;
            let left = (length - bytes.len()).min(page.len() - 4);
            bytes.extend_from_slice(&page[4..4 + left]);
        }
        Ok(bytes)
    }
}

/// What a walk along a table meets.
pub(super) enum Met<'m> {
    Folder(u32, &'m [u32]),
    /// The page of a row, and what it has.
    Row(u32, &'m RowHead, Result<Vec<u8>, Damage>),
    Damaged(Damage),
}

/// The number of a row, and the page with its rest.
pub(super) struct RowHead {
    pub(super) row: i64,
    pub(super) rest: u32,
}

/// Visits the pages and rows of the table at page `root`, in order, as long as `visit`
/// returns true.
pub(super) fn walk(pages: &mut dyn Pages, root: u32, visit: &mut dyn FnMut(Met<'_>) -> bool) {
    let mut ahead = vec![(root, 0)];
    while let Some((number, depth)) = ahead.pop() {
        if depth > MAX_DEPTH {
            if !visit(Met::Damaged(LOOPS)) {
                return;
            }
            continue;
        }
        let page = pages.page(number).and_then(|bytes| parse(&bytes, number));
        let goes_on = match page {
            Ok(Page::Folder(below)) => {
                let goes_on = visit(Met::Folder(number, &below));
                ahead.extend(below.into_iter().rev().map(|below| (below, depth + 1)));
                goes_on
            }
            Ok(Page::Leaf(cells)) => cells.into_iter().all(|cell| {
                let head = RowHead {
                    row: cell.row,
                    rest: cell.rest,
                };
                let bytes = cell.whole(pages);
                visit(Met::Row(number, &head, bytes))
            }),
            Err(damage) => visit(Met::Damaged(damage)),
        };
        if !goes_on {
            return;
        }
    }
}

/// The first page of the table called `name`.
pub(super) fn root(pages: &mut dyn Pages, name: &str) -> Option<u32> {
    let mut found = None;
    walk(pages, 1, &mut |met| {
        let Met::Row(_, _, Ok(row)) = met else {
            return true;
        };
        let columns = columns(&row);
        if let [kind, own, _, Column::Number(at), ..] = &columns[..]
            && kind.is("table")
            && own.is(name)
        {
            found = u32::try_from(*at).ok();
        }
        found.is_none()
    });
    found
}

/// As [`root`]; afterwards, the pages of `pages` can be used for that table.
pub(super) fn root_in_file(pages: &mut FilePages<'_>, name: &str) -> Option<u32> {
    let found = root(pages, name);
    pages.forget();
    found
}

/// A value of a row.
#[derive(Debug, PartialEq)]
pub(super) enum Column<'r> {
    Number(i64),
    /// A text, or bytes.
    Bytes(&'r [u8]),
    /// A fraction, or nothing.
    Other,
}

impl Column<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        *self == Column::Bytes(text.as_bytes())
    }
}

/// The values of a row, as far as they are whole.
///
/// Source: "Record Format" in the format.
pub(super) fn columns(row: &[u8]) -> Vec<Column<'_>> {
    let mut found = Vec::new();
    let Some((end, mut at)) = varint(row) else {
        return found;
    };
    let Ok(mut data) = usize::try_from(end) else {
        return found;
    };
    let end = data;
    while at < end && found.len() < MAX_COLUMNS {
        let Some((kind, length)) = row.get(at..).and_then(varint) else {
            break;
        };
        at += length;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => break,
            text => (text - 12) / 2,
        };
        let Some(bytes) = usize::try_from(size)
            .ok()
            .and_then(|size| row.get(data..data.checked_add(size)?))
        else {
            break;
        };
        data += bytes.len();
        found.push(match kind {
            1..=6 => Column::Number(number(bytes)),
            8 | 9 => Column::Number(i64::from(kind == 9)),
            12.. => Column::Bytes(bytes),
            _ => Column::Other,
        });
    }
    found
}

/// A number of up to eight bytes, the highest first.
fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |number, byte| number << 8 | i64::from(*byte))
}

/// A number of one to nine bytes, and how many it has.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for index in 0..8 {
        let byte = *bytes.get(index)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    Some((number << 8 | u64::from(*bytes.get(8)?), 9))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The pages that a write-ahead log has, the newest of each.
///
/// Source: "The Write-Ahead Log" in the format.
pub(super) fn log(body: &mut Body<'_>) -> Result<(usize, HashMap<u32, u64>), Damage> {
    let mut head = [0; 32];
    body.rewind().map_err(|_| SHORT)?;
    body.read_exact(&mut head).map_err(|_| SHORT)?;
    let word = |at: usize| u32_at(&head, at).unwrap_or(0);
    let size = word(8) as usize;
    let known = word(0) & !1 == 0x377f_0682 && (512..=1 << 16).contains(&size);
    if !known || !size.is_power_of_two() {
        return Err("it is not a write-ahead log of SQLite");
    }
    let big = word(0) & 1 == 1;
    let mut sum = checksum((0, 0), &head[..24], big);
    if sum != (word(24), word(28)) {
        return Err("its header is damaged");
    }
    let (mut committed, mut open) = (HashMap::new(), HashMap::new());
    let mut frame = vec![0; 24 + size];
    let mut at = 32;
    // The log ends with the first frame that is not of the same pass, or cut.
    while body.read_exact(&mut frame).is_ok() {
        let word = |at: usize| u32_at(&frame, at).unwrap_or(0);
        sum = checksum(sum, &frame[..8], big);
        sum = checksum(sum, &frame[24..], big);
        if frame[8..16] != head[16..24] || sum != (word(16), word(20)) {
            break;
        }
        open.insert(word(0), at + 24);
        if word(4) != 0 {
            committed.extend(open.drain());
        }
        at += frame.len() as u64;
    }
    Ok((size, committed))
}

/// Source: "Checksum Algorithm" in the format.
pub(super) fn checksum(mut sum: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().unwrap_or([0; 4]);
        match big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    };
    for pair in bytes.chunks_exact(8) {
        sum.0 = sum.0.wrapping_add(word(&pair[..4])).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(&pair[4..])).wrapping_add(sum.0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_numbers_texts_and_nothing() {
        let row = [
            5, 0, 1, 19, 6, 0xfe, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 1, 0,
        ];
        let found = columns(&row);
        let expected = [
            Column::Other,
            Column::Number(-2),
            Column::Bytes(b"abc"),
            Column::Number(256),
        ];
        assert_eq!(found, expected);
        assert_eq!(columns(&row[..7]).len(), 2);
        assert!(columns(&[]).is_empty());
    }

    /// A leaf of 512 bytes whose `count` pointers lead to one cell of 100 bytes.
    fn leaf(count: u8) -> Vec<u8> {
        let mut page = vec![0; 512];
        (page[0], page[4]) = (13, count);
        for pointer in page[8..].chunks_mut(2).take(count.into()) {
            pointer.copy_from_slice(&400_u16.to_be_bytes());
        }
        page[400..402].copy_from_slice(&[98, 1]);
        page
    }

    struct Leaves(u32);

    impl Pages for Leaves {
        fn page(&mut self, number: u32) -> Result<Vec<u8>, Damage> {
            self.0 += 1;
            if number > 1 {
                return Ok(leaf(5));
            }
            // Ten pages below, each of them the page 2: pointers of zero lead to the first
            // four bytes.
            let mut folder = vec![0; 512];
            (folder[3], folder[100], folder[104], folder[111]) = (2, 5, 9, 2);
            Ok(folder)
        }
    }

    #[test]
    fn cells_that_share_their_bytes_are_damage() {
        assert!(matches!(parse(&leaf(5), 2), Ok(Page::Leaf(cells)) if cells.len() == 5));
        assert_eq!(parse(&leaf(6), 2).err(), Some(BROKEN));
    }

    #[test]
    fn a_walk_ends_when_its_visitor_has_enough() {
        for enough in 1..=7 {
            let (mut pages, mut rows) = (Leaves(0), 0);
            walk(&mut pages, 1, &mut |met| {
                rows += usize::from(matches!(met, Met::Row(..)));
                rows < enough
            });
            assert_eq!((rows, pages.0), (enough, if enough <= 5 { 2 } else { 3 }));
        }
    }

    #[test]
    fn numbers_have_up_to_nine_bytes() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8]), None);
    }
}
