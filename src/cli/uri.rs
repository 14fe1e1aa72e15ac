//! Paths in addresses: `file:` URIs of an editor, relative references of a report.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters (RFC 3986, section 2.3) and slashes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A path as a relative reference (RFC 3986, section 4.2).
pub(super) fn reference(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED).to_string()
}

/// An absolute path as a URI (RFC 8089).
pub(super) fn of_file(path: &Path) -> String {
    format!("file://{}", reference(&path.to_string_lossy()))
}

/// The path of a `file:` URI (RFC 8089); other documents have none.
pub(super) fn path_of(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let path = &rest[rest.find('/')?..];
    let path = percent_decode_str(path).decode_utf8().ok()?;
    (!path.contains('\0')).then(|| PathBuf::from(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_uris_are_each_other() {
        let path = PathBuf::from("/a b/ü%/jackal.yaml");
        let uri = of_file(&path);
        assert_eq!(uri, "file:///a%20b/%C3%BC%25/jackal.yaml");
        assert_eq!(path_of(&uri), Some(path));
        // What is no escape stands for itself.
        assert_eq!(path_of("file:///a%2"), Some(PathBuf::from("/a%2")));
        assert_eq!(path_of("file://host/a"), Some(PathBuf::from("/a")));
        for other in ["untitled:1", "file://", "file:///%00", "file:///%ff"] {
            assert_eq!(path_of(other), None, "{other}");
        }
    }
}
