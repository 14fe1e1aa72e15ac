//! What a command printed, as it is kept: each piece with its time and stream.
//!
//! Secrets are masked before a log comes here. One blob holds it whole, so that
//! a hit can be shown as the run was.

use std::time::Duration;

use crate::ground::process::{Piece, Stream};

/// Begins every kept log; changes when its layout does.
const MAGIC: &[u8; 8] = b"jklog\0\x01\n";

/// Milliseconds, stream, length.
const HEADER: usize = 4 + 1 + 4;

/// The pieces as one blob.
#[must_use]
pub fn encode(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for piece in pieces {
        let milliseconds = u32::try_from(piece.at.as_millis()).unwrap_or(u32::MAX);
        bytes.extend(milliseconds.to_le_bytes());
        bytes.push(u8::from(piece.stream == Stream::Stderr));
        let length = u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_le_bytes());
        bytes.extend(&piece.bytes[..length as usize]);
    }
    bytes
}

/// The pieces of a kept log; `None`: it is none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let header = rest.get(..HEADER)?;
        let milliseconds = u32::from_le_bytes(header[..4].try_into().ok()?);
        let stream = match header[4] {
            0 => Stream::Stdout,
            1 => Stream::Stderr,
            _ => return None,
        };
        let length = u32::from_le_bytes(header[5..].try_into().ok()?) as usize;
        let end = HEADER.checked_add(length)?;
        pieces.push(Piece {
            at: Duration::from_millis(milliseconds.into()),
            stream,
            bytes: rest.get(HEADER..end)?.to_vec(),
        });
        rest = &rest[end..];
    }
    Some(pieces)
}

/// The pieces in order of arrival as text; what is not UTF-8 is replaced.
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
            let whole = decode(&bytes[..end]).is_some_and(|found| found == pieces);
            assert!(!whole, "{end}");
        }
        assert!(decode(b"text").is_none());
    }
}
