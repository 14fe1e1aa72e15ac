//! Lists the files that a run made, for records that the user asked for.

use std::fs::File;
use std::io;
use std::path::Path;

use super::record::{FileRecord, RunRecord};
use crate::cas::Cas;
use crate::cas::tree::{self, TreeKind};
use crate::oci::Hasher;

/// Adds the files in folders, and the delivered files, each with its digest.
///
/// # Errors
///
/// A delivered file cannot be read.
pub fn list_files(cas: &Cas, record: &mut RunRecord) -> io::Result<()> {
    for task in &mut record.tasks {
        for output in &mut task.outputs {
            // A tree that was evicted meanwhile has nothing to list.
            let tree = output.tree.and_then(|digest| tree::load(cas, &digest).ok());
            let entries = tree.map_or_else(Vec::new, |tree| tree.entries);
            let files = entries.into_iter().filter_map(|entry| match entry.kind {
                TreeKind::File { digest, size, .. } => Some(FileRecord {
                    path: entry.path,
                    digest: digest.to_string(),
                    size,
                }),
                _ => None,
            });
            output.files = files.collect();
        }
        let files = task.files.iter().filter(|path| Path::new(path).is_file());
        let delivered = files.map(|path| {
            let mut hasher = Hasher::default();
            let size = io::copy(&mut File::open(path)?, &mut hasher)?;
            Ok(FileRecord {
                path: path.clone(),
                digest: hasher.finish().to_string(),
                size,
            })
        });
        task.delivered = delivered.collect::<io::Result<_>>()?;
    }
    Ok(())
}
