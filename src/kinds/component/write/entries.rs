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

/// The modes of one item of a tar, and of what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes {
    /// The item itself, if it is a file; `None`: as a file in it.
    pub(crate) top_file: Option<u32>,
    /// The item itself, if it is a folder.
    pub(crate) top_folder: u32,
    pub(crate) file: u32,
    pub(crate) program: u32,
    pub(crate) folder: u32,
}

impl Modes {
    /// As the source has them, but for a umask, which must not change the bytes.
    pub(crate) const KEPT: Self = Self {
        top_file: None,
        top_folder: 0o755,
        file: 0o644,
        program: 0o755,
        folder: 0o755,
    };

    fn folder(&self, top: bool) -> u32 {
        if top { self.top_folder } else { self.folder }
    }

    fn file(&self, top: bool, executable: bool) -> u32 {
        let own = if executable { self.program } else { self.file };
        self.top_file.filter(|_| top).unwrap_or(own)
    }
}

/// A tar, and the bytes of the files and targets of links in it.
pub(crate) struct Entries<W> {
    pub(crate) tar: TarWriter<W>,
    bytes: u64,
}

impl<W: Write> Entries<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            tar: TarWriter::new(out),
            bytes: 0,
        }
    }

    /// Ends the tar; `None`: its files and links have no byte.
    pub(crate) fn finish(self) -> Result<Option<W>, ComponentError> {
        let out = self.tar.finish()?;
        Ok((self.bytes > 0).then_some(out))
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
                InputNode::Link(target) => self.link(&path, target)?,
                InputNode::Directory(_) => self.tar.directory(&path, modes.folder(top))?,
                InputNode::File(file) => {
                    check(file.digest)?;
                    let mode = modes.file(top, file.executable);
                    let content = inputs.open(&from).map_err(unread(&from))?;
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
            return self.file(to, modes.file(true, false), (size, content), from);
        }
        let mut tar = TarReader::new(content);
        while let Some(entry) = tar.next().map_err(unread(from))? {
            let name = entry.name_lossy();
            let (top, path) = match name.split_once('/') {
                None => (true, to.to_owned()),
                Some((_, below)) => (false, format!("{to}/{below}")),
            };
            match entry.kind {
                TarKind::Directory => self.tar.directory(&path, modes.folder(top))?,
                TarKind::Symlink => self.link(&path, &entry.link_lossy())?,
                _ => {
                    let mode = modes.file(top, entry.is_executable());
                    self.file(&path, mode, (entry.size, &mut tar), from)?;
                }
            }
        }
        tar.drain().map_err(unread(from))?;
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), TarError> {
        self.bytes += target.len() as u64;
        self.tar.symlink(path, target)
    }

    /// Adds a file. An error names `from`, not the entry, where that is at fault.
    pub(crate) fn file(
        &mut self,
        path: &str,
        mode: u32,
        (size, mut content): (u64, impl Read),
        from: &str,
    ) -> Result<(), ComponentError> {
        self.bytes = self.bytes.saturating_add(size);
        let written = self.tar.file(path, mode, size, &mut content);
        written.map_err(|error| match error {
            TarError::Read { source, .. } => unread(from)(source).into(),
            other => other.into(),
        })
    }
}

/// Names what an error happened to.
pub(crate) fn unread(from: &str) -> impl Fn(io::Error) -> disk::DiskError + Copy + '_ {
    disk::at(Path::new(from))
}
