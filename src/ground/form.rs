//! What results consist of, as declared by the kinds.

/// What the outputs of an action are: how much of a result must be stored here before
/// it counts as cached or fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutputForm {
    /// Blobs that later steps need only by their digests.
    #[default]
    Blobs,
    /// Blobs that a later step reads whole.
    Documents,
    /// Trees, which name further blobs.
    Trees,
}
