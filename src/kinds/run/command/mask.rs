//! Masks secrets in a log before it is stored or shown.
//!
//! Looks at each stream as a whole, so a secret that arrived in pieces, with the
//! other stream in between, is found too. Encoded forms that programs commonly print
//! are found as well: base64, also of a longer text around it, wrapped or not,
//! percent-encoding, hexadecimal digits and JSON. Others are not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

use crate::ground::process::{Finished, Piece, Stream};
use crate::junit;

/// Maximum length of a character, in bytes.
const MAX_CHAR_BYTES: usize = 4;

/// The replacement for secrets.
const MASK: &[u8] = b"***";

/// Shortest encoded form that is masked, in bytes: shorter ones are part of ordinary
/// text too often.
const MIN_ENCODED_BYTES: usize = 6;

/// Shortest form that is searched for across line ends, in bytes.
const MIN_WRAPPED_BYTES: usize = 12;

/// Shortest line of a multi-line secret that is masked on its own, in bytes.
const MIN_LINE_BYTES: usize = 6;

/// The log in order of arrival, with `secrets` masked. Lines of services have one of the
/// `prefixes`, without which their text is looked at as well.
pub(crate) fn pieces(finished: &Finished, secrets: &[String], prefixes: &[String]) -> Vec<Piece> {
    let secrets = needles(secrets);
    if finished.dropped == 0 {
        let all = finished.log.iter().chain(&finished.end);
        return part(&all.collect::<Vec<_>>(), &secrets, prefixes, Cut::No);
    }
    let (begin, end) = (finished.log.iter(), finished.end.iter());
    let mut log = part(&begin.collect::<Vec<_>>(), &secrets, prefixes, Cut::End);
    let more = format!("\n[{} more bytes were not kept]\n", finished.dropped);
    log.push(Piece {
        at: finished.end.first().map_or(finished.wall, |piece| piece.at),
        stream: Stream::Stderr,
        bytes: more.into_bytes(),
    });
    log.extend(part(
        &end.collect::<Vec<_>>(),
        &secrets,
        prefixes,
        Cut::Begin,
    ));
    log
}

/// Where a part of a log may begin or end within a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    Begin,
    End,
}

