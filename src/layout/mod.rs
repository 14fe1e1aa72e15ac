//! Packages on disk: a folder, a `.tar`, a `.tar.zst`, or the parts of a split
//! archive.
//!
//! Used by the code that verifies, inspects or extracts packages. It finds and returns
//! bytes, and unpacks the tars inside a package. It never decides whether a package is
//! valid.

mod bundles;
mod bytes;
mod delta;
mod error;
mod image_layout;
mod open;
mod parts;
mod read;
mod splice;
mod tars;
mod unpack;
mod walk;

pub use bundles::{Beside, bundles_beside, check_bundles, read_bundles, write_bundles};
pub use delta::{Delta, DeltaError, Whole, apply_delta, write_delta};
pub use error::LayoutError;
pub use image_layout::ImageLayout;
pub use open::{Member, PackageFile, open};
pub use parts::{MAX_PARTS, verified_parts};
pub use read::{
    MAX_DOCUMENT_BYTES, keep, limit, read, read_into, read_listings, read_opened, read_promised,
    read_some,
};
pub use splice::{Spliced, splice};
pub use tars::{Node, Tars, TarsFault};
pub use unpack::unpack_tar;
