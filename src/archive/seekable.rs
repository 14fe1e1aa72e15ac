//! Zstandard in the seekable format: frames, and a table of their positions.
//!
//! Used for the outer tarball. Any Zstandard reader can decode the file from its start;
//! one that supports the table decodes only the frames it needs. At most one frame's
//! input is in memory, and no number in a table is trusted until it has been checked
//! against the file's length.

mod read;
mod write;

use std::io::{self, Read};

pub use read::{SeekTable, SeekableReader};
pub use write::{FrameMaker, SeekableWriter};

/// Maximum input of a compressed frame: small enough for seeking, large enough to
/// compress well.
pub const MAX_COMPRESSED_INPUT: usize = 4 << 20;

/// Maximum content of a frame, as in the reference implementation.
pub const MAX_FRAME_LEN: u64 = 1 << 30;
/// Maximum number of frames in a file: limits the table in memory to 24 MiB.
pub const MAX_FRAMES: usize = 1 << 20;

const TABLE_MAGIC: u32 = 0x184d_2a5e;
const FOOTER_MAGIC: u32 = 0x8f92_eab1;
const FOOTER_LEN: u64 = 9;

/// Why a seekable file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SeekableError {
    /// The file does not end with a valid seek table.
    #[error("unusable seek table: {0}")]
    Table(&'static str),
    /// The range is not inside the decompressed content.
    #[error("range of {len} bytes at {offset} is outside the content's {total} bytes")]
    Range {
        /// Where the range starts.
        offset: u64,
        /// How long it is.
        len: u64,
        /// Length of the whole content.
        total: u64,
    },
    #[error("{what} is {found}, expected at most {limit}")]
    TooLarge {
        what: &'static str,
        found: u64,
        limit: u64,
    },
    /// A frame or its source does not have the expected length.
    #[error("frame content does not have the expected {expected} bytes")]
    Size {
        /// Announced length.
        expected: u64,
    },
    /// The bytes to append are not one complete frame.
    #[error("cached frame is not a single complete Zstandard frame that states its size")]
    NotAFrame,
    /// An earlier call failed half-way, so the file is not usable.
    #[error("compressed file is incomplete after an earlier error")]
    Broken,
    /// Reading, writing or decoding failed.
    #[error("cannot read or write compressed data")]
    Io(#[from] io::Error),
}

/// Position of a frame and of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// Offset of its content.
    pub at: u64,
    /// Length of its content.
    pub len: u64,
    /// Offset of its bytes in the file.
    pub compressed_at: u64,
    /// Their number.
    pub compressed: u64,
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), SeekableError> {
    if found > limit {
        return Err(SeekableError::TooLarge { what, found, limit });
    }
    Ok(())
}