/// A part of a log, masked.
fn part(all: &[&Piece], secrets: &[Vec<u8>], prefixes: &[String], cut: Cut) -> Vec<Piece> {
    let whole = |stream| {
        let pieces = all.iter().filter(|piece| piece.stream == stream);
        let bytes: Vec<u8> = pieces.flat_map(|piece| &piece.bytes).copied().collect();
        let mut ranges = found(&bytes, secrets, cut);
        for prefix in prefixes {
            ranges.extend(behind(prefix, &bytes, secrets));
        }
        merged(ranges)
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
    for &piece in all {
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
    log
}

/// A text with `secrets` masked.
pub(crate) fn text(text: &str, secrets: &[String]) -> String {
    Mask::of(secrets).text(text, Cut::No)
}

/// Secrets to mask in many texts.
pub(crate) struct Mask(Vec<Vec<u8>>);

impl Mask {
    pub(crate) fn of(secrets: &[String]) -> Self {
        Self(needles(secrets))
    }

    /// A text of a report: a long one may have been cut off in the middle of a secret.
    pub(crate) fn report_text(&self, text: &str) -> String {
        match text.len() + MAX_CHAR_BYTES > junit::MAX_NAME {
            true => self.text(text, Cut::End),
            false => self.text(text, Cut::No),
        }
    }

    /// A whole line of a log.
    pub(crate) fn line(&self, line: &str) -> String {
        self.text(line, Cut::No)
    }

    fn text(&self, text: &str, cut: Cut) -> String {
        let (mut masked, mut next) = (Vec::new(), 0);
        let bytes = text.as_bytes();
        for (from, to) in found(bytes, &self.0, cut) {
            if from >= next {
                masked.extend(&bytes[next..from]);
                masked.extend(MASK);
            }
            next = next.max(to);
        }
        masked.extend(bytes.get(next..).unwrap_or_default());
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// The texts to look for: each secret, each longer line of one, and their forms.
fn needles(secrets: &[String]) -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for secret in secrets {
        // Programs often drop the newline at a secret's end.
        let secret = secret.trim_end_matches(['\r', '\n']);
        let lines = secret.lines().map(str::trim);
        let long = lines.filter(|line| line.len() >= MIN_LINE_BYTES);
        for text in std::iter::once(secret).chain(long) {
            needles.push(text.as_bytes().to_vec());
            let encoded = encodings(text).into_iter().map(String::into_bytes);
            needles.extend(encoded.filter(|form| form.len() >= MIN_ENCODED_BYTES));
        }
    }
    needles.retain(|needle| !needle.is_empty());
    needles.sort_unstable();
    needles.dedup();
    needles
}

/// The forms in which programs print `text`.
fn encodings(text: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        // With 0, 1 or 2 bytes before it in a group of three, as in `user:secret`.
        for before in 0..3 {
            let mut bytes = vec![0; before];
            bytes.extend(text.bytes());
            let form = engine.encode(&bytes);
            // Characters that hold bits of what is before or after it differ.
            let start = (before * 8).div_ceil(6);
            let end = bytes.len() * 8 / 6;
            forms.extend(form.get(start..end).map(str::to_owned));
        }
    }
    for hex in ["0123456789ABCDEF", "0123456789abcdef"] {
        for kept in KEPT {
            forms.push(percent_encoded(text, hex.as_bytes(), kept));
        }
    }
    let digits = |upper: bool| -> String {
        let digit = |byte: u8| match upper {
            true => format!("{byte:02X}"),
            false => format!("{byte:02x}"),
        };
        text.bytes().map(digit).collect()
    };
    forms.extend([digits(false), digits(true)]);
    let json = serde_json::Value::from(text).to_string();
    let plain = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    let plain = plain.unwrap_or(&json);
    for slash in ["/", "\\/"] {
        let form = plain.replace('/', slash);
        let ascii = escaped(&form, |character| !character.is_ascii());
        let html =
            |form: &str| escaped(form, |character| "&<>\u{2028}\u{2029}".contains(character));
        forms.extend([html(&form), html(&ascii), ascii, form]);
    }
    forms
}

/// The characters beside the unreserved ones that programs do not percent-encode; `+`
/// alone: it stands for a space.
///
/// Source: the documentation of Python's `quote`, of JavaScript's `encodeURIComponent` and
/// `encodeURI`, of Go's `url.PathEscape`; WHATWG URL, "application/x-www-form-urlencoded".
const KEPT: [&str; 6] = ["", "+", "/", "!'()*", ";,/?:@&=+$#!'()*", "$&+:=@"];

/// `text` with some characters as JSON may write them, `\u` and four digits each.
///
/// Source: RFC 8259, section 7.
fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut form = String::with_capacity(text.len());
    for character in text.chars() {
        match which(character) {
            false => form.push(character),
            true => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    form.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    form
}

/// `text` with every byte but the unreserved ones and those that are `kept` as `%` and two
/// digits of `hex`.
///
/// Source: RFC 3986, section 2.3.
fn percent_encoded(text: &str, hex: &[u8], kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' if kept == "+" => encoded.push('+'),
            byte if byte.is_ascii_alphanumeric()
                || b"-._~".contains(&byte)
                || kept != "+" && kept.as_bytes().contains(&byte) =>
            {
                encoded.push(char::from(byte));
            }
            byte => {
                encoded.push('%');
                for digit in [byte >> 4, byte & 15] {
                    encoded.push(char::from(hex[usize::from(digit)]));
                }
            }
        }
    }
    encoded
}

/// Where `needles` are, as ranges in order that do not touch one another.
fn found(bytes: &[u8], needles: &[Vec<u8>], cut: Cut) -> Vec<(usize, usize)> {
    let mut ranges = exactly(bytes, needles, cut);
    // `base64` begins a new line after 76 characters, `xxd -p` after 60.
    let ends: Vec<usize> = memchr::memchr2_iter(b'\n', b'\r', bytes).collect();
    let may_wrap = |needle: &&Vec<u8>| needle.len() >= MIN_WRAPPED_BYTES;
    if !ends.is_empty() {
        let wrapped: Vec<Vec<u8>> = needles.iter().filter(may_wrap).cloned().collect();
        let flat: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|b| !b"\r\n".contains(b))
            .collect();
        // Where the byte at `index` of `flat` is in `bytes`: after as many line ends
        // as come before it.
        let place = |index: usize| {
            let (mut low, mut high) = (0, ends.len());
            while low < high {
                let middle = usize::midpoint(low, high);
                match ends[middle] - middle <= index {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            index + low
        };
        for (from, to) in exactly(&flat, &wrapped, Cut::No) {
            ranges.push((place(from), place(to - 1) + 1));
        }
    }
    merged(ranges)
}

fn merged(mut ranges: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    ranges.sort_unstable();
    let mut merged = Vec::new();
    for range in ranges {
        extend(&mut merged, range);
    }
    merged
}

/// Where `needles` are in the lines that begin with `prefix`, without it.
fn behind(prefix: &str, bytes: &[u8], needles: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let (mut text, mut places, mut start) = (Vec::new(), Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(prefix.as_bytes()) {
            text.extend(&line[prefix.len()..]);
            places.extend(start + prefix.len()..start + line.len());
        }
        start += line.len();
    }
    let ranges = found(&text, needles, Cut::No).into_iter();
    let pieces = ranges.flat_map(|(from, to)| {
        // A line of its own each.
        let lines = places[from..to].chunk_by(|one, next| one + 1 == *next);
        lines.map(|line| (line[0], line[line.len() - 1] + 1))
    });
    pieces.collect()
}

/// Where `needles` are, with what is `cut` off.
fn exactly(bytes: &[u8], needles: &[Vec<u8>], cut: Cut) -> Vec<(usize, usize)> {
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
        let mut shorter = (1..needle.len().min(bytes.len())).rev();
        match cut {
            Cut::No => {}
            Cut::End => {
                let tail = shorter.find(|length| bytes.ends_with(&needle[..*length]));
                ranges.extend(tail.map(|length| (bytes.len() - length, bytes.len())));
            }
            Cut::Begin => {
                let rest = |length: &usize| bytes.starts_with(&needle[needle.len() - length..]);
                ranges.extend(shorter.find(rest).map(|length| (0, length)));
            }
        }
    }
    ranges
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
            lost: Vec::new(),
            log: pieces.iter().map(piece).collect(),
            dropped,
            end: Vec::new(),
            wall: Duration::ZERO,
            running: Vec::new(),
        };
        let secrets: Vec<String> = secrets.iter().map(|s| (*s).to_owned()).collect();
        let prefixes = ["db | ".to_owned()];
        log::text(&super::pieces(&finished, &secrets, &prefixes))
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
    fn a_text_is_masked_as_a_log_is() {
        let secrets = ["hunter2".to_owned(), "unter2!".to_owned()];
        assert_eq!(text("a hunter2! b hunter2", &secrets), "a *** b ***");
        assert_eq!(text("plain", &secrets), "plain");
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
    fn encoded_forms_are_masked_also_inside_longer_texts() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secret = "p@ss word/47+11?\u{e9}";
        let out = |text: &str| masked(&[(Stream::Stdout, text)], 0, &[secret]);
        for around in ["", "a", "ab", "abc", "user:", "robot$ci:"] {
            for after in ["", "\n", "xy"] {
                let text = format!("{around}{secret}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let shown = out(&format!("Authorization: Basic {encoded}\n"));
                    assert!(shown.contains("***"), "{around}{after}: {shown}");
                    // What is left holds at most the bits shared with its neighbours.
                    let left = shown.trim_start_matches("Authorization: Basic ");
                    let (before, rest) = left.split_once("***").unwrap();
                    assert!(before.len() <= around.len() * 8 / 6 + 1, "{shown}");
                    let rest = rest.trim_end().trim_end_matches('=');
                    assert!(rest.len() <= 4, "{shown}");
                }
            }
        }
        assert_eq!(
            out("https://u:p%40ss%20word%2F47%2B11%3F%C3%A9@h"),
            "https://u:***@h"
        );
        assert_eq!(
            out("https://u:p%40ss%20word%2f47%2b11%3f%c3%a9@h"),
            "https://u:***@h"
        );
        assert_eq!(out("q=p%40ss+word%2F47%2B11%3F%C3%A9&r"), "q=***&r");
        assert_eq!(out("7040737320776f72642f34372b31313fc3a9"), "***");
        let quoted = |text: &str| masked(&[(Stream::Stdout, text)], 0, &["say \"it\"\n\\now"]);
        assert_eq!(quoted(r#"{"k":"say \"it\"\n\\now"}"#), r#"{"k":"***"}"#);
    }

    #[test]
    fn wrapped_forms_are_masked_and_short_ones_leave_text_alone() {
        use base64::engine::general_purpose::STANDARD;
        let secret: String = (0..90).map(|n| char::from(b'!' + n)).collect();
        let encoded = STANDARD.encode(format!("x{secret}"));
        let (first, second) = encoded.split_at(76);
        let text = format!("one\n{first}\r\n{second}\ntwo\n");
        let shown = masked(&[(Stream::Stdout, &text)], 0, &[&secret]);
        assert!(
            shown.starts_with("one\n") && shown.ends_with("\ntwo\n"),
            "{shown}"
        );
        assert!(
            !shown.contains(&first[4..]) && !shown.contains(&second[..20]),
            "{shown}"
        );
        assert_eq!(
            masked(&[(Stream::Stdout, "a YWI b 6162")], 0, &["ab"]),
            "a YWI b 6162"
        );
    }

    #[test]
    fn a_wrapped_secret_is_masked_between_the_names_of_a_service() {
        let text = "db | YWxh\nother\ndb | ZGRpbjpv\ndb | cGVuc2VzYW1l\ndb | left\n";
        let found = masked(&[(Stream::Stdout, text)], 0, &["aladdin:opensesame"]);
        let expected = "db | ***other\ndb | ***db | ***db | left\n";
        assert_eq!(found.replace("***\n", "***"), expected);
    }

    #[test]
    fn a_secret_cut_off_at_the_end_of_the_log_is_masked() {
        let log = masked(&[(Stream::Stdout, "a hunt")], 7, &["hunter2"]);
        assert!(log.starts_with("a ***\n["), "{log}");
    }

    #[test]
    fn a_secret_cut_off_at_the_beginning_of_the_end_is_masked() {
        let piece = |text: &str| Piece {
            at: Duration::ZERO,
            stream: Stream::Stdout,
            bytes: text.as_bytes().to_vec(),
        };
        let finished = Finished {
            ending: Ending::Exited(1),
            lost: Vec::new(),
            log: vec![piece("a hun")],
            dropped: 7,
            end: vec![piece("ter2 is hunter2\n")],
            wall: Duration::ZERO,
            running: Vec::new(),
        };
        let shown = log::text(&super::pieces(&finished, &["hunter2".to_owned()], &[]));
        assert_eq!(shown, "a ***\n[7 more bytes were not kept]\n*** is ***\n");
    }

    #[test]
    fn forms_that_languages_print_by_default_are_masked() {
        for (secret, printed) in [
            // Python: urllib.parse.quote; JavaScript: encodeURI, encodeURIComponent.
            ("pa/ss w0rd", "pa/ss%20w0rd"),
            ("a?b&c=d e", "a?b&c=d%20e"),
            ("it's (s3cret)", "it's%20(s3cret)"),
            // Go: encoding/json; Python: json.dumps; PHP: json_encode.
            ("ab&cd<ef>0123", "ab\\u0026cd\\u003cef\\u003e0123"),
            ("s\u{e9}cret01", "s\\u00e9cret01"),
            ("a/b/c0123", "a\\/b\\/c0123"),
        ] {
            let shown = masked(&[(Stream::Stdout, printed)], 0, &[secret]);
            assert_eq!(shown, "***", "{printed}");
        }
    }
}
