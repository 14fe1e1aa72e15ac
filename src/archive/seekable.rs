//! Zstandard in the seekable format: frames, and a table that finds them.
//!
//! Sits around the outer tarball. Any Zstandard reader can decode the file from
//! the front; one that knows the table decodes only the frames it needs. It
//! never holds more than one frame's input in memory, and trusts no number in a
//! table before the file's own length bears it out.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use zstd::zstd_safe::{
    CParameter, compress_bound, find_frame_compressed_size, get_frame_content_size,
};

/// Input of one compressed frame: small enough to seek in, large enough to shrink.
pub const MAX_COMPRESSED_INPUT: usize = 4 << 20;

/// The longest head of a frame, in bytes.
///
/// Source: RFC 8878, section 3.1.1.1.
const FRAME_HEAD_LEN: usize = 18;

/// Up to this many bytes, a frame is looked at whole when the table is read:
/// definitions and heads of files lie in such. What hides behind larger ones, is
/// found by whoever reads the archive whole.
const SMALL_FRAME_LEN: usize = 64 << 10;

/// Content of one frame: the bound that the reference implementation sets.
pub const MAX_FRAME_LEN: u64 = 1 << 30;
/// Frames in one file: keeps the table in memory at or below 24 MiB.
pub const MAX_FRAMES: usize = 1 << 20;
/// Longest range that [`SeekableReader::read_range`] holds in memory.
pub const MAX_RANGE_IN_MEMORY: u64 = 64 << 20;

/// Its window is 2 MiB at most; readers are promised 8 MiB.
const LEVEL: i32 = 3;
/// 128 MiB, the window that `zstd -d` accepts unasked.
const READ_WINDOW_LOG: u32 = 27;
const RAW_BLOCK: usize = 128 * 1024;
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const TABLE_MAGIC: u32 = 0x184d_2a5e;
const FOOTER_MAGIC: u32 = 0x8f92_eab1;
const FOOTER_LEN: u64 = 9;

/// Why a seekable file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SeekableError {
    /// The file does not end in a sound seek table.
    #[error("seek table is not usable: {0}; read the file from its start instead")]
    Table(&'static str),
    /// The range does not lie in the decompressed content.
    #[error("range of {len} bytes at {offset} is outside the content's {total} bytes")]
    Range {
        /// Where the range starts.
        offset: u64,
        /// How long it is.
        len: u64,
        /// Length of the whole content.
        total: u64,
    },
    /// Something is larger than its limit.
    #[error("{what} is {found}, at most {limit} is accepted")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// Its measure.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A frame or its source holds another number of bytes than announced.
    #[error("frame content is not the {expected} bytes that were announced")]
    Size {
        /// Announced length.
        expected: u64,
    },
    /// The bytes to append are not one whole frame.
    #[error("cached frame is not one whole Zstandard frame that states its size")]
    NotAFrame,
    /// An earlier call failed half-way, so the file is not usable.
    #[error("compressed file is incomplete after an earlier error, start it again")]
    Broken,
    /// Reading, writing or decoding failed.
    #[error("it could not be read or written: {0}")]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Where its content starts.
    at: u64,
    /// Where its bytes start in the file.
    compressed_at: u64,
    len: u32,
    compressed: u32,
}

/// Where a frame lies, and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// Where its content starts.
    pub at: u64,
    /// How long its content is.
    pub len: u64,
    /// Where its bytes start in the file.
    pub compressed_at: u64,
    /// How many they are.
    pub compressed: u64,
}

/// Writes frames, then the table that finds them.
///
/// After an error every later call is [`SeekableError::Broken`].
pub struct SeekableWriter<W> {
    inner: W,
    entries: Vec<(u32, u32)>,
    maker: FrameMaker,
    frame: Vec<u8>,
    broken: bool,
}

/// Makes compressed frames, one after the other; each depends on its input alone.
pub struct FrameMaker {
    compressor: zstd::bulk::Compressor<'static>,
}

