//! Writes a package's archive from the CAS, as one stream.
//!
//! The archive gets its name only when it is complete and flushed; after a failure, an
//! earlier archive is unchanged. Source: docs/spec/package.md, "Archive", "Split
//! archives".

mod parts;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use self::parts::{MAX_PARTS, Parts};
use crate::action::Output;
use crate::archive::{
    EntryKind, MAX_FRAME_LEN, SeekableError, SeekableWriter, TarError, header_bytes,
};
use crate::cas::{Cas, CasError};
use crate::disk::{self, NewFile};
use crate::ground::{failures, of_cas, of_io};
use crate::kinds::package::assemble::{PackageError, compress};

/// Size of the copy buffer, in bytes: 1 MiB.
const BUFFER_BYTES: usize = 1 << 20;

/// Maximum content of a raw frame, in bytes: 64 MiB. A reader that needs the end of a
/// member skips whole frames.
const RAW_FRAME_BYTES: u64 = 64 << 20;
const _: () = assert!(RAW_FRAME_BYTES <= MAX_FRAME_LEN);

/// The format of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A Zstandard stream with a seek table.
    TarZst,
    Tar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The archive, or its parts in order.
    pub files: Vec<PathBuf>,
    /// Bytes of the archive.
    pub bytes: u64,
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("archive `{path}` cannot be written, and nothing was left behind")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A member cannot be named in a tar.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The stream cannot be written.
    #[error("archive `{path}`")]
    Seekable {
        path: PathBuf,
        source: SeekableError,
    },
    #[error(
        "archive `{path}` is longer than {MAX_PARTS} parts of {limit} bytes: \
         raise --max-package-size; nothing was left behind"
    )]
    Parts {
        path: PathBuf,
        /// Length of a part.
        limit: u64,
    },
    /// A file with the name of a part.
    #[error(
        "`{0}` is in the way: jackal cannot tell that it is a part of an earlier archive; move or remove it"
    )]
    InTheWay(PathBuf),
    /// A member cannot be compressed.
    #[error(transparent)]
    Compress(#[from] PackageError),
    /// A member cannot be made.
    #[error("{0}")]
    Member(String),
    /// It was stopped by a signal.
    #[error("stopped; nothing was left behind")]
    Stopped,
    #[error("cached frames of `{0}` are damaged: run the build with --force")]
    Frames(String),
}

/// How a member's content is stored in a compressed archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packing {
    Raw,
    /// As the frames of `compress_member` from the cache.
    Frames(Output),
    /// As the same frames, compressed while writing.
    Compressed,
}

impl Packing {
    /// How the member `name` is stored if it has no frames yet. A blob of an image is
    /// compressed already.
    #[must_use]
    pub fn of_member(name: &str) -> Self {
        match name.starts_with("images/blobs/") {
            true => Self::Raw,
            false => Self::Compressed,
        }
    }
}

impl From<Option<Output>> for Packing {
    fn from(frames: Option<Output>) -> Self {
        frames.map_or(Self::Raw, Self::Frames)
    }
}

/// Where an archive goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'d> {
    pub path: &'d Path,
    pub format: ArchiveFormat,
    /// It is split if it is larger than so many bytes.
    pub split: Option<u64>,
    /// The mode of its files, less the user's umask.
    pub mode: u32,
    /// The files of an earlier archive in its place that are as they were written.
    pub earlier: &'d [PathBuf],
}

impl<'d> Destination<'d> {
    /// One file, which everyone may read.
    #[must_use]
    pub fn new(path: &'d Path, format: ArchiveFormat) -> Self {
        Self {
            path,
            format,
            split: None,
            mode: 0o644,
            earlier: &[],
        }
    }
}

/// Writes an archive of `members`. Each member is requested and read when it is
/// written. Stops soon after `stopped` becomes true.
///
/// Replaces an earlier archive, and the parts of an earlier split archive.
///
/// # Errors
///
/// [`ExportError`]; no partial file stays. [`ExportError::InTheWay`] comes before the
/// first member is requested.
pub fn export_archive(
    cas: &Cas,
    members: impl IntoIterator<Item = Result<(Output, Packing), ExportError>>,
    destination: &Destination<'_>,
    stopped: &dyn Fn() -> bool,
) -> Result<Exported, ExportError> {
    let Destination {
        path: to,
        format,
        split,
        mode,
        earlier,
    } = *destination;
    let io = |source| ExportError::Io {
        path: to.to_owned(),
        source,
    };
    let folder = folder_of(to);
    fs::create_dir_all(folder).map_err(io)?;
    disk::reap(folder).map_err(io)?;
    let earlier = parts::earlier(to, earlier).map_err(io)?;
    let earlier = earlier.map_err(ExportError::InTheWay)?;
    let mut temp = match split {
        Some(limit) => Target::Parts(Parts::begin(folder, limit, mode).map_err(io)?),
        None => Target::File(NewFile::with_mode(to, mode).map_err(|error| io(error.source))?),
    };
    let out: &mut dyn Write = match &mut temp {
        Target::Parts(parts) => parts,
        Target::File(file) => file,
    };
    let out = BufWriter::with_capacity(BUFFER_BYTES, Stoppable { out, stopped });
    let done = match format {
        ArchiveFormat::Tar => write_tar(cas, members, out, to),
        ArchiveFormat::TarZst => write_zst(cas, members, out, to),
    };
    // The failure was caused by stopping.
    let path = || to.to_owned();
    match (done, &temp) {
        (_, _) if stopped() => return Err(ExportError::Stopped),
        (Err(_), Target::Parts(parts)) if parts.are_too_many() => {
            let limit = parts.limit();
            return Err(ExportError::Parts {
                path: path(),
                limit,
            });
        }
        (done, _) => done?,
    }
    let written = match temp {
        Target::Parts(parts) => parts.finish(to, &earlier),
        Target::File(file) => finish(file, to, &earlier),
    }
    .map_err(io)?;
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(io)?;
    Ok(written)
}

