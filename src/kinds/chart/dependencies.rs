//! A chart's files, with those of the charts that it names by folder (`repository:
//! file://../common`): each is placed in `charts/` of the one that needs it, as `helm
//! dependency build` would put it there.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::archive::{TarKind, TarReader};
use crate::disk::{self, at, look};
use crate::ground::source::LeftOut;
use crate::kinds::chart::package::metadata::{Metadata, Needed};
use crate::kinds::chart::package::{ChartError, MAX_DOCUMENT_BYTES, MAX_INNER_BYTES, chart_files};
use crate::package::{ChartConstraint, chart_version};
use crate::workspace::Entry;

/// The files of one of the charts.
pub(crate) struct ChartPart {
    pub(crate) folder: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// Their folder in the packaged chart; empty: the chart itself.
    place: String,
}

impl ChartPart {
    /// The path in the packaged chart of the file at `path`.
    pub(crate) fn named(&self, path: &str) -> String {
        match self.place.as_str() {
            "" => path.to_owned(),
            place => format!("{place}/{path}"),
        }
    }
}

/// The files of the chart in `folder`, which messages call `shown`, and of the charts
/// in folders that it depends on. Nothing outside of `bound` is read.
///
/// # Errors
///
/// [`ChartError`]
pub(crate) fn parts_of(
    folder: &Path,
    bound: &Path,
    shown: &str,
    left_out: Option<&LeftOut<'_>>,
) -> Result<Vec<ChartPart>, ChartError> {
    let mut found = Parts {
        bound,
        left_out,
        parts: Vec::new(),
        above: Vec::new(),
    };
    found.add(folder, String::new(), shown)?;
    Ok(found.parts)
}

struct Parts<'p> {
    bound: &'p Path,
    left_out: Option<&'p LeftOut<'p>>,
    parts: Vec<ChartPart>,
    /// The charts that lead to this one.
    above: Vec<PathBuf>,
}

impl Parts<'_> {
    fn add(&mut self, folder: &Path, place: String, shown: &str) -> Result<(), ChartError> {
        let own = look::canonicalize(folder).map_err(at(folder))?;
        if self.above.contains(&own) {
            return Err(ChartError::Cycle(folder.to_owned()));
        }
        self.above.push(own);
        let mut entries = chart_files(folder, self.bound, shown, self.left_out)?;
        let mut inner: Vec<(String, PathBuf)> = Vec::new();
        for needed in needs(folder, shown)? {
            let Some(path) = needed.repository.strip_prefix("file://") else {
                continue;
            };
            let copies = |entry: &Entry| is_copy(&entry.path, &needed.name);
            let Some(from) = self.found(folder, path, entries.iter().any(copies))? else {
                continue;
            };
            let version = matching(&from, &needed, shown)?;
            entries.retain(|entry| !copies(entry));
            if inner.iter().any(|(_, other)| *other == from) {
                continue;
            }
            let taken = |name: &String| inner.iter().any(|(other, _)| other == name);
            let mut name = needed.name.clone();
            if taken(&name) {
                name = format!("{name}-{version}");
            }
            inner.push((name, from));
        }
        self.parts.push(ChartPart {
            folder: folder.to_owned(),
            entries,
            place: place.clone(),
        });
        for (name, from) in inner {
            let below = format!("charts/{name}");
            let place = match place.as_str() {
                "" => below,
                place => format!("{place}/{below}"),
            };
            let shown = from.display().to_string();
            self.add(&from, place, &shown)?;
        }
        self.above.pop();
        Ok(())
    }

    /// The folder `path` of a dependency; `None`: it does not exist, as in a chart
    /// that was moved, and the chart has a copy.
    fn found(
        &self,
        chart: &Path,
        path: &str,
        has_copy: bool,
    ) -> Result<Option<PathBuf>, ChartError> {
        let full = chart.join(path);
        match look::canonicalize(&full) {
            Ok(real) if real.starts_with(self.bound) => Ok(Some(real)),
            _ if has_copy => Ok(None),
            Ok(_) => Err(ChartError::LeadsOut {
                link: full,
                bound: self.bound.to_owned(),
            }),
            Err(error) => Err(at(&full)(error).into()),
        }
    }
}

/// The version of the chart in `folder`, which must satisfy the chart that depends on
/// it.
fn matching(folder: &Path, needed: &Needed, user: &str) -> Result<String, ChartError> {
    let shown = folder.join("Chart.yaml").display().to_string();
    let found = Metadata::parse(&shown, &text(&folder.join("Chart.yaml"))?);
    let found = found.map_err(ChartError::Malformed)?.version;
    let wanted = ChartConstraint::parse(&needed.version);
    let fits = wanted.zip(chart_version(&found));
    let fits = fits.is_some_and(|(wanted, found)| wanted.matches(&found));
    // Without a constraint, any version is accepted.
    if !fits && !needed.version.is_empty() {
        return Err(ChartError::Version {
            chart: format!("{user}/Chart.yaml"),
            name: needed.name.clone(),
            found,
            folder: folder.to_owned(),
            wanted: needed.version.clone(),
        });
    }
    Ok(found)
}

