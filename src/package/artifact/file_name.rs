//! File names of package archives.
//!
//! Names are only rendered, never parsed: version and architecture of a package
//! come from its definition.

use crate::package::{Dialect, Kind};

/// The architecture of skeleton packages, which hold only sources.
pub const SKELETON: &str = "skeleton";

/// The parts of an archive's file name.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveName<'a> {
    /// Its word is the first part.
    pub dialect: Dialect,
    /// Init packages have no name.
    pub kind: Kind,
    /// From `metadata.name`.
    pub name: &'a str,
    /// The target architecture, or [`SKELETON`].
    pub architecture: &'a str,
    /// Left out if empty.
    pub version: &'a str,
    /// Left out if empty, or if there is no version.
    pub flavor: &'a str,
    /// Version of the base of a differential package.
    pub differential_base: Option<&'a str>,
    /// Whether the archive is a plain tar instead of a Zstandard one.
    pub uncompressed: bool,
}

/// Why an archive has no valid file name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveNameError {
    /// A part would lead to another directory.
    #[error(
        "the {part} `{value}` has characters that a file name cannot have: remove `/`, `\\` and control characters"
    )]
    Separator { part: &'static str, value: String },
    /// A required part is empty.
    #[error("the archive's file name needs the {0}, which is empty")]
    Empty(&'static str),
}

impl ArchiveName<'_> {
    /// The file name.
    ///
    /// # Errors
    ///
    /// A part has a path separator, or a required part is empty.
    pub fn render(&self) -> Result<String, ArchiveNameError> {
        let mut parts = self.stem()?;
        let base = self.differential_base.unwrap_or_default();
        if self.differential_base.is_some() {
            if base.is_empty() {
                return Err(ArchiveNameError::Empty("base version"));
            }
            if self.version.is_empty() {
                return Err(ArchiveNameError::Empty("version"));
            }
            parts.extend([base, "differential"]);
        }
        if !self.version.is_empty() {
            parts.push(self.version);
            if !self.flavor.is_empty() {
                parts.push(self.flavor);
            }
        }
        let ending = if self.uncompressed { "tar" } else { "tar.zst" };
        Ok(format!("{}.{ending}", parts.join("-")))
    }

    /// How the names of this package's archives begin, whatever their version.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn prefix(&self) -> Result<String, ArchiveNameError> {
        Ok(self.stem()?.join("-"))
    }

    /// The parts before the versions.
    fn stem(&self) -> Result<Vec<&str>, ArchiveNameError> {
        for (part, value) in [
            ("package name", self.name),
            ("architecture", self.architecture),
            ("version", self.version),
            ("flavor", self.flavor),
            ("base version", self.differential_base.unwrap_or_default()),
        ] {
            if value.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
                return Err(ArchiveNameError::Separator {
                    part,
                    value: value.chars().take(200).collect(),
                });
            }
        }
        if self.architecture.is_empty() {
            return Err(ArchiveNameError::Empty("architecture"));
        }
        let mut parts = vec![self.dialect.word()];
        match self.kind {
            Kind::Package if self.name.is_empty() => {
                return Err(ArchiveNameError::Empty("package name"));
            }
            Kind::Package => parts.extend(["package", self.name]),
            Kind::Init => parts.push("init"),
        }
        parts.push(self.architecture);
        Ok(parts)
    }
}

/// Whether `name` looks like an archive of any package, a part of one, or what is
/// written beside one.
#[must_use]
pub fn is_archive_name(name: &str) -> bool {
    let kinds = [Kind::Package, Kind::Init];
    let mut words = Dialect::ALL.into_iter().flat_map(|dialect| {
        kinds.map(|kind| match kind {
            Kind::Package => format!("{}-package-", dialect.word()),
            Kind::Init => format!("{}-init-", dialect.word()),
        })
    });
    name.contains(".tar") && words.any(|word| name.starts_with(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: ArchiveName<'static> = ArchiveName {
        dialect: Dialect::Jackal,
        kind: Kind::Package,
        name: "demo",
        architecture: "amd64",
        version: "1.2.3",
        flavor: "",
        differential_base: None,
        uncompressed: false,
    };

    #[test]
    fn each_shape_of_package_has_its_name() {
        let of = |name: ArchiveName<'_>| name.render().unwrap();
        assert_eq!(of(DEMO), "jackal-package-demo-amd64-1.2.3.tar.zst");
        let init = ArchiveName {
            kind: Kind::Init,
            ..DEMO
        };
        assert_eq!(of(init), "jackal-init-amd64-1.2.3.tar.zst");
        let bare = ArchiveName {
            version: "",
            flavor: "x",
            uncompressed: true,
            ..DEMO
        };
        assert_eq!(of(bare), "jackal-package-demo-amd64.tar");
        let skeleton = ArchiveName {
            dialect: Dialect::Zarf,
            architecture: SKELETON,
            flavor: "vanilla",
            ..DEMO
        };
        assert_eq!(
            of(skeleton),
            "zarf-package-demo-skeleton-1.2.3-vanilla.tar.zst"
        );
        let differential = ArchiveName {
            differential_base: Some("1.0.0"),
            ..DEMO
        };
        assert_eq!(
            of(differential),
            "jackal-package-demo-amd64-1.0.0-differential-1.2.3.tar.zst"
        );
    }

    #[test]
    fn a_version_with_a_slash_cannot_leave_the_directory() {
        for version in ["../1", "1\\2", "1\0"] {
            let name = ArchiveName { version, ..DEMO };
            assert!(matches!(
                name.render(),
                Err(ArchiveNameError::Separator {
                    part: "version",
                    ..
                })
            ));
        }
    }

    #[test]
    fn a_needed_part_must_not_be_empty() {
        let name = ArchiveName { name: "", ..DEMO };
        assert_eq!(name.render(), Err(ArchiveNameError::Empty("package name")));
        let name = ArchiveName {
            architecture: "",
            ..DEMO
        };
        assert_eq!(name.render(), Err(ArchiveNameError::Empty("architecture")));
    }
}
