//! Files of the checkout as inputs of actions.

use std::path::Path;
use std::sync::Arc;

use super::folders::Folders;
use super::site::Site;
use super::threads::blocking;
use super::{Class, Failure};
use crate::action::{Input, InputKind};
use crate::workspace::{self, Entry, Kind};

/// Entries as inputs, files by their digests.
pub(crate) fn inputs(site: &Site, root: &Path, entries: &[Entry]) -> Result<Vec<Input>, Failure> {
    let files: Vec<&Entry> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::File { .. }))
        .collect();
    let mut digests = site.digests(root, &files)?.into_iter();
    let mut inputs = Vec::with_capacity(entries.len());
    for entry in entries {
        let kind = match &entry.kind {
            Kind::File { executable } => InputKind::File {
                digest: digests.next().ok_or_else(|| {
                    Failure::new(Class::Task, "internal error: fewer digests than files")
                })?,
                executable: *executable,
            },
            Kind::Link { target } => InputKind::Symlink {
                target: target.clone(),
            },
            Kind::Directory => InputKind::Directory,
        };
        inputs.push(Input {
            path: entry.path.clone(),
            kind,
        });
    }
    Ok(inputs)
}

/// Everything at `source`, a path as the definition has it.
pub(crate) async fn listed(
    site: &Arc<Site>,
    folders: &Folders,
    source: &str,
) -> Result<Vec<Input>, Failure> {
    let (site, folders, source) = (Arc::clone(site), folders.clone(), source.to_owned());
    blocking(move || {
        let found = folders.inside(&source)?;
        let entries = workspace::list(found.root, found.below.trim_end_matches('/'))?;
        let mut inputs = inputs(&site, found.root, &entries)?;
        for input in &mut inputs {
            input.path = found.named(&input.path);
        }
        Ok(inputs)
    })
    .await
}
