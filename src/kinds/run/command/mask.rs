//! Masks secrets in a log before it is stored or shown.
//!
//! Searches each stream as a whole, so that it finds secrets that arrive in pieces with
//! the other stream in between. It does not find encoded forms.

use memchr::memmem;

use crate::ground::process::{Finished, Piece, Stream};

/// The replacement for secrets.
const MASK: &[u8] = b"***";

/// Minimum length of a line of a multi-line secret to mask by itself.
const MIN_LINE_BYTES: usize = 6;

/// The log in order of arrival, with `secrets` masked.
pub(crate) fn pieces(finished: &Finished, secrets: &[String]) -> Vec<Piece> {
    let secrets = needles(secrets);
    let whole = |stream| {
        let pieces = finished.log.iter().filter(|piece| piece.stream == stream);
        let bytes: Vec<u8> = pieces.flat_map(|piece| &piece.bytes).copied().collect();
        found(&bytes, &secrets, finished.dropped > 0)
    };
    let mut hidden = if secrets.is_empty() {
        [Vec::new(), Vec::new()]
    } else {
        [whole(Stream::Stdout), whole(Stream::Stderr)]
    };
    for ranges in &mut hidden {
        ranges.reverse();
    }
    let mut log = Vec::new();
    let mut at = [0, 0];
    for piece in &finished.log {
        let stream = usize::from(piece.stream == Stream::Stderr);
        let (start, end) = (at[stream], at[stream] + piece.bytes.len());
        let mut next = start;
        let mut bytes = Vec::new();
        while let Some(&(from, to)) = hidden[stream].last().filter(|range| range.0 < end) {
            if from >= next {
                bytes.extend(&piece.bytes[next - start..from - start]);
                bytes.extend(MASK);
            }
            next = to.min(end);
            if to > end {
                break;
            }
            hidden[stream].pop();
        }
        bytes.extend(&piece.bytes[next - start..]);
        at[stream] = end;
        log.push(Piece {
            bytes,
            ..piece.clone()
        });
    }
    if finished.dropped > 0 {
        let more = format!("\n[{} more bytes were not kept]\n", finished.dropped);
        log.push(Piece {
            at: finished.wall,
            stream: Stream::Stderr,
            bytes: more.into_bytes(),
        });
    }
    log
}

/// The strings to search for: each secret, and each of its longer lines.
fn needles(secrets: &[String]) -> Vec<&[u8]> {
    let mut needles: Vec<&[u8]> = Vec::new();
    for secret in secrets {
        // Programs often drop the newline at the end of a secret.
        needles.push(secret.trim_end_matches(['\r', '\n']).as_bytes());
        let lines = secret.lines().map(str::trim);
        let long = lines.filter(|line| line.len() >= MIN_LINE_BYTES);
        needles.extend(long.map(str::as_bytes));
    }
    needles.retain(|needle| !needle.is_empty());
    needles.sort_unstable();
    needles.dedup();
    needles
}

/// The positions of `needles`, as sorted, disjoint ranges.
fn found(bytes: &[u8], needles: &[&[u8]], cut: bool) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    for needle in needles {
        let finder = memmem::Finder::new(needle);
        let mut from = 0;
        // Steps by one, since a needle may overlap itself.
        while let Some(found) = finder.find(&bytes[from..]) {
            let start = from + found;
            extend(&mut ranges, (start, start + needle.len()));
            from = start + 1;
        }
        if cut {
            let longest = needle.len().min(bytes.len());
            let tail = (1..longest)
                .rev()
                .find(|length| bytes.ends_with(&needle[..*length]));
            if let Some(length) = tail {
                ranges.push((bytes.len() - length, bytes.len()));
            }
        }
    }
    ranges.sort_unstable();
    let mut merged = Vec::new();
    for range in ranges {
        extend(&mut merged, range);
    }
    merged
}

/// Adds a range that does not start before the last one, merging overlaps.
fn extend(ranges: &mut Vec<(usize, usize)>, range: (usize, usize)) {
    match ranges.last_mut() {
        Some(last) if range.0 >= last.0 && range.0 < last.1 => last.1 = last.1.max(range.1),
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::log;
    use crate::ground::process::Ending;
    use std::time::Duration;

    fn masked(pieces: &[(Stream, &str)], dropped: u64, secrets: &[&str]) -> String {
        let piece = |(stream, text): &(Stream, &str)| Piece {
            at: Duration::ZERO,
            stream: *stream,
            bytes: text.as_bytes().to_vec(),
        };
        let finished = Finished {
            ending: Ending::Exited(0),
            log: pieces.iter().map(piece).collect(),
            dropped,
            wall: Duration::ZERO,
        };
        let secrets: Vec<String> = secrets.iter().map(|s| (*s).to_owned()).collect();
        log::text(&super::pieces(&finished, &secrets))
    }

    #[test]
    fn a_secret_is_masked_even_if_it_arrives_in_pieces_between_another_stream() {
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let pieces = [
            (out, "a hun"),
            (err, "x"),
            (out, "t"),
            (out, "er2 b"),
            (err, "y\n"),
        ];
        assert_eq!(masked(&pieces, 0, &["hunter2"]), "a ***x by\n");
        let pieces = [(out, "hunter2hunter2-hunter2")];
        assert_eq!(masked(&pieces, 0, &["hunter2", ""]), "******-***");
    }

    #[test]
    fn overlapping_secrets_and_single_lines_of_long_ones_are_masked() {
        let out = Stream::Stdout;
        assert_eq!(
            masked(&[(out, "xabcdefgx")], 0, &["abcde", "defg"]),
            "x***x"
        );
        assert_eq!(masked(&[(out, "x aXaXa y")], 0, &["aXa"]), "x *** y");
        let key = "BEGIN KEY\nsecretline\n";
        assert_eq!(masked(&[(out, "> secretline\n")], 0, &[key]), "> ***\n");
        assert_eq!(masked(&[(out, "plain")], 0, &[]), "plain");
    }

    #[test]
    fn a_secret_cut_off_at_the_end_of_the_log_is_masked() {
        let log = masked(&[(Stream::Stdout, "a hunt")], 7, &["hunter2"]);
        assert!(log.starts_with("a ***\n["), "{log}");
    }
}
