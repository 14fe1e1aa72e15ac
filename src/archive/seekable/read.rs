//! The reading side: verifies the table against the file, and decodes only the frames
//! that a range touches.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::{
    FOOTER_LEN, FOOTER_MAGIC, FrameAt, MAX_FRAME_LEN, MAX_FRAMES, SeekableError, TABLE_MAGIC,
    at_end, within,
};
use crate::archive::Unzstd;

/// Maximum length of a frame header, in bytes.
///
/// Source: RFC 8878, section 3.1.1.1.
const FRAME_HEAD_LEN: usize = 18;

/// Frames of up to this many bytes are checked completely when the table is read:
/// definitions and headers are in such frames. Anything hidden in larger ones is found
/// when the archive is read from its start.
const SMALL_FRAME_LEN: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Where its content starts.
    at: u64,
    /// Where its bytes start in the file.
    compressed_at: u64,
    len: u32,
    compressed: u32,
}

/// Position of each frame in a file, checked against the file's length.
///
/// A clone shares the memory.
#[derive(Clone, Debug)]
pub struct SeekTable {
    frames: Arc<[Frame]>,
    len: u64,
}

impl SeekTable {
    /// Reads the table at the end of `file`.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: no table, one that disagrees with the file, or one
    /// over the limits.
    pub fn read(file: &mut (impl Read + Seek)) -> Result<Self, SeekableError> {
        let end = file.seek(SeekFrom::End(0))?;
        if end < FOOTER_LEN + 8 {
            return Err(SeekableError::Table("the file is too short"));
        }
        file.seek(SeekFrom::Start(end - FOOTER_LEN))?;
        let count = read_u32(file)?;
        let mut descriptor = [0];
        file.read_exact(&mut descriptor)?;
        if read_u32(file)? != FOOTER_MAGIC {
            return Err(SeekableError::Table("the file does not end with its magic"));
        }
        if descriptor[0] & 0x7c != 0 {
            return Err(SeekableError::Table("reserved bits are set"));
        }
        within("number of frames", u64::from(count), MAX_FRAMES as u64)?;
        let checksums = descriptor[0] & 0x80 != 0;
        let size = u64::from(count) * if checksums { 12 } else { 8 } + FOOTER_LEN;
        let Some(start) = end.checked_sub(size + 8) else {
            return Err(SeekableError::Table("it claims to be longer than the file"));
        };
        file.seek(SeekFrom::Start(start))?;
        let mut rows = BufReader::new(&mut *file);
        if read_u32(&mut rows)? != TABLE_MAGIC || u64::from(read_u32(&mut rows)?) != size {
            return Err(SeekableError::Table("its header and footer disagree"));
        }
        let mut frames = Vec::with_capacity(count as usize);
        let (mut compressed_at, mut at) = (0, 0);
        for _ in 0..count {
            let compressed = read_u32(&mut rows)?;
            let len = read_u32(&mut rows)?;
            if checksums {
                read_u32(&mut rows)?;
            }
            within("frame content", u64::from(len), MAX_FRAME_LEN)?;
            frames.push(Frame {
                at,
                compressed_at,
                len,
                compressed,
            });
            // A million 32-bit numbers cannot overflow.
            compressed_at += u64::from(compressed);
            at += u64::from(len);
        }
        if compressed_at != start {
            return Err(SeekableError::Table("its frames do not cover the file"));
        }
        // A program that reads the stream from its start must find the same content.
        let mut bytes = Vec::new();
        for frame in &frames {
            let compressed = frame.compressed as usize;
            let whole = compressed <= SMALL_FRAME_LEN;
            bytes.resize(if whole { compressed } else { FRAME_HEAD_LEN }, 0);
            file.seek(SeekFrom::Start(frame.compressed_at))?;
            file.read_exact(&mut bytes)?;
            let says = get_frame_content_size(&bytes);
            if frame.len == 0 || says.ok().flatten() != Some(u64::from(frame.len)) {
                return Err(SeekableError::Table(
                    "a frame header states a different length",
                ));
            }
            if whole && find_frame_compressed_size(&bytes).ok() != Some(compressed) {
                return Err(SeekableError::Table("an entry covers more than one frame"));
            }
        }
        Ok(Self {
            frames: frames.into(),
            len: at,
        })
    }

    /// Length of the whole decompressed content, according to the table.
    #[must_use]
    pub fn decompressed_len(&self) -> u64 {
        self.len
    }

    /// Offset of the content of the frame that contains the byte at `offset`.
    ///
    /// Reading from `offset` decodes and discards the bytes in between.
    #[must_use]
    pub fn frame_start(&self, offset: u64) -> u64 {
        let next = self.frames.partition_point(|frame| frame.at <= offset);
        next.checked_sub(1).map_or(0, |index| self.frames[index].at)
    }

    /// Compressed length of each frame, in order.
    pub fn frame_lens(&self) -> impl Iterator<Item = u64> {
        self.frames.iter().map(|frame| u64::from(frame.compressed))
    }

    /// Every frame, in order.
    pub fn frames(&self) -> impl Iterator<Item = FrameAt> {
        self.frames.iter().map(|frame| FrameAt {
            at: frame.at,
            len: u64::from(frame.len),
            compressed_at: frame.compressed_at,
            compressed: u64::from(frame.compressed),
        })
    }

    #[must_use]
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }
}

fn read_u32(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Reads ranges of the content, decoding only the frames they touch.
pub struct SeekableReader<R> {
    inner: R,
    table: SeekTable,
}

impl<R: Read + Seek> SeekableReader<R> {
    /// Uses a table that was read from `inner`.
    pub fn with_table(inner: R, table: SeekTable) -> Self {
        Self { inner, table }
    }

    #[must_use]
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// Writes `len` bytes of content from `offset` on to `output`.
    ///
    /// A frame's checksum is verified only if the range reaches its end.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: the range is outside the content, a frame contradicts the
    /// table or cannot be decoded, or a read or write failed.
    pub fn copy_range(
        &mut self,
        offset: u64,
        len: u64,
        output: &mut impl Write,
    ) -> Result<(), SeekableError> {
        let total = self.table.len;
        let end = offset.checked_add(len).filter(|end| *end <= total);
        let end = end.ok_or(SeekableError::Range { offset, len, total })?;
        let frames = &self.table.frames;
        let first = frames.partition_point(|frame| frame.at + u64::from(frame.len) <= offset);
        let needed = frames[first..].iter().take_while(|frame| frame.at < end);
        for frame in needed.filter(|frame| frame.len > 0) {
            self.inner.seek(SeekFrom::Start(frame.compressed_at))?;
            let bytes = (&mut self.inner).take(u64::from(frame.compressed));
            let mut decoder = Unzstd::new(BufReader::with_capacity(128 << 10, bytes))?;
            let expected = u64::from(frame.len);
            let skip = offset.saturating_sub(frame.at);
            let stop = (end - frame.at).min(expected);
            let skipped = io::copy(&mut (&mut decoder).take(skip), &mut io::sink())?;
            let copied = io::copy(&mut (&mut decoder).take(stop - skip), output)?;
            if skipped + copied != stop {
                return Err(SeekableError::Size { expected });
            }
            if stop == expected {
                at_end(&mut decoder, expected)?;
            }
        }
        Ok(())
    }
}
