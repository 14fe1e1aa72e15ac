//! The inputs of one action and the location of their bytes: a file of the checkout, or
//! a blob of the cache.
//!
//! Work that reads only through this module can run anywhere. A file of the checkout is
//! never copied: its digest is verified while it is read, and if it no longer matches
//! the action, the result is rejected.

mod changes;
mod open;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::folders::{Folders, lexical};
use super::site::Site;
use super::source::listed_in;
use super::{Class, Failure, Readers};
use crate::action::{InputDirectory, InputError, InputFile, InputNode, InputTree, Output};
use crate::cas::Cas;
use crate::cas::tree::{Tree, TreeKind};
use crate::disk::look;
use crate::oci::{Descriptor, Digest, Hasher};
use crate::workspace::{Entry, Kind, Links};

pub(crate) use changes::OnDisk;
pub(crate) use open::Seekable;

/// The digest of a file, read as a whole.
fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    io::copy(&mut look::open(path)?, &mut hasher)?;
    Ok(hasher.finish())
}

/// The inputs of an action, with their locations.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) tree: Arc<InputTree>,
    /// Files and links of the checkout, by their paths in the tree; all other files
    /// are blobs.
    on_disk: Arc<BTreeMap<String, PathBuf>>,
    cas: Arc<Cas>,
    /// What tasks made in the checkout.
    made: Arc<Vec<Recorded>>,
    /// Whether to record that group and others have no permissions for a file.
    privacy: bool,
    /// Who may read all files of the checkout among them.
    readers: Readers,
    /// The first file that no longer matches the tree.
    changed: Arc<Mutex<Option<PathBuf>>>,
}

impl Inputs {
    /// Empty inputs; blobs are read from `cas`.
    pub(crate) fn new(cas: &Arc<Cas>) -> Self {
        Self::of(Arc::default(), cas)
    }

    /// No inputs yet. For a source that a task made, the recorded output is used, not
    /// what is in the checkout.
    pub(crate) fn over(cas: &Arc<Cas>, made: Vec<Recorded>) -> Self {
        Self {
            made: Arc::new(made),
            ..Self::new(cas)
        }
    }

    /// The same for work that gives every file one of two modes, whatever its
    /// permissions in the checkout.
    pub(crate) fn without_privacy(mut self) -> Self {
        self.privacy = false;
        self
    }

    /// The inputs of an action whose bytes are all in `cas`.
    pub(crate) fn of(tree: Arc<InputTree>, cas: &Arc<Cas>) -> Self {
        Self {
            tree,
            on_disk: Arc::default(),
            cas: Arc::clone(cas),
            made: Arc::default(),
            privacy: true,
            readers: Readers::default(),
            changed: Arc::default(),
        }
    }

    /// Adds a blob that another action made or that was downloaded.
    pub(crate) fn blob(&mut self, name: &str, digest: Digest, size: u64) -> Result<(), InputError> {
        Arc::make_mut(&mut self.tree).insert_blob(name, digest, size)
    }

    /// The blob called `name`, which its action always has.
    pub(crate) fn given(&self, name: &str) -> Result<Descriptor, Failure> {
        let blob = self.tree.blob(name);
        let blob = blob.ok_or_else(|| Failure::internal(format_args!("no input `{name}`")))?;
        Ok(Descriptor::blob(blob.digest, blob.size))
    }

    /// Adds each output of `producer` under its [`output_name`].
    pub(crate) fn outputs(&mut self, producer: &str, outputs: &[Output]) -> Result<(), InputError> {
        for output in outputs {
            let name = output_name(producer, output);
            self.blob(&name, output.digest, output.size)?;
        }
        Ok(())
    }

