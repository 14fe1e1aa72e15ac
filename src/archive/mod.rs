//! Archive formats: tar entries, safe entry names, and seekable Zstandard.
//!
//! Turns streams into streams. It never opens a file, reads the clock, or writes
//! anything that differs between two runs.

mod bounded;
mod compression;
mod contained;
mod growth;
mod listing;
mod path;
mod seekable;
mod tar_read;
mod tar_write;

pub use bounded::Bounded;
pub use compression::{COMPRESSION_MAGIC, Compression, Unzstd, Window, is_tar, layer_type};
pub use contained::{Contained, ContainedFault, Contents};
pub use growth::Growth;
pub use listing::{Listing, list};
pub use path::{MAX_PATH_BYTES, PathError, SafePath, stays_inside};
pub use seekable::{
    FrameAt, FrameMaker, MAX_COMPRESSED_INPUT, MAX_FRAME_LEN, MAX_FRAMES, SeekTable, SeekableError,
    SeekableReader, SeekableWriter,
};
pub use tar_read::{
    MAX_DEPTH, MAX_EXTENDED_BYTES, Skip, Stream, TarEntry, TarFault, TarKind, TarReader,
};
pub use tar_write::{BLOCK, EntryKind, TarError, TarWriter, header_bytes, padding};
