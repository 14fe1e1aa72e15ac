//! Where the files of a system package begin: the payload of an `.rpm`, and `data.tar`
//! of a `.deb`.
//!
//! Sources: "RPM V4 Package format", sections "Lead", "Signature" and "Header"; deb(5)
//! and the common format of ar.

use std::io::{self, Read};

/// Largest header of an `.rpm`, in bytes: 256 MiB, as rpm itself accepts.
const MAX_HEADER: u64 = 256 << 20;

/// Maximum number of members before `data.tar`: a `.deb` has two, and a few may be
/// signatures.
const MAX_MEMBERS: usize = 16;

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn skip(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut input.take(bytes), &mut io::sink())? == bytes {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The compressed payload of an `.rpm`.
pub(super) fn payload<R: Read>(mut input: R) -> io::Result<R> {
    const LEAD: u64 = 96;
    skip(&mut input, LEAD)?;
    let signature = header(&mut input)?;
    skip(&mut input, signature.next_multiple_of(8) - signature)?;
    header(&mut input)?;
    Ok(input)
}

/// Skips a header; returns its length.
fn header(input: &mut impl Read) -> io::Result<u64> {
    let mut head = [0; 16];
    input.read_exact(&mut head)?;
    let number = |at: usize| {
        let bytes = head[at..at + 4].iter();
        bytes.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let rest = 16 * number(8) + number(12);
    if !head.starts_with(&[0x8e, 0xad, 0xe8, 1]) || rest > MAX_HEADER {
        return Err(damaged("its rpm header is malformed"));
    }
    skip(input, rest)?;
    Ok(16 + rest)
}

/// The member of a `.deb` whose name begins with `name`, such as `data.tar`.
pub(in crate::sbom) fn member<R: Read>(mut input: R, name: &[u8]) -> io::Result<io::Take<R>> {
    const MAGIC: u64 = 8;
    skip(&mut input, MAGIC)?;
    for _ in 0..MAX_MEMBERS {
        let mut head = [0; 60];
        input.read_exact(&mut head)?;
        let size = std::str::from_utf8(&head[48..58]).ok();
        let size = size.and_then(|text| text.trim_ascii().parse::<u64>().ok());
        let size = size.ok_or_else(|| damaged("a size in it is malformed"))?;
        if head.starts_with(name) {
            return Ok(input.take(size));
        }
        skip(&mut input, size.next_multiple_of(2))?;
    }
    Err(damaged("it lacks a member"))
}
