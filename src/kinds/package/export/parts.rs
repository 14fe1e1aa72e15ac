//! Splits an archive into files of a certain length while it is written.
//!
//! Parts are written to a folder beside the archive until all are complete, so that no
//! extra copy is needed and an earlier archive is kept until they replace it. Source:
//! docs/spec/package.md, "Split archives".

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::{self, TemporaryFolder};
use crate::kinds::package::export::{Exported, part};
use crate::layout;
use crate::oci::Hasher;

/// Maximum number of data parts.
pub(crate) const MAX_PARTS: u64 = layout::MAX_PARTS as u64;

/// A writer that fills one part after the other.
pub(crate) struct Parts {
    folder: TemporaryFolder,
    limit: u64,
    mode: u32,
    file: Option<File>,
    /// The remaining space in the current part.
    left: u64,
    count: u64,
    bytes: u64,
    hasher: Hasher,
}

impl Parts {
    /// Starts parts of at most `limit` bytes with `mode`, for an archive in `folder`.
    pub(crate) fn begin(folder: &Path, limit: u64, mode: u32) -> io::Result<Self> {
        Ok(Self {
            folder: TemporaryFolder::new(folder).map_err(|error| error.source)?,
            limit,
            mode,
            file: None,
            left: 0,
            count: 0,
            bytes: 0,
            hasher: Hasher::default(),
        })
    }

    /// Maximum length of a part, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether there are too many parts for a split archive.
    pub(crate) fn are_too_many(&self) -> bool {
        self.count > MAX_PARTS
    }

    fn at(&self, number: u64) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    /// Flushes the current part to disk.
    fn close(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| file.sync_all())
    }

    /// Moves the archive to `to`, replacing an earlier one; as a single file if it fits
    /// in one part. The header comes last: a split archive without it is invalid.
    /// `earlier` are the parts that are replaced.
    pub(crate) fn finish(mut self, to: &Path, earlier: &[PathBuf]) -> io::Result<Exported> {
        self.close()?;
        let (count, bytes) = (self.count, self.bytes);
        if count == 1 {
            fs::rename(self.at(1), to)?;
            remove(earlier)?;
            return Ok(Exported {
                files: vec![to.to_owned()],
                bytes,
            });
        }
        let digest = std::mem::take(&mut self.hasher).finish();
        let header = format!(
            "{{\"sha256Sum\":\"{}\",\"bytes\":{bytes},\"count\":{count}}}",
            digest.hex()
        );
        let mut file = disk::create_as(&self.at(0), self.mode)?;
        file.write_all(header.as_bytes())?;
        file.sync_all()?;
        removed(&part(to, 0))?;
        for number in 1..=count {
            fs::rename(self.at(number), part(to, number))?;
        }
        let kept: Vec<PathBuf> = (0..=count).map(|number| part(to, number)).collect();
        for path in earlier.iter().filter(|path| !kept.contains(path)) {
            removed(path)?;
        }
        fs::rename(self.at(0), part(to, 0))?;
        removed(to)?;
        Ok(Exported { files: kept, bytes })
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 && !bytes.is_empty() {
            self.close()?;
            self.count += 1;
            if self.are_too_many() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.left = self.limit;
            self.file = Some(disk::create_as(&self.at(self.count), self.mode)?);
        }
        let Some(file) = &mut self.file else {
            return Ok(0);
        };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let written = file.write(&bytes[..bytes.len().min(most)])?;
        self.hasher.update(&bytes[..written]);
        self.left -= written as u64;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts of an earlier archive at `to`, which would make the new archive unreadable;
/// or a file of which nothing shows that it is one. A part is in `known`, or all parts
/// together match their header.
pub(crate) fn earlier(to: &Path, known: &[PathBuf]) -> io::Result<Result<Vec<PathBuf>, PathBuf>> {
    let Some(name) = to.file_name().and_then(|name| name.to_str()) else {
        return Ok(Ok(Vec::new()));
    };
    let stem = format!("{name}.part");
    let mut found = Vec::new();
    for entry in fs::read_dir(super::folder_of(to))? {
        let entry = entry?;
        let number = entry.file_name();
        let number = number.to_str().and_then(|text| text.strip_prefix(&stem));
        if number.is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit())) {
            found.push(to.with_file_name(entry.file_name()));
        }
    }
    found.sort();
    let mut verified = None;
    for path in &found {
        let parts = || layout::verified_parts(to).unwrap_or_default();
        if !known.contains(path) && !verified.get_or_insert_with(parts).contains(path) {
            return Ok(Err(path.clone()));
        }
    }
    Ok(Ok(found))
}

/// Removes the parts of an earlier archive.
pub(crate) fn remove(earlier: &[PathBuf]) -> io::Result<()> {
    earlier.iter().try_for_each(|path| removed(path))
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
