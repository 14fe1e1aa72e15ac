//! Packs the SBOM documents of a package.
//!
//! Source: docs/spec/sbom.md, "sboms.tar".

use std::io::{self, BufWriter};

use crate::action::Output;
use crate::archive::TarWriter;
use crate::cas::Cas;
use crate::kinds::package::assemble::PackageError;
use crate::package::Metadata;
use crate::page::sbom::{Viewer, file_name, title};

/// Packs SBOM documents as the file `member` of a package, sorted by name; the first entry
/// is `.`. With `viewer`, which describes the package, a page that shows them is added.
///
/// # Errors
///
/// [`PackageError`]
pub(super) fn sboms_tar(
    cas: &Cas,
    member: &str,
    mut documents: Vec<Output>,
    viewer: Option<&Metadata>,
) -> Result<Output, PackageError> {
    documents.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(about) = viewer {
        documents.push(page(cas, &documents, about)?);
        documents.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let mut tar = TarWriter::new(cas.ingest()?);
    tar.directory(".", 0o700)?;
    for document in &documents {
        let mut content = cas.open_blob(&document.digest)?;
        tar.file(&document.name, 0o600, document.size, &mut content)?;
    }
    Ok(tar.finish()?.output(member)?)
}

/// The page that shows the documents.
fn page(cas: &Cas, documents: &[Output], about: &Metadata) -> Result<Output, PackageError> {
    let name = file_name(&about.name);
    let failed = |source| PackageError::Io {
        path: name.clone(),
        source,
    };
    let out = BufWriter::with_capacity(1 << 17, cas.ingest()?);
    let title = title(&about.name, &about.version);
    let mut viewer = Viewer::begin(out, &title, None).map_err(failed)?;
    for document in documents {
        let stem = document.name.strip_suffix(".json");
        let input = cas.open_blob(&document.digest)?;
        (viewer.add(stem.unwrap_or(&document.name), input)).map_err(failed)?;
    }
    let out = viewer.end().map_err(failed)?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error);
    Ok(out.map_err(failed)?.output(&name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::TarReader;
    use crate::package::Dialect;

    fn cas() -> (tempfile::TempDir, Cas) {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(dir.path()).unwrap();
        (dir, cas)
    }

    #[test]
    fn a_page_is_packed_on_request_only() {
        let (_dir, cas) = cas();
        let document = || vec![cas.store("a.json", br#"{"artifacts":[]}"#).unwrap()];
        let about = Metadata {
            name: "demo".to_owned(),
            ..Metadata::default()
        };
        let names = |viewer: Option<&Metadata>| {
            let tar = sboms_tar(&cas, Dialect::SBOMS, document(), viewer).unwrap();
            let mut tar = TarReader::new(cas.open_blob(&tar.digest).unwrap());
            let mut names = Vec::new();
            while let Some(entry) = tar.next().unwrap() {
                names.push(entry.name_lossy());
            }
            names
        };
        let names_of = [names(None), names(Some(&about))];
        assert_eq!(names_of[0].len(), 2, "{names_of:?}");
        assert_eq!(names_of[1][1..], ["a.json", "sbom-viewer-demo.html"]);
    }

    #[test]
    fn an_empty_sbom_archive_is_the_known_one() {
        let (_dir, cas) = cas();
        let tar = sboms_tar(&cas, Dialect::SBOMS, Vec::new(), None).unwrap();
        // docs/spec/package.md, "Test vectors".
        assert_eq!(
            tar.digest.hex(),
            "9f3f02e684b7fe56949e48843bdf36fa7e0cc8825e0071348d5bb5c98db7cd12"
        );
    }
}