/// Reads past the last byte, so that a verifying reader can report a mismatch.
fn at_end(content: &mut impl Read, expected: u64) -> Result<(), SeekableError> {
    if io::copy(&mut content.take(1), &mut io::sink())? > 0 {
        return Err(SeekableError::Size { expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn sample() -> (Vec<u8>, Vec<u8>) {
        let raw: Vec<u8> = (0..300_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let text = b"jackal ".repeat(700_000);
        let mut writer = SeekableWriter::new(Vec::new()).unwrap();
        writer.compressed(b"head").unwrap();
        writer.raw_frame(&mut &raw[..], raw.len() as u64).unwrap();
        writer.raw_frame(&mut io::empty(), 0).unwrap();
        writer.compressed(&text).unwrap();
        let cached = zstd::bulk::compress(b"cached", 3).unwrap();
        writer.append_frame(&cached, 6).unwrap();
        let plain = [b"head", &raw[..], &text, b"cached"].concat();
        (writer.finish().unwrap(), plain)
    }

    #[test]
    fn a_plain_decoder_reads_the_same_bytes() {
        let (file, plain) = sample();
        assert!(zstd::stream::decode_all(&file[..]).unwrap() == plain);
    }

    #[test]
    fn a_frame_depends_on_its_input_alone() {
        let (_, plain) = sample();
        let inputs = [&plain[..], &plain[5..3_000_000], b"", &plain[200_000..]];
        let alone = |input: &[u8]| {
            let mut frame = Vec::new();
            FrameMaker::new().unwrap().frame(input, &mut frame).unwrap();
            frame
        };
        let mut maker = FrameMaker::new().unwrap();
        let mut frame = Vec::new();
        for input in inputs.iter().chain(inputs.iter().rev()) {
            let input = &input[..input.len().min(MAX_COMPRESSED_INPUT)];
            maker.frame(input, &mut frame).unwrap();
            assert!(frame == alone(input));
        }
        let long = vec![0; MAX_COMPRESSED_INPUT + 1];
        assert!(maker.frame(&long, &mut frame).is_err());
    }

    #[test]
    fn ranges_are_the_slices_of_the_content() {
        let (file, plain) = sample();
        let table = SeekTable::read(&mut Cursor::new(&file)).unwrap();
        assert_eq!(table.frame_count(), 5);
        assert_eq!(table.decompressed_len(), plain.len() as u64);
        let mut reader = SeekableReader::with_table(Cursor::new(file), table);
        let mut read = |offset, len| {
            let mut bytes = Vec::new();
            reader.copy_range(offset, len, &mut bytes).map(|()| bytes)
        };
        let total = plain.len() as u64;
        for (offset, len) in [
            (0, 0),
            (0, 4),
            (2, 10),
            (131_070, 9),
            (299_999, 100),
            (total - 8, 8),
            (total, 0),
            (4_400_000, 300_000),
            (0, total),
        ] {
            let range = offset as usize..(offset + len) as usize;
            assert!(read(offset, len).unwrap() == plain[range]);
        }
        for (offset, len) in [(total, 1), (u64::MAX, 1), (0, total + 1)] {
            let result = read(offset, len);
            assert!(matches!(result, Err(SeekableError::Range { .. })));
        }
    }

    #[test]
    fn truncated_and_hostile_tables_are_refused() {
        let mut writer = SeekableWriter::new(Vec::new()).unwrap();
        writer.compressed(b"some text").unwrap();
        let file = writer.finish().unwrap();
        let read = |bytes: &[u8]| SeekTable::read(&mut Cursor::new(bytes));
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "{end}");
            assert!(read(&file[file.len() - end..]).is_err(), "{end}");
        }
        let end = file.len();
        for (at, value) in [
            (end - 5, 4),
            (end - 5, 0x80),
            (end - 9, 2),
            (end - 6, 255),
            (end - 17, 1),
            (end - 10, 255),
        ] {
            let mut file = file.clone();
            file[at] = value;
            assert!(read(&file).is_err(), "{at}");
        }
        let mut lying = file.clone();
        lying[end - 13] += 1;
        assert!(read(&lying).is_err());
    }

    /// A reader of the whole stream would find what the table hides.
    #[test]
    fn a_slice_of_more_or_less_than_one_frame_is_refused() {
        let frame = |text: &[u8]| zstd::bulk::compress(text, 3).unwrap();
        let (shown, hidden) = (frame(b"shown"), frame(b"hidden"));
        let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &0_u32.to_le_bytes()].concat();
        let file = |slices: &[(Vec<u8>, u32)]| {
            let mut file = Vec::new();
            let mut rows = Vec::new();
            for (slice, len) in slices {
                file.extend(slice);
                rows.extend((slice.len() as u32).to_le_bytes());
                rows.extend(len.to_le_bytes());
            }
            let count = slices.len() as u32;
            file.extend(TABLE_MAGIC.to_le_bytes());
            file.extend((rows.len() as u32 + 9).to_le_bytes());
            file.extend(rows);
            file.extend(count.to_le_bytes());
            file.push(0);
            file.extend(FOOTER_MAGIC.to_le_bytes());
            file
        };
        let read = |slices: &[(Vec<u8>, u32)]| SeekTable::read(&mut Cursor::new(file(slices)));
        assert!(read(&[(shown.clone(), 5)]).is_ok());
        for hiding in [
            vec![(shown.clone(), 5), ([&skipped[..], &hidden].concat(), 0)],
            vec![
                (shown.clone(), 5),
                ([frame(b""), hidden.clone()].concat(), 0),
            ],
            vec![([shown.clone(), hidden.clone()].concat(), 5)],
            vec![
                (shown[..shown.len() - 1].to_vec(), 5),
                (shown[shown.len() - 1..].to_vec(), 0),
            ],
        ] {
            assert!(read(&hiding).is_err());
        }
    }

    #[test]
    fn content_of_another_length_breaks_the_file() {
        for len in [2, 4] {
            let mut writer = SeekableWriter::new(Vec::new()).unwrap();
            let result = writer.raw_frame(&mut &b"abc"[..], len);
            assert!(matches!(result, Err(SeekableError::Size { .. })));
            assert!(matches!(writer.finish(), Err(SeekableError::Broken)));
        }
    }
}
