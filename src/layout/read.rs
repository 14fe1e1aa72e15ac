//! Reads a package in one pass: the digests of all files, and the content of documents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use super::{LayoutError, PackageFile, open};
use crate::archive::{self, Contents, Listing};
use crate::cas::{Cas, CasError};
use crate::oci::{Digest, Hasher};
use crate::package::{Checksums, Dialect, MAX_DEFINITION_BYTES};
use crate::signing::MAX_BUNDLE_BYTES;
use crate::verify::Evidence;

/// Largest `checksums.txt` held in memory, in bytes: 64 MiB. A list of half a million
/// files is smaller.
pub const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// Reads the package at `path`, of any form that [`open`] knows.
///
/// # Errors
///
/// [`LayoutError`]; invalid content is left to `verify`.
pub fn read(path: &Path) -> Result<Evidence, LayoutError> {
    read_opened(&open(path)?)
}

/// Reads an open package.
///
/// Memory is limited by [`MAX_DOCUMENT_BYTES`] and the paths of the files.
///
/// # Errors
///
/// [`LayoutError`]; invalid content is left to `verify`.
pub fn read_opened(package: &PackageFile) -> Result<Evidence, LayoutError> {
    // Checked first, so that a badly copied part is not reported as a damaged stream.
    package.check_parts()?;
    let mut gatherer = Gatherer {
        package: package.path(),
        evidence: Evidence::default(),
        left: MAX_ALL_KEPT_BYTES,
    };
    package.visit(|name, _, content| gatherer.file(name, content))?;
    Ok(gatherer.evidence)
}

/// Reads an open package and stores every file in `cas`.
///
/// # Errors
///
/// Those of [`read_opened`], and of the cache.
pub fn read_into(package: &PackageFile, cas: &Cas) -> Result<Evidence, LayoutError> {
    package.check_parts()?;
    let mut gatherer = Gatherer {
        package: package.path(),
        evidence: Evidence::default(),
        left: MAX_ALL_KEPT_BYTES,
    };
    package.visit(|name, _, content| {
        let refused = |error: CasError| LayoutError::Output {
            path: package.path().to_owned(),
            entry: name.to_owned(),
            source: io::Error::other(error),
        };
        let mut tee = Tee {
            content,
            out: cas.ingest().map_err(refused)?,
        };
        gatherer.file(name, &mut tee)?;
        tee.out.commit().map(|_| ()).map_err(refused)
    })?;
    Ok(gatherer.evidence)
}

/// Copies everything it reads.
struct Tee<'r, W> {
    content: &'r mut dyn Read,
    out: W,
}

impl<W: Write> Read for Tee<'_, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Reads the documents and signatures of an open package; for every other file, uses
/// the digest in `checksums.txt`.
///
/// For callers that verify the digest when they read the file.
///
/// # Errors
///
/// [`LayoutError`]; invalid content is left to `verify`.
pub fn read_promised(package: &PackageFile) -> Result<Evidence, LayoutError> {
    let mut evidence = read_some(package, &[], |_, _| Ok(io::sink()))?;
    let promised = evidence.checksums.as_deref().unwrap_or_default();
    let promised = Checksums::parse(promised).unwrap_or_default();
    for (name, member) in package.members()? {
        // A file without a checksum is refused later, whatever its digest.
        let digest = promised.get(name).copied();
        let digest = digest.unwrap_or_else(|| Digest::of(&[]));
        let files = &mut evidence.files;
        files.entry(name.clone()).or_insert((digest, member.size));
    }
    Ok(evidence)
}

