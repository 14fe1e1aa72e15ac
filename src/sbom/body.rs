//! One file of a scan that is read at any place.
//!
//! In memory while it is small; otherwise the caller of the scan puts it aside. Several
//! layers are scanned at the same time, and an archive of Java may have hundreds of
//! megabytes.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

/// Most bytes that are in memory: 16 MiB.
const HELD: u64 = 16 << 20;

/// A file that was put aside.
pub trait Aside: Read + Seek {}

impl<T: Read + Seek> Aside for T {}

/// Puts a long file aside, read to its end, to be read again at any place.
pub type PutAside<'a> = &'a dyn Fn(&mut dyn Read) -> io::Result<Box<dyn Aside>>;

/// The content of a file.
pub(super) struct Body<'a> {
    held: Box<dyn Aside>,
    size: u64,
    aside: PutAside<'a>,
}

impl<'a> Body<'a> {
    /// Reads `input`, which should have `size` bytes, to its end.
    ///
    /// # Errors
    ///
    /// `input` or `aside` fails.
    pub(super) fn read(input: &mut dyn Read, size: u64, aside: PutAside<'a>) -> io::Result<Self> {
        let mut held: Box<dyn Aside> = if size > HELD {
            aside(input)?
        } else {
            let mut bytes = Vec::new();
            input.take(HELD).read_to_end(&mut bytes)?;
            Box::new(Cursor::new(bytes))
        };
        let size = held.seek(SeekFrom::End(0))?;
        held.rewind()?;
        Ok(Self { held, size, aside })
    }

    /// What puts files inside this one aside.
    pub(super) fn aside(&self) -> PutAside<'a> {
        self.aside
    }

    /// How long it is, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The whole of it; `None` if it is longer than `most` bytes, or cannot be read.
    pub(super) fn whole(&mut self, most: u64) -> Option<Vec<u8>> {
        if self.size > most {
            return None;
        }
        let mut bytes = Vec::new();
        self.held.rewind().ok()?;
        self.held.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.held.read(buffer)
    }
}

impl Seek for Body<'_> {
    /// A place beyond the end counts as the end. Places come from the file itself, and
    /// the system refuses those of 2^63 and more, which would look like a fault of the
    /// disk.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.held.stream_position()?.checked_add_signed(by),
        };
        let at = at.ok_or_else(|| {
            let what = "a place in it is outside of it";
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        self.held.seek(SeekFrom::Start(at.min(self.size)))
    }
}

/// Keeps files that are put aside in memory, for tests.
#[cfg(test)]
pub(super) fn in_memory(input: &mut dyn Read) -> io::Result<Box<dyn Aside>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    Ok(Box::new(Cursor::new(bytes)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_small_and_a_large_file_are_read_at_any_place() {
        for size in [10, HELD + 10] {
            let mut body = Body::read(&mut io::repeat(7).take(size), size, &in_memory).unwrap();
            assert_eq!(body.size(), size);
            body.seek(SeekFrom::End(-3)).unwrap();
            let mut end = Vec::new();
            body.read_to_end(&mut end).unwrap();
            assert_eq!(end, [7; 3]);
            assert_eq!(body.whole(size).unwrap().len() as u64, size);
            assert!(body.whole(size - 1).is_none());
        }
    }

    /// A file that refuses what the system refuses.
    struct Disk(Cursor<Vec<u8>>);

    impl Read for Disk {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            match to {
                SeekFrom::Start(at) if i64::try_from(at).is_err() => {
                    Err(io::Error::from_raw_os_error(22))
                }
                to => self.0.seek(to),
            }
        }
    }

    /// Puts files aside as on a disk, for tests.
    pub(in crate::sbom) fn on_disk(input: &mut dyn Read) -> io::Result<Box<dyn Aside>> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Box::new(Disk(Cursor::new(bytes))))
    }

    #[test]
    fn places_outside_of_a_file_have_nothing_and_are_no_fault_of_the_disk() {
        let size = HELD + 10;
        let mut body = Body::read(&mut io::repeat(7).take(size), size, &on_disk).unwrap();
        for at in [size, size + 1, 1 << 63, u64::MAX] {
            assert_eq!(body.seek(SeekFrom::Start(at)).unwrap(), size);
            assert_eq!(body.read(&mut [0; 9]).unwrap(), 0);
        }
        assert_eq!(body.seek(SeekFrom::Current(i64::MAX)).unwrap(), size);
        assert_eq!(body.seek(SeekFrom::Current(-9)).unwrap(), size - 9);
        for to in [SeekFrom::End(i64::MIN), SeekFrom::Current(i64::MIN)] {
            assert!(body.seek(to).unwrap_err().raw_os_error().is_none());
        }
    }
}
