//! Tars of components whose parts have other places: those of today, or older ones.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::migrate_error::PackageMigrateError;
use super::package_read::package_definition;
use super::read_error::PackageReadError;
use crate::archive::{SafePath, TarReader};
use crate::cas::Cas;
use crate::layout::{LayoutError, Node, Tars};
use crate::oci::Digest;
use crate::package::Definition;
use crate::source::{OpenError, Opened, ReadOptions};
use crate::verify::{Scope, VerifiedPackage};

/// Places of parts, and those that they get: a repository served several URLs once.
pub(super) type Places = BTreeMap<String, Vec<String>>;

/// A part's place, and those that it gets.
pub(super) type Place<'p> = (&'p String, &'p Vec<String>);

/// A tar whose parts were moved.
pub(super) struct Moved {
    pub(super) tars: Tars,
    /// What was moved.
    pub(super) renamed: Places,
}

/// The whole package, verified, with its files in the cache.
pub(super) fn whole(
    opened: &Opened,
    read: &ReadOptions,
) -> Result<(Arc<Cas>, VerifiedPackage, Definition), PackageMigrateError> {
    let cache = read.cache.as_ref().ok_or(OpenError::NoCache);
    let cas = Arc::new(Cas::open(cache.map_err(PackageReadError::from)?)?);
    let copyable = opened.package.copyable(&cas);
    let (evidence, _) = copyable.map_err(PackageReadError::from)?;
    let package = opened.judge(evidence, Scope::Whole);
    let package = package.map_err(PackageReadError::from)?;
    let definition = package_definition(&package)?;
    Ok((cas, package, definition))
}

/// The place in `places` of a part with the entry at `below`, or of one that the entry is in.
pub(super) fn place_of<'p>(places: &'p Places, below: &str) -> Option<Place<'p>> {
    let ends = below.match_indices('/').map(|(at, _)| at);
    let mut ends = ends.chain([below.len()]);
    ends.find_map(|end| places.get_key_value(&below[..end]))
}

/// Whether a part in `places` is below the folder `below`, which is not one of a component's
/// own.
pub(super) fn is_above(places: &Places, below: &str) -> bool {
    let inside = format!("{below}/");
    let next = places.range(inside.clone()..).next();
    below.contains('/') && next.is_some_and(|(part, _)| part.starts_with(&inside))
}

impl Moved {
    /// Reads the tar `digest` of a component, called `tar` and `component`; `place` answers
    /// where the part with an entry is moved.
    pub(super) fn of<'p>(
        cas: &Cas,
        (tar, component): (&str, &str),
        digest: Digest,
        places: &'p Places,
        place: impl Fn(&str) -> Option<Place<'p>>,
    ) -> Result<Self, PackageMigrateError> {
        let damaged = |source| unreadable(tar, source);
        let mut tars = Tars::new().map_err(damaged)?;
        let mut renamed = Places::new();
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut read = TarReader::new(cas.open_blob(&digest)?);
        while let Some(entry) = read.next().map_err(damaged)? {
            let text = entry.name_lossy();
            let at = SafePath::parse(&text).map_err(|error| damaged(io::Error::other(error)))?;
            let below = match at.as_str().strip_prefix(component) {
                Some("") => "",
                Some(below) if below.starts_with('/') => &below[1..],
                _ => continue,
            };
            let Some(node) = tars.node(&entry, &mut read).map_err(damaged)? else {
                continue;
            };
            let paths = match (place(below), &node) {
                (Some((part, places)), _) => {
                    renamed.insert(part.clone(), places.clone());
                    let mut paths = Vec::new();
                    for to in places {
                        // Of two parts with one place, the first keeps it.
                        let owner = owners.entry(to.clone()).or_insert_with(|| part.clone());
                        if owner == part {
                            paths.push(format!("{to}{}", &below[part.len()..]));
                        }
                    }
                    paths
                }
                // Only the places of before need this folder.
                (None, Node::Folder(_)) if is_above(places, below) => continue,
                (None, _) => vec![below.to_owned()],
            };
            for to in paths {
                let added = tars.add(tar, &to, node.clone());
                added.map_err(|fault| PackageReadError::from(fault.at(Path::new(tar), &text)))?;
            }
        }
        Ok(Self { tars, renamed })
    }
}

pub(super) fn unreadable(name: &str, source: io::Error) -> PackageMigrateError {
    PackageReadError::from(LayoutError::Io {
        path: name.into(),
        source,
    })
    .into()
}
