//! What is kept of a database of rpm: the headers of its packages, trimmed.
//!
//! The newest store is a table of `SQLite`. The file beside it may have pages that are
//! newer, so each row is kept with its page, and a log with all of its pages; they are
//! put together when both are known.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use super::super::sqlite::{self, Cell, Column, Met, Page, Pages};
use super::header::{Damage, Header, MAX_HEADER};
use super::{bdb, ndb};
use crate::codec::{CodecError, Reader, Writer};
use crate::sbom::body::Body;
use crate::sbom::layer::Extracted;

/// Most that is kept of a database, in bytes: 48 MiB. Ten thousand packages take half.
const MAX_KEPT: usize = 48 << 20;

/// Most packages of a database.
const MAX_PACKAGES: usize = 1 << 20;

/// Most bytes of the pages of a log: 64 MiB. A log is emptied after four.
const MAX_LOG: usize = 64 << 20;

/// The name of a log.
pub(super) const LOG: &str = "rpmdb.sqlite-wal";

/// The damage of a database that may be in its log only.
const NO_TABLE: &str = "it has no table of packages";

/// Kinds of records that are kept.
const PACKAGE: u8 = 1;
const FOLDER: u8 = 2;
const ROOT: u8 = 3;
const PAGE: u8 = 4;
const DAMAGE: u8 = 5;

/// Takes the headers of all packages out of the database called `name`.
pub(super) fn extract(name: &str, body: &mut Body<'_>) -> Extracted {
    let mut kept = match Kept::new() {
        Ok(kept) => kept,
        Err(error) => return Extracted::Unreadable(error.to_string()),
    };
    let read = match name {
        // A new database may be in its log only.
        "rpmdb.sqlite" if body.size() == 0 => Ok(()),
        "rpmdb.sqlite" => read_sqlite(body, &mut kept),
        LOG if body.size() == 0 => return Extracted::Nothing,
        LOG => read_log(body, &mut kept),
        "Packages.db" => ndb::walk(body, &mut |met| kept.take(met)),
        _ => bdb::walk(body, &mut |met| kept.take(met)),
    };
    match read.map_err(str::to_owned).and_then(|()| kept.finish()) {
        Ok(bytes) => Extracted::Facts(bytes),
        Err(reason) => Extracted::Unreadable(reason),
    }
}

/// Writes what is kept.
pub(super) struct Kept {
    out: zstd::stream::write::Encoder<'static, Vec<u8>>,
    packages: usize,
    damaged: usize,
    damage: Option<Damage>,
    full: bool,
}

impl Kept {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            out: zstd::stream::write::Encoder::new(Vec::new(), 3)?,
            packages: 0,
            damaged: 0,
            damage: None,
            full: false,
        })
    }

    fn write(&mut self, record: Writer) {
        let wrote = self.out.write_all(&record.into_bytes());
        self.full |= wrote.is_err() || self.out.get_ref().len() > MAX_KEPT;
    }

    /// Keeps a package of a store that has no pages of rows.
    fn take(&mut self, met: Result<(u32, &[u8]), Damage>) {
        match met {
            Ok((_, header)) => self.package((0, 0, 0), header),
            Err(damage) => self.broken(damage),
        }
    }

    /// Keeps the package with this header; `place` is its page, row and rest.
    pub(super) fn package(&mut self, place: (u32, i64, u32), header: &[u8]) {
        self.full |= self.packages > MAX_PACKAGES;
        if self.full {
            return;
        }
        let trimmed = Header::parse(header).and_then(|(header, _)| header.trimmed());
        let Some(trimmed) = trimmed else {
            return self.broken("the header of a package is damaged");
        };
        self.packages += 1;
        let mut record = Writer::default();
        record.byte(PACKAGE);
        record.u32(place.0);
        record.i64(place.1);
        record.u32(place.2);
        record.bytes(&trimmed);
        self.write(record);
    }

    fn broken(&mut self, damage: Damage) {
        self.damaged += 1;
        self.damage.get_or_insert(damage);
    }

    /// The bytes to keep, or why nothing could be read.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, String> {
        if self.full {
            return Err("it has too many packages".to_owned());
        }
        if let Some(damage) = self.damage {
            if self.packages == 0 {
                return Err(damage.to_owned());
            }
            let mut record = Writer::default();
            record.byte(DAMAGE);
            record.text(&format!(
                "{} of its packages cannot be read: {damage}",
                self.damaged
            ));
            self.write(record);
        }
        self.out.finish().map_err(|error| error.to_string())
    }
}

