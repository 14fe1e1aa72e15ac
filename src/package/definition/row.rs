//! The row of a key: its purpose, its values, how imports merge it, and whether it
//! can be built.
//!
//! The JSON Schema, the checks and the composition of imports read these rows; none
//! of them has a list of keys of its own.

/// One key of a record.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    /// Description for users: a phrase without a full stop.
    pub(crate) text: &'static str,
    pub(crate) rules: &'static [Rule],
}

/// A property of a key or its value.
#[derive(Debug, PartialEq)]
pub(crate) enum Rule {
    /// The record is invalid without it.
    Required,
    /// Supported, but another key replaces it.
    Deprecated,
    /// Read and kept, but a build refuses it: a reader that knows the key would
    /// miss its content in the package.
    Unbuilt,
    /// As [`Rule::Unbuilt`], below this key only.
    UnbuiltIn(&'static str),
    Pattern(&'static Pattern),
    OneOf(&'static [&'static str]),
    AtLeast(i64),
    /// A path or a list of paths, relative to the folder of the definition.
    Path,
    /// The importing component decides, even by leaving the key out.
    Own,
    /// A list: the imported items come first, then those of the importing component.
    Appends,
    /// The importing component's value replaces the imported one, unless blank.
    Replaces,
}

/// The valid values of a key.
#[derive(Debug, PartialEq)]
pub(crate) struct Pattern {
    /// A regular expression for the whole text, in the syntax that ECMAScript
    /// and Rust share.
    pub(crate) regex: &'static str,
    /// What to write, as in "Use ...".
    pub(crate) expected: &'static str,
    /// Whether the definition's check applies it. If not, another place does,
    /// at a better time; the schema has it in any case.
    pub(crate) checked: bool,
}

/// The name of a package or component: no dots, no underscores.
pub(super) const PLAIN_NAME: Pattern = Pattern {
    regex: "[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]",
    expected: "lowercase letters, digits and inner hyphens",
    checked: true,
};

/// A variable or constant.
pub(super) const VARIABLE: Pattern = Pattern {
    regex: "[A-Z0-9_]+",
    expected: "uppercase letters, digits and underscores",
    checked: true,
};

/// A Helm release: a DNS label (RFC 1035). Its length is checked apart.
pub(super) const RELEASE: Pattern = Pattern {
    regex: "([a-z]([a-z0-9-]*[a-z0-9])?)?",
    expected: "lowercase letters, digits and inner hyphens, a letter first",
    checked: true,
};

/// Part of a file name.
pub(super) const FILE_NAME: Pattern = Pattern {
    regex: r"[^/\\\x00-\x1f\x7f-\x9f]*",
    expected: "letters, digits, dots and hyphens",
    checked: true,
};

/// A SHA-256 checksum. `lint` and the fetching of the file check it.
pub(super) const SHASUM: Pattern = Pattern {
    regex: "([0-9a-fA-F]{64})?",
    expected: "64 hex digits",
    checked: false,
};

/// A skeleton package. `compose` checks it; a composed definition has no imports.
pub(super) const SKELETON_URL: Pattern = Pattern {
    regex: "oci(-layout)?:.+",
    expected: "oci://REGISTRY/PATH:TAG or oci:FOLDER:TAG",
    checked: false,
};

/// The row of `key`, if the record has one.
pub(crate) fn find<'r>(rows: &'r [Row], key: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.key == key)
}

impl Row {
    pub(crate) fn is(&self, rule: &Rule) -> bool {
        self.rules.contains(rule)
    }

    /// The values that the key takes, if there are only a few.
    pub(super) fn values(&self) -> Option<&'static [&'static str]> {
        self.rules.iter().find_map(|rule| match rule {
            Rule::OneOf(values) => Some(*values),
            _ => None,
        })
    }
}
