//! Licences of packages: what was written, and its canonical SPDX form.
//!
//! The canonical form never has an id that SPDX deprecated: those of the GNU licences do
//! not say whether later versions apply.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::location::Location;

/// A licence as it is written, or as its text was recognized.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct License {
    /// What is written; for a text without a known id, its digest.
    pub value: String,
    /// Whether it was recognized by its text. Otherwise a package declares it.
    pub concluded: bool,
    /// Where it is written, if that is not where the package is.
    pub locations: Vec<Location>,
}

/// Longest licence that is looked up, in bytes: expressions have some hundred.
const MAX_EXPRESSION: usize = 10_000;

impl License {
    /// A licence that a package declares.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            ..Self::default()
        }
    }

    /// A licence whose text is at `location`.
    #[must_use]
    pub fn concluded(id: &str, location: Location) -> Self {
        Self {
            value: id.to_owned(),
            concluded: true,
            locations: vec![location],
        }
    }

    /// The licence, declared at `location`.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.locations.extend(location);
        self
    }

    /// The canonical SPDX id or expression; empty if the licence is neither.
    #[must_use]
    pub fn spdx(&self) -> String {
        canonical(self.value.trim())
    }
}

/// Ids that SPDX deprecated, and what they mean. Those that are left out became no
/// other id.
///
/// Source: the SPDX License List, "Deprecated License Identifiers".
const DEPRECATED: &[(&str, &str)] = &[
    ("AGPL-1.0", "AGPL-1.0-only"),
    ("AGPL-1.0+", "AGPL-1.0-or-later"),
    ("AGPL-3.0", "AGPL-3.0-only"),
    ("AGPL-3.0+", "AGPL-3.0-or-later"),
    ("BSD-2-Clause-FreeBSD", "BSD-2-Clause"),
    ("BSD-2-Clause-NetBSD", "BSD-2-Clause"),
    ("GFDL-1.1", "GFDL-1.1-only"),
    ("GFDL-1.1+", "GFDL-1.1-or-later"),
    ("GFDL-1.2", "GFDL-1.2-only"),
    ("GFDL-1.2+", "GFDL-1.2-or-later"),
    ("GFDL-1.3", "GFDL-1.3-only"),
    ("GFDL-1.3+", "GFDL-1.3-or-later"),
    ("GPL-1.0", "GPL-1.0-only"),
    ("GPL-1.0+", "GPL-1.0-or-later"),
    ("GPL-2.0", "GPL-2.0-only"),
    ("GPL-2.0+", "GPL-2.0-or-later"),
    (
        "GPL-2.0-with-GCC-exception",
        "GPL-2.0-only WITH GCC-exception-2.0",
    ),
    (
        "GPL-2.0-with-autoconf-exception",
        "GPL-2.0-only WITH Autoconf-exception-2.0",
    ),
    (
        "GPL-2.0-with-bison-exception",
        "GPL-2.0-or-later WITH Bison-exception-2.2",
    ),
    (
        "GPL-2.0-with-classpath-exception",
        "GPL-2.0-only WITH Classpath-exception-2.0",
    ),
    (
        "GPL-2.0-with-font-exception",
        "GPL-2.0-only WITH Font-exception-2.0",
    ),
    ("GPL-3.0", "GPL-3.0-only"),
    ("GPL-3.0+", "GPL-3.0-or-later"),
    (
        "GPL-3.0-with-GCC-exception",
        "GPL-3.0-only WITH GCC-exception-3.1",
    ),
    (
        "GPL-3.0-with-autoconf-exception",
        "GPL-3.0-only WITH Autoconf-exception-3.0",
    ),
    ("LGPL-2.0", "LGPL-2.0-only"),
    ("LGPL-2.0+", "LGPL-2.0-or-later"),
    ("LGPL-2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("LGPL-3.0", "LGPL-3.0-only"),
    ("LGPL-3.0+", "LGPL-3.0-or-later"),
    ("StandardML-NJ", "SMLNJ"),
    ("bzip2-1.0.5", "bzip2-1.0.6"),
    ("eCos-2.0", "GPL-2.0-or-later WITH eCos-exception-2.0"),
    (
        "wxWindows",
        "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
    ),
];

/// Canonical ids by the forms in which they are written.
static KNOWN: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let today = spdx::identifiers::LICENSES.iter();
    let today = today
        .filter(|id| id.flags & spdx::flags::IS_DEPRECATED == 0 && id.name != "NOASSERTION")
        .map(|id| (id.name, id.name));
    let mut known = HashMap::new();
    for (name, id) in today.chain(DEPRECATED.iter().copied()) {
        for form in forms(name) {
            known.entry(form).or_insert(id);
        }
    }
    known
});

