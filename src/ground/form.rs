//! What results consist of, as the kinds say it.

/// What the outputs of an action are: how much of a result must be here before it
/// counts as remembered or brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutputForm {
    /// Blobs that later steps may know by their digests alone.
    #[default]
    Blobs,
    /// Blobs that a later step reads whole.
    Documents,
    /// Trees, which name further blobs.
    Trees,
}