impl FrameMaker {
    /// A maker of the frames that [`SeekableWriter::compressed`] writes.
    ///
    /// # Errors
    ///
    /// [`SeekableError::Io`]: no compressor could be made.
    pub fn new() -> Result<Self, SeekableError> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { compressor })
    }

    /// Makes `frame` hold one frame of `input`, which is at most
    /// [`MAX_COMPRESSED_INPUT`] long. The memory of `frame` is used again.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: the input is too long.
    pub fn frame(&mut self, input: &[u8], frame: &mut Vec<u8>) -> Result<(), SeekableError> {
        let limit = MAX_COMPRESSED_INPUT as u64;
        within("input of a frame", input.len() as u64, limit)?;
        frame.clear();
        frame.reserve(compress_bound(input.len()));
        self.compressor.compress_to_buffer(input, frame)?;
        Ok(())
    }
}

impl<W: Write> SeekableWriter<W> {
    /// Starts a file; `inner` must be at its start.
    ///
    /// # Errors
    ///
    /// [`SeekableError::Io`]: no compressor could be made.
    pub fn new(inner: W) -> Result<Self, SeekableError> {
        Ok(Self {
            inner,
            entries: Vec::new(),
            maker: FrameMaker::new()?,
            frame: Vec::new(),
            broken: false,
        })
    }

    /// Stores `len` bytes as they are, in one frame, and reads `content` to its end.
    ///
    /// For content that is already compressed. No bytes make no frame.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: over [`MAX_FRAME_LEN`], content of another length, or
    /// a read or write failed.
    pub fn raw_frame(&mut self, content: &mut impl Read, len: u64) -> Result<(), SeekableError> {
        self.guarded(|this| this.raw(content, len))
    }

    /// Compresses `bytes` in frames of at most [`MAX_COMPRESSED_INPUT`].
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: too many frames, or the write failed.
    pub fn compressed(&mut self, bytes: &[u8]) -> Result<(), SeekableError> {
        self.guarded(|this| {
            for chunk in bytes.chunks(MAX_COMPRESSED_INPUT) {
                this.maker.frame(chunk, &mut this.frame)?;
                this.enter(this.frame.len() as u64, chunk.len() as u64)?;
                this.inner.write_all(&this.frame)?;
            }
            Ok(())
        })
    }

    /// Appends a frame that was made before.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: not one whole frame that states its content's length,
    /// another length than `decompressed_len`, or the write failed.
    pub fn append_frame(
        &mut self,
        frame: &[u8],
        decompressed_len: u64,
    ) -> Result<(), SeekableError> {
        self.guarded(|this| {
            if !frame.starts_with(&FRAME_MAGIC)
                || find_frame_compressed_size(frame).ok() != Some(frame.len())
            {
                return Err(SeekableError::NotAFrame);
            }
            match get_frame_content_size(frame) {
                Ok(Some(len)) if len == decompressed_len => {}
                Ok(Some(_)) => {
                    let expected = decompressed_len;
                    return Err(SeekableError::Size { expected });
                }
                _ => return Err(SeekableError::NotAFrame),
            }
            this.enter(frame.len() as u64, decompressed_len)?;
            Ok(this.inner.write_all(frame)?)
        })
    }

    /// Copies a frame of another file as it is: `compressed` bytes of it, whose
    /// content is `len` long, as that file's table says.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: it ends early, or the write failed.
    pub fn copy_frame(
        &mut self,
        from: &mut impl Read,
        compressed: u64,
        len: u64,
    ) -> Result<(), SeekableError> {
        self.guarded(|this| {
            this.enter(compressed, len)?;
            let copied = io::copy(&mut from.take(compressed), &mut this.inner)?;
            match copied == compressed {
                true => Ok(()),
                false => Err(SeekableError::NotAFrame),
            }
        })
    }

