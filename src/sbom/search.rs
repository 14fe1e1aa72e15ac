//! Facts of executables that are too large for memory, found in a stream.
//!
//! Searches for the start of the facts themselves, because the table with their
//! offsets may come after them. Holds at most two windows of the file.

use std::io::{self, Read};

use super::binary::{AUDIT_LIMIT, Facts, GO_MAGIC, go_inline, inflate};

/// Bytes available from the start of a fact: 4 MiB. The largest known programs list
/// a thousand modules in 300 KiB.
const WINDOW: usize = 4 << 20;
/// Maximum number of possible starts of compressed data to try in one file. Random
/// data has about fifty in a megabyte; a file that consists of starts must not take
/// minutes.
const MAX_TRIES: u32 = 1 << 17;
/// Maximum number of inflated candidates that turn out not to be lists.
const MAX_BROKEN: u32 = 16;
/// Start of the list that cargo-auditable embeds.
const LIST_START: &[u8] = b"{\"packages\":";
/// Compressed bytes that always suffice for [`LIST_START`]: the code table of a
/// block takes about 300 at most.
const START_BYTES: usize = 1 << 10;

/// Searches a stream for facts and reads it to its end unless it finds any.
///
/// Programs that read Go's build information contain its magic number as well. No
/// valid text follows there, and the search continues.
///
/// # Errors
///
/// The stream fails.
pub fn search(input: &mut impl Read) -> io::Result<Option<Facts>> {
    let finder = memchr::memmem::Finder::new(GO_MAGIC);
    let mut lists = Lists::default();
    let mut window: Vec<u8> = Vec::new();
    loop {
        let missing = (2 * WINDOW).saturating_sub(window.len()) as u64;
        input.by_ref().take(missing).read_to_end(&mut window)?;
        let ended = window.len() < 2 * WINDOW;
        // A fact that starts before `end` is in the window completely.
        let end = if ended { window.len() } else { WINDOW };
        let head = &window[..window.len().min(end + GO_MAGIC.len() - 1)];
        if let Some(go) = finder
            .find_iter(head)
            .find_map(|at| go_inline(&window[at..]))
        {
            return Ok(Some(Facts {
                go: Some(go),
                audit: None,
            }));
        }
        if let Some(audit) = lists.find(&window, end) {
            return Ok(Some(Facts {
                go: None,
                audit: Some(audit),
            }));
        }
        if ended {
            return Ok(None);
        }
        window.drain(..end);
    }
}

/// Finds the compressed list of cargo-auditable.
struct Lists {
    inflater: flate2::Decompress,
    tries: u32,
    broken: u32,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            inflater: flate2::Decompress::new(true),
            tries: 0,
            broken: 0,
        }
    }
}

impl Lists {
    /// The first list that starts before `end`.
    fn find(&mut self, bytes: &[u8], end: usize) -> Option<Vec<u8>> {
        for at in memchr::memchr_iter(0x78, &bytes[..end]) {
            let rest = &bytes[at..];
            if rest.len() < 3 || !matches!(rest[1], 0x01 | 0x5e | 0x9c | 0xda) {
                continue;
            }
            // Block type 3 does not exist.
            if rest[2] & 6 == 6 || self.tries == MAX_TRIES || self.broken == MAX_BROKEN {
                continue;
            }
            self.tries += 1;
            if !self.starts(rest) {
                continue;
            }
            let list = inflate(rest, AUDIT_LIMIT);
            if list.as_deref().is_some_and(is_list) {
                return list;
            }
            self.broken += 1;
        }
        None
    }

    fn starts(&mut self, bytes: &[u8]) -> bool {
        let mut start = [0; LIST_START.len()];
        self.inflater.reset(true);
        let bytes = &bytes[..bytes.len().min(START_BYTES)];
        let flush = flate2::FlushDecompress::None;
        // Damage after the start is an error as well, so only the output counts.
        drop(self.inflater.decompress(bytes, &mut start, flush));
        start == LIST_START
    }
}

fn is_list(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|list| list["packages"].is_array())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::binary::build_information as go;
    use super::*;

    const LIST: &[u8] = br#"{"packages":[{"name":"a","version":"1.0.0","source":"local"}]}"#;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::new(7);
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn found(stream: &[u8]) -> Facts {
        search(&mut &stream[..]).unwrap().unwrap_or_default()
    }

    #[test]
    fn facts_are_found_across_the_ends_of_windows() {
        let size = 3 * WINDOW;
        for at in [0, WINDOW - 7, WINDOW, 2 * WINDOW - 1, size - 100] {
            let mut stream = vec![0x78; size];
            stream[at..at + go().len()].copy_from_slice(&go());
            let text = Some(("go1.22".to_owned(), "path\tx\n".to_owned()));
            assert_eq!(found(&stream).go, text, "{at}");
            let mut stream = vec![0x78; size];
            stream[at..at + packed(LIST).len()].copy_from_slice(&packed(LIST));
            assert_eq!(found(&stream).audit.as_deref(), Some(LIST), "{at}");
        }
    }

    #[test]
    fn a_lone_magic_number_and_a_broken_list_are_skipped() {
        let mut stream = GO_MAGIC.to_vec();
        stream.extend(packed(br#"{"packages":3}"#));
        assert_eq!(found(&stream), Facts::default());
        stream.extend(packed(LIST));
        assert_eq!(found(&stream).audit.as_deref(), Some(LIST));
    }

    #[test]
    fn files_that_consist_of_starts_are_searched_quickly() {
        let tries = [0x78, 0x9c, 0x05].repeat(WINDOW);
        assert_eq!(found(&tries), Facts::default());
        assert_eq!(found(&GO_MAGIC.repeat(WINDOW / 7)), Facts::default());
        let lists = packed(br#"{"packages":3}"#).repeat(WINDOW / 20);
        assert_eq!(found(&lists), Facts::default());
    }
}
