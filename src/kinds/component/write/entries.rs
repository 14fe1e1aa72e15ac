//! The entries of a component's tar: sources, and what other steps made. A
//! skeleton's tar is written through here too, with other modes.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::action::InputNode;
use crate::archive::{TarError, TarKind, TarReader, TarWriter};
use crate::disk;
use crate::ground::inputs::Inputs;
use crate::kinds::component::write::ComponentError;
use crate::oci::Digest;
use crate::package::lfs_pointer;

/// The modes of one item of a tar, and of what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes {
    /// The item itself, if it is a file; `None`: the same as for a file inside a
    /// folder.
    pub(crate) top_file: Option<u32>,
    /// The item itself, if it is a folder.
    pub(crate) top_folder: Option<u32>,
    /// Every file and program, and every folder, if they have one mode for all;
    /// `None`: as the source has them.
    pub(crate) all: Option<(u32, u32)>,
}

impl Modes {
    /// As in the source, except for the umask, which must not change the bytes.
    pub(crate) const KEPT: Self = Self {
        top_file: None,
        top_folder: None,
        all: None,
    };

    /// The mode of a folder whose own is `kept`.
    fn folder(&self, top: bool, kept: u32) -> u32 {
        let all = self.all.map(|(_, folder)| folder);
        self.top_folder.filter(|_| top).or(all).unwrap_or(kept)
    }

    /// The mode of a file whose own is `kept`.
    fn file(&self, top: bool, kept: u32) -> u32 {
        let all = self.all.map(|(file, program)| match kept & 0o100 {
            0 => file,
            _ => program,
        });
        self.top_file.filter(|_| top).or(all).unwrap_or(kept)
    }
}

/// A tar of sources and outputs of other steps.
pub(crate) struct Entries<W> {
    pub(crate) tar: TarWriter<W>,
}

impl<W: Write> Entries<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            tar: TarWriter::new(out),
        }
    }

    pub(crate) fn finish(self) -> Result<W, ComponentError> {
        Ok(self.tar.finish()?)
    }

    /// Adds the input `source`, with all that is in it, at `to`. `check` looks at
    /// the digest of each file.
    pub(crate) fn source(
        &mut self,
        inputs: &Inputs,
        source: &str,
        to: &str,
        modes: Modes,
        check: impl Fn(Digest) -> Result<(), ComponentError>,
    ) -> Result<(), ComponentError> {
        for (below, node) in inputs.list(source) {
            let (top, path, from) = match below.as_str() {
                "" => (true, to.to_owned(), source.to_owned()),
                below => (false, format!("{to}/{below}"), format!("{source}/{below}")),
            };
            match node {
                InputNode::Link(target) => self.tar.symlink(&path, target)?,
                InputNode::Directory(directory) => {
                    let mode = modes.folder(top, directory.mode());
                    self.tar.directory(&path, mode)?;
                }
                InputNode::File(file) => {
                    check(file.digest)?;
                    let mode = modes.file(top, file.mode());
                    let content = inputs.open(&from).map_err(unread(&from))?;
                    let content = without_pointer((file.size, content), &from)?;
                    self.file(&path, mode, (file.size, content), &from)?;
                }
            }
        }
        Ok(())
    }

    /// Adds one file or, if it is a tree, the tar `content` at `to`. `from` names
    /// it in messages.
    pub(crate) fn made(
        &mut self,
        (size, content): (u64, impl Read),
        is_tree: bool,
        from: &str,
        to: &str,
        modes: Modes,
    ) -> Result<(), ComponentError> {
        if !is_tree {
            return self.file(to, modes.file(true, 0o644), (size, content), from);
        }
        let mut tar = TarReader::new(content);
        while let Some(entry) = tar.next().map_err(unread(from))? {
            let name = entry.name_lossy();
            let (top, path) = match name.split_once('/') {
                None => (true, to.to_owned()),
                Some((_, below)) => (false, format!("{to}/{below}")),
            };
            match entry.kind {
                TarKind::Directory => self.tar.directory(&path, modes.folder(top, 0o755))?,
                TarKind::Symlink => self.tar.symlink(&path, &entry.link_lossy())?,
                _ => {
                    let kept = if entry.is_executable() { 0o755 } else { 0o644 };
                    let mode = modes.file(top, kept);
                    self.file(&path, mode, (entry.size, &mut tar), from)?;
                }
            }
        }
        tar.drain().map_err(unread(from))?;
        Ok(())
    }

    /// Adds a file. If `from` cannot be read, the error names it and not the entry.
    pub(crate) fn file(
        &mut self,
        path: &str,
        mode: u32,
        (size, mut content): (u64, impl Read),
        from: &str,
    ) -> Result<(), ComponentError> {
        let written = self.tar.file(path, mode, size, &mut content);
        written.map_err(|error| match error {
            TarError::Read { source, .. } => unread(from)(source).into(),
            other => other.into(),
        })
    }
}

/// The content of the file that messages call `from`, of `size` bytes, unless it is a
/// pointer of Git LFS. Clones may have pointers, which are named in a warning.
pub(crate) fn without_pointer<R: Read>(
    (size, content): (u64, R),
    from: &str,
) -> Result<impl Read, ComponentError> {
    match lfs_pointer(size, content).map_err(unread(from))? {
        (true, _) => Err(ComponentError::Pointer(from.to_owned())),
        (false, content) => Ok(content),
    }
}

/// Names what an error happened to.
pub(crate) fn unread(from: &str) -> impl Fn(io::Error) -> disk::DiskError + Copy + '_ {
    disk::at(Path::new(from))
}
