//! Platforms of the manifests in an index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `os/architecture[/variant]` in Go's names, such as `linux/arm64/v8`.
///
/// Source: OCI image-spec 1.1, image-index.md, "platform".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture: `amd64`, `arm64`, ...
    pub architecture: String,
    /// Operating system: `linux`, `windows`, `darwin`; `multi` in package indexes.
    pub os: String,
    /// Variant of the CPU: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether an image for `found` runs wherever one for this platform does. Without
    /// a variant that is the architecture's first one, not one that only newer
    /// processors have; `arm` has no such first one, so any will do.
    ///
    /// Source: containerd's `platforms`, "Normalization".
    #[must_use]
    pub fn accepts(&self, found: &Self) -> bool {
        if (&self.os, &self.architecture) != (&found.os, &found.architecture) {
            return false;
        }
        match (self.plain_variant(), found.plain_variant()) {
            (None, _) if first_variant(&self.architecture).is_none() => true,
            (wanted, found) => wanted == found,
        }
    }

    /// The variant, unless it is the one that is meant without it.
    fn plain_variant(&self) -> Option<&str> {
        let variant = self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty());
        variant.filter(|variant| first_variant(&self.architecture) != Some(variant))
    }
}

/// The variant of an architecture that is meant when none is named.
fn first_variant(architecture: &str) -> Option<&'static str> {
    match architecture {
        "amd64" => Some("v1"),
        "arm64" => Some("v8"),
        _ => None,
    }
}

/// Why a string is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: expected os/architecture or os/architecture/variant")]
pub struct PlatformError(String);

/// The architecture of this machine, in Go's names.
#[must_use]
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let plain = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if plain(os) && plain(architecture) && variant.is_none_or(plain) {
            Ok(Self {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: variant.map(str::to_owned),
            })
        } else {
            Err(PlatformError(text.to_owned()))
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_print_as_they_were_written() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_variant_that_only_newer_processors_have_is_not_accepted_unasked() {
        let accepts = |wanted: &str, found: &str| {
            let (wanted, found): (Platform, Platform) =
                (wanted.parse().unwrap(), found.parse().unwrap());
            wanted.accepts(&found)
        };
        for (wanted, found, accepted) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/amd64/v3", "linux/amd64/v3", true),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v9", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/riscv64", "linux/riscv64", true),
            ("linux/amd64", "windows/amd64", false),
        ] {
            assert_eq!(accepts(wanted, found), accepted, "{wanted} {found}");
        }
    }

    #[test]
    fn one_word_four_words_and_empty_words_are_refused() {
        for text in ["linux", "a/b/c/d", "linux/", "/amd64", "linux/am d"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
