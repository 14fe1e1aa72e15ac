//! How the names of places begin: registries, and image layouts on disk.

/// Begins the URL of a registry.
pub const REGISTRY: &str = "oci://";

/// Begins the name of an image layout.
pub const LAYOUT: &str = "oci-layout:";

/// The same as skopeo writes it.
pub const SKOPEO_LAYOUT: &str = "oci:";

/// Archives of images on disk. The names in Docker's are those of a registry.
pub const OCI_ARCHIVE: &str = "oci-archive:";
pub const DOCKER_ARCHIVE: &str = "docker-archive:";

/// The transport of an image on disk, and the text after it; `None`: `text` is another
/// place. Their formats are recognised by content.
#[must_use]
pub fn on_disk(text: &str) -> Option<(&'static str, &str)> {
    if text.starts_with(REGISTRY) {
        return None;
    }
    [SKOPEO_LAYOUT, LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE]
        .into_iter()
        .find_map(|transport| Some((transport, text.strip_prefix(transport)?)))
}

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
            assert_eq!(on_disk(text).map(|(_, path)| path), path, "{text}");
        }
        assert_eq!(on_disk("docker-archive:a:b"), Some((DOCKER_ARCHIVE, "a:b")));
    }
}