    /// Adds a source of a definition with all that is in it; `links` says which links
    /// are followed.
    pub(crate) fn source(
        &mut self,
        site: &Site,
        folders: &Folders,
        source: &str,
        links: Links,
    ) -> Result<(), Failure> {
        let found = folders.find(source);
        let full = lexical(&found.root.join(found.below));
        let all = Arc::clone(&self.made);
        if let Some(made) = all.iter().find(|made| full.starts_with(&made.at)) {
            let below = full.strip_prefix(&made.at).unwrap_or(&full);
            let part = made.tree.below(&below.to_string_lossy());
            let part = part.ok_or_else(|| {
                let message = format!(
                    "`{source}` is inside an output of `{}`, which did not make it: correct the \
                     path, or the command",
                    made.step
                );
                Failure::new(Class::Configuration, message)
            })?;
            return Ok(self.recorded(source.trim_end_matches('/'), &part)?);
        }
        let (found, mut entries) = listed_in(folders, source, links, &site.own_files())?;
        let old = folders.made.all.delivered(&site.cas);
        // What was imported is unpacked in the cache.
        let imported = site.is_own(found.root);
        let mut top = true;
        entries.retain(|entry| {
            let on_disk = lexical(&found.root.join(&entry.path));
            let made = all.iter().any(|made| on_disk.starts_with(&made.at));
            let named = std::mem::take(&mut top);
            // What a task made that does not make it any more is no source.
            let old =
                !named && old.has(&|entry| site.digest(entry), found.root, entry, found.below);
            !made && !old && (named || imported || !site.is_own(&on_disk))
        });
        self.entries(site, found.root, &entries, |path| found.named(path))?;
        for made in all.iter().filter(|made| made.at.starts_with(&full)) {
            let below = made.at.strip_prefix(&full).unwrap_or(&full);
            let path = format!("{}/{}", source.trim_end_matches('/'), below.display());
            self.recorded(&path, &made.tree)?;
        }
        Ok(())
    }

    /// The entries of `root`, for tests.
    #[cfg(test)]
    pub(crate) fn on_disk(cas: &Arc<Cas>, root: &Path, entries: &[Entry]) -> Result<Self, Failure> {
        let mut inputs = Self::new(cas);
        inputs.add_from_disk(root, entries, str::to_owned)?;
        Ok(inputs)
    }

    /// Adds entries of `root`, which is not a checkout but, for example, a clone; `named`
    /// gives their paths in the tree. The files are read once to compute their digests.
    pub(crate) fn add_from_disk(
        &mut self,
        root: &Path,
        entries: &[Entry],
        named: impl Fn(&str) -> String,
    ) -> Result<(), Failure> {
        let digested = entries.iter().map(|entry| {
            let full = root.join(&entry.path);
            let digest = match entry.kind {
                Kind::File { .. } => Some(digest_of(&full)?),
                _ => None,
            };
            Ok((entry, full, digest))
        });
        let digested = digested.collect::<io::Result<Vec<_>>>()?;
        self.add(digested, named)
    }

    /// Adds entries of `root`; `named` maps them to their paths in the tree.
    pub(crate) fn entries(
        &mut self,
        site: &Site,
        root: &Path,
        entries: &[Entry],
        named: impl Fn(&str) -> String,
    ) -> Result<(), Failure> {
        let files: Vec<&Entry> = entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
            .collect();
        let mut digests = site.digests(root, &files)?.into_iter();
        let mut digested = Vec::with_capacity(entries.len());
        for entry in entries {
            let digest = match entry.kind {
                Kind::File { .. } => digests.next(),
                _ => None,
            };
            let full = root.join(&entry.path);
            self.as_made(&full, digest)?;
            digested.push((entry, full, digest));
        }
        self.add(digested, named)
    }

    /// Refuses a file of the checkout that a task made and that has changed since.
    fn as_made(&self, on_disk: &Path, digest: Option<Digest>) -> Result<(), Failure> {
        let (Some(digest), false) = (digest, self.made.is_empty()) else {
            return Ok(());
        };
        let full = lexical(on_disk);
        let Some(made) = self.made.iter().find(|made| full.starts_with(&made.at)) else {
            return Ok(());
        };
        let below = full.strip_prefix(&made.at).unwrap_or(&full);
        let part = made.tree.below(&below.to_string_lossy());
        let kind = part
            .as_ref()
            .and_then(Tree::single)
            .map(|entry| &entry.kind);
        if matches!(kind, Some(TreeKind::File { digest: made, .. }) if *made == digest) {
            return Ok(());
        }
        let message = format!(
            "`{}` is not what `{}` made: something altered it meanwhile; build again",
            on_disk.display(),
            made.step
        );
        Err(Failure::new(Class::Task, message))
    }

