//! Deltas, which turn one archive into another, byte for byte.
//!
//! Works on opened archives and their stretches (frames of a seekable archive, files of
//! a plain tar), and never decodes or compresses them: a delta refers to stretches of
//! the old archive and contains all others. So the result is exact, whatever program
//! and compressor made the two archives. See adr/0012, "Deltas".

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{LayoutError, PackageFile};
use crate::oci::{Digest, Hasher};

/// Magic number of deltas; the last byte is the version of the format.
const MAGIC: &[u8; 8] = b"jkdelta\x01";

/// Maximum size of a header, in bytes: 128 MiB. An archive has at most a million
/// frames, and a reference takes less than a hundred bytes.
const MAX_HEADER_BYTES: u64 = 128 << 20;

/// Maximum number of pieces of a new archive: one for each frame, and one for each gap.
const MAX_PIECES: usize = 2 << 20;

/// Maximum size of a result, as a multiple of its input: stretches may be used several
/// times, but a small delta must not fill a disk.
const MAX_GROWTH: u64 = 16;

/// Size of the copy buffer, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a delta cannot be made or applied.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// A package cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A package that is not an archive.
    #[error("`{0}` is a folder, expected an archive")]
    Folder(PathBuf),
    /// A single stream, of which no part can be reused.
    #[error(
        "cannot make a small delta for `{0}`: it is a single Zstandard frame without a seek table; \
         use an archive made by jackal, or an uncompressed tar"
    )]
    NoFrames(PathBuf),
    /// Not a delta, or a damaged one.
    #[error("`{path}` is not a usable delta: {what}")]
    Malformed { path: PathBuf, what: String },
    /// The delta was made for another archive.
    #[error("`{path}` has digest {found}, but the delta applies to {expected}: use that archive")]
    OtherOld {
        path: PathBuf,
        /// The digest in the delta.
        expected: Digest,
        /// The digest of the archive.
        found: Digest,
    },
    /// The result does not match the digest in the delta.
    #[error(
        "digest mismatch: the archive that `{path}` makes has digest {found}, expected {expected}: \
         download the delta again"
    )]
    OtherNew {
        path: PathBuf,
        /// The digest in the delta.
        expected: Digest,
        /// The digest of the result.
        found: Digest,
    },
    /// A package was modified while it was read.
    #[error("`{0}` changed while it was read: try again")]
    Changed(PathBuf),
    /// A stretch is used so often that readers would refuse the delta.
    #[error("`{0}` repeats itself too often for a delta: send the archive instead")]
    Repeats(PathBuf),
    /// The delta cannot be read, or the result cannot be written.
    #[error("`{path}`")]
    Io { path: PathBuf, source: io::Error },
}

/// A whole archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// Of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    old: Whole,
    new: Whole,
    #[serde(deserialize_with = "pieces")]
    pieces: Vec<Piece>,
}

/// Reads at most [`MAX_PIECES`]: the shortest one takes more memory than text.
fn pieces<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Piece>, D::Error> {
    struct Pieces;

    impl<'de> Visitor<'de> for Pieces {
        type Value = Vec<Piece>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of pieces")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Piece>, A::Error> {
            let mut pieces = Vec::new();
            while let Some(piece) = list.next_element()? {
                if pieces.len() >= MAX_PIECES {
                    return Err(A::Error::custom("it has too many pieces"));
                }
                pieces.push(piece);
            }
            Ok(pieces)
        }
    }

    list.deserialize_seq(Pieces)
}

/// The source of the next bytes of the new archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Piece {
    /// In the old archive.
    Old { at: u64, len: u64 },
    /// In the delta.
    New { len: u64 },
}

/// A summary of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The archive it applies to.
    pub old: Whole,
    /// The archive it makes.
    pub new: Whole,
    /// Number of bytes of the new archive that it contains.
    pub carried: u64,
}

struct Stretch {
    at: u64,
    len: u64,
    digest: Digest,
}