    /// Gives `inner` back without a seek table: for frames that go before those
    /// of a stream that has none.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Writes the seek table and gives `inner` back.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: the write failed, or an earlier call did.
    pub fn finish(mut self) -> Result<W, SeekableError> {
        self.guarded(|this| {
            // At most MAX_FRAMES entries of 8 bytes: all of it fits 32 bits.
            let count = this.entries.len() as u32;
            let mut table = Vec::with_capacity(this.entries.len() * 8 + 17);
            table.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
            table.extend_from_slice(&(count * 8 + FOOTER_LEN as u32).to_le_bytes());
            for (compressed, len) in &this.entries {
                table.extend_from_slice(&compressed.to_le_bytes());
                table.extend_from_slice(&len.to_le_bytes());
            }
            table.extend_from_slice(&count.to_le_bytes());
            table.push(0);
            table.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
            this.inner.write_all(&table)?;
            Ok(this.inner.flush()?)
        })?;
        Ok(self.inner)
    }

    fn raw(&mut self, content: &mut impl Read, len: u64) -> Result<(), SeekableError> {
        let short = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SeekableError::Size { expected: len },
            _ => SeekableError::Io(error),
        };
        if len > 0 {
            let blocks = len.div_ceil(RAW_BLOCK as u64);
            self.enter(len.saturating_add(10 + 3 * blocks), len)?;
            self.inner.write_all(&FRAME_MAGIC)?;
            // A four-byte content size; a window of 2^(10 + 7) bytes.
            self.inner.write_all(&[0x80, 7 << 3])?;
            self.inner.write_all(&(len as u32).to_le_bytes())?;
        }
        let mut buffer = vec![0; RAW_BLOCK];
        let mut left = len;
        while left > 0 {
            let count = left.min(RAW_BLOCK as u64) as usize;
            content.read_exact(&mut buffer[..count]).map_err(short)?;
            left -= count as u64;
            let header = ((count as u32) << 3 | u32::from(left == 0)).to_le_bytes();
            self.inner.write_all(&header[..3])?;
            self.inner.write_all(&buffer[..count])?;
        }
        at_end(content, len)
    }

    fn enter(&mut self, compressed: u64, len: u64) -> Result<(), SeekableError> {
        within(
            "number of frames",
            self.entries.len() as u64 + 1,
            MAX_FRAMES as u64,
        )?;
        within("frame content", len, MAX_FRAME_LEN)?;
        within("compressed frame", compressed, u64::from(u32::MAX))?;
        self.entries.push((compressed as u32, len as u32));
        Ok(())
    }

    fn guarded(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), SeekableError>,
    ) -> Result<(), SeekableError> {
        if self.broken {
            return Err(SeekableError::Broken);
        }
        let result = step(self);
        self.broken = result.is_err();
        result
    }
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), SeekableError> {
    if found > limit {
        return Err(SeekableError::TooLarge { what, found, limit });
    }
    Ok(())
}

/// Reads on past the last byte, so that checking readers can give a verdict.
fn at_end(content: &mut impl Read, expected: u64) -> Result<(), SeekableError> {
    if io::copy(&mut content.take(1), &mut io::sink())? > 0 {
        return Err(SeekableError::Size { expected });
    }
    Ok(())
}

