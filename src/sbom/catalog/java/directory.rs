//! The directory at the end of a zip archive, read as a stream.
//!
//! The zip crate holds every entry of an archive, and only the last of those with the
//! same name. A Java archive may have hundreds of thousands of entries, of which a
//! handful matter.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::archive::MAX_PATH_BYTES;
use crate::sbom::zip::{Place, damaged, double, find, quad, word};

/// The fixed part of an entry in the directory, in bytes.
const ENTRY_BYTES: usize = 46;

/// The fixed part of the header before an entry's content, in bytes.
const HEADER_BYTES: usize = 30;

/// A file in the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// With `/` between folders.
    pub(super) name: String,
    method: u16,
    encrypted: bool,
    /// Size in the archive, in bytes.
    packed: u64,
    /// Size of its content, in bytes, which may be wrong.
    pub(super) size: u64,
    /// Where its header is in the archive.
    at: u64,
}

/// Calls `visit` with each entry, as long as it returns true. Those with longer names
/// than a file may have are left out.
///
/// Bytes may stand before the archive, such as a script that starts it.
///
/// # Errors
///
/// There is no directory, or it is damaged or cut.
pub(super) fn entries(
    archive: &mut (impl Read + Seek),
    mut visit: impl FnMut(Entry) -> bool,
) -> io::Result<()> {
    let Place {
        start,
        size,
        before,
    } = find(archive)?;
    archive.seek(SeekFrom::Start(start))?;
    let mut input = BufReader::new(archive.take(size));
    let (mut head, mut rest) = ([0; ENTRY_BYTES], Vec::new());
    let mut left = size;
    while left >= ENTRY_BYTES as u64 {
        input.read_exact(&mut head)?;
        if !head.starts_with(b"PK\x01\x02") {
            // A signature may follow the entries.
            break;
        }
        let lengths = [28, 30, 32].map(|at| u64::from(word(&head, at)));
        let length = lengths.iter().sum::<u64>();
        left -= ENTRY_BYTES as u64;
        left = left.checked_sub(length).ok_or_else(damaged)?;
        rest.clear();
        (&mut input).take(length).read_to_end(&mut rest)?;
        let [name, extra, _] = lengths.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let name_bytes = rest.get(..name).ok_or_else(damaged)?;
        let extra_bytes = rest.get(name..name + extra).ok_or_else(damaged)?;
        if name > MAX_PATH_BYTES {
            continue;
        }
        let mut entry = Entry {
            name: String::from_utf8_lossy(name_bytes).replace('\\', "/"),
            method: word(&head, 10),
            encrypted: word(&head, 8) & 1 != 0,
            packed: u64::from(double(&head, 20)),
            size: u64::from(double(&head, 24)),
            at: u64::from(double(&head, 42)),
        };
        entry.enlarge(extra_bytes);
        entry.at = entry.at.saturating_add(before);
        if !entry.name.ends_with('/') && !visit(entry) {
            break;
        }
    }
    Ok(())
}

impl Entry {
    /// Takes the numbers that are too large for the fixed part from the `extra` fields.
    fn enlarge(&mut self, mut extra: &[u8]) {
        while let Some((head, rest)) = extra.split_at_checked(4) {
            let length = usize::from(word(head, 2));
            let Some((field, rest)) = rest.split_at_checked(length) else {
                return;
            };
            if word(head, 0) == 1 {
                let mut numbers = field.chunks_exact(8).map(|number| quad(number, 0));
                for own in [&mut self.size, &mut self.packed, &mut self.at] {
                    if *own == u64::from(u32::MAX) {
                        *own = numbers.next().unwrap_or(*own);
                    }
                }
                return;
            }
            extra = rest;
        }
    }

    /// Its content, unpacked.
    ///
    /// # Errors
    ///
    /// It is encrypted, packed in a way that Java does not read, or not where the
    /// directory says.
    pub(super) fn open<'a>(
        &self,
        archive: &'a mut (impl Read + Seek),
    ) -> io::Result<Box<dyn Read + 'a>> {
        if self.encrypted {
            return Err(io::Error::other("it is encrypted"));
        }
        archive.seek(SeekFrom::Start(self.at))?;
        let mut head = [0; HEADER_BYTES];
        archive.read_exact(&mut head)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(damaged());
        }
        let skipped = i64::from(word(&head, 26)) + i64::from(word(&head, 28));
        archive.seek(SeekFrom::Current(skipped))?;
        let packed = BufReader::new(archive.take(self.packed));
        match self.method {
            0 => Ok(Box::new(packed)),
            8 => Ok(Box::new(flate2::bufread::DeflateDecoder::new(packed))),
            method => Err(io::Error::other(format!("packed by method {method}"))),
        }
    }
}

/// An archive of these files, for tests.
#[cfg(test)]
pub(super) fn zipped(files: &[(&str, &[u8])], options: zip::write::SimpleFileOptions) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<(String, String)>> {
        let mut archive = Cursor::new(bytes);
        let mut all = Vec::new();
        entries(&mut archive, |entry| {
            all.push(entry);
            true
        })?;
        all.iter()
            .map(|entry| {
                let mut text = String::new();
                entry.open(&mut archive)?.read_to_string(&mut text)?;
                Ok((entry.name.clone(), text))
            })
            .collect()
    }

    #[test]
    fn archives_are_read_with_bytes_before_and_after() {
        let options = zip::write::SimpleFileOptions::default();
        let text = "text ".repeat(100);
        let files = [("a/b", text.as_bytes()), ("c", b"")];
        let expected = [("a/b", text.as_str()), ("c", "")];
        let expected: Vec<_> = expected.map(|(n, t)| (n.to_owned(), t.to_owned())).into();
        for options in [options, options.large_file(true)] {
            let plain = zipped(&files, options);
            assert_eq!(read(&plain).unwrap(), expected);
            let script = [b"#!/bin/sh\nexit\n", &plain[..]].concat();
            assert_eq!(read(&script).unwrap(), expected);
        }
        let stored = options.compression_method(zip::CompressionMethod::Stored);
        assert_eq!(read(&zipped(&files, stored)).unwrap(), expected);
    }

    #[test]
    fn entries_with_names_that_are_too_long_are_left_out() {
        let longest = "n".repeat(MAX_PATH_BYTES);
        let files = [(&*format!("{longest}n"), &b"x"[..]), (&longest, b"y")];
        let zip = zipped(&files, zip::write::SimpleFileOptions::default());
        assert_eq!(read(&zip).unwrap(), [(longest.clone(), "y".to_owned())]);
    }

    #[test]
    fn damaged_directories_are_refused() {
        let plain = zipped(&[("a", b"x")], zip::write::SimpleFileOptions::default());
        assert!(read(b"").is_err() && read(&[b'P'; 100]).is_err());
        for cut in 1..plain.len() {
            assert!(read(&plain[..cut]).is_err(), "{cut}");
        }
        // Every byte of the last record and the directory, with other values.
        for at in plain.len() - 80..plain.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut lies = plain.clone();
                lies[at] = value;
                let _ = read(&lies);
            }
        }
    }
}
