//! `jackal sbom diff`: which packages came, went and changed.

use std::collections::BTreeSet;
use std::io;

use super::SbomDocument;
use super::archive::{Gathered, SbomArchive};
use crate::app::read_error::PackageReadError;
use crate::package::diff::{Catalogue, Change, Difference, Side};
use crate::source::Opened;

/// The packages that documents list.
///
/// # Errors
///
/// One is not syft-JSON, or they list too many.
pub fn listed(documents: &[SbomDocument]) -> io::Result<Catalogue> {
    let mut gathered = Gathered::default();
    for document in documents {
        gathered.add(&document.name, &document.json[..])?;
    }
    Ok(gathered.finish())
}

/// The packages that the documents of a package list.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn listed_in(package: &Opened) -> Result<Catalogue, PackageReadError> {
    SbomArchive::fetch(package)?.catalogue()
}

/// Compares the packages of two sets of documents.
///
/// Documents of the same name are compared; two that are alone in their set are, too.
#[must_use]
pub fn sbom_diff(first: Catalogue, second: Catalogue) -> Vec<Change<Vec<String>>> {
    let (first, second) = paired(first, second);
    let side = |catalogue: Catalogue| Side {
        catalogue: Some(catalogue),
        ..Side::default()
    };
    let difference = Difference::between(&side(first), &side(second));
    difference.packages.unwrap_or_default()
}

/// Both sides, without the names of documents if each has only one.
pub(super) fn paired(first: Catalogue, second: Catalogue) -> (Catalogue, Catalogue) {
    let documents = |catalogue: &Catalogue| {
        let names: BTreeSet<&String> = catalogue.keys().map(|(name, ..)| name).collect();
        names.len()
    };
    match documents(&first) <= 1 && documents(&second) <= 1 {
        true => (unnamed(first), unnamed(second)),
        false => (first, second),
    }
}

/// Without the names of documents.
fn unnamed(catalogue: Catalogue) -> Catalogue {
    let mut found = Catalogue::new();
    for ((_, kind, package), versions) in catalogue {
        let key = (String::new(), kind, package);
        found.entry(key).or_default().extend(versions);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(document: &str, package: &str, version: &str) -> Catalogue {
        let key = [document, "deb", package].map(str::to_owned);
        let [document, kind, package] = key;
        [((document, kind, package), [version.to_owned()].into())].into()
    }

    #[test]
    fn lone_documents_are_compared_whatever_they_are_called() {
        let (first, second) = (listed("a:1", "zlib", "1"), listed("a:2", "zlib", "2"));
        let changes = sbom_diff(first, second.clone());
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].word(), "changed");
        assert_eq!(changes[0].name, "deb zlib");
        let mut more = listed("a:1", "zlib", "1");
        more.extend(listed("b:1", "bash", "5"));
        let words: Vec<_> = sbom_diff(more, second).iter().map(Change::word).collect();
        assert_eq!(words, ["removed", "added", "removed"]);
    }
}
