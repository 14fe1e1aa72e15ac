//! Package URLs, with sorted qualifiers and without empty ones.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Builds `pkg:kind/namespace/name@version?qualifiers`.
pub(super) fn purl(
    kind: &str,
    namespace: &str,
    name: &str,
    version: &str,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut text = format!("pkg:{kind}/");
    for part in namespace.split('/').filter(|part| !part.is_empty()) {
        encode(part, &mut text);
        text.push('/');
    }
    encode(name, &mut text);
    if !version.is_empty() && version != "UNKNOWN" {
        text.push('@');
        encode(version, &mut text);
    }
    let sorted: BTreeMap<_, _> = qualifiers
        .iter()
        .copied()
        .filter(|(_, v)| !v.is_empty())
        .collect();
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// `purl` with the path inside its package; without one if `path` is empty.
pub(super) fn with_subpath(mut purl: String, path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty());
    for (index, part) in parts.enumerate() {
        purl.push(if index == 0 { '#' } else { '/' });
        encode(part, &mut purl);
    }
    purl
}

/// The distribution's id and the `distro` qualifier: `<id>-<version>`, or as much as
/// is known.
pub(super) fn distro_of(distro: &Value) -> (String, String) {
    let field = |key: &str| distro[key].as_str().unwrap_or_default();
    let id = field("id");
    let version = [field("versionID"), field("buildID")]
        .into_iter()
        .find(|version| !version.is_empty());
    let word = match version {
        Some(version) if !id.is_empty() => format!("{id}-{version}"),
        _ => id.to_owned(),
    };
    (id.to_owned(), word)
}

/// Everything but the characters that a purl has as they are.
///
/// Source: purl-spec, "Character encoding".
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

fn encode(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, ESCAPED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purls_are_encoded_and_their_qualifiers_sorted() {
        assert_eq!(
            purl(
                "deb",
                "debian",
                "a",
                "1:2+b",
                &[("upstream", "s@1"), ("arch", "all"), ("x", "")]
            ),
            "pkg:deb/debian/a@1:2%2Bb?arch=all&upstream=s%401"
        );
        assert_eq!(purl("npm", "@s", "n", "UNKNOWN", &[]), "pkg:npm/%40s/n");
    }
}
