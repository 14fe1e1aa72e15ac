//! Split archives: a header, and parts that are numbered in order.
//!
//! Source: docs/spec/package.md, "Split archives".

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::LayoutError;
use crate::oci::{Digest, Hasher};

/// Maximum length of a header, in bytes; one has about 120.
const MAX_HEADER_BYTES: u64 = 4096;

/// Maximum number of data parts: the number has three digits.
pub const MAX_PARTS: usize = 999;

/// The parts of a split package, with consistent sizes but an unverified checksum.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Each data part with its length, in order.
    pub files: Vec<(PathBuf, u64)>,
    /// Total size of all parts.
    pub sum: Digest,
}

/// The name without the part number, if `path` ends with one.
pub(super) fn stem(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, number) = name.rsplit_once(".part")?;
    let numbered = number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && !stem.is_empty()).then(|| path.with_file_name(stem))
}

/// The file of part `number` of the archive `base`.
pub(super) fn part(base: &Path, number: usize) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".part{number:03}"));
    name.into()
}

/// Finds the parts of the archive `base` by its header.
pub(super) fn find(base: &Path) -> Result<Parts, LayoutError> {
    let path = part(base, 0);
    let header = match read_header(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LayoutError::SplitHeader {
                path,
                what: "no such file; the parts cannot be joined without it".to_owned(),
            });
        }
        read => read.map_err(|error| LayoutError::io(&path, error))?,
    };
    let header = parse(&header).map_err(|what| LayoutError::SplitHeader { path, what })?;
    let mut files = Vec::with_capacity(header.count);
    let mut found = 0_u64;
    for number in 1..=header.count {
        let path = part(base, number);
        let size = match std::fs::metadata(&path) {
            Ok(facts) if facts.is_file() => facts.len(),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LayoutError::io(&path, error));
            }
            _ => {
                let count = header.count;
                return Err(LayoutError::PartMissing { path, count });
            }
        };
        found = found.saturating_add(size);
        files.push((path, size));
    }
    if found != header.bytes {
        return Err(LayoutError::PartsSize {
            path: base.to_owned(),
            expected: header.bytes,
            found,
        });
    }
    Ok(Parts {
        files,
        sum: header.sum,
    })
}

/// Reads all parts and compares their digest with that in the header.
pub(super) fn check_sum(base: &Path, parts: &Parts) -> Result<(), LayoutError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    for (path, _) in &parts.files {
        let mut file = File::open(path).map_err(|error| LayoutError::io(path, error))?;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) => return Err(LayoutError::io(path, error)),
            }
        }
    }
    let found = hasher.finish();
    if found == parts.sum {
        return Ok(());
    }
    Err(LayoutError::PartsSum {
        path: base.to_owned(),
        expected: parts.sum.hex(),
        found: found.hex(),
    })
}

/// The files of the split archive `base`, header first, if they are complete and match
/// their header.
///
/// # Errors
///
/// [`LayoutError`]: they are not, or cannot be read.
pub fn verified_parts(base: &Path) -> Result<Vec<PathBuf>, LayoutError> {
    let parts = find(base)?;
    check_sum(base, &parts)?;
    let data = parts.files.into_iter().map(|(path, _)| path);
    Ok(std::iter::once(part(base, 0)).chain(data).collect())
}

fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_HEADER_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Header {
    sum: Digest,
    bytes: u64,
    count: usize,
}

fn parse(bytes: &[u8]) -> Result<Header, String> {
    if bytes.len() as u64 > MAX_HEADER_BYTES {
        return Err(format!("it is longer than {MAX_HEADER_BYTES} bytes"));
    }
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)
        .map_err(|error| format!("expected a JSON object with checksum and sizes: {error}"))?;
    let field = |name: &str| {
        let mut fields = map.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (fields.next(), fields.next()) {
            (Some((_, value)), None) => Ok(value),
            (None, _) => Err(format!("`{name}` is missing")),
            _ => Err(format!("`{name}` is set twice, in different spellings")),
        }
    };
    let number = |name: &str| {
        let value = field(name)?.as_u64();
        value.ok_or_else(|| format!("`{name}` is not a whole number"))
    };
    let sum = field("sha256Sum")?.as_str().map(Digest::from_hex);
    let Some(Ok(sum)) = sum else {
        return Err("`sha256Sum` is not a SHA-256 digest in hex".to_owned());
    };
    let count = number("count")?;
    match usize::try_from(count) {
        Ok(count @ 1..=MAX_PARTS) => Ok(Header {
            sum,
            bytes: number("bytes")?,
            count,
        }),
        _ => Err(format!("`count` is {count}, expected 1 to {MAX_PARTS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(dir: &Path) -> PathBuf {
        let base = dir.join("p.tar");
        std::fs::write(part(&base, 1), "abc").unwrap();
        std::fs::write(part(&base, 2), "de").unwrap();
        let sum = Digest::of(b"abcde").hex();
        let header = format!(r#"{{"Sha256Sum":"{sum}","BYTES":5,"count":2}}"#);
        std::fs::write(part(&base, 0), header).unwrap();
        base
    }

    #[test]
    fn parts_are_found_whatever_the_case_of_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let base = split(dir.path());
        let parts = find(&base).unwrap();
        assert_eq!(parts.files[1], (part(&base, 2), 2));
        check_sum(&base, &parts).unwrap();
        assert_eq!(stem(&part(&base, 0)), Some(base.clone()));
        assert_eq!(stem(&part(&base, 2)), Some(base));
        assert_eq!(stem(Path::new("a.part0")), None);
    }

    #[test]
    fn missing_short_and_altered_parts_give_different_errors() {
        let dir = tempfile::tempdir().unwrap();
        let base = split(dir.path());
        std::fs::write(part(&base, 2), "dX").unwrap();
        let parts = find(&base).unwrap();
        let wrong = check_sum(&base, &parts);
        assert!(matches!(wrong, Err(LayoutError::PartsSum { .. })));
        std::fs::write(part(&base, 2), "d").unwrap();
        let short = find(&base);
        assert!(matches!(
            short,
            Err(LayoutError::PartsSize { found: 4, .. })
        ));
        std::fs::remove_file(part(&base, 2)).unwrap();
        let missing = find(&base);
        assert!(matches!(missing, Err(LayoutError::PartMissing { .. })));
        std::fs::remove_file(part(&base, 0)).unwrap();
        assert!(matches!(find(&base), Err(LayoutError::SplitHeader { .. })));
    }

    #[test]
    fn malformed_headers_are_refused() {
        let sum = Digest::of(b"").hex();
        for text in [
            "".to_owned(),
            "[]".to_owned(),
            format!(r#"{{"sha256Sum":"{sum}","bytes":1}}"#),
            format!(r#"{{"sha256Sum":"{sum}","bytes":1,"count":0}}"#),
            format!(r#"{{"sha256Sum":"{sum}","bytes":1,"count":1000}}"#),
            format!(r#"{{"sha256Sum":"{sum}","bytes":-1,"count":1}}"#),
            format!(r#"{{"sha256Sum":"{sum}","bytes":1,"count":1,"Count":2}}"#),
            r#"{"sha256Sum":"zz","bytes":1,"count":1}"#.to_owned(),
            "x".repeat(5000),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
