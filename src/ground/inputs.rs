//! The inputs of one action and the location of their bytes: a file of the checkout, or
//! a blob of the cache.
//!
//! Work that reads only through this module can run anywhere. A file of the checkout is
//! never copied: its digest is verified while it is read, and if it no longer matches
//! the action, the result is rejected.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

use super::folders::{Folders, lexical};
use super::site::Site;
use super::source::listed_in;
use super::{Class, Failure, Readers};
use crate::action::{InputDirectory, InputError, InputFile, InputNode, InputTree, Output};
use crate::cas::tree::{Tree, TreeKind};
use crate::cas::{Cas, is_damage};
use crate::content::VerifyReader;
use crate::disk::look;
use crate::oci::{Descriptor, Digest, Hasher};
use crate::workspace::{Entry, Kind, Links, Stat};

/// What is at a path now, read at most once.
pub(crate) struct OnDisk {
    path: PathBuf,
    /// Of what a link there leads to.
    metadata: Option<fs::Metadata>,
    digest: OnceCell<Option<Digest>>,
}

impl OnDisk {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            metadata: fs::metadata(path).ok(),
            digest: OnceCell::new(),
        }
    }

    /// The digest of the file; `None`: there is none, or it cannot be read.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let is_file = self.metadata.as_ref().is_some_and(fs::Metadata::is_file);
        let read = || is_file.then(|| digest_of(&self.path).ok()).flatten();
        *self.digest.get_or_init(read)
    }
}

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
        let mut top = true;
        entries.retain(|entry| {
            let on_disk = lexical(&found.root.join(&entry.path));
            let made = all.iter().any(|made| on_disk.starts_with(&made.at));
            let named = std::mem::take(&mut top);
            !made && (named || !site.is_own(&on_disk))
        });
        self.entries(site, found.root, &entries, |path| found.named(path))?;
        for made in all.iter().filter(|made| made.at.starts_with(&full)) {
            let below = made.at.strip_prefix(&full).unwrap_or(&full);
            let path = format!("{}/{}", source.trim_end_matches('/'), below.display());
            self.recorded(&path, &made.tree)?;
        }
        Ok(())
    }

    /// Adds entries of `root`, which is not a checkout but, for example, a clone. The
    /// files are read once to compute their digests.
    pub(crate) fn on_disk(cas: &Arc<Cas>, root: &Path, entries: &[Entry]) -> Result<Self, Failure> {
        let mut inputs = Self::new(cas);
        inputs.add_from_disk(root, entries, str::to_owned)?;
        Ok(inputs)
    }

    /// Adds entries of `root` as [`on_disk`](Self::on_disk) does; `named` gives their
    /// paths in the tree.
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

    /// Compares the files and links of the checkout with the tree again, for work
    /// that may have read them without this type's check. Reads only those whose
    /// metadata changed, and notes the first that has changed.
    pub(crate) fn check_again(&self, site: &Site) -> Result<(), Failure> {
        let changed = |on_disk: &Path| {
            note_changed(&self.changed, on_disk);
            Failure::changed(on_disk.to_owned())
        };
        let (mut entries, mut expected) = (Vec::new(), Vec::new());
        for (path, on_disk) in &*self.on_disk {
            let metadata = fs::symlink_metadata(on_disk).map_err(|_| changed(on_disk))?;
            match self.tree.get(path) {
                Some(InputNode::File(file)) if metadata.is_file() => {
                    let executable = metadata.mode() & 0o100 != 0;
                    if executable != file.executable {
                        return Err(changed(on_disk));
                    }
                    entries.push(Entry {
                        path: on_disk.to_string_lossy().into_owned(),
                        kind: Kind::File { executable },
                        stat: Stat::of(&metadata),
                    });
                    expected.push((on_disk, file.digest));
                }
                Some(InputNode::Link(target))
                    if fs::read_link(on_disk).is_ok_and(|found| found == Path::new(target)) => {}
                _ => return Err(changed(on_disk)),
            }
        }
        let found = site.digests(Path::new("/"), &entries.iter().collect::<Vec<_>>())?;
        let mut pairs = expected.iter().zip(found);
        match pairs.find(|((_, expected), found)| expected != found) {
            Some(((on_disk, _), _)) => Err(changed(on_disk)),
            None => Ok(()),
        }
    }

    /// The files and links of the checkout among them: each with its path in the tree, and
    /// where it is.
    pub(crate) fn of_checkout(&self) -> impl Iterator<Item = (&str, &Path)> {
        let all = self.on_disk.iter();
        all.map(|(path, on_disk)| (path.as_str(), on_disk.as_path()))
    }

    /// Whether the two are what one step has read at one time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tree, &other.tree) && Arc::ptr_eq(&self.on_disk, &other.on_disk)
    }

    /// Whether what is on the disk is not what the tree has at `path`.
    pub(crate) fn differs(&self, path: &str, now: &OnDisk) -> bool {
        match (self.tree.get(path), &now.metadata) {
            (Some(InputNode::File(file)), Some(metadata)) => {
                let mode = metadata.mode();
                let same = metadata.is_file()
                    && metadata.len() == file.size
                    && (mode & 0o100 != 0) == file.executable
                    && (self.privacy && mode & 0o077 == 0) == file.private;
                !same || now.digest() != Some(file.digest)
            }
            (Some(InputNode::Link(target)), _) => {
                !fs::read_link(&now.path).is_ok_and(|found| found == Path::new(target))
            }
            _ => true,
        }
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

    /// Opens the file at `path`. If its content does not match its digest, reading
    /// fails at the end.
    pub(crate) fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        let file = match self.tree.get(path) {
            Some(InputNode::File(file)) => file,
            _ => return Err(not_found(path)),
        };
        let Some(on_disk) = self.on_disk.get(&in_tree(path)) else {
            return Ok(Box::new(self.cas.open_blob(&file.digest)?));
        };
        let expected = Descriptor::blob(file.digest, file.size);
        Ok(Box::new(Checked {
            file: VerifyReader::new(self.opened(on_disk)?, &expected),
            path: on_disk,
            changed: &self.changed,
        }))
    }

    /// Opens the blob called `name`.
    pub(crate) fn open_blob(&self, name: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        let file = self.tree.blob(name).ok_or_else(|| not_found(name))?;
        Ok(Box::new(self.cas.open_blob(&file.digest)?))
    }

    /// The file at `path`, or the blob of that name, for random access, after its
    /// digest has been verified. [`Seekable::settle`] checks a file of the checkout
    /// again.
    pub(crate) fn seekable(&self, path: &str) -> io::Result<Seekable> {
        if let Some(on_disk) = self.on_disk.get(&in_tree(path)) {
            let mut file = self.opened(on_disk)?;
            let stat = Stat::of(&file.metadata()?);
            io::copy(&mut self.open(path)?, &mut io::sink())?;
            file.rewind()?;
            return Ok(Seekable {
                file,
                stat: Some((stat, on_disk.clone(), Arc::clone(&self.changed))),
            });
        }
        // Verified while it is copied.
        let mut content = match self.tree.get(path) {
            Some(InputNode::File(_)) => self.open(path)?,
            _ => self.open_blob(path)?,
        };
        let mut file = tempfile::tempfile_in(self.cas.root())?;
        io::copy(&mut content, &mut file)?;
        file.rewind()?;
        Ok(Seekable { file, stat: None })
    }

    fn opened(&self, path: &Path) -> io::Result<File> {
        // Opening must not block on a pipe that has replaced the file. Links are
        // followed: the target must have the digest in any case.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(note_changed(&self.changed, path))
            }
            opened => opened,
        }
    }

    /// The file that no longer matches the action, if any.
    pub(crate) fn changed(&self) -> Option<PathBuf> {
        let changed = self.changed.lock();
        changed.unwrap_or_else(PoisonError::into_inner).clone()
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

fn not_found(path: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("`{path}` is not an input of the action"),
    )
}

