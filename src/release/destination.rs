//! Destinations as the user names them, without a package's name and tag.

use std::path::{Path, PathBuf};

use super::artifact::Place;
use crate::oci::place::{LAYOUT, REGISTRY};
use crate::oci::{Reference, ReferenceError};

/// A registry's path or an image layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Below this path of a registry.
    Registry(String),
    /// In this folder.
    Layout(PathBuf),
}

/// Why a destination is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It has an unknown form.
    #[error("invalid destination `{0}`: expected oci://HOST[/PATH] or oci-layout:FOLDER")]
    Form(String),
    /// It does not give a valid reference.
    #[error("`{destination}`")]
    Name {
        /// As the user gave it.
        destination: String,
        source: ReferenceError,
    },
}

impl DestinationError {
    /// The error in terms of what the user gave, without the name and tag that
    /// were appended to check it.
    fn about(self, given: &str, base: &str) -> Self {
        match self {
            Self::Name { source, .. } => Self::Name {
                destination: given.to_owned(),
                source: source.of(base),
            },
            other => other,
        }
    }
}

impl Destination {
    /// The text that [`parse`](Self::parse) accepts for it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Registry(base) => format!("{REGISTRY}{base}"),
            Self::Layout(folder) => format!("{LAYOUT}{}", folder.display()),
        }
    }

    /// Parses `oci://HOST[/PATH]` or `oci-layout:FOLDER`, relative to `here`.
    ///
    /// # Errors
    ///
    /// [`DestinationError`]
    pub fn parse(text: &str, here: &Path) -> Result<Self, DestinationError> {
        let wrong = || DestinationError::Form(text.to_owned());
        if let Some(folder) = text.strip_prefix(LAYOUT) {
            let folder = Some(folder).filter(|folder| !folder.is_empty());
            return Ok(Self::Layout(here.join(folder.ok_or_else(wrong)?)));
        }
        let base = Reference::url_path(text).ok_or_else(wrong)?;
        let base = base.trim_end_matches('/');
        let name = base.rsplit('/').next().unwrap_or_default();
        // The tag comes from the package.
        let tagged = base.contains('@') || base.contains('/') && name.contains(':');
        if base.is_empty() || tagged {
            return Err(wrong());
        }
        let found = Self::Registry(base.to_owned());
        found
            .place("x", "y")
            .map_err(|error| error.about(text, base))?;
        Ok(found)
    }

    /// The place of the package `name` under `tag`.
    ///
    /// # Errors
    ///
    /// [`DestinationError::Name`]
    pub fn place(&self, name: &str, tag: &str) -> Result<Place, DestinationError> {
        match self {
            Self::Layout(folder) => Ok(Place::Layout {
                folder: folder.clone(),
                tag: tag.to_owned(),
            }),
            Self::Registry(base) => Reference::hosted(&format!("{base}/{name}:{tag}"))
                .map(Place::Registry)
                .map_err(|source| DestinationError::Name {
                    destination: format!("oci://{base}"),
                    source,
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_below_a_path_and_bring_their_tag() {
        let here = Path::new("/here");
        let registry = Destination::parse("oci://r.io:5000/team/", here).unwrap();
        let place = registry.place("demo", "1.0").unwrap();
        assert_eq!(place.to_string(), "oci://r.io:5000/team/demo:1.0");
        let bare = Destination::parse("oci://localhost", here).unwrap();
        let place = bare.place("demo", "1.0").unwrap();
        assert_eq!(place.to_string(), "oci://localhost/demo:1.0");
        let layout = Destination::parse("oci-layout:out", here).unwrap();
        let place = layout.place("demo", "1.0").unwrap();
        assert_eq!(place.to_string(), "oci-layout:/here/out:1.0");
        for text in [
            "",
            "r.io/x",
            "oci://",
            "oci://r.io/x:1",
            "oci://r.io/x@sha256:0",
            "oci://nohost/x",
            "oci://r.io/UPPER",
            "oci-layout:",
            "https://r.io/x",
        ] {
            assert!(Destination::parse(text, here).is_err(), "{text}");
        }
    }
}