fn read_sqlite(body: &mut Body<'_>, kept: &mut Kept) -> Result<(), Damage> {
    let mut pages = sqlite::FilePages::open(body)?;
    let Some(root) = sqlite::root_in_file(&mut pages, "Packages") else {
        // Perhaps its log has the table.
        let mut record = Writer::default();
        record.byte(DAMAGE);
        record.text(NO_TABLE);
        kept.write(record);
        return Ok(());
    };
    let mut record = Writer::default();
    record.byte(ROOT);
    record.u32(root);
    kept.write(record);
    sqlite::walk(&mut pages, root, &mut |met| match met {
        Met::Folder(page, below) => {
            let mut record = Writer::default();
            record.byte(FOLDER);
            record.u32(page);
            record.u64(below.len() as u64);
            below.iter().for_each(|below| record.u32(*below));
            kept.write(record);
        }
        Met::Row(page, head, Ok(row)) => match blob(&row) {
            Some(header) => kept.package((page, head.row, head.rest), header),
            None => kept.broken("a row is damaged"),
        },
        Met::Row(_, _, Err(damage)) | Met::Damaged(damage) => kept.broken(damage),
    });
    Ok(())
}

/// The header that a row of the table has.
fn blob(row: &[u8]) -> Option<&[u8]> {
    match sqlite::columns(row).get(1) {
        Some(Column::Bytes(header)) => Some(header),
        _ => None,
    }
}

fn read_log(body: &mut Body<'_>, kept: &mut Kept) -> Result<(), Damage> {
    let (size, pages) = sqlite::log(body)?;
    let mut pages: Vec<(u32, u64)> = pages.into_iter().collect();
    if pages.len().saturating_mul(size) > MAX_LOG {
        return Err("it is too long");
    }
    pages.sort_unstable();
    for (number, at) in pages {
        let mut bytes = vec![0; size];
        let read = body.seek(SeekFrom::Start(at));
        let read = read.and_then(|_| body.read_exact(&mut bytes));
        read.map_err(|_| "it is cut short")?;
        // Pages of indexes, with numbers that pages of long rows never begin with.
        if number != 1 && matches!(bytes[0], 2 | 10) {
            continue;
        }
        let mut record = Writer::default();
        record.byte(PAGE);
        record.u32(number);
        record.bytes(&bytes);
        kept.write(record);
    }
    Ok(())
}

/// One record of what was kept.
enum Record {
    /// Page, row and rest, and the header.
    Package((u32, i64, u32), Vec<u8>),
    Folder(u32, Vec<u32>),
    Root(u32),
    Page(u32, Vec<u8>),
    Damage(String),
}

/// The records of an extract.
fn records(extract: &[u8]) -> impl Iterator<Item = Record> {
    let mut reader = zstd::stream::read::Decoder::new(extract)
        .ok()
        .map(Reader::new);
    // This process, or one like it, wrote the records: their end is the only error.
    std::iter::from_fn(move || record(reader.as_mut()?).ok())
}

fn record<R: std::io::Read>(reader: &mut Reader<R>) -> Result<Record, CodecError> {
    let most = MAX_HEADER as u64;
    let at = reader.at();
    Ok(match reader.byte("a kind of record")? {
        PACKAGE => {
            let page = reader.u32("a page")?;
            let row = reader.i64("a row")?;
            let rest = reader.u32("a page")?;
            Record::Package((page, row, rest), reader.bytes(most, "a header")?)
        }
        FOLDER => {
            let page = reader.u32("a page")?;
            Record::Folder(page, reader.list(|reader| reader.u32("a page"))?)
        }
        ROOT => Record::Root(reader.u32("a page")?),
        PAGE => {
            let page = reader.u32("a page")?;
            Record::Page(page, reader.bytes(most, "a page")?)
        }
        DAMAGE => Record::Damage(reader.text(most, "a reason")?),
        _ => return Err(CodecError::malformed(at, "a kind from 1 to 5")),
    })
}

/// The headers of the packages of a database.
pub(super) struct Packages<'e> {
    extract: &'e [u8],
    /// With a log: the rows of the database that are still there, by row and rest.
    still: Option<HashSet<(i64, u32)>>,
    /// The headers that the log has.
    newer: Vec<Vec<u8>>,
    /// What could not be read.
    pub(super) damage: Option<String>,
}