/// What is in the tars `names` of an open package.
///
/// # Errors
///
/// [`LayoutError`]; a tar that cannot be read is in the result.
pub fn read_listings(
    package: &PackageFile,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, Listing>, LayoutError> {
    let mut found = BTreeMap::new();
    if !package.is_seekable() {
        package.visit(|name, _, content| {
            if let Some(contents) = Dialect::tar_contents(name).filter(|_| names.contains(name)) {
                found.insert(name.to_owned(), archive::list(content, contents));
            }
            Ok(())
        })?;
        return Ok(found);
    }
    for name in names {
        if let Some(contents) = Dialect::tar_contents(name) {
            let listed = match package.small_member(name, 0)? {
                Some(content) => archive::list(content.as_slice(), contents),
                None => listed_of(package, contents, |out| package.read_member(name, out))?,
            };
            found.insert(name.clone(), listed);
        }
    }
    Ok(found)
}

/// Lists the tar that `write` writes.
fn listed_of(
    package: &PackageFile,
    contents: Contents<'_>,
    write: impl FnOnce(&mut io::PipeWriter) -> Result<(), LayoutError>,
) -> Result<Listing, LayoutError> {
    let (reader, mut writer) =
        io::pipe().map_err(|error| LayoutError::io(package.path(), error))?;
    // The decoder needs a writer, and the reader of tars a reader.
    std::thread::scope(|scope| {
        let listing = scope.spawn(move || archive::list(reader, contents));
        let written = write(&mut writer);
        drop(writer);
        let listing = listing.join();
        written?;
        Ok(listing.unwrap_or_else(|_| Err("the reading thread panicked".to_owned())))
    })
}

/// Reads the documents of an open package, and the existing files of `names`; writes
/// their content to the writer that `sink` returns for a name and a size.
///
/// Decodes nothing else of a seekable package. Does not verify the checksum of the
/// parts of a split package.
///
/// # Errors
///
/// [`LayoutError`], and whatever `sink` returns.
pub fn read_some<W: Write>(
    package: &PackageFile,
    names: &[String],
    mut sink: impl FnMut(&str, u64) -> Result<W, LayoutError>,
) -> Result<Evidence, LayoutError> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut evidence = Evidence::default();
    let mut begin = |name: &str, size| -> Result<Option<Taken<W>>, LayoutError> {
        let out = if names.contains(name) {
            Some(sink(name, size)?)
        } else {
            None
        };
        let document = is_document(name);
        if document && size > limit(name) {
            let what = format!("`{name}` is larger than {} bytes", limit(name));
            return Err(LayoutError::too_large(package.path(), what));
        }
        Ok((out.is_some() || document).then(|| Taken {
            out,
            document: document.then(Vec::new),
            hasher: Hasher::default(),
        }))
    };
    let mut end = |name: &str, size, mut taken: Taken<W>| {
        let output = |source| LayoutError::Output {
            path: package.path().to_owned(),
            entry: name.to_owned(),
            source,
        };
        taken.flush().map_err(output)?;
        let file = (taken.hasher.finish(), size);
        match (taken.document, Dialect::of_definition_file(name)) {
            (Some(_), Some(_)) if evidence.definition.is_some() => {
                return Err(two_definitions(package.path()));
            }
            (Some(bytes), Some(dialect)) => evidence.definition = Some((dialect, bytes)),
            (Some(bytes), None) => keep(&mut evidence, name, bytes),
            (None, _) => {}
        }
        evidence.files.insert(name.to_owned(), file);
        Ok(())
    };
    if package.is_seekable() {
        for (name, member) in package.members()? {
            if let Some(mut taken) = begin(name, member.size)? {
                package.read_member(name, &mut taken)?;
                end(name, member.size, taken)?;
            }
        }
    } else {
        // Read all files in one pass: otherwise the stream would be decoded from the
        // start for each.
        package.visit(|name, size, content| {
            let Some(mut taken) = begin(name, size)? else {
                return Ok(());
            };
            let copied = io::copy(content, &mut taken);
            copied.map_err(|error| LayoutError::io(package.path(), error))?;
            end(name, size, taken)
        })?;
    }
    Ok(evidence)
}

/// Files whose content `verify` needs, and signatures: all are small.
fn is_document(name: &str) -> bool {
    Dialect::ALL
        .iter()
        .any(|dialect| dialect.exempt_files().contains(&name))
}

/// Maximum size of the document `name`, in bytes.
#[must_use]
pub fn limit(name: &str) -> u64 {
    match Dialect::of_definition_file(name) {
        Some(_) => MAX_DEFINITION_BYTES,
        None if is_signature(name) => MAX_BUNDLE_BYTES,
        None => MAX_DOCUMENT_BYTES,
    }
}

fn is_signature(name: &str) -> bool {
    let mut names = Dialect::ALL
        .iter()
        .flat_map(|dialect| [dialect.signature_file(), dialect.bundle_file()]);
    names.any(|signature| signature == name)
}

/// Stores a document other than the definition in `evidence`. Which names are
/// signatures depends on the dialect.
pub fn keep(evidence: &mut Evidence, name: &str, bytes: Vec<u8>) {
    let of = |pick: fn(Dialect) -> &'static str| Dialect::ALL.map(pick).contains(&name);
    if name == Dialect::CHECKSUMS {
        evidence.checksums = Some(bytes);
    } else if of(Dialect::signature_file) {
        evidence.signature = Some(bytes);
    } else if of(Dialect::bundle_file) {
        evidence.bundle = Some(bytes);
    }
}

fn two_definitions(package: &Path) -> LayoutError {
    LayoutError::Twice {
        path: package.to_owned(),
        entry: "definition (jackal.yaml or zarf.yaml)".to_owned(),
    }
}

/// A file that is being read: digested, held in memory if it is a document, and copied
/// to `out`.
struct Taken<W> {
    out: Option<W>,
    document: Option<Vec<u8>>,
    hasher: Hasher,
}

