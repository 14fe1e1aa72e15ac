//! Packages from before v0.25.1, which have no list of checksums.

use super::{Evidence, text_at};
use crate::package::{Checksums, Dialect, lacks_checksums};
use crate::yaml::Node;

/// What takes the place of `checksums.txt`.
pub(super) struct Unlisted {
    /// The files as they were found, in the form of that list.
    pub checksums: Vec<u8>,
    /// What this means.
    pub warning: String,
}

/// What takes the place of the list of checksums in a package that was made before there
/// was one; `None`: it must have one.
pub(super) fn without_checksums(
    root: &Node,
    dialect: Dialect,
    evidence: &Evidence,
) -> Option<Unlisted> {
    let version = text_at(root, ["build", "version"]).unwrap_or_default();
    let is_signed = evidence.signature.is_some() || evidence.bundle.is_some();
    if evidence.checksums.is_some() || is_signed || !lacks_checksums(&version) {
        return None;
    }
    let files = match evidence.unlisted.is_empty() {
        true => &evidence.files,
        false => &evidence.unlisted,
    };
    let exempt = dialect.exempt_files();
    let files = files
        .iter()
        .filter(|(path, _)| !exempt.contains(&path.as_str()));
    let mut checksums = Checksums::default();
    for (path, (digest, _)) in files {
        // Names that the list cannot have are refused, as those of all packages.
        checksums.insert(path, *digest).ok()?;
    }
    let checksums = checksums.render().into_bytes();
    let version: String = version.chars().take(40).collect();
    Some(Unlisted {
        checksums,
        warning: format!(
            "no checksums: the package says that {} made it, and versions before v0.25.1 wrote no checksums.txt and no signature. \
             Nothing shows whether its definition, components and SBOMs are what was built; only blobs of images have digests, \
             which only show damage. Whoever changed the package may also have written this version",
            version.escape_debug()
        ),
    })
}
