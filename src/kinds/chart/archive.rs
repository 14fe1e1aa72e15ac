//! The archive of a chart that others have packaged: whether Helm would load it, and
//! which chart it is.
//!
//! Source: Helm v3, `pkg/chart/loader/archive.go`.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::archive::{SafePath, TarKind, TarReader};
use crate::kinds::chart::package::{MAX_DOCUMENT_BYTES, MAX_INNER_BYTES, Metadata};

/// Reads the chart in an archive.
///
/// # Errors
///
/// Why Helm would not load it.
pub(crate) fn metadata(archive: impl Read) -> Result<Metadata, String> {
    let unpacked = MultiGzDecoder::new(archive).take(MAX_INNER_BYTES);
    let mut tar = TarReader::new(unpacked);
    let mut found = None;
    let text = |error: io::Error| format!("it cannot be unpacked: {error}");
    while let Some(entry) = tar.next().map_err(text)? {
        let name = entry.name_lossy();
        if entry.kind == TarKind::Directory {
            continue;
        }
        let Some((_, below)) = name.split_once('/') else {
            return Err(format!("it has `{}` outside a folder", name.escape_debug()));
        };
        if SafePath::parse(&name).is_err() {
            return Err(format!("it has the path `{}`", name.escape_debug()));
        }
        if below == "Chart.yaml" && entry.kind == TarKind::File {
            let mut yaml = String::new();
            let mut content = (&mut tar).take(MAX_DOCUMENT_BYTES);
            content.read_to_string(&mut yaml).map_err(text)?;
            found = Some(Metadata::parse("Chart.yaml", &yaml)?);
        }
    }
    found.ok_or_else(|| "it has no Chart.yaml".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::archive::TarWriter;

    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for (name, text) in files {
            let bytes = text.as_bytes();
            tar.file(name, 0o644, bytes.len() as u64, &mut &bytes[..])
                .unwrap();
        }
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&tar.finish().unwrap()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn a_chart_is_read_and_what_helm_would_not_load_is_refused() {
        let chart = "apiVersion: v2\nname: web\nversion: 1.2.3\n";
        let found = metadata(&packed(&[("web/Chart.yaml", chart)])[..]).unwrap();
        assert_eq!((&found.name[..], &found.version[..]), ("web", "1.2.3"));
        for (files, message) in [
            (vec![("web/values.yaml", "a: 1\n")], "no Chart.yaml"),
            (vec![("web/charts/x/Chart.yaml", chart)], "no Chart.yaml"),
            (vec![("Chart.yaml", chart)], "outside a folder"),
            (vec![("web/Chart.yaml", "name: web\n")], "version"),
            (vec![("web/Chart.yaml", "a: [\n")], "Chart.yaml:"),
        ] {
            let error = metadata(&packed(&files)[..]).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let whole = packed(&[("web/Chart.yaml", chart)]);
        assert!(metadata(&whole[..whole.len() / 2]).is_err());
        let html = metadata(&b"<!DOCTYPE html>"[..]).unwrap_err();
        assert!(html.contains("cannot be unpacked"), "{html}");
    }
}
