//! Tar archives whose bytes depend only on names, modes and contents.
//!
//! Writes component tars and the outer tarball. Entries are written in the order of the
//! calls, as USTAR, with a PAX record only where a name or size does not fit; owners
//! and times are always zero. The bytes equal those of Go's `archive/tar`, so packages
//! made by either program have the same digests. It never sorts, walks a directory, or
//! holds a file's content in memory.

use std::io::{self, Read, Write};

use super::path::{MAX_PATH_BYTES, PathError, SafePath};

/// Entries begin at multiples of this, in bytes.
pub const BLOCK: usize = 512;
const NAME_LEN: usize = 100;
const PREFIX_LEN: usize = 155;
/// The size field holds eleven octal digits: 8 GiB less one byte.
const MAX_OCTAL_SIZE: u64 = (1 << 33) - 1;
const COPY_BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file, followed by its content.
    File,
    /// A directory; its name is written without a trailing slash.
    Directory,
    /// A symlink to the target, written as given.
    Symlink(&'a str),
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The entry's name is invalid.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The symlink's target is empty, too long, or holds a NUL byte.
    #[error(
        "the target of symlink `{0}` is empty, longer than {MAX_PATH_BYTES} bytes, or contains a NUL byte"
    )]
    Target(String),
    /// The content is shorter than announced.
    #[error("`{path}` ended after {found} of {size} bytes; it may have changed while it was read")]
    Short {
        path: String,
        /// Announced size.
        size: u64,
        found: u64,
    },
    /// The content is longer than announced.
    #[error("`{path}` runs past its {size} bytes; it may have changed while it was read")]
    Long {
        path: String,
        /// Announced size.
        size: u64,
    },
    /// The content could not be read.
    #[error("cannot read the content of `{path}`")]
    Read { path: String, source: io::Error },
    /// The archive could not be written.
    #[error("cannot write the tar archive")]
    Write(#[source] io::Error),
    /// An earlier entry failed part-way, so the archive is unusable.
    #[error("tar archive is incomplete after an earlier error")]
    Broken,
}