static EXCEPTIONS: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let today = spdx::identifiers::EXCEPTIONS.iter();
    let today = today.filter(|id| id.flags & spdx::flags::IS_DEPRECATED == 0);
    today.map(|id| (plain(id.name), id.name)).collect()
});

fn plain(text: &str) -> String {
    text.replace('-', "").to_ascii_lowercase()
}

/// The plain forms of an id: Debian writes `2` for the version `2.0`, others `2.0.0`.
fn forms(name: &str) -> Vec<String> {
    let mut forms = vec![plain(name)];
    let end = |part: &str| part.trim_end_matches('+').to_owned();
    if let Some(version) = name.split('-').map(end).find(|part| {
        let number = part.strip_suffix(".0").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }) {
        for other in [
            version.trim_end_matches(".0").to_owned(),
            format!("{version}.0"),
        ] {
            forms.push(plain(&name.replacen(&version, &other, 1)));
        }
    }
    forms
}

/// The canonical form of one id, without operators.
fn id(text: &str) -> Option<String> {
    if let Some(known) = KNOWN.get(&plain(text)) {
        return Some((*known).to_owned());
    }
    let known = KNOWN.get(&plain(text.strip_suffix('+')?))?;
    // GNU licences have ids of their own for later versions.
    let gnu = known.ends_with("-only") || known.ends_with("-or-later") || known.contains(' ');
    (!gnu).then(|| format!("{known}+"))
}

/// Addresses of licences, without what [`of_address`] removes.
///
/// Source: the SPDX License List, "seeAlso".
const ADDRESSES: &[(&str, &str)] = &[
    ("apache.org/licenses/license-2.0", "Apache-2.0"),
    ("creativecommons.org/publicdomain/zero/1.0", "CC0-1.0"),
    ("eclipse.org/legal/epl-2.0", "EPL-2.0"),
    ("eclipse.org/legal/epl-v10", "EPL-1.0"),
    ("eclipse.org/legal/epl-v20", "EPL-2.0"),
    ("eclipse.org/org/documents/edl-v10", "BSD-3-Clause"),
    ("mozilla.org/mpl/2.0", "MPL-2.0"),
    ("opensource.org/licenses/mit-license", "MIT"),
];

/// Where licences are listed by their ids.
const LISTS: [&str; 3] = [
    "opensource.org/license/",
    "opensource.org/licenses/",
    "spdx.org/licenses/",
];

/// The id of the licence whose address is `text`, if it is well known.
fn of_address(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "https"].contains(&scheme) {
        return None;
    }
    let rest = rest.to_ascii_lowercase();
    let mut rest = rest.strip_prefix("www.").unwrap_or(&rest);
    for end in ["/", ".txt", ".html", ".php"] {
        rest = rest.strip_suffix(end).unwrap_or(rest);
    }
    let mut known = ADDRESSES.iter();
    if let Some((_, id)) = known.find(|(address, _)| *address == rest) {
        return Some((*id).to_owned());
    }
    LISTS
        .iter()
        .find_map(|list| rest.strip_prefix(list))
        .and_then(id)
}

