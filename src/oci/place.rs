//! How the names of places begin: registries, and image layouts on disk.

/// Begins the URL of a registry.
pub const REGISTRY: &str = "oci://";

/// Begins the name of an image layout.
pub const LAYOUT: &str = "oci-layout:";

/// The same as skopeo writes it.
pub const SKOPEO_LAYOUT: &str = "oci:";

/// The folder and tag in `text`, the name of an image layout; `None`: it is another
/// place.
#[must_use]
pub fn layout_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(LAYOUT);
    rest.or_else(|| {
        text.strip_prefix(SKOPEO_LAYOUT)
            .filter(|_| !text.starts_with(REGISTRY))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_has_two_spellings_and_is_no_registry() {
        for (text, path) in [
            ("oci-layout:a/lay:1", Some("a/lay:1")),
            ("oci:lay:1", Some("lay:1")),
            ("oci:/lay", Some("/lay")),
            ("oci://h/lay:1", None),
            ("a/lay", None),
        ] {
            assert_eq!(layout_path(text), path, "{text}");
        }
    }
}
