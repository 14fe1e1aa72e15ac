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
fn cycles_and_cuts_end() {
    let (main, a, pages) = database();
    let mut cycle = main.clone();
    cycle[2 * SIZE..2 * SIZE + 4].copy_from_slice(&3_u32.to_be_bytes());
    let (found, damage) = names(&cycle, None);
    assert_eq!(found, ["b"]);
    assert_eq!(
        damage.unwrap(),
        "1 of its packages cannot be read: its pages lead in a cycle"
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
        "its pages lead in a cycle"
    );
    let (found, damage) = names(&main, Some(&log(&[(2, pages, folder)])));
    assert_eq!((found.len(), damage.is_some()), (0, true));
    // A row whose rest the log and the database lack.
    let (lost, _) = long(9, &package("x"), 900);
    let (found, damage) = names(&main, Some(&log(&[(2, pages, leaf(0, &[a, lost]))])));
    assert_eq!((found, damage.is_some()), (vec!["a".to_owned()], true));
}

#[test]
fn the_headers_of_a_log_are_kept_within_a_limit() {
    let (main, a, pages) = database();
    let main = extracted("rpmdb.sqlite", &main).unwrap();
    let (c, rest) = long(3, &package("c"), pages + 1);
    let last = pages + rest.len() as u32;
    let rest = (pages + 1..).zip(rest);
    let mut changes: Vec<_> = rest.map(|(at, page)| (at, 0, page)).collect();
    changes.push((2, last, leaf(0, &[a, c])));
    let log = extracted(LOG, &log(&changes)).unwrap();
    for (held, newer) in [(0, 1), (MAX_KEPT - 100, 0)] {
        let mut packages = Packages::new(&main, None);
        packages.held = held;
        packages.stitch(&log);
        assert_eq!(packages.newer.len(), newer);
        let damage = (newer == 0).then(|| FULL.to_owned());
        assert_eq!(packages.damage, damage);
    }
}