/// Where each frame of a file lies, checked against the file's length.
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
            return Err(SeekableError::Table("the file is too short to hold one"));
        }
        file.seek(SeekFrom::Start(end - FOOTER_LEN))?;
        let count = read_u32(file)?;
        let mut descriptor = [0];
        file.read_exact(&mut descriptor)?;
        if read_u32(file)? != FOOTER_MAGIC {
            return Err(SeekableError::Table("the file does not end in its magic"));
        }
        if descriptor[0] & 0x7c != 0 {
            return Err(SeekableError::Table("reserved bits are set"));
        }
        within("number of frames", u64::from(count), MAX_FRAMES as u64)?;
        let checksums = descriptor[0] & 0x80 != 0;
        let size = u64::from(count) * if checksums { 12 } else { 8 } + FOOTER_LEN;
        let Some(start) = end.checked_sub(size + 8) else {
            return Err(SeekableError::Table("it is longer than the file"));
        };
        file.seek(SeekFrom::Start(start))?;
        let mut rows = BufReader::new(&mut *file);
        if read_u32(&mut rows)? != TABLE_MAGIC || u64::from(read_u32(&mut rows)?) != size {
            return Err(SeekableError::Table(
                "its first bytes disagree with its last",
            ));
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
            return Err(SeekableError::Table("its frames do not fill the file"));
        }
        // Whoever reads the stream from its start must find the same at each place.
        let mut bytes = Vec::new();
        for frame in &frames {
            let compressed = frame.compressed as usize;
            let whole = compressed <= SMALL_FRAME_LEN;
            bytes.resize(if whole { compressed } else { FRAME_HEAD_LEN }, 0);
            file.seek(SeekFrom::Start(frame.compressed_at))?;
            file.read_exact(&mut bytes)?;
            let says = get_frame_content_size(&bytes);
            if frame.len == 0 || says.ok().flatten() != Some(u64::from(frame.len)) {
                return Err(SeekableError::Table("a frame says another length"));
            }
            if whole && find_frame_compressed_size(&bytes).ok() != Some(compressed) {
                return Err(SeekableError::Table("more than a frame stands for one"));
            }
        }
        Ok(Self {
            frames: frames.into(),
            len: at,
        })
    }

    /// Length of the whole decompressed content, as the table claims.
    #[must_use]
    pub fn decompressed_len(&self) -> u64 {
        self.len
    }

    /// Where the content of the frame starts that holds the byte at `offset`.
    ///
    /// Reading from `offset` on decodes the bytes between the two for nothing.
    #[must_use]
    pub fn frame_start(&self, offset: u64) -> u64 {
        let next = self.frames.partition_point(|frame| frame.at <= offset);
        next.checked_sub(1).map_or(0, |index| self.frames[index].at)
    }

    /// Length of each frame as it lies in the file, in order.
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

    /// How many frames there are.
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
    /// Reads the table of `inner`.
    ///
    /// # Errors
    ///
    /// Those of [`SeekTable::read`].
    pub fn new(mut inner: R) -> Result<Self, SeekableError> {
        let table = SeekTable::read(&mut inner)?;
        Ok(Self { inner, table })
    }

    /// Uses a table that was read from `inner` before.
    pub fn with_table(inner: R, table: SeekTable) -> Self {
        Self { inner, table }
    }

    /// The file's table.
    #[must_use]
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// Writes `len` bytes of content from `offset` on to `output`.
    ///
    /// A frame's own checksum is checked only when the range reaches its end.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: outside the content, a frame that disagrees with the
    /// table or does not decode, or a read or write failed.
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
            let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
            decoder.window_log_max(READ_WINDOW_LOG)?;
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

    /// The `len` bytes of content from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of [`SeekableReader::copy_range`], and
    /// [`SeekableError::TooLarge`] over [`MAX_RANGE_IN_MEMORY`].
    pub fn read_range(&mut self, offset: u64, len: u64) -> Result<Vec<u8>, SeekableError> {
        within("range", len, MAX_RANGE_IN_MEMORY)?;
        let mut bytes = Vec::new();
        self.copy_range(offset, len, &mut bytes)?;
        Ok(bytes)
    }
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
        let mut reader = SeekableReader::new(Cursor::new(file)).unwrap();
        assert_eq!(reader.table().frame_count(), 5);
        let total = reader.table().decompressed_len();
        assert_eq!(total, plain.len() as u64);
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
            assert!(reader.read_range(offset, len).unwrap() == plain[range]);
        }
        for (offset, len) in [(total, 1), (u64::MAX, 1), (0, total + 1)] {
            let result = reader.read_range(offset, len);
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