/// Writes to `out` the delta from `old` to `new`.
///
/// The same two archives give the same bytes. `old` is read once; `new` is read once,
/// and the parts that the delta contains a second time.
///
/// # Errors
///
/// [`DeltaError`]; the output in `out` is then incomplete.
pub fn write_delta(
    old: &PackageFile,
    new: &PackageFile,
    to: &Path,
    out: &mut impl Write,
) -> Result<Delta, DeltaError> {
    let (old_whole, old_stretches) = survey(old)?;
    let (new_whole, new_stretches) = survey(new)?;
    let mut places = HashMap::new();
    for stretch in &old_stretches {
        // The first of several equal stretches, so that the delta is reproducible.
        places
            .entry((stretch.digest, stretch.len))
            .or_insert(stretch.at);
    }
    let mut pieces = Vec::new();
    let mut carried = Vec::new();
    for stretch in new_stretches {
        let len = stretch.len;
        let place = places.get(&(stretch.digest, len)).copied();
        match (place, pieces.last_mut()) {
            (Some(place), Some(Piece::Old { at, len: before })) if *at + *before == place => {
                *before += len;
            }
            (Some(at), _) => pieces.push(Piece::Old { at, len }),
            (None, Some(Piece::New { len: before })) => *before += len,
            (None, _) => pieces.push(Piece::New { len }),
        }
        if place.is_none() {
            carried.push(stretch);
        }
    }
    let delta = Delta {
        old: old_whole,
        new: new_whole,
        carried: carried.iter().map(|stretch| stretch.len).sum(),
    };
    let header = Header {
        old: old_whole,
        new: new_whole,
        pieces,
    };
    let io = |source| DeltaError::Io {
        path: to.to_owned(),
        source,
    };
    let text = serde_json::to_vec(&header).map_err(|error| io(error.into()))?;
    if text.len() as u64 > MAX_HEADER_BYTES || !header.fits(delta.carried) {
        return Err(DeltaError::Repeats(new.path().to_owned()));
    }
    out.write_all(MAGIC).map_err(io)?;
    out.write_all(&(text.len() as u64).to_le_bytes())
        .map_err(io)?;
    out.write_all(&text).map_err(io)?;
    let mut bytes = archive_bytes(new)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    for stretch in carried {
        let mut hasher = Hasher::default();
        let read = |source| LayoutError::io(new.path(), source);
        bytes.seek(SeekFrom::Start(stretch.at)).map_err(read)?;
        let mut left = stretch.len;
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            bytes.read_exact(&mut buffer[..most]).map_err(read)?;
            hasher.update(&buffer[..most]);
            out.write_all(&buffer[..most]).map_err(io)?;
            left -= most as u64;
        }
        if hasher.finish() != stretch.digest {
            return Err(DeltaError::Changed(new.path().to_owned()));
        }
    }
    out.flush().map_err(io)?;
    Ok(delta)
}

/// Applies `delta`, found at `path`, to `old`, and writes the result to `out`.
///
/// # Errors
///
/// [`DeltaError`]; the output in `out` is then unusable.
pub fn apply_delta(
    old: &PackageFile,
    delta: &mut impl Read,
    path: &Path,
    out: &mut impl Write,
) -> Result<Delta, DeltaError> {
    let malformed = |what: &str| DeltaError::Malformed {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => malformed("it ends early"),
        _ => DeltaError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let mut start = [0; 16];
    delta.read_exact(&mut start).map_err(io)?;
    let (magic, length) = start.split_at(8);
    if magic != MAGIC {
        return Err(malformed(
            "it does not begin with the magic of this version",
        ));
    }
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    if length > MAX_HEADER_BYTES {
        return Err(malformed("its header is larger than 128 MiB"));
    }
    let mut text = Vec::new();
    delta.take(length).read_to_end(&mut text).map_err(io)?;
    let header: Header =
        serde_json::from_slice(&text).map_err(|error| malformed(&error.to_string()))?;
    let carried = header
        .carried()
        .ok_or_else(|| malformed("its pieces do not add up to the new archive"))?;
    if !header.fits(carried) {
        return Err(malformed(
            "the archive it makes would be disproportionately large",
        ));
    }
    let (found, _) = survey_as(old, Vec::new())?;
    if found != header.old {
        return Err(DeltaError::OtherOld {
            path: old.path().to_owned(),
            expected: header.old.digest,
            found: found.digest,
        });
    }
    let mut bytes = archive_bytes(old)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    for piece in &header.pieces {
        let (Piece::Old { len, .. } | Piece::New { len }) = *piece;
        if let Piece::Old { at, .. } = *piece {
            let read = |source| LayoutError::io(old.path(), source);
            bytes.seek(SeekFrom::Start(at)).map_err(read)?;
        }
        let mut left = len;
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            let chunk = &mut buffer[..most];
            match piece {
                Piece::Old { .. } => bytes
                    .read_exact(chunk)
                    .map_err(|source| LayoutError::io(old.path(), source))?,
                Piece::New { .. } => delta.read_exact(chunk).map_err(io)?,
            }
            hasher.update(chunk);
            out.write_all(chunk).map_err(io)?;
            left -= most as u64;
        }
    }
    out.flush().map_err(io)?;
    if delta.read(&mut [0]).map_err(io)? != 0 {
        return Err(malformed("it has trailing bytes"));
    }
    let found = hasher.finish();
    if found != header.new.digest {
        return Err(DeltaError::OtherNew {
            path: path.to_owned(),
            expected: header.new.digest,
            found,
        });
    }
    Ok(Delta {
        old: header.old,
        new: header.new,
        carried,
    })
}

