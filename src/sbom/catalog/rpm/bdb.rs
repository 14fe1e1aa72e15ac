//! The oldest store of rpm, `Packages`: a hash table of Berkeley DB.
//!
//! All pages are read in order: a table that is walked by its buckets has the same
//! items. Source: the structures in Berkeley DB, `src/dbinc/db_page.h`.

use std::io::{Read, Seek, SeekFrom};

use super::header::{Damage, MAX_HEADER, Visit};
use crate::sbom::body::{Aside, Body};

/// Length of what every page begins with, in bytes.
const PAGE_HEAD: usize = 26;
/// Magic number of a hash table, at byte 12.
const HASH: u32 = 0x0006_1561;
/// Types of pages: hash tables of before and after version 4.6, and long items.
const UNSORTED: u8 = 2;
const SORTED: u8 = 13;
const LONG: u8 = 7;
/// Types of items: in the page, and on pages of its own.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

const SHORT: Damage = "it is cut short";
const BROKEN: Damage = "a page is damaged";

/// The file, and which of its pages of long items were used.
struct Table<'b> {
    body: &'b mut dyn Aside,
    size: usize,
    big: bool,
    used: Vec<u64>,
}

/// Visits the header of each package.
pub(super) fn walk(body: &mut Body<'_>, visit: &mut Visit<'_>) -> Result<(), Damage> {
    let mut head = [0; 72];
    body.rewind().map_err(|_| SHORT)?;
    body.read_exact(&mut head).map_err(|_| SHORT)?;
    let magic: [u8; 4] = head[12..16].try_into().unwrap_or_default();
    let big = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (HASH, _) => false,
        (_, HASH) => true,
        _ => return Err("it is not a hash table of Berkeley DB"),
    };
    let size = word(&head, 20, big) as usize;
    if !(512..=1 << 16).contains(&size) || !size.is_power_of_two() {
        return Err("its pages have no possible length");
    }
    let pages = body.size() / size as u64;
    let last = u64::from(word(&head, 32, big));
    let used = vec![0; usize::try_from(pages / 64).unwrap_or(0) + 1];
    let mut table = Table {
        body,
        size,
        big,
        used,
    };
    for number in 1..pages.min(last.saturating_add(1)) {
        let page = table.page(number)?;
        if matches!(page[25], UNSORTED | SORTED) {
            table.items(&page, visit);
        }
    }
    if last >= pages {
        visit(Err(SHORT));
    }
    Ok(())
}

impl Table<'_> {
    fn page(&mut self, number: u64) -> Result<Vec<u8>, Damage> {
        let mut bytes = vec![0; self.size];
        let at = SeekFrom::Start(number * self.size as u64);
        let read = self.body.seek(at);
        let read = read.and_then(|_| self.body.read_exact(&mut bytes));
        read.map_err(|_| SHORT).map(|()| bytes)
    }

    /// Visits the items of a page: a key, its value, and so on.
    fn items(&mut self, page: &[u8], visit: &mut Visit<'_>) {
        let count = usize::from(short(page, 20, self.big));
        let mut end = self.size;
        let mut key = 0;
        for index in 0..count {
            let at = PAGE_HEAD + 2 * index;
            let begin = usize::from(short(page, at, self.big));
            // Items are placed from the end of the page towards its beginning.
            let Some(item) = page.get(begin..end).filter(|item| !item.is_empty()) else {
                visit(Err(BROKEN));
                return;
            };
            end = begin;
            if index % 2 == 0 {
                key = match item {
                    [HERE, number @ ..] if number.len() == 4 => word(number, 0, self.big),
                    _ => 0,
                };
            } else if key != 0 {
                match item {
                    [HERE, header @ ..] => visit(Ok((key, header))),
                    [ELSEWHERE, ..] if item.len() >= 12 => {
                        let (first, length) = (word(item, 4, self.big), word(item, 8, self.big));
                        match self.long(first, length) {
                            Ok(header) => visit(Ok((key, &header))),
                            Err(damage) => visit(Err(damage)),
                        }
                    }
                    _ => visit(Err(BROKEN)),
                }
            }
        }
    }

    /// The item that begins on page `next`.
    fn long(&mut self, mut next: u32, length: u32) -> Result<Vec<u8>, Damage> {
        let length = length as usize;
        if length > MAX_HEADER {
            return Err("the header of a package is too long");
        }
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let word_at = self.used.get_mut(next as usize / 64).ok_or(SHORT)?;
            let bit = 1 << (next % 64);
            if next == 0 || *word_at & bit != 0 {
                return Err("its pages lead in a cycle");
            }
            *word_at |= bit;
            let page = self.page(next.into())?;
            let here = usize::from(short(&page, 22, self.big));
            let part = page.get(PAGE_HEAD..PAGE_HEAD + here);
            let part = part
                .filter(|_| page[25] == LONG && here > 0)
                .ok_or(BROKEN)?;
            bytes.extend_from_slice(part);
            next = word(&page, 16, self.big);
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn word(bytes: &[u8], at: usize, big: bool) -> u32 {
    let bytes = bytes.get(at..at + 4).unwrap_or_default();
    let bytes = bytes.try_into().unwrap_or_default();
    match big {
        true => u32::from_be_bytes(bytes),
        false => u32::from_le_bytes(bytes),
    }
}

fn short(bytes: &[u8], at: usize, big: bool) -> u16 {
    let bytes = bytes.get(at..at + 2).unwrap_or_default();
    let bytes = bytes.try_into().unwrap_or_default();
    match big {
        true => u16::from_be_bytes(bytes),
        false => u16::from_le_bytes(bytes),
    }
}
