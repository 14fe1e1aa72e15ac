//! A table for people: one line per package.

use std::io::{self, Write};

use super::catalogue::{Artifact, Catalogue};
use crate::text::one_line;

/// Writes name, version, type and licences of each package.
///
/// # Errors
///
/// Those of `out`.
pub fn write(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<[String; 4]> = catalogue.artifacts.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; 4]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(HEAD)?;
    rows.iter()
        .try_for_each(|[name, version, kind, licences]| line([name, version, kind, licences]))
}

const HEAD: [&str; 4] = ["NAME", "VERSION", "TYPE", "LICENCES"];

fn row(artifact: &Artifact) -> [String; 4] {
    let licences: Vec<&str> = artifact
        .licenses
        .iter()
        .map(|licence| match licence.spdx.as_str() {
            "" => licence.value.as_str(),
            spdx => spdx,
        })
        .collect();
    let shown = |text: &str| one_line(text).chars().take(80).collect::<String>();
    [
        shown(&artifact.name),
        shown(&artifact.version),
        shown(&artifact.kind),
        shown(&licences.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let text = br#"{"artifacts": [
            {"name": "long-name", "version": "1", "type": "npm", "licenses": ["MIT", "ISC"]},
            {"name": "b\u001b[2J", "version": "10.0.0", "type": "deb"}
        ]}"#;
        let mut out = Vec::new();
        write(&Catalogue::read(text).unwrap(), &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "NAME       VERSION  TYPE  LICENCES");
        assert_eq!(lines[1], "long-name  1        npm   MIT, ISC");
        assert!(!lines[2].contains('\u{1b}'), "{shown}");
    }
}
