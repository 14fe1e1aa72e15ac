//! Releases: packages that become visible together, or not at all.
//!
//! Sits above the stores, which move bytes, and below `app`, which decides what
//! is published. Everything is staged under digests and read back; tags move
//! last. A journal on disk records the progress, so that a rerun continues.

mod artifact;
mod destination;
mod documents;
mod error;
mod heartbeat;
mod holders;
mod index_signature;
mod item;
mod journal;
mod left;
mod limits;
mod proofs;
mod results;
mod split;
mod staging;
mod survey;
mod transaction;
mod vouching;

pub use artifact::{Artifact, Place, StoredError, WithDocuments};
pub use destination::{Destination, DestinationError};
pub use documents::{Documents, DocumentsError, carried, predicate_type, predicates};
pub use error::ReleaseError;
pub use holders::PUSHED;
pub use item::{Beat, CONCURRENCY, Item, Moved, Released, Rules};
pub use journal::{Begun, Journal, JournalError, Known, Signed, Step};
pub use left::documents_about;
pub use limits::{BundlesTooLarge, TogetherTooLarge, check_statements, check_together};
pub use proofs::PROOFS;
pub use results::{PublishedResults, Results};
pub use split::fitting;
pub use transaction::run;
pub use vouching::{Vouching, accept_identity, policy_of, signature_statement, subjects};
