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

/// The damage of a database that has more than is kept.
const FULL: &str = "it has too many packages";

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
            return Err(FULL.to_owned());
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
    sqlite::walk(&mut pages, root, &mut |met| {
        match met {
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
        }
        !kept.full
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
    /// What these headers take, in bytes.
    held: usize,
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
            held: 0,
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
            if self.held > MAX_KEPT {
                break;
            }
            if !used.insert(number) {
                self.damage = Some("its pages lead in a cycle".to_owned());
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
            Ok(header) => {
                self.held += size_of::<Vec<u8>>() + header.len();
                match self.held > MAX_KEPT {
                    true => self.damage = Some(FULL.to_owned()),
                    false => self.newer.push(header),
                }
            }
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
mod tests;
