//! One layer: a file or folder as a gzip tar, with equal bytes for equal trees.
//!
//! Streams files through tar and gzip into the cache. The bytes never depend on times,
//! owners or the umask, and files are never held in memory.

use std::io::{self, BufWriter, Read as _, Write};

use flate2::{Compression, GzBuilder};

use crate::action::InputNode;
use crate::archive::{EntryKind, header_bytes};
use crate::cas::{Cas, Ingest};
use crate::ground::inputs::Inputs;
use crate::kinds::image::build::{ImageError, LayerSpec};
use crate::oci::{Descriptor, Digest, Hasher, media_type};

const BLOCK: usize = 512;
const COPY_BUFFER: usize = 128 * 1024;

/// Largest id that fits seven octal digits.
const MAX_OCTAL_ID: u32 = 0o7_777_777;

/// Prefix that marks a deleted file of a lower layer.
const WHITEOUT: &str = ".wh.";

/// A layer in the cache.
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub(crate) diff_id: Digest,
}

/// Writes the layer into `cas`.
pub(crate) fn write(cas: &Cas, inputs: &Inputs, spec: &LayerSpec) -> Result<Layer, ImageError> {
    let listed = inputs.list(&spec.source);
    let top = listed
        .first()
        .ok_or_else(|| ImageError::NoInput(spec.source.clone()))?;
    let to = target(spec, top.1)?;
    let compressed = BufWriter::with_capacity(256 << 10, cas.ingest()?);
    // No name, no time, and an unknown system: the bytes of RFC 1952's header.
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(compressed, Compression::new(6));
    let mut out = Tar {
        out: gzip,
        hasher: Hasher::default(),
        to: &spec.to,
    };
    parents(&mut out, &to)?;
    for (below, node) in &listed {
        let path = match (to.as_str(), below.as_str()) {
            (to, "") => to.to_owned(),
            ("", below) => below.to_owned(),
            (to, below) => format!("{to}/{below}"),
        };
        // The root of the image needs no entry.
        if !path.is_empty() {
            let source = match below.as_str() {
                "" => spec.source.clone(),
                below => format!("{}/{below}", spec.source),
            };
            write_entry(&mut out, spec, inputs, (&source, node), &path)?;
        }
    }
    out.put(&[0; 2 * BLOCK])?;
    let diff_id = out.hasher.finish();
    let written = |source| ImageError::Write {
        to: spec.to.clone(),
        source,
    };
    let ingest: Ingest<'_> = out
        .out
        .finish()
        .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
        .map_err(written)?;
    let (digest, size) = ingest.commit()?;
    Ok(Layer {
        descriptor: Descriptor {
            digest,
            size,
            ..Descriptor::of(media_type::LAYER_GZIP, &[])
        },
        diff_id,
    })
}

/// The target path, without slashes at its ends; empty for the root.
fn target(spec: &LayerSpec, top: &InputNode) -> Result<String, ImageError> {
    let refused = |why| ImageError::Target {
        to: spec.to.clone(),
        why,
    };
    let Some(names) = spec.to.strip_prefix('/') else {
        return Err(refused("is not absolute, expected a path like `/srv/www`"));
    };
    let mut kept = Vec::new();
    for name in names.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            return Err(refused("contains `..`, expected a path without it"));
        }
        kept.push(name);
    }
    let folder = matches!(top, InputNode::Directory(_));
    if !folder && (kept.is_empty() || names.ends_with('/')) {
        return Err(refused(
            "names a folder, but the source is one file: write the file's full path",
        ));
    }
    Ok(kept.join("/"))
}

fn parents(out: &mut Tar<'_, impl Write>, to: &str) -> Result<(), ImageError> {
    for (at, _) in to.match_indices('/') {
        out.header(&to[..at], 0o755, 0, EntryKind::Directory, (0, 0))?;
    }
    Ok(())
}

fn write_entry(
    out: &mut Tar<'_, impl Write>,
    spec: &LayerSpec,
    inputs: &Inputs,
    (source, node): (&str, &InputNode),
    path: &str,
) -> Result<(), ImageError> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.starts_with(WHITEOUT) {
        return Err(ImageError::Whiteout(source.to_owned()));
    }
    let owner = spec.owner.unwrap_or((0, 0));
    match node {
        InputNode::Link(target) => out.header(path, 0o777, 0, EntryKind::Symlink(target), owner),
        InputNode::Directory(directory) => {
            // Read permission for a folder implies search permission.
            let given = spec.mode.map(|mode| mode | (mode & 0o444) >> 2);
            let mode = given.unwrap_or(directory.mode());
            out.header(path, mode, 0, EntryKind::Directory, owner)
        }
        InputNode::File(input) => {
            let mode = spec.mode.unwrap_or(input.mode());
            let size = input.size;
            let unread = |error| ImageError::Read {
                path: source.to_owned(),
                source: error,
            };
            let mut file = inputs.open(source).map_err(unread)?;
            out.header(path, mode, size, EntryKind::File, owner)?;
            let mut buffer = vec![0; COPY_BUFFER];
            let mut left = size;
            loop {
                let count = match file.read(&mut buffer) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(unread(error)),
                };
                let fits = left.checked_sub(count as u64);
                let Some(rest) = fits.filter(|rest| count > 0 || *rest == 0) else {
                    let error = io::Error::other("its size does not match its digest");
                    return Err(unread(error));
                };
                if count == 0 {
                    // The remainder is below 512 and so fits.
                    let over = (size % BLOCK as u64) as usize;
                    return out.put(&[0; BLOCK][..(BLOCK - over) % BLOCK]);
                }
                left = rest;
                out.put(&buffer[..count])?;
            }
        }
    }
}

/// Passes the tar on to gzip and digests it.
struct Tar<'a, W> {
    out: W,
    hasher: Hasher,
    to: &'a str,
}

impl<W: Write> Tar<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.hasher.update(bytes);
        self.out
            .write_all(bytes)
            .map_err(|source| ImageError::Write {
                to: self.to.to_owned(),
                source,
            })
    }

    fn header(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        kind: EntryKind<'_>,
        owner: (u32, u32),
    ) -> Result<(), ImageError> {
        let mut bytes = header_bytes(path, mode, size, kind)?;
        // The entry's own block is the last; PAX records precede it.
        if let Some(block) = bytes.last_chunk_mut::<BLOCK>() {
            own(block, owner);
        }
        self.put(&bytes)
    }
}

/// Writes the owner into a header block, and updates its checksum.
fn own(block: &mut [u8; BLOCK], (uid, gid): (u32, u32)) {
    for (at, id) in [(108, uid), (116, gid)] {
        let field = &mut block[at..at + 8];
        if id <= MAX_OCTAL_ID {
            field.copy_from_slice(format!("{id:07o}\0").as_bytes());
        } else {
            // GNU's binary form, which every reader of layers supports.
            field[..4].copy_from_slice(&[0x80, 0, 0, 0]);
            field[4..].copy_from_slice(&id.to_be_bytes());
        }
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