impl Header {
    /// Number of bytes that the delta contains; `None` if pieces are outside the old
    /// archive, or do not add up to the new one.
    fn carried(&self) -> Option<u64> {
        let (mut total, mut carried) = (0u64, 0u64);
        for piece in &self.pieces {
            let len = match *piece {
                Piece::Old { at, len } => {
                    let inside = at.checked_add(len)? <= self.old.size;
                    inside.then_some(len)?
                }
                Piece::New { len } => {
                    carried = carried.checked_add(len)?;
                    len
                }
            };
            total = total.checked_add(len)?;
        }
        (total == self.new.size).then_some(carried)
    }

    fn fits(&self, carried: u64) -> bool {
        let read = self.old.size.saturating_add(carried);
        self.new.size <= read.saturating_mul(MAX_GROWTH)
    }
}

fn archive_bytes(package: &PackageFile) -> Result<super::bytes::Joined, DeltaError> {
    package
        .bytes()
        .ok_or_else(|| DeltaError::Folder(package.path().to_owned()))
}

/// Every stretch of an archive, in order, with its digest.
fn survey(package: &PackageFile) -> Result<(Whole, Vec<Stretch>), DeltaError> {
    archive_bytes(package)?;
    let lens = package
        .stretches()?
        .ok_or_else(|| DeltaError::NoFrames(package.path().to_owned()))?;
    survey_as(package, lens)
}

