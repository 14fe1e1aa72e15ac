//! User operations: options in, outcome out, no printing.

mod build;
mod cache;
mod compose;
mod connection;
mod definitions;
mod doctor;
pub mod errors;
mod find;
mod find_images;
mod generate;
mod key_files;
mod lint;
mod opened;
mod package_delta;
mod package_diff;
mod package_read;
mod package_sign;
mod plans;
mod publish;
mod publish_seal;
mod pull;
mod rehearse;
mod sha256sum;
mod skeleton;
mod skeletons;
mod stage;
mod trust;

pub use build::{BuildError, BuildOptions, Built, Prepared, Target, prepare};
pub use cache::{cache_prune, cache_usage, cache_verify};
pub use compose::Ask;
pub use connection::{Connection, ConnectionError};
pub use doctor::doctor;
pub use find_images::{FindOptions, Found, ImageSearch};
pub use generate::{GenerateError, GenerateOptions, Generated, generate};
pub use key_files::{KeyFileError, KeyFileOptions, KeyPair, generate_key, import_key};
pub use lint::{LintOptions, lint};
pub use opened::{OpenError, Opened, ReadOptions};
pub use package_delta::{PackageDeltaError, package_delta, package_join};
pub use package_diff::package_diff;
pub use package_read::{
    ExtractOptions, PackageReadError, package_definition, package_documents, package_extract,
    package_sboms, package_verify,
};
pub use package_sign::{PackageSignError, PackageSignOptions, Resigned, package_sign};
pub use publish::{
    Publication, PublishError, PublishOptions, Published, Unfinished, abort_release, publication,
    unfinished_releases,
};
pub use pull::{PullError, PullOptions, Pulled, package_pull, package_tags};
pub use rehearse::rehearse;
pub use sha256sum::sha256sum;
pub use skeleton::SkeletonMakeError;
pub use trust::{FoundRoot, RootFrom, TrustError, TrustOptions, policy, trusted_root};