/// Writes entries in order.
///
/// After an error, every later call returns [`TarError::Broken`], so that a
/// half-written entry never becomes part of a valid-looking archive.
pub struct TarWriter<W> {
    inner: W,
    broken: bool,
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive at the current end of `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            broken: false,
        }
    }

    /// Adds a directory. The name `.` is the archive's root.
    ///
    /// # Errors
    ///
    /// [`TarError`]: an unusable name, or the write failed.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), TarError> {
        self.guarded(|inner| put(inner, &header_bytes(path, mode, 0, EntryKind::Directory)?))
    }

    /// Adds a symlink, mode 0777.
    ///
    /// # Errors
    ///
    /// [`TarError`]: an unusable name or target, or the write failed.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), TarError> {
        self.guarded(|inner| {
            put(
                inner,
                &header_bytes(path, 0o777, 0, EntryKind::Symlink(target))?,
            )
        })
    }

    /// Adds a file of exactly `size` bytes, and reads `content` to its end.
    ///
    /// Reading to the end lets a `VerifyReader` report a mismatch.
    ///
    /// # Errors
    ///
    /// [`TarError`]: an unusable name, content that is shorter or longer, or a
    /// read or write failed.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), TarError> {
        self.guarded(|inner| {
            put(inner, &header_bytes(path, mode, size, EntryKind::File)?)?;
            copy_exactly(inner, path, size, content)?;
            put(inner, &[0; BLOCK][..padding(size)])
        })
    }

    /// Writes the two zero blocks that end the archive and returns `inner`.
    ///
    /// # Errors
    ///
    /// [`TarError`]: the write failed, or an earlier entry did.
    pub fn finish(mut self) -> Result<W, TarError> {
        self.guarded(|inner| {
            put(inner, &[0; 2 * BLOCK])?;
            inner.flush().map_err(TarError::Write)
        })?;
        Ok(self.inner)
    }

    fn guarded(
        &mut self,
        step: impl FnOnce(&mut W) -> Result<(), TarError>,
    ) -> Result<(), TarError> {
        if self.broken {
            return Err(TarError::Broken);
        }
        let result = step(&mut self.inner);
        self.broken = result.is_err();
        result
    }
}

fn put(inner: &mut impl Write, bytes: &[u8]) -> Result<(), TarError> {
    inner.write_all(bytes).map_err(TarError::Write)
}

/// Number of padding bytes after `size` bytes of content.
#[must_use]
pub fn padding(size: u64) -> usize {
    // The remainder is below 512 and so fits.
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

fn copy_exactly(
    inner: &mut impl Write,
    path: &str,
    size: u64,
    content: &mut impl Read,
) -> Result<(), TarError> {
    let mut buffer = vec![0; COPY_BUFFER];
    let mut found = 0;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) if found == size => return Ok(()),
            Ok(0) => {
                let path = path.to_owned();
                return Err(TarError::Short { path, size, found });
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let path = path.to_owned();
                return Err(TarError::Read { path, source });
            }
        };
        if count as u64 > size - found {
            let path = path.to_owned();
            return Err(TarError::Long { path, size });
        }
        put(inner, &buffer[..count])?;
        found += count as u64;
    }
}

/// The blocks before an entry's content, including PAX records.
///
/// `size` matters only for files. The content follows, padded with zeros to a multiple
/// of 512 bytes.
///
/// # Errors
///
/// [`TarError::Path`] and [`TarError::Target`]: an unusable name or target.
pub fn header_bytes(
    path: &str,
    mode: u32,
    size: u64,
    kind: EntryKind<'_>,
) -> Result<Vec<u8>, TarError> {
    let path = match kind {
        EntryKind::Directory if path == "." => path.to_owned(),
        _ => SafePath::parse(path)?.as_str().to_owned(),
    };
    let (flag, size, target) = match kind {
        EntryKind::File => (b'0', size, ""),
        EntryKind::Directory => (b'5', 0, ""),
        EntryKind::Symlink(target) => (b'2', 0, target),
    };
    let is_link = matches!(kind, EntryKind::Symlink(_));
    if is_link && (target.is_empty() || target.len() > MAX_PATH_BYTES || target.contains('\0')) {
        return Err(TarError::Target(path));
    }

    // In bytewise order of their keys.
    let mut records = Vec::new();
    if !target.is_ascii() || target.len() > NAME_LEN {
        record(&mut records, "linkpath", target);
    }
    let split = split_path(&path);
    let long = !path.is_ascii() || path.len() > NAME_LEN;
    // Once records are needed, a name that fits the two fields gets a record as well.
    let other_record = !records.is_empty() || size > MAX_OCTAL_SIZE;
    if long && (split.is_none() || other_record) {
        record(&mut records, "path", &path);
    }
    if size > MAX_OCTAL_SIZE {
        record(&mut records, "size", &size.to_string());
    }

    let mut bytes = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let slash = if directory.is_empty() { "" } else { "/" };
        let name: Vec<u8> = ascii(&format!("{directory}{slash}PaxHeaders.0/{name}"))
            .take(NAME_LEN)
            .collect();
        let end = name
            .iter()
            .rposition(|&byte| byte != b'/')
            .map_or(0, |at| at + 1);
        let mut block = block(&name[..end], 0, records.len() as u64, b'x');
        seal(&mut block);
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(&records);
        bytes.resize(bytes.len() + padding(records.len() as u64), 0);
    }

    let (prefix, name) = match split {
        Some(parts) if records.is_empty() => parts,
        _ => ("", path.as_str()),
    };
    let name: Vec<u8> = ascii(name).collect();
    let shown_size = if size > MAX_OCTAL_SIZE { 0 } else { size };
    let mut block = block(&name, mode & 0o7777, shown_size, flag);
    text(&mut block[157..257], &ascii(target).collect::<Vec<_>>());
    octal(&mut block[329..337], 0);
    octal(&mut block[337..345], 0);
    text(&mut block[345..500], prefix.as_bytes());
    seal(&mut block);
    bytes.extend_from_slice(&block);
    Ok(bytes)
}

/// Splits a long ASCII name at the last slash for which both parts fit.
fn split_path(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_LEN || !path.is_ascii() {
        return None;
    }
    let at = path[..path.len().min(PREFIX_LEN + 1)].rfind('/')?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (!prefix.is_empty() && !name.is_empty() && name.len() <= NAME_LEN).then_some((prefix, name))
}

/// Appends `length key=value\n`, where the length includes its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    // Adding the digits can increase the number of digits, but only once.
    length = rest + length.to_string().len();
    records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

/// The part of a string that a field can hold: its ASCII characters.
fn ascii(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().filter(u8::is_ascii)
}

fn block(name: &[u8], mode: u32, size: u64, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    text(&mut block[..NAME_LEN], name);
    octal(&mut block[100..108], u64::from(mode));
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], 0);
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block
}

fn text(field: &mut [u8], value: &[u8]) {
    let count = value.len().min(field.len());
    field[..count].copy_from_slice(&value[..count]);
    // A cut name must not end in a slash: old readers would see a directory.
    if value.len() > count && field.last() == Some(&b'/') {
        field[count - 1] = 0;
    }
}

/// Zero-padded octal digits and a NUL.
fn octal(field: &mut [u8], mut value: u64) {
    if let Some((end, digits)) = field.split_last_mut() {
        *end = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (value & 7) as u8;
            value >>= 3;
        }
    }
}

/// Fills in the checksum, which counts its own field as spaces.
fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn a_component_tar_is_the_one_go_writes() {
        let mut tar = TarWriter::new(Vec::new());
        for path in ["demo", "demo/files", "demo/files/0"] {
            tar.directory(path, 0o700).unwrap();
        }
        let mut content: &[u8] = b"hello\n";
        tar.file("demo/files/0/hello.txt", 0o600, 6, &mut content)
            .unwrap();
        let bytes = tar.finish().unwrap();
        assert_eq!(bytes.len(), 3584);
        assert_eq!(
            Digest::of(&bytes).hex(),
            "d227e21658bb8e82f7da4090fcf5b9c61cbb3e53c8d9af10c4d9a3758ebf4ffc"
        );
    }

    #[test]
    fn an_empty_sbom_tar_is_the_one_go_writes() {
        let mut tar = TarWriter::new(Vec::new());
        tar.directory(".", 0o700).unwrap();
        assert_eq!(
            Digest::of(&tar.finish().unwrap()).hex(),
            "9f3f02e684b7fe56949e48843bdf36fa7e0cc8825e0071348d5bb5c98db7cd12"
        );
    }

    #[test]
    fn long_and_foreign_names_are_read_back_by_another_reader() {
        let split = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let long = "n".repeat(250);
        let cut = format!("{}/{}", "c".repeat(99), "x".repeat(120));
        let names = ["short", &split, &long, &cut, "ünï/cödé"];
        let target = format!("../{}", "t".repeat(200));
        let mut tar = TarWriter::new(Vec::new());
        for name in names {
            tar.file(name, 0o644, 3, &mut &b"abc"[..]).unwrap();
        }
        tar.symlink(&split, &target).unwrap();
        let bytes = tar.finish().unwrap();
        // Go's `archive/tar` writes these very bytes for the same entries.
        assert_eq!(
            Digest::of(&bytes).hex(),
            "9d18d90bfabba2c1a7d214609a1397e042f13e258a5cb1d46b34fcb414a9ec40"
        );
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            seen.push((path, link, content));
        }
        let (last, files) = seen.split_last().unwrap();
        assert_eq!(
            files
                .iter()
                .map(|(path, ..)| path.as_str())
                .collect::<Vec<_>>(),
            names
        );
        assert!(files.iter().all(|(.., content)| content == "abc"));
        assert_eq!(last.0, split);
        assert_eq!(last.1.as_deref(), Some(target.as_bytes()));
    }

    #[test]
    fn records_appear_only_where_fields_are_too_small() {
        let split = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let len = |path: &str, size| {
            header_bytes(path, 0o644, size, EntryKind::File)
                .unwrap()
                .len()
        };
        assert_eq!(len(&split, 0), 512);
        assert_eq!(len("a", MAX_OCTAL_SIZE), 512);
        assert_eq!(len("a", MAX_OCTAL_SIZE + 1), 1536);
        let mut records = Vec::new();
        record(&mut records, "path", &"a".repeat(90));
        assert_eq!(records.len(), 99);
        assert!(records.starts_with(b"99 path="));
        records.clear();
        record(&mut records, "path", &"a".repeat(91));
        assert_eq!(records.len(), 101);
        assert!(records.starts_with(b"101 path="));
    }

    #[test]
    fn content_of_another_size_breaks_the_archive() {
        let mut tar = TarWriter::new(Vec::new());
        let short = tar.file("a", 0o600, 4, &mut &b"abc"[..]);
        assert!(matches!(short, Err(TarError::Short { found: 3, .. })));
        assert!(matches!(tar.directory("b", 0o700), Err(TarError::Broken)));
        assert!(matches!(tar.finish(), Err(TarError::Broken)));
        let long = TarWriter::new(Vec::new()).file("a", 0o600, 2, &mut &b"abc"[..]);
        assert!(matches!(long, Err(TarError::Long { size: 2, .. })));
    }

    #[test]
    fn climbing_names_and_nul_targets_are_refused() {
        let mut tar = TarWriter::new(Vec::new());
        assert!(matches!(
            tar.directory("../a", 0o700),
            Err(TarError::Path(_))
        ));
        let link = header_bytes("a", 0, 0, EntryKind::Symlink("b\0"));
        assert!(matches!(link, Err(TarError::Target(_))));
        assert!(header_bytes(".", 0o644, 0, EntryKind::File).is_err());
    }
}
