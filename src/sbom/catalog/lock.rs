//! What the readers of lock files share: where a package was listed, and how the
//! packages of one file find each other.

use serde_json::Value;

use super::Found;
use super::data::Reason;
use crate::oci::Digest;
use crate::sbom::document::{Ecosystem, Evidence, Location, Package};
use crate::sbom::squash::View;

/// One lock file.
pub(super) struct Lock<'v> {
    view: &'v View,
    path: &'v str,
    location: Option<Location>,
    /// Stands for the path, which may be long, in each name of a package.
    mark: String,
}

impl<'v> Lock<'v> {
    fn new(view: &'v View, path: &'v str) -> Self {
        Self {
            view,
            path,
            location: view.location(path, Evidence::Primary),
            mark: Digest::of(path.as_bytes()).hex()[..16].to_owned(),
        }
    }

    /// The text of the file called `name` beside it, if it is kept.
    pub(super) fn beside(&self, name: &str) -> Option<String> {
        self.view.text(&self.path_of(name))
    }

    /// The location of the file called `name` beside it, for further facts, if there is
    /// one and `found` has memory for it.
    pub(super) fn supporting(&self, name: &str, found: &mut Found) -> Option<Location> {
        let path = self.path_of(name);
        let location = self.view.location(&path, Evidence::Supporting)?;
        found.text(2 * path.len()).then_some(location)
    }

    fn path_of(&self, name: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }

    /// The name of the file.
    pub(super) fn name(&self) -> &'v str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The folder of the file, without slashes at its ends.
    pub(super) fn folder(&self) -> &'v str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// A package that the file lists.
    pub(super) fn package(&self, ecosystem: Ecosystem, name: &str, version: &str) -> Package {
        let mut package = Package::new(ecosystem, name, version);
        package.locations.extend(self.location.clone());
        package
    }

    /// `key` as a name that packages of other files do not have.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}\0{key}", self.mark)
    }

    /// The `keys` as such names, as long as `found` has memory for them.
    pub(super) fn keys<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k str>,
        found: &mut Found,
    ) -> Vec<String> {
        let keys = keys.into_iter().map(|key| self.key(key));
        keys.take_while(|key| found.text(key.len())).collect()
    }
}

/// Reads the lock file at `path` as `ecosystem`, and lists it as unreadable for the
/// reason that `read` gives.
pub(super) fn read(
    view: &View,
    path: &str,
    ecosystem: Ecosystem,
    found: &mut Found,
    read: impl FnOnce(&Lock<'_>, &str, &mut Found) -> Result<(), Reason>,
) {
    let Some(text) = view.bytes(path).map(decoded) else {
        return;
    };
    if let Err(reason) = read(&Lock::new(view, path), &text, found) {
        found.unreadable(view, path, ecosystem, reason);
    }
}

/// The text of a file: what PowerShell writes is UTF-16, and editors may put a byte order
/// mark first.
fn decoded(bytes: Vec<u8>) -> String {
    let wide = |number: fn([u8; 2]) -> u16| {
        let pairs = bytes[2..]
            .chunks_exact(2)
            .map(|pair| number([pair[0], pair[1]]));
        let text = char::decode_utf16(pairs);
        text.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes[..] {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, ..] => String::from_utf8_lossy(&bytes[3..]).into_owned(),
        _ => String::from_utf8(bytes)
            .unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned()),
    }
}

/// The text at `key`; empty if there is none.
pub(super) fn text<'j>(value: &'j Value, key: &str) -> &'j str {
    value[key].as_str().unwrap_or_default()
}

/// The keys and values of the object at `key`.
pub(super) fn pairs<'j>(value: &'j Value, key: &str) -> impl Iterator<Item = (&'j str, &'j Value)> {
    let map = value[key].as_object().into_iter().flatten();
    map.map(|(key, value)| (key.as_str(), value))
}

/// The items of the list at `key`.
pub(super) fn items<'j>(value: &'j Value, key: &str) -> &'j [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The texts in the list at `key`.
pub(super) fn texts<'j>(value: &'j Value, key: &str) -> impl Iterator<Item = &'j str> {
    items(value, key).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_other_encodings_are_read() {
        for bytes in [
            &b"a=\xc3\xa9"[..],
            b"\xef\xbb\xbfa=\xc3\xa9",
            b"\xff\xfea\0=\0\xe9\0",
            b"\xfe\xff\0a\0=\0\xe9",
        ] {
            assert_eq!(decoded(bytes.to_vec()), "a=\u{e9}");
        }
        assert_eq!(decoded(b"a\xff".to_vec()), "a\u{fffd}");
        assert_eq!(decoded(vec![0xff, 0xfe, 1]), "");
    }
}