/// The canonical form of an id or expression; empty if it is neither.
fn canonical(text: &str) -> String {
    if text.len() > MAX_EXPRESSION {
        return String::new();
    }
    if let Some(id) = id(text).or_else(|| of_address(text)) {
        return id;
    }
    if !text.contains(char::is_whitespace) && !text.contains("Ref-") {
        return String::new();
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words = Vec::new();
    let mut last = "";
    for word in spaced.split_whitespace() {
        let upper = word.to_ascii_uppercase();
        let known = match upper.as_str() {
            "AND" | "OR" | "WITH" => Some(upper),
            "(" | ")" => Some(upper),
            _ if last.eq_ignore_ascii_case("with") => {
                EXCEPTIONS.get(&plain(word)).map(|id| (*id).to_owned())
            }
            _ if word.contains("Ref-") => Some(word.to_owned()),
            _ => id(word),
        };
        let Some(known) = known else {
            return String::new();
        };
        words.push(known);
        last = word;
    }
    let joined = words.join(" ").replace("( ", "(").replace(" )", ")");
    match spdx::Expression::parse(&joined) {
        Ok(_) => joined,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_addresses_are_ids() {
        for (address, id) in [
            (
                "https://www.apache.org/licenses/LICENSE-2.0.txt",
                "Apache-2.0",
            ),
            ("http://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
            (
                "http://www.eclipse.org/org/documents/edl-v10.php",
                "BSD-3-Clause",
            ),
            (
                "https://opensource.org/licenses/BSD-3-Clause",
                "BSD-3-Clause",
            ),
            ("https://opensource.org/license/mit/", "MIT"),
            ("https://example.org/LICENSE", ""),
            ("https://opensource.org/licenses/none", ""),
            ("apache.org/licenses/LICENSE-2.0", ""),
        ] {
            assert_eq!(License::new(address).spdx(), id, "{address}");
        }
    }

    #[test]
    fn forms_of_ids_become_ids_of_today() {
        for (written, expected) in [
            ("MIT", "MIT"),
            ("mit", "MIT"),
            ("gpl-2", "GPL-2.0-only"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2.0", "GPL-2.0-only"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("GPL-2-only", "GPL-2.0-only"),
            ("GPL2", "GPL-2.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("lgpl-3", "LGPL-3.0-only"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("AGPL-3", "AGPL-3.0-only"),
            ("Apache-2", "Apache-2.0"),
            ("apache2.0.0", "Apache-2.0"),
            ("Apache-2.0+", "Apache-2.0+"),
            ("bsd-3-clause", "BSD-3-Clause"),
            (
                "wxWindows",
                "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
            ),
            ("*", ""),
            ("none", ""),
            ("NOASSERTION", ""),
            ("PERMISSIVE", ""),
            ("public-domain", ""),
            ("GPL", ""),
            ("", ""),
            ("+", ""),
            ("()", ""),
        ] {
            assert_eq!(License::new(written).spdx(), expected, "{written}");
        }
    }

    #[test]
    fn ids_in_expressions_are_those_of_today_and_all_are_known() {
        for (written, expected) in [
            ("MIT OR GPL-2.0+", "MIT OR GPL-2.0-or-later"),
            ("(mit or apache-2) and ISC", "(MIT OR Apache-2.0) AND ISC"),
            (
                "GPL-2+ with classpath-exception-2.0",
                "GPL-2.0-or-later WITH Classpath-exception-2.0",
            ),
            ("MIT AND LicenseRef-Own", "MIT AND LicenseRef-Own"),
            ("MIT AND own", ""),
            ("MIT AND", ""),
            ("MIT ISC", ""),
            ("(MIT OR ISC", ""),
            ("GPL-2.0-only WITH MIT", ""),
        ] {
            assert_eq!(License::new(written).spdx(), expected, "{written}");
        }
        let deep = "(".repeat(4000) + "MIT";
        assert_eq!(License::new(deep).spdx(), "");
        assert_eq!(License::new("MIT OR ".repeat(2000)).spdx(), "");
    }

    #[test]
    fn no_form_leads_to_a_deprecated_id() {
        for target in KNOWN.values() {
            let parsed = spdx::Expression::parse(target);
            assert!(parsed.is_ok(), "{target}");
        }
        for (old, _) in DEPRECATED {
            let known = spdx::license_id(old).unwrap();
            assert!(known.is_deprecated(), "{old}");
        }
    }
}
