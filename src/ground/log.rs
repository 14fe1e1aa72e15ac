//! Stored logs of commands: each piece of output with its time and stream.
//!
//! Secrets are masked before a log is stored. A log is a single blob, so that a cache
//! hit can replay the output.

use std::time::Duration;

use crate::codec::{CodecError, Reader, Writer};
use crate::ground::process::{Piece, Stream};

/// Magic number of stored logs; changes with their layout.
const MAGIC: &[u8; 8] = b"jklog\0\x02\n";

/// Maximum length of a piece, in bytes: 64 MiB, more than a pipe yields at once.
const MAX_PIECE: u64 = 64 << 20;

/// Encodes the pieces as one blob.
#[must_use]
pub fn encode(pieces: &[Piece]) -> Vec<u8> {
    let mut writer = Writer::new(MAGIC);
    writer.u64(pieces.len() as u64);
    for piece in pieces {
        writer.u64(u64::try_from(piece.at.as_millis()).unwrap_or(u64::MAX));
        writer.flag(piece.stream == Stream::Stderr);
        writer.bytes(&piece.bytes);
    }
    writer.into_bytes()
}

/// Decodes the pieces of a stored log.
///
/// # Errors
///
/// [`CodecError`]: it is not a log.
pub fn decode(bytes: &[u8]) -> Result<Vec<Piece>, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.magic(MAGIC, "the first bytes of a log, `jklog`")?;
    let pieces = reader.list(|reader| {
        Ok(Piece {
            at: Duration::from_millis(reader.u64("a time")?),
            stream: match reader.flag()? {
                true => Stream::Stderr,
                false => Stream::Stdout,
            },
            bytes: reader.bytes(MAX_PIECE, "output")?,
        })
    })?;
    reader.end()?;
    Ok(pieces)
}

/// The pieces in order of arrival as text; invalid UTF-8 is replaced.
#[must_use]
pub fn text(pieces: &[Piece]) -> String {
    let bytes: Vec<u8> = pieces.iter().flat_map(|p| &p.bytes).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_comes_back_as_it_was_and_a_damaged_one_does_not() {
        let pieces = [
            (12, Stream::Stdout, &b"out\n"[..]),
            (13, Stream::Stderr, b"\xff"),
            (70_000, Stream::Stdout, b""),
        ]
        .map(|(at, stream, bytes)| Piece {
            at: Duration::from_millis(at),
            stream,
            bytes: bytes.to_vec(),
        });
        let bytes = encode(&pieces);
        assert_eq!(decode(&bytes).unwrap(), pieces);
        assert_eq!(text(&pieces), "out\n\u{fffd}");
        for end in 1..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(decode(b"text").is_err());
    }
}
