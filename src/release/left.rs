//! SBOM documents that stay at an earlier form of a package.

use std::collections::BTreeSet;

use super::artifact::Place;
use super::error::ReleaseError;
use crate::layout::ImageLayout;
use crate::oci::Digest;
use crate::registry::Registry;
use crate::sbom::format::Format;

/// The number of documents that are attached to the package `subject` at `place` in other
/// formats than `besides`.
///
/// # Errors
///
/// [`ReleaseError`]: what is attached cannot be listed.
pub async fn documents_about(
    registry: &Registry,
    place: &Place,
    subject: Digest,
    besides: &BTreeSet<Format>,
) -> Result<usize, ReleaseError> {
    let kinds: Vec<Option<String>> = match place {
        Place::Registry(tag) => {
            let listed = registry.referrers(tag, subject).await?;
            listed.into_iter().map(|one| one.artifact_type).collect()
        }
        Place::Layout { folder, .. } => ImageLayout::open(folder)?.kinds_about(subject)?,
    };
    let mut wanted: BTreeSet<&str> = Format::DOCUMENTS.map(Format::artifact_type).into();
    for format in besides {
        wanted.remove(format.artifact_type());
    }
    let found = kinds.iter().flatten();
    Ok(found.filter(|kind| wanted.contains(kind.as_str())).count())
}