/// The destination of an archive before it gets its name.
enum Target {
    File(NewFile),
    Parts(Parts),
}

fn finish(file: NewFile, to: &Path, earlier: &[PathBuf]) -> io::Result<Exported> {
    let bytes = file.file().metadata()?.len();
    file.keep().map_err(|error| error.source)?;
    parts::remove(earlier)?;
    let files = vec![to.to_owned()];
    Ok(Exported { files, bytes })
}

/// Fails once the run is stopped.
struct Stoppable<'f> {
    out: &'f mut dyn Write,
    stopped: &'f dyn Fn() -> bool,
}

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.stopped)() {
            true => Err(stop()),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Ends writing; becomes [`ExportError::Stopped`].
fn stop() -> io::Error {
    io::Error::other("stopped")
}

fn write_tar(
    cas: &Cas,
    members: impl IntoIterator<Item = Result<(Output, Packing), ExportError>>,
    mut out: impl Write,
    to: &Path,
) -> Result<(), ExportError> {
    let io = |source| ExportError::Io {
        path: to.to_owned(),
        source,
    };
    for member in members {
        let (member, _) = member?;
        out.write_all(&header_bytes(
            &member.name,
            0o644,
            member.size,
            EntryKind::File,
        )?)
        .map_err(io)?;
        let mut content = cas.open_blob(&member.digest)?;
        io::copy(&mut content, &mut out).map_err(io)?;
        let padding = member.size.next_multiple_of(512) - member.size;
        io::copy(&mut io::repeat(0).take(padding), &mut out).map_err(io)?;
    }
    out.write_all(&[0; 1024]).map_err(io)?;
    out.flush().map_err(io)
}

fn write_zst(
    cas: &Cas,
    members: impl IntoIterator<Item = Result<(Output, Packing), ExportError>>,
    out: impl Write,
    to: &Path,
) -> Result<(), ExportError> {
    let seekable = |source| ExportError::Seekable {
        path: to.to_owned(),
        source,
    };
    let mut stream = SeekableWriter::new(out).map_err(seekable)?;
    for member in members {
        let (member, packing) = member?;
        let header = header_bytes(&member.name, 0o644, member.size, EntryKind::File)?;
        stream.compressed(&header).map_err(seekable)?;
        match packing {
            Packing::Frames(frames) => {
                append(cas, &member, &frames, &mut stream).map_err(|error| match error {
                    Append::Export(error) => error,
                    Append::Stream(source) => seekable(source),
                })?
            }
            Packing::Compressed => compress(cas, &member, |len, frame| {
                stream.append_frame(frame, len).map_err(seekable)
            })?,
            Packing::Raw => {
                let mut content = cas.open_blob(&member.digest)?;
                let mut left = member.size;
                while left > 0 {
                    let count = left.min(RAW_FRAME_BYTES);
                    stream
                        .raw_frame(&mut (&mut content).take(count), count)
                        .map_err(seekable)?;
                    left -= count;
                }
                // A mismatch is reported at the end of the content.
                io::copy(&mut content, &mut io::sink())
                    .map_err(|error| seekable(SeekableError::Io(error)))?;
                let padding = member.size.next_multiple_of(512) - member.size;
                stream
                    .compressed(&vec![0; usize::try_from(padding).unwrap_or(0)])
                    .map_err(seekable)?;
            }
        }
    }
    stream.compressed(&[0; 1024]).map_err(seekable)?;
    stream
        .finish()
        .map_err(seekable)?
        .flush()
        .map_err(|source| ExportError::Io {
            path: to.to_owned(),
            source,
        })
}

enum Append {
    Export(ExportError),
    Stream(SeekableError),
}

fn append<W: Write>(
    cas: &Cas,
    member: &Output,
    frames: &Output,
    stream: &mut SeekableWriter<W>,
) -> Result<(), Append> {
    let damaged = || Append::Export(ExportError::Frames(member.name.clone()));
    let mut blob = cas
        .open_blob(&frames.digest)
        .map_err(|error| Append::Export(error.into()))?;
    let mut left = frames.size;
    while left > 0 {
        let mut lengths = [0; 16];
        let io = |error| Append::Stream(SeekableError::Io(error));
        blob.read_exact(&mut lengths).map_err(io)?;
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&lengths[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (len, content) = (number(0), number(8));
        left = left.checked_sub(16 + len).ok_or_else(damaged)?;
        let mut frame = Vec::new();
        (&mut blob).take(len).read_to_end(&mut frame).map_err(io)?;
        stream
            .append_frame(&frame, content)
            .map_err(Append::Stream)?;
    }
    io::copy(&mut blob, &mut io::sink())
        .map(drop)
        .map_err(|error| Append::Stream(SeekableError::Io(error)))
}

/// The folder of the archive; that of a bare name is the current directory.
fn folder_of(to: &Path) -> &Path {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn part(to: &Path, number: u64) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".part{number:03}"));
    name.into()
}

failures! {
    ExportError: |error| match error {
        ExportError::Cas(error) => of_cas(error),
        ExportError::Io { source, .. } => of_io(source),
        ExportError::Seekable { source: SeekableError::Io(error), .. } => of_io(error),
        ExportError::Frames(_) => Class::Verification,
        _ => Class::Configuration,
    };
}

#[cfg(test)]
mod tests;
