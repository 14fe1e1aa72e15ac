//! The writing side: frames in order, then the table.

use std::io::{self, Read, Write};

use zstd::zstd_safe::{
    CParameter, compress_bound, find_frame_compressed_size, get_frame_content_size,
};

use super::{
    FOOTER_LEN, FOOTER_MAGIC, MAX_COMPRESSED_INPUT, MAX_FRAME_LEN, MAX_FRAMES, SeekableError,
    TABLE_MAGIC, at_end, within,
};
use crate::archive::compression::ZSTD_MAGIC;

/// Its window is at most 2 MiB; readers must support 8 MiB.
const LEVEL: i32 = 3;
const RAW_BLOCK: usize = 128 * 1024;

/// Writes frames, then the table of their positions.
///
/// After an error, every later call returns [`SeekableError::Broken`].
pub struct SeekableWriter<W> {
    inner: W,
    entries: Vec<(u32, u32)>,
    maker: FrameMaker,
    frame: Vec<u8>,
    broken: bool,
}

/// Makes compressed frames; each depends only on its input.
pub struct FrameMaker {
    compressor: zstd::bulk::Compressor<'static>,
}

impl FrameMaker {
    /// Creates a compressor for the frames that [`SeekableWriter::compressed`] writes.
    ///
    /// # Errors
    ///
    /// [`SeekableError::Io`]: no compressor could be made.
    pub fn new() -> Result<Self, SeekableError> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { compressor })
    }

    /// Compresses `input`, of at most [`MAX_COMPRESSED_INPUT`] bytes, into one frame in
    /// `frame`, whose memory is reused.
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

    /// Stores `len` bytes uncompressed in one frame, and reads `content` to its end.
    ///
    /// For content that is already compressed. Empty content makes no frame.
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

    /// Appends an existing frame.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: not one complete frame that states its content's length, a
    /// length other than `decompressed_len`, or the write failed.
    pub fn append_frame(
        &mut self,
        frame: &[u8],
        decompressed_len: u64,
    ) -> Result<(), SeekableError> {
        self.guarded(|this| {
            if !frame.starts_with(&ZSTD_MAGIC)
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

    /// Copies a frame of another file unchanged: `compressed` bytes, with content of
    /// `len` bytes according to that file's table.
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

    /// Returns `inner` without a seek table: for frames in front of a stream that has
    /// none.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Writes the seek table and returns `inner`.
    ///
    /// # Errors
    ///
    /// [`SeekableError`]: the write or an earlier call failed.
    pub fn finish(mut self) -> Result<W, SeekableError> {
        self.guarded(|this| {
            // At most MAX_FRAMES entries of 8 bytes, so the length fits 32 bits.
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
            self.inner.write_all(&ZSTD_MAGIC)?;
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