    /// Adds entries, each with its location and, if it is a file, its digest.
    fn add(
        &mut self,
        digested: Vec<(&Entry, PathBuf, Option<Digest>)>,
        named: impl Fn(&str) -> String,
    ) -> Result<(), Failure> {
        let mut nodes = Vec::with_capacity(digested.len());
        let mut on_disk = Vec::with_capacity(digested.len());
        for (entry, full, digest) in digested {
            let path = named(&entry.path);
            if !matches!(entry.kind, Kind::Link { .. }) {
                self.readers = self.readers.and(Readers::of(entry.stat.mode));
            }
            let node = self.node(entry, digest)?;
            if !matches!(node, InputNode::Directory(_)) {
                on_disk.push((in_tree(&path), full));
            }
            nodes.push((path, node));
        }
        let places = Arc::make_mut(&mut self.on_disk);
        match places.is_empty() {
            // A whole map costs less than as many insertions.
            true => *places = on_disk.into_iter().collect(),
            false => places.extend(on_disk),
        }
        Ok(Arc::make_mut(&mut self.tree).insert_all(nodes)?)
    }

    fn node(&self, entry: &Entry, digest: Option<Digest>) -> Result<InputNode, Failure> {
        let private = self.privacy && entry.stat.mode & 0o077 == 0;
        Ok(match &entry.kind {
            Kind::File { executable } => {
                let digest = digest.ok_or_else(|| Failure::internal("fewer digests than files"))?;
                InputNode::File(InputFile {
                    digest,
                    size: entry.stat.size,
                    executable: *executable,
                    private,
                })
            }
            Kind::Link { target } => InputNode::Link(target.clone()),
            Kind::Directory => InputNode::Directory(InputDirectory::empty(private)),
        })
    }

    /// The files and links of the checkout among them: each with its path in the tree, and
    /// where it is.
    pub(crate) fn of_checkout(&self) -> impl Iterator<Item = (&str, &Path)> + Clone {
        let all = self.on_disk.iter();
        all.map(|(path, on_disk)| (path.as_str(), on_disk.as_path()))
    }

    /// Whether the two are what one step has read at one time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tree, &other.tree) && Arc::ptr_eq(&self.on_disk, &other.on_disk)
    }

    /// The digests of all files that are blobs of the store.
    pub(crate) fn stored(&self) -> Vec<Digest> {
        let all = self.tree.files().into_iter();
        let blobs = all.filter(|(path, _)| !self.on_disk.contains_key(path));
        blobs.map(|(_, file)| file.digest).collect()
    }

    /// Who may read all files and folders of the checkout among them.
    pub(crate) fn readers(&self) -> Readers {
        self.readers
    }

    pub(crate) fn cas(&self) -> &Cas {
        &self.cas
    }

    /// Adds the recorded output of a command at `path`.
    pub(crate) fn recorded(&mut self, path: &str, tree: &Tree) -> Result<(), InputError> {
        if tree.single().is_none() {
            let folder = InputNode::Directory(InputDirectory::empty(false));
            Arc::make_mut(&mut self.tree).insert(path, folder)?;
        }
        let entries = tree.entries.iter().map(|entry| {
            let full = match entry.path.as_str() {
                "" => path.to_owned(),
                below => format!("{path}/{below}"),
            };
            let node = match &entry.kind {
                TreeKind::File {
                    digest,
                    size,
                    executable,
                } => InputNode::File(InputFile {
                    executable: *executable,
                    ..InputFile::plain(*digest, *size)
                }),
                TreeKind::Symlink { target } => InputNode::Link(target.clone()),
                TreeKind::Directory => InputNode::Directory(InputDirectory::empty(false)),
            };
            (full, node)
        });
        Arc::make_mut(&mut self.tree).insert_all(entries)
    }

    /// The entry at `path` and everything below it, parents first, each with its path
    /// below `path`.
    pub(crate) fn list(&self, path: &str) -> Vec<(String, &InputNode)> {
        self.tree.walk(path)
    }
}

/// What a task left at one path of the checkout, as it was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Without `.` and `..`.
    pub(crate) at: PathBuf,
    pub(crate) step: String,
    pub(crate) tree: Tree,
}

/// The name of an input that is an output of `producer`.
fn output_name(producer: &str, output: &Output) -> String {
    if output.name == producer {
        producer.to_owned()
    } else {
        format!("{producer}/{}", output.name)
    }
}

/// The normalised path for looking up a file's location.
fn in_tree(path: &str) -> String {
    let names = path.split('/').filter(|name| *name != ".");
    if names.clone().count() == path.split('/').count() {
        return path.to_owned();
    }
    names.collect::<Vec<_>>().join("/")
}