type Changed = Mutex<Option<PathBuf>>;

fn note_changed(changed: &Changed, path: &Path) -> io::Error {
    let mut first = changed.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert_with(|| path.to_owned());
    io::Error::other(format!("`{}` changed while it was read", path.display()))
}

/// A verified file for random access.
pub(crate) struct Seekable {
    pub(crate) file: File,
    stat: Option<(Stat, PathBuf, Arc<Changed>)>,
}

impl Seekable {
    /// An unnamed file, which nothing else can write to.
    pub(crate) fn scratch(file: File) -> Self {
        Self { file, stat: None }
    }

    /// Fails if the file has changed since it was verified.
    pub(crate) fn settle(&self) -> io::Result<()> {
        match &self.stat {
            Some((stat, path, changed)) if Stat::of(&self.file.metadata()?) != *stat => {
                Err(note_changed(changed, path))
            }
            _ => Ok(()),
        }
    }
}

/// A file of the checkout whose digest is verified at its end.
struct Checked<'a> {
    file: VerifyReader<File>,
    path: &'a Path,
    changed: &'a Changed,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer);
        read.map_err(|error| match is_damage(&error) {
            true => note_changed(self.changed, self.path),
            false => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::site::SiteOptions;
    use crate::registry::{Options, Registry};

    fn inputs(dir: &Path) -> Inputs {
        let cas = Arc::new(Cas::open(dir.join("cache")).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, dir, SiteOptions::default());
        let mut inputs = Inputs::new(&site.cas);
        let folders = Folders::from(dir.to_owned());
        inputs.source(&site, &folders, "f", Links::Kept).unwrap();
        inputs
    }

    fn read(inputs: &Inputs) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        inputs.open("f")?.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn a_file_that_no_longer_matches_the_tree_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        for other in [Some("old!"), Some("OLD"), Some("ol"), None] {
            std::fs::write(&file, "old").unwrap();
            let inputs = inputs(dir.path());
            assert_eq!(read(&inputs).unwrap(), b"old");
            assert_eq!(inputs.changed(), None);
            match other {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            assert!(read(&inputs).is_err(), "{other:?}");
            assert!(inputs.seekable("f").is_err(), "{other:?}");
            assert_eq!(inputs.changed(), Some(file.clone()));
        }
    }

    #[test]
    fn a_seekable_file_that_is_written_to_later_does_not_settle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let inputs = inputs(dir.path());
        let seekable = inputs.seekable("f").unwrap();
        seekable.settle().unwrap();
        std::fs::write(dir.path().join("f"), "newer").unwrap();
        assert!(seekable.settle().is_err());
        assert!(inputs.changed().is_some());
    }
}