/// Whether the file at `path` of a chart belongs to a copy of the chart `name`.
fn is_copy(path: &str, name: &str) -> bool {
    let Some(rest) = path.strip_prefix("charts/") else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(name) else {
        return false;
    };
    let packed = rest
        .strip_prefix('-')
        .and_then(|rest| rest.strip_suffix(".tgz"));
    rest.starts_with('/') || packed.is_some_and(|version| chart_version(version).is_some())
}

/// What the chart in `folder` depends on.
fn needs(folder: &Path, shown: &str) -> Result<Vec<Needed>, ChartError> {
    let mut needs = Vec::new();
    for name in ["Chart.yaml", "requirements.yaml"] {
        let path = folder.join(name);
        if look::is_file(&path) {
            let found = Needed::all(&format!("{shown}/{name}"), &text(&path)?);
            needs.extend(found.map_err(ChartError::Malformed)?);
        }
    }
    Ok(needs)
}

/// The version in the `Chart.yaml` of the chart at `path`, a folder or an archive.
pub(crate) fn version_of(path: &Path) -> Option<String> {
    let text = match look::is_dir(path) {
        true => text(&path.join("Chart.yaml")).ok()?,
        false => packed_text(path)?,
    };
    let metadata = Metadata::parse("Chart.yaml", &text).ok()?;
    Some(metadata.version)
}

/// `Chart.yaml` of a packed chart.
fn packed_text(path: &Path) -> Option<String> {
    let plain = MultiGzDecoder::new(look::open(path).ok()?).take(MAX_INNER_BYTES);
    let mut tar = TarReader::new(plain);
    while let Some(entry) = tar.next().ok()? {
        let name = entry.name_lossy();
        let name = name.trim_start_matches("./");
        let own = name
            .split_once('/')
            .is_some_and(|(_, rest)| rest == "Chart.yaml");
        if own && entry.kind == TarKind::File && entry.size <= MAX_DOCUMENT_BYTES {
            let mut text = String::new();
            tar.read_to_string(&mut text).ok()?;
            return Some(text);
        }
    }
    None
}

/// A document of a chart, within its limit.
fn text(path: &Path) -> Result<String, ChartError> {
    Ok(disk::read_text(path, MAX_DOCUMENT_BYTES)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chart(root: &Path, name: &str, version: &str, rest: &str) {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("templates")).unwrap();
        fs::write(folder.join("templates/a.yaml"), name).unwrap();
        let head = format!("apiVersion: v2\nname: {name}\nversion: {version}\n{rest}");
        fs::write(folder.join("Chart.yaml"), head).unwrap();
    }

    fn depends(name: &str, version: &str, path: &str) -> String {
        format!(
            "dependencies:\n- {{ name: {name}, version: '{version}', repository: 'file://{path}' }}\n"
        )
    }

    fn files(root: &Path, bound: &Path) -> Result<Vec<String>, ChartError> {
        let bound = fs::canonicalize(bound).unwrap();
        let mut files = Vec::new();
        for part in parts_of(&root.join("top"), &bound, "top", None)? {
            files.extend(part.entries.iter().map(|entry| part.named(&entry.path)));
        }
        Ok(files)
    }

    #[test]
    fn charts_in_folders_lie_in_the_charts_that_need_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        chart(root, "top", "1.0.0", &depends("sub", "^0.1.0", "../sub"));
        chart(root, "sub", "0.1.2", &depends("leaf", "", "../leaf"));
        chart(root, "leaf", "3.0.0", "");
        fs::create_dir(root.join("top/charts")).unwrap();
        fs::write(root.join("top/charts/sub-0.1.0.tgz"), "old").unwrap();
        fs::write(root.join("top/charts/sub-other-0.1.0.tgz"), "other").unwrap();
        let expected = [
            "Chart.yaml",
            "charts/sub-other-0.1.0.tgz",
            "templates/a.yaml",
            "charts/sub/Chart.yaml",
            "charts/sub/templates/a.yaml",
            "charts/sub/charts/leaf/Chart.yaml",
            "charts/sub/charts/leaf/templates/a.yaml",
        ];
        assert_eq!(files(root, root).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_a_dependency_is_refused_unless_there_is_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        chart(root, "top", "1.0.0", &depends("sub", "0.2.0", "../sub"));
        let error = |bound: &Path| files(root, bound).unwrap_err();
        assert!(matches!(error(root), ChartError::Io { .. }));
        chart(root, "sub", "0.1.0", "");
        let version = error(root).to_string();
        assert!(version.contains("`sub` is 0.1.0") && version.contains("expected 0.2.0"));
        let outside = error(&root.join("top"));
        assert!(matches!(outside, ChartError::LeadsOut { .. }), "{outside}");
        chart(root, "sub", "0.2.0", &depends("top", "", "../top"));
        assert!(matches!(error(root), ChartError::Cycle(_)));
        chart(&root.join("top/charts"), "sub", "0.2.0", "");
        fs::remove_dir_all(root.join("sub")).unwrap();
        assert_eq!(files(root, root).unwrap().len(), 4);
    }
}