impl<'e> Packages<'e> {
    /// The packages of a database, with the changes of its log.
    pub(super) fn new(extract: &'e [u8], log: Option<&[u8]>) -> Self {
        let mut packages = Self {
            extract,
            still: None,
            newer: Vec::new(),
            damage: None,
        };
        if let Some(log) = log {
            packages.stitch(log);
        }
        packages
    }

    /// Visits each header.
    pub(super) fn each(&mut self, mut visit: impl FnMut(Header<'_>)) {
        let mut visit = |bytes: &[u8]| {
            if let Some((header, _)) = Header::parse(bytes) {
                visit(header);
            }
        };
        for record in records(self.extract) {
            match record {
                Record::Package((_, row, rest), header) => {
                    let still = self.still.as_ref();
                    if still.is_none_or(|still| still.contains(&(row, rest))) {
                        visit(&header);
                    }
                }
                Record::Damage(reason) if self.still.is_some() && reason == NO_TABLE => {}
                Record::Damage(reason) => self.damage = Some(reason),
                Record::Folder(..) | Record::Root(_) | Record::Page(..) => {}
            }
        }
        self.newer.iter().for_each(|header| visit(header));
    }

    /// Walks along the table with the pages of the log in place of older ones.
    fn stitch(&mut self, log: &[u8]) {
        let pages = records(log).filter_map(|record| match record {
            Record::Page(number, bytes) => Some((number, bytes)),
            _ => None,
        });
        let mut log = Log(pages.collect());
        if log.0.is_empty() {
            return;
        }
        let mut folders = HashMap::new();
        let mut rows: HashMap<u32, Vec<(i64, u32)>> = HashMap::new();
        let mut known = HashSet::new();
        let mut root = None;
        for record in records(self.extract) {
            match record {
                Record::Package((page, row, rest), _) => {
                    rows.entry(page).or_default().push((row, rest));
                    known.insert((row, rest));
                }
                Record::Folder(page, below) => drop(folders.insert(page, below)),
                Record::Root(page) => root = Some(page),
                Record::Page(..) | Record::Damage(_) => {}
            }
        }
        // The pages of the schema are none of the table's.
        let newer = log
            .0
            .contains_key(&1)
            .then(|| sqlite::root(&mut log, "Packages"));
        let Some(root) = newer.flatten().or(root) else {
            return;
        };
        let mut still = HashSet::new();
        let (mut ahead, mut used) = (vec![root], HashSet::new());
        while let Some(number) = ahead.pop() {
            if !used.insert(number) {
                self.damage = Some("its pages lead in a circle".to_owned());
                continue;
            }
            let Some(bytes) = log.0.remove(&number) else {
                if let Some(below) = folders.remove(&number) {
                    ahead.extend(below.into_iter().rev());
                }
                still.extend(rows.remove(&number).unwrap_or_default());
                continue;
            };
            match sqlite::parse(&bytes, number) {
                Ok(Page::Folder(below)) => ahead.extend(below.into_iter().rev()),
                Ok(Page::Leaf(cells)) => {
                    for cell in cells {
                        let place = (cell.row, cell.rest);
                        if cell.rest != 0 && known.contains(&place) && !log.has(&cell) {
                            still.insert(place);
                        } else {
                            self.newer(cell, &mut log);
                        }
                    }
                }
                Err(damage) => self.damage = Some(damage.to_owned()),
            }
        }
        self.still = Some(still);
    }

    /// Takes a row whose bytes are in the log.
    fn newer(&mut self, cell: Cell, log: &mut Log) {
        let whole = cell.whole(log).and_then(|row| {
            let header = blob(&row).and_then(Header::parse);
            let trimmed = header.and_then(|(header, _)| header.trimmed());
            trimmed.ok_or("the header of a package is damaged")
        });
        match whole {
            Ok(header) => self.newer.push(header),
            Err(damage) => self.damage = Some(damage.to_owned()),
        }
    }
}

/// The pages of a log. Each of them is used once.
struct Log(HashMap<u32, Vec<u8>>);

impl Log {
    /// Whether the rest of a row is in the log.
    fn has(&self, cell: &Cell) -> bool {
        self.0.contains_key(&cell.rest)
    }
}

impl Pages for Log {
    fn page(&mut self, number: u32) -> Result<Vec<u8>, sqlite::Damage> {
        self.0.remove(&number).ok_or("its log lacks a page")
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{Value, made, tag};
    use super::*;
    use crate::sbom::body::in_memory;

    /// Length of a page.
    const SIZE: usize = 512;
    /// Fewest bytes of a row that are with its cell.
    const LEAST: usize = (SIZE - 12) * 32 / 255 - 23;

    fn varint(number: usize) -> Vec<u8> {
        match number {
            0..128 => vec![number as u8],
            _ => vec![(number >> 7) as u8 | 0x80, number as u8 & 0x7f],
        }
    }

    /// A row of texts; nothing for the empty one, a number for `2`.
    fn row(columns: &[&[u8]]) -> Vec<u8> {
        let (mut kinds, mut data) = (Vec::new(), Vec::new());
        for column in columns {
            match *column {
                b"" => kinds.push(0),
                b"2" => {
                    kinds.push(1);
                    data.push(2);
                }
                text => {
                    kinds.extend(varint(12 + 2 * text.len() + 1));
                    data.extend_from_slice(text);
                }
            }
        }
        [&[kinds.len() as u8 + 1][..], &kinds, &data].concat()
    }

    /// A leaf with these cells; `head`: where it begins.
    fn leaf(head: usize, cells: &[Vec<u8>]) -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[head] = 13;
        page[head + 4] = cells.len() as u8;
        let mut end = SIZE;
        for (index, cell) in cells.iter().enumerate() {
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(cell);
            let at = head + 8 + 2 * index;
            page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
        }
        page
    }

