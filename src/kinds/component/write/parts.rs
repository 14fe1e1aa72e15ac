//! Adds the results of other steps to a component: charts, repositories, members of
//! archives, built kustomizations.
//!
//! A tree is a tar whose entries share a top folder, which is replaced by the path of
//! the part. This is the only place that determines the names of charts and
//! repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use crate::kinds::chart::package::check_archive;
use crate::kinds::component::settings::ChartSettings;
use crate::kinds::component::write::{
    ComponentError, Item, Modes, OWN_FOLDER, Writer, own, unread,
};
use crate::package::{chart_file, values_file};

/// Inserts `value` under a name, which must be unique and a valid file name.
fn place<T>(named: &mut BTreeMap<String, T>, name: String, value: T) -> Result<(), ComponentError> {
    if name.contains(['/', '\\']) || named.contains_key(&name) {
        return Err(ComponentError::Place(name));
    }
    named.insert(name, value);
    Ok(())
}

impl<W: Write> Writer<'_, W> {
    /// Begins a folder of the component.
    pub(crate) fn folder(&mut self, name: &str) -> Result<String, ComponentError> {
        let folder = format!("{}/{name}", self.component);
        self.out.tar.directory(&folder, OWN_FOLDER)?;
        Ok(folder)
    }

    pub(crate) fn charts(&mut self, charts: &[ChartSettings]) -> Result<(), ComponentError> {
        if charts.is_empty() {
            return Ok(());
        }
        let folder = self.folder("charts")?;
        let mut named = BTreeMap::new();
        for chart in charts {
            place(&mut named, chart_file(&chart.name, &chart.version), chart)?;
        }
        for (file, chart) in named {
            let path = format!("{folder}/{file}");
            if is_archive(&chart.local_path) {
                check_archive(self.inputs, &chart.local_path)?;
                self.item(&Item {
                    modes: Modes {
                        top_file: Some(0o644),
                        ..Modes::KEPT
                    },
                    only_file: true,
                    ..Item::new(path, &chart.local_path)
                })?;
            } else {
                self.part(&format!("charts/{file}"), &path, None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn values(&mut self, charts: &[ChartSettings]) -> Result<(), ComponentError> {
        if charts.iter().all(|chart| chart.values_files.is_empty()) {
            return Ok(());
        }
        let folder = self.folder("values")?;
        let mut named = BTreeMap::new();
        for chart in charts {
            for (index, source) in chart.values_files.iter().enumerate() {
                let file = values_file(&chart.name, &chart.version, index);
                place(&mut named, file, source)?;
            }
        }
        for (file, source) in named {
            self.item(&Item {
                only_file: true,
                ..Item::new(format!("{folder}/{file}"), source)
            })?;
        }
        Ok(())
    }

    pub(crate) fn repos(&mut self, repos: &[String]) -> Result<(), ComponentError> {
        if repos.is_empty() {
            return Ok(());
        }
        let folder = self.folder("repos")?;
        // A URL may be listed twice; it has one folder.
        let named: BTreeSet<&String> = repos.iter().collect();
        for name in named {
            self.part(&format!("repos/{name}"), &format!("{folder}/{name}"), None)?;
        }
        Ok(())
    }

    /// Adds the part of `place` at `path`. `executable` determines the mode of a single
    /// file or of the top of a tree; `None`: the mode in the part.
    pub(crate) fn part(
        &mut self,
        place: &str,
        path: &str,
        executable: Option<bool>,
    ) -> Result<(), ComponentError> {
        let not_made = || ComponentError::NotMade {
            component: self.component.to_owned(),
            place: place.to_owned(),
        };
        let input = self.inputs.tree.blob(place).ok_or_else(not_made)?;
        let content = self.inputs.open_blob(place).map_err(unread(place))?;
        let is_tree = self.trees.iter().any(|tree| tree == place);
        let modes = executable.map_or(Modes::KEPT, own);
        self.out
            .made((input.size, content), is_tree, place, path, modes)
    }
}

/// Whether a chart's `localPath` is a packaged chart, not a folder.
#[must_use]
pub fn is_archive(local_path: &str) -> bool {
    local_path.ends_with(".tgz") || local_path.ends_with(".tar.gz")
}
