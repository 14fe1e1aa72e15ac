//! The system that a database of packages belongs to.
//!
//! Usually the whole tree. A component may have the folder of a root file system, so the
//! root is found by the path of the database.

use std::borrow::Cow;

use serde_json::Value;

use super::View;
use crate::oci::Digest;
use crate::sbom::distro::{self, under};

/// A system, and its place in the tree.
pub(super) struct System<'v> {
    pub(super) view: &'v View,
    root: String,
    /// Facts about the distribution.
    pub(super) distro: Cow<'v, Value>,
    /// What distinguishes its packages from those of other systems.
    mark: String,
}

impl<'v> System<'v> {
    /// The system whose database is in `folder`, in one of the `known` folders from its
    /// root. A system that does not describe itself belongs to the tree.
    pub(super) fn of(view: &'v View, folder: &str, known: &[&str]) -> Self {
        let mut roots = known.iter().filter_map(|known| {
            let root = folder.strip_suffix(known)?;
            root.strip_suffix('/').filter(|root| !root.is_empty())
        });
        if let Some(root) = roots.next() {
            let distro = distro::read(&|path| view.text(path), root);
            if distro.get("id").is_some() {
                return Self {
                    view,
                    root: root.to_owned(),
                    distro: Cow::Owned(distro),
                    mark: format!("{}\0", &Digest::of(root.as_bytes()).hex()[..16]),
                };
            }
        }
        Self {
            view,
            root: String::new(),
            distro: Cow::Borrowed(view.distro()),
            mark: String::new(),
        }
    }

    /// Where the tree has what the system has at `path`, which may begin with a slash.
    pub(super) fn path(&self, path: &str) -> String {
        under(&self.root, path.trim_start_matches('/'))
    }

    /// The absolute path in the tree of what the system has at `path`.
    pub(super) fn absolute(&self, path: &str) -> String {
        format!("/{}", self.path(path))
    }

    /// A name that only packages of this system provide.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.mark)
    }
}
