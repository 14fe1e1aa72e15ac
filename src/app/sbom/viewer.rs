//! The SBOMs of a package as one page for a browser.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};

use super::archive::SbomArchive;
use super::compare::paired;
use crate::app::read_error::PackageReadError;
use crate::package::diff::Catalogue;
use crate::page::sbom::{Changed, Since, Viewer};
use crate::source::Opened;

/// Writes the page of all documents of a package to `out`, which is called `named`. With
/// `since`, another package, it shows what changed since that.
///
/// # Errors
///
/// [`PackageReadError`]
pub fn package_page(
    opened: &Opened,
    since: Option<&Opened>,
    (out, named): (impl Write, &str),
) -> Result<(), PackageReadError> {
    let archive = SbomArchive::fetch(opened)?;
    let before = since.map(SbomArchive::fetch).transpose()?;
    let failed = |source| PackageReadError::Write {
        path: named.into(),
        source,
    };
    let catalogues = match &before {
        None => None,
        Some(before) => Some(paired(before.catalogue()?, archive.catalogue()?)),
    };
    let changes = catalogues.as_ref().map(|(old, new)| changes(old, new));
    let changes = before.as_ref().zip(changes);
    let changes =
        changes.map(|(before, changes)| -> Since<'_> { (before.title(), Box::new(changes)) });
    let out = BufWriter::with_capacity(1 << 17, out);
    let mut viewer = Viewer::begin(out, archive.title(), changes).map_err(failed)?;
    let mut unwritten = None;
    let read = archive.each(&mut |name, input: &mut dyn Read| {
        viewer.add(name, input).map_err(|error| {
            unwritten = Some(error);
            io::Error::other("the page was not written")
        })
    });
    match unwritten {
        Some(error) => return Err(failed(error)),
        None => read?,
    }
    let mut out = viewer.end().map_err(failed)?;
    out.flush().map_err(failed)
}

/// The packages whose versions differ, in order.
fn changes<'c>(
    old: &'c Catalogue,
    new: &'c Catalogue,
) -> impl Iterator<Item = Changed<'c>> + use<'c> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differ = names
        .into_iter()
        .filter(move |name| old.get(name) != new.get(name));
    differ.map(move |key @ (document, kind, name)| {
        let of = |side: &'c Catalogue| -> Vec<&'c str> {
            let versions = side.get(key).into_iter().flatten();
            versions.map(String::as_str).collect()
        };
        Changed {
            document,
            kind,
            name,
            from: of(old),
            to: of(new),
        }
    })
}