    /// A long row: its cell, and the pages of its rest, the first of which is `rest`.
    fn long(number: u8, row: &[u8], rest: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut cell = varint(row.len());
        cell.push(number);
        cell.extend_from_slice(&row[..LEAST]);
        cell.extend_from_slice(&rest.to_be_bytes());
        let parts: Vec<&[u8]> = row[LEAST..].chunks(SIZE - 4).collect();
        let pages = parts.iter().enumerate().map(|(index, part)| {
            let last = index + 1 == parts.len();
            let next = if last { 0 } else { rest + index as u32 + 1 };
            let mut page = [&next.to_be_bytes()[..], part].concat();
            page.resize(SIZE, 0);
            page
        });
        (cell, pages.collect())
    }

    fn package(name: &str) -> Vec<u8> {
        let names: Vec<String> = (0..300).map(|number| format!("{name}{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = (0..SIZE).map(|length| {
            let header = made(&[
                (tag::NAME, Value::Text(name)),
                (tag::VENDOR, Value::Text(&"v".repeat(length))),
                (tag::PROVIDES, Value::Texts(&names)),
            ]);
            row(&[b"", &header])
        });
        // So long that only a few bytes are with the cell.
        let few = |row: &Vec<u8>| (row.len() - LEAST) % (SIZE - 4) > SIZE - 35 - LEAST;
        rows.into_iter().find(few).unwrap()
    }

    /// A database with the packages `a` and `b`, the cell of `a`, and how many pages.
    fn database() -> (Vec<u8>, Vec<u8>, u32) {
        let schema = row(&[b"table", b"Packages", b"Packages", b"2", b"create"]);
        let cell = [&varint(schema.len())[..], &[1], &schema].concat();
        let mut first = leaf(100, &[cell]);
        first[..16].copy_from_slice(b"SQLite format 3\0");
        first[16..18].copy_from_slice(&(SIZE as u16).to_be_bytes());
        let (a, mut rest) = long(1, &package("a"), 3);
        let (b, more) = long(2, &package("b"), 3 + rest.len() as u32);
        rest.extend(more);
        let mut pages = vec![first, leaf(0, &[a.clone(), b])];
        pages.extend(rest);
        (pages.concat(), a, pages.len() as u32)
    }

