//! Packs: what was found in the single files of components, by file, so that each file is
//! scanned once ever.
//!
//! Findings one after the other, then where each of them is, then where that list begins.
//! All have checksums: a damaged pack, or finding, is one that was never written.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::oci::Digest;

/// Ends each pack; changes with the layout.
const MAGIC: &[u8; 8] = b"jkpack\x01\n";

/// Bytes of a place in the list: key, offset, length, first bytes of the digest.
const PLACE: usize = 32 + 8 + 4 + 12;

/// Bytes at the end: number of findings, digest of the list, magic number.
const END: usize = 8 + 32 + MAGIC.len();

/// Most findings in a pack: half a million files.
const MOST: u64 = 1 << 19;

/// Most bytes of a pack: 64 MiB, the longest result that is published with a package.
const MOST_BYTES: u64 = 64 << 20;

/// What is known about files of components from earlier scans.
pub trait Findings {
    /// The finding under `key`.
    fn find(&mut self, key: &Digest) -> Option<Vec<u8>>;

    /// Takes each finding that the scan uses, new or not.
    fn keep(&mut self, key: &Digest, finding: &[u8]);
}

/// A pack of an earlier scan.
pub struct Pack<R> {
    input: R,
    places: HashMap<Digest, Place>,
    /// How many findings were used.
    used: usize,
}

struct Place {
    at: u64,
    length: u32,
    sum: [u8; 12],
}

fn sum(finding: &[u8]) -> [u8; 12] {
    let mut sum = [0; 12];
    sum.copy_from_slice(&Digest::of(finding).as_bytes()[..12]);
    sum
}

impl<R: Read + Seek> Pack<R> {
    /// Reads the list of a pack; `None`: it is damaged.
    pub fn open(mut input: R) -> Option<Self> {
        let size = input.seek(SeekFrom::End(0)).ok()?;
        let list_end = size.checked_sub(END as u64)?;
        input.seek(SeekFrom::Start(list_end)).ok()?;
        let mut end = [0; END];
        input.read_exact(&mut end).ok()?;
        let (number, rest) = end.split_at(8);
        let (digest, magic) = rest.split_at(32);
        let count = u64::from_le_bytes(number.try_into().ok()?);
        if magic != MAGIC || count > MOST {
            return None;
        }
        let length = usize::try_from(count).ok()? * PLACE;
        let list_at = list_end.checked_sub(length as u64)?;
        input.seek(SeekFrom::Start(list_at)).ok()?;
        let mut list = vec![0; length];
        input.read_exact(&mut list).ok()?;
        if Digest::of(&list).as_bytes() != digest {
            return None;
        }
        let places = list.chunks_exact(PLACE).map(|place| {
            let key: [u8; 32] = place[..32].try_into().ok()?;
            let at = u64::from_le_bytes(place[32..40].try_into().ok()?);
            let length = u32::from_le_bytes(place[40..44].try_into().ok()?);
            let sum = place[44..].try_into().ok()?;
            Some((Digest::from_bytes(key), Place { at, length, sum }))
        });
        Some(Self {
            input,
            places: places.collect::<Option<_>>()?,
            used: 0,
        })
    }

    /// How many of its findings were used, and how many it has.
    pub fn use_of(&self) -> (usize, usize) {
        (self.used, self.places.len())
    }

    fn find(&mut self, key: &Digest) -> Option<Vec<u8>> {
        let place = self.places.get(key)?;
        self.input.seek(SeekFrom::Start(place.at)).ok()?;
        let mut finding = Vec::new();
        let length = u64::from(place.length);
        (&mut self.input)
            .take(length)
            .read_to_end(&mut finding)
            .ok()?;
        if finding.len() as u64 != length || sum(&finding) != place.sum {
            return None;
        }
        self.used += 1;
        Some(finding)
    }
}

/// Findings in packs of earlier scans, and those of this one, which go into its own.
pub struct Packs<R, W> {
    earlier: Vec<Pack<R>>,
    out: W,
    at: u64,
    list: Vec<u8>,
    known: std::collections::HashSet<Digest>,
    /// The first failure to write.
    fault: Option<io::Error>,
}

impl<R: Read + Seek, W: Write> Packs<R, W> {
    pub fn new(earlier: Vec<Pack<R>>, out: W) -> Self {
        Self {
            earlier,
            out,
            at: 0,
            list: Vec::new(),
            known: std::collections::HashSet::new(),
            fault: None,
        }
    }

    /// Ends the pack; `None`: there is nothing in it. Returns the earlier ones as well.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub fn finish(mut self) -> io::Result<(Option<W>, Vec<Pack<R>>)> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.list.is_empty() {
            return Ok((None, self.earlier));
        }
        self.out.write_all(&self.list)?;
        self.out
            .write_all(&(self.known.len() as u64).to_le_bytes())?;
        self.out.write_all(Digest::of(&self.list).as_bytes())?;
        self.out.write_all(MAGIC)?;
        Ok((Some(self.out), self.earlier))
    }
}

impl<R: Read + Seek, W: Write> Findings for Packs<R, W> {
    fn find(&mut self, key: &Digest) -> Option<Vec<u8>> {
        self.earlier.iter_mut().find_map(|pack| pack.find(key))
    }

    fn keep(&mut self, key: &Digest, finding: &[u8]) {
        let Ok(length) = u32::try_from(finding.len()) else {
            return;
        };
        let full = self.at + u64::from(length) + self.list.len() as u64 > MOST_BYTES;
        if full
            || self.fault.is_some()
            || self.known.len() as u64 >= MOST
            || !self.known.insert(*key)
        {
            return;
        }
        self.list.extend(key.as_bytes());
        self.list.extend(self.at.to_le_bytes());
        self.list.extend(length.to_le_bytes());
        self.list.extend(sum(finding));
        self.fault = self.out.write_all(finding).err();
        self.at += u64::from(length);
    }
}
