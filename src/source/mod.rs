//! Existing packages, wherever they are stored.
//!
//! [`Opened::open`] is the one door: it opens what a user names, assembles the
//! evidence and judges it. A source of packages is a file here with a row in
//! [`SOURCES`]. Skeleton packages, which definitions import from, are opened
//! by [`Skeleton`]. Nothing that is found here is trusted further than its digest.

mod artifact;
mod attached;
mod error;
mod file;
mod open;
mod opening;
mod package;
mod registry;
mod remote;
mod skeleton;
mod web;

pub use artifact::ArtifactEvidence;
pub use attached::{EMPTY_CONFIG, bundle_manifest, bundles_about, tagged_about};
pub use error::{OpenError, RemoteError, SourceError};
pub use open::{JudgeError, Opened};
pub use opening::ReadOptions;
pub use package::{Copyable, Existing, Package};
pub use remote::{Remote, RemotePackage};
pub use skeleton::{Origin, Skeleton, SkeletonError};

use opening::Opening;

/// Opens the package that a name names.
type Open = fn(&str, &Opening<'_>) -> Result<Box<dyn Package>, OpenError>;

/// A place that packages are opened from.
struct Source {
    /// The beginning of the names of such packages.
    begin: &'static str,
    /// How such a name is written, for help; empty: as another one.
    form: &'static str,
    open: Open,
}

/// Every place. Names without `://` are paths.
const SOURCES: [Source; 4] = [
    Source {
        begin: "oci://",
        form: "oci://HOST/PATH:TAG",
        open: registry::open,
    },
    Source {
        begin: "https://",
        form: "https://URL@sha256:HEX",
        open: web::open,
    },
    Source {
        begin: "http://",
        form: "",
        open: web::open,
    },
    Source {
        begin: "",
        form: "path",
        open: file::open,
    },
];

/// How a package can be named, for help.
#[must_use]
pub fn forms() -> String {
    let forms = SOURCES.iter().rev().map(|source| source.form);
    listed(forms.filter(|form| !form.is_empty()).collect())
}

/// The beginnings of names, for messages.
fn begins() -> String {
    let begins = SOURCES.iter().map(|source| match source.begin {
        "" => "a path",
        begin => begin,
    });
    listed(begins.collect())
}

fn listed(mut words: Vec<&str>) -> String {
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        last => last.unwrap_or_default().to_owned(),
    }
}