    /// A log with these pages; the last one ends a transaction if it has a size.
    fn log(pages: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
        let mut log = Vec::new();
        for word in [0x377f_0683, 3_007_000, SIZE as u32, 0, 5, 6] {
            log.extend_from_slice(&word.to_be_bytes());
        }
        let mut sum = sqlite::checksum((0, 0), &log, true);
        log.extend([sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat());
        for (number, size, page) in pages {
            let head = [number.to_be_bytes(), size.to_be_bytes()].concat();
            sum = sqlite::checksum(sum, &head, true);
            sum = sqlite::checksum(sum, page, true);
            log.extend(head);
            for word in [5, 6, sum.0, sum.1] {
                log.extend_from_slice(&u32::to_be_bytes(word));
            }
            log.extend_from_slice(page);
        }
        log
    }

    fn extracted(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut body = Body::read(&mut &bytes[..], bytes.len() as u64, &in_memory).unwrap();
        match extract(name, &mut body) {
            Extracted::Facts(facts) => Ok(facts),
            Extracted::Nothing => Err("nothing".to_owned()),
            Extracted::Unreadable(reason) => Err(reason),
        }
    }

    fn names(main: &[u8], log: Option<&[u8]>) -> (Vec<String>, Option<String>) {
        let main = extracted("rpmdb.sqlite", main).unwrap();
        let log = log.map(|log| extracted(LOG, log).unwrap());
        let mut packages = Packages::new(&main, log.as_deref());
        let mut names = Vec::new();
        packages.each(|header| {
            assert_eq!(header.texts(tag::PROVIDES).count(), 300);
            names.push(header.text(tag::NAME));
        });
        (names, packages.damage)
    }

    #[test]
    fn long_rows_are_read_and_their_log_changes_them() {
        let (main, a, pages) = database();
        assert_eq!(names(&main, None).0, ["a", "b"]);
        let (c, rest) = long(3, &package("c"), pages + 1);
        let last = pages + rest.len() as u32;
        let mut changes: Vec<_> = (pages + 1..)
            .zip(rest)
            .map(|(at, page)| (at, 0, page))
            .collect();
        changes.push((2, last, leaf(0, &[a, c])));
        assert_eq!(names(&main, Some(&log(&changes))).0, ["a", "c"]);
        // What no transaction ends does not count.
        changes.last_mut().unwrap().1 = 0;
        assert_eq!(names(&main, Some(&log(&changes))).0, ["a", "b"]);
        // The first bytes of a new database are in its log.
        let all: Vec<_> = (1..)
            .zip(main.chunks(SIZE))
            .map(|(at, page)| (at, 9, page.to_vec()))
            .collect();
        assert_eq!(names(b"", Some(&log(&all))).0, ["a", "b"]);
        assert_eq!(extracted(LOG, b"").unwrap_err(), "nothing");
        assert_eq!(
            extracted(LOG, &[7; 99]).unwrap_err(),
            "it is not a write-ahead log of SQLite"
        );
    }

    #[test]
    fn circles_and_cuts_end() {
        let (main, a, pages) = database();
        let mut circle = main.clone();
        circle[2 * SIZE..2 * SIZE + 4].copy_from_slice(&3_u32.to_be_bytes());
        let (found, damage) = names(&circle, None);
        assert_eq!(found, ["b"]);
        assert_eq!(
            damage.unwrap(),
            "1 of its packages cannot be read: its pages lead in a circle"
        );
        let (found, damage) = names(&main[..main.len() - SIZE], None);
        assert_eq!((found, damage.is_some()), (vec!["a".to_owned()], true));
        for end in [1, 99, 100, 600] {
            let cut = extracted("rpmdb.sqlite", &main[..end]);
            let damage = cut.map(|cut| {
                let mut packages = Packages::new(&cut, None);
                packages.each(|_| panic!());
                packages.damage.unwrap()
            });
            assert!(damage.is_err() || damage.unwrap() == NO_TABLE, "{end}");
        }
        // A folder that has itself below, in the database and in the log.
        let mut folder = vec![0; SIZE];
        folder[0] = 5;
        folder[8..12].copy_from_slice(&2_u32.to_be_bytes());
        let mut itself = main.clone();
        itself[SIZE..2 * SIZE].copy_from_slice(&folder);
        assert_eq!(
            extracted("rpmdb.sqlite", &itself).unwrap_err(),
            "its pages lead in a circle"
        );
        let (found, damage) = names(&main, Some(&log(&[(2, pages, folder)])));
        assert_eq!((found.len(), damage.is_some()), (0, true));
        // A row whose rest the log and the database lack.
        let (lost, _) = long(9, &package("x"), 900);
        let (found, damage) = names(&main, Some(&log(&[(2, pages, leaf(0, &[a, lost]))])));
        assert_eq!((found, damage.is_some()), (vec!["a".to_owned()], true));
    }
}