impl<W: Write> Write for Taken<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(out) = &mut self.out {
            out.write_all(bytes)?;
        }
        if let Some(document) = &mut self.document {
            document.extend_from_slice(bytes);
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Largest document of an image that is kept while a package is read, in bytes:
/// 1 MiB; larger ones are read again.
const MAX_KEPT_BYTES: u64 = 1 << 20;

/// Maximum total size of such documents: 64 MiB.
const MAX_ALL_KEPT_BYTES: u64 = 64 << 20;

/// Digests what it passes on.
struct Digesting<'r> {
    inner: &'r mut dyn Read,
    hasher: Hasher,
    size: u64,
}

impl<'r> Digesting<'r> {
    fn of(inner: &'r mut dyn Read) -> Self {
        Self {
            inner,
            hasher: Hasher::default(),
            size: 0,
        }
    }
}

impl Read for Digesting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

struct Gatherer<'p> {
    package: &'p Path,
    evidence: Evidence,
    /// Bytes of documents that may still be kept.
    left: u64,
}

impl Gatherer<'_> {
    fn file(&mut self, name: &str, content: &mut dyn Read) -> Result<(), LayoutError> {
        let io = |error| LayoutError::io(self.package, error);
        let twice = |name: &str| LayoutError::Twice {
            path: self.package.to_owned(),
            entry: name.to_owned(),
        };
        let dialect = Dialect::of_definition_file(name);
        let (digest, size) = if is_document(name) {
            let limit = limit(name);
            let mut bytes = Vec::new();
            content
                .take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(io)?;
            if bytes.len() as u64 > limit {
                let what = format!("`{name}` is larger than {limit} bytes");
                return Err(LayoutError::too_large(self.package, what));
            }
            let found = (Digest::of(&bytes), bytes.len() as u64);
            match dialect {
                Some(_) if self.evidence.definition.is_some() => {
                    return Err(two_definitions(self.package));
                }
                Some(dialect) => self.evidence.definition = Some((dialect, bytes)),
                None => keep(&mut self.evidence, name, bytes),
            }
            found
        } else if let Some(contents) = Dialect::tar_contents(name) {
            let mut reader = Digesting::of(content);
            let listing = archive::list(&mut reader, contents);
            self.evidence.listings.insert(name.to_owned(), listing);
            // Errors of the package come again here.
            io::copy(&mut reader, &mut io::sink()).map_err(io)?;
            (reader.hasher.finish(), reader.size)
        } else {
            let mut hasher = Hasher::default();
            let mut size = 0;
            let mut buffer = vec![0; 128 << 10];
            let mut kept = name.starts_with(Dialect::IMAGES).then(Vec::new);
            loop {
                match content.read(&mut buffer).map_err(io)? {
                    0 => break,
                    count => {
                        hasher.update(&buffer[..count]);
                        size += count as u64;
                        let left = self.left;
                        let fits = |kept: &Vec<u8>| {
                            let json = kept.first().unwrap_or(&buffer[0]) == &b'{';
                            json && size <= MAX_KEPT_BYTES.min(left)
                        };
                        kept = kept.filter(fits);
                        if let Some(kept) = &mut kept {
                            kept.extend_from_slice(&buffer[..count]);
                        }
                    }
                }
            }
            if let Some(kept) = kept {
                self.left -= size;
                self.evidence.documents.insert(name.to_owned(), kept);
            }
            (hasher.finish(), size)
        };
        let file = (digest, size);
        match self.evidence.files.insert(name.to_owned(), file) {
            None => Ok(()),
            Some(_) => Err(twice(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Evidence, LayoutError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    #[test]
    fn a_tar_and_its_compressed_form_read_the_same() {
        let tar = tar_of(&[("checksums.txt", b"\n"), ("jackal.yaml", b"kind: x\n")]);
        let plain = read_bytes(&tar).unwrap();
        let packed = read_bytes(&zstd::encode_all(&tar[..], 3).unwrap()).unwrap();
        assert_eq!(plain.files, packed.files);
        assert_eq!(plain.files["checksums.txt"], (Digest::of(b"\n"), 1));
        assert!(plain.definition.is_some() && plain.checksums.is_some());
    }

    #[test]
    fn entries_that_lead_out_or_are_duplicates_are_refused() {
        let escaping = read_bytes(&tar_of(&[("../x", b"")]));
        assert!(matches!(escaping, Err(LayoutError::Unsafe { .. })));
        let absolute = read_bytes(&tar_of(&[("/etc/x", b"")]));
        assert!(matches!(absolute, Err(LayoutError::Unsafe { .. })));
        let twice = read_bytes(&tar_of(&[("a", b"1"), ("a", b"2")]));
        assert!(matches!(twice, Err(LayoutError::Twice { .. })));
    }

    #[test]
    fn a_truncated_archive_is_an_error() {
        let tar = tar_of(&[("a", &[7; 5000])]);
        assert!(read_bytes(&tar[..3000]).is_err());
        let packed = zstd::encode_all(&tar[..], 3).unwrap();
        assert!(read_bytes(&packed[..packed.len() - 4]).is_err());
    }
}