/// Digests the archive, and its stretches of the lengths `lens`; the rest is one more
/// stretch.
fn survey_as(package: &PackageFile, lens: Vec<u64>) -> Result<(Whole, Vec<Stretch>), DeltaError> {
    let io = |source| LayoutError::io(package.path(), source);
    let mut bytes = BufReader::with_capacity(BUFFER_BYTES, archive_bytes(package)?);
    let mut whole = Hasher::default();
    let mut at = 0;
    let mut stretches = Vec::with_capacity(lens.len() + 1);
    let mut buffer = vec![0; BUFFER_BYTES];
    for limit in lens.into_iter().filter(|len| *len > 0).chain([u64::MAX]) {
        let mut own = Hasher::default();
        let mut len = 0;
        while len < limit {
            let most = usize::try_from(limit - len).map_or(BUFFER_BYTES, |n| n.min(BUFFER_BYTES));
            let count = bytes.read(&mut buffer[..most]).map_err(io)?;
            if count == 0 {
                break;
            }
            own.update(&buffer[..count]);
            whole.update(&buffer[..count]);
            len += count as u64;
        }
        if len > 0 {
            let digest = own.finish();
            stretches.push(Stretch { at, len, digest });
        }
        at += len;
    }
    let whole = Whole {
        digest: whole.finish(),
        size: at,
    };
    Ok((whole, stretches))
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::*;
    use crate::archive::{EntryKind, SeekableWriter, header_bytes};

    fn archive(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> PackageFile {
        let mut out = SeekableWriter::new(Vec::new()).unwrap();
        for (name, content) in files {
            let header = header_bytes(name, 0o644, content.len() as u64, EntryKind::File).unwrap();
            out.compressed(&header).unwrap();
            out.raw_frame(&mut &content[..], content.len() as u64)
                .unwrap();
            let padding = content.len().next_multiple_of(512) - content.len();
            out.compressed(&vec![0; padding]).unwrap();
        }
        out.compressed(&[0; 1024]).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, out.finish().unwrap()).unwrap();
        open(&path).unwrap()
    }

    fn pair(folder: &Path) -> (PackageFile, PackageFile) {
        let (same, old, new) = ([1; 60_000], [2; 9_000], [3; 9_500]);
        let first = archive(folder, "old", &[("a", &old), ("b", &same)]);
        let second = archive(folder, "new", &[("b", &same), ("c", &new), ("d", &same)]);
        (first, second)
    }

    fn delta(old: &PackageFile, new: &PackageFile) -> (Vec<u8>, Delta) {
        let mut bytes = Vec::new();
        let made = write_delta(old, new, Path::new("d"), &mut bytes).unwrap();
        (bytes, made)
    }

    fn apply(old: &PackageFile, delta: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        apply_delta(old, &mut &delta[..], Path::new("d"), &mut out)
            .map(|_| out)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_delta_contains_new_content_and_makes_the_new_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = pair(folder.path());
        let (bytes, made) = delta(&old, &new);
        assert!((9_500..11_000).contains(&made.carried), "{made:?}");
        assert_eq!(delta(&old, &new).0, bytes);
        let joined = apply(&old, &bytes).unwrap();
        assert!(joined == std::fs::read(new.path()).unwrap());
        // The other way round, and to itself.
        let (back, _) = delta(&new, &old);
        assert!(apply(&new, &back).unwrap() == std::fs::read(old.path()).unwrap());
        assert_eq!(delta(&new, &new).1.carried, 0);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = pair(folder.path());
        let (bytes, _) = delta(&old, &new);
        for at in (0..600).chain(bytes.len() - 300..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(apply(&old, &damaged).is_err(), "byte {at}");
            assert!(apply(&old, &bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(apply(&old, &longer).unwrap_err().contains("trailing bytes"));
        assert!(apply(&new, &bytes).unwrap_err().contains("applies to"));
    }

    #[test]
    fn a_delta_cannot_reach_outside_or_make_more_than_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let (old, _) = pair(folder.path());
        let (whole, _) = survey(&old).unwrap();
        let refused = |pieces: Vec<Piece>, size: u64| {
            let header = Header {
                old: whole,
                new: Whole { size, ..whole },
                pieces,
            };
            let text = serde_json::to_vec(&header).unwrap();
            let length = (text.len() as u64).to_le_bytes();
            apply(&old, &[&MAGIC[..], &length, &text].concat()).unwrap_err()
        };
        let (all, size) = (
            Piece::Old {
                at: 0,
                len: whole.size,
            },
            whole.size,
        );
        let beyond = Piece::Old {
            at: u64::MAX,
            len: 2,
        };
        assert!(refused(vec![beyond], 2).contains("do not add up"));
        assert!(refused(vec![Piece::Old { at: 1, len: size }], size).contains("do not add up"));
        assert!(refused(vec![all], size + 1).contains("do not add up"));
        assert!(refused(vec![all; 17], 17 * size).contains("proportion"));
        assert!(refused(vec![Piece::New { len: size }], size).contains("ends early"));
        let mut header = MAGIC.to_vec();
        header.extend(u64::MAX.to_le_bytes());
        assert!(
            apply(&old, &header)
                .unwrap_err()
                .contains("larger than 128 MiB")
        );
    }

    #[test]
    fn folders_and_single_streams_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (old, _) = pair(folder.path());
        let stream = folder.path().join("stream");
        std::fs::write(&stream, zstd::encode_all(&[0; 2048][..], 1).unwrap()).unwrap();
        let mut out = Vec::new();
        for (path, message) in [
            (folder.path(), "is a folder"),
            (&stream, "single Zstandard"),
        ] {
            let new = open(path).unwrap();
            let error = write_delta(&old, &new, Path::new("d"), &mut out).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
