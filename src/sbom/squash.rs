//! The squashed view: the files that a container started from the layers would see.
//!
//! Takes layer scans in the order of the manifest and gives cataloguers one tree.
//! Resolves links inside the root only. Never shows files that a later layer removed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::budget::{Memory, Steps};
use super::distro;
use super::document::{Annotations, Evidence, File, FileFacts, Location};
use super::layer::{Content, Entry, LayerError, NodeKind};
use super::stored::{StoredError, StoredScan};
use crate::oci::Digest;

/// Maximum number of links to follow for one path, as in Linux.
const LINK_LIMIT: usize = 40;

/// Memory for a name in the tree in addition to its text, in bytes.
const NODE_COST: usize = 192;

/// Longest list of the paths of files with content, in bytes: 16 MiB. Paths of deep folders
/// are much longer than the names that they consist of.
const LISTED_BYTES: usize = 16 << 20;

/// Memory for a path in that list in addition to its text, in bytes.
const LISTED_COST: usize = 24;

/// The root of the tree.
const ROOT: usize = 0;

/// A name in the tree. Folders that no layer mentions have no entry.
#[derive(Clone, Debug, Default)]
struct Node {
    names: BTreeMap<Box<str>, usize>,
    entry: Option<Box<Placed>>,
}

/// What is at a name.
#[derive(Clone, Debug)]
struct Placed {
    kind: NodeKind,
    /// Its layer's place in [`View::layers`].
    layer: usize,
    content: Option<Arc<Content>>,
    facts: FileFacts,
}

/// One tree of files, with the root of the scan on top.
///
/// Names are nodes, so that a step along a path takes the same time at any depth, and
/// all steps are counted: links can make a path of any length.
#[derive(Clone, Debug)]
pub struct View {
    nodes: Vec<Node>,
    layers: Vec<Digest>,
    /// Whether locations name their layer.
    layered: bool,
    memory: Memory,
    steps: Steps,
    distro: OnceCell<Value>,
    /// The paths of the files with content, and their nodes; absent if they are too long.
    contents: OnceCell<Option<Listed>>,
}

/// Paths with their nodes.
type Listed = Vec<(Box<str>, usize)>;

/// Why a layer was not stacked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The stored scan is damaged.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The image is too large.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// The folder of the last entry: entries are usually grouped by folder.
#[derive(Default)]
pub(super) struct LastFolder(Option<(String, usize)>);

impl View {
    /// An empty tree that takes at most `bytes` of memory. `layered`: locations name
    /// their layer.
    pub(super) fn new(layered: bool, bytes: usize) -> Self {
        Self {
            nodes: vec![Node::default()],
            layers: Vec::new(),
            layered,
            memory: Memory::new(
                bytes,
                match layered {
                    true => "its layers have too many files or links in all",
                    false => "it has too many files or links",
                },
            ),
            steps: Steps::default(),
            distro: OnceCell::new(),
            contents: OnceCell::new(),
        }
    }

    /// Stacks a layer on those before it.
    #[cfg(test)]
    pub(super) fn stack(&mut self, layer: super::layer::LayerScan) -> Result<(), LayerError> {
        self.begin(layer.diff_id, &layer.whiteouts, &layer.opaque);
        let mut last = LastFolder::default();
        for entry in layer.entries {
            self.add(entry, &mut last)?;
        }
        Ok(())
    }

    /// Stacks a layer whose scan was stored.
    pub(super) fn stack_stored(
        &mut self,
        mut layer: StoredScan<impl Read>,
    ) -> Result<(), StackError> {
        self.begin(layer.diff_id, &layer.whiteouts, &layer.opaque);
        let mut last = LastFolder::default();
        while let Some(entry) = layer.next_entry()? {
            self.add(entry, &mut last)?;
        }
        Ok(())
    }

    /// Puts the entries of one tar into the tree, without layers below.
    pub(super) fn filling(&mut self) -> impl FnMut(Entry) -> Result<(), LayerError> + '_ {
        let mut last = self.fill();
        move |entry| self.add(entry, &mut last)
    }

    /// As [`filling`](Self::filling), for those who call [`add`](Self::add) themselves.
    pub(super) fn fill(&mut self) -> LastFolder {
        self.layers.push(Digest::of(b""));
        LastFolder::default()
    }

    /// Begins a layer, with what it deletes.
    fn begin(&mut self, layer: Digest, whiteouts: &[String], opaque: &[String]) {
        self.layers.push(layer);
        self.contents = OnceCell::new();
        for path in opaque {
            if let Some(node) = self.find(path) {
                self.empty(node);
            }
        }
        for path in whiteouts {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let node = self.find(folder).map(|at| &mut self.nodes[at].names);
            if let Some(node) = node.and_then(|names| names.remove(name)) {
                self.empty(node);
                self.place(node, None);
            }
        }
    }

    pub(super) fn add(&mut self, entry: Entry, last: &mut LastFolder) -> Result<(), LayerError> {
        self.steps.add_entry();
        self.contents = OnceCell::new();
        let (folder, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let at = match &last.0 {
            Some((known, at)) if known == folder => *at,
            _ => self.settle(folder)?,
        };
        last.0 = Some((folder.to_owned(), at));
        if !matches!(entry.kind, NodeKind::Directory | NodeKind::File) {
            // A new link changes where later paths lead.
            last.0 = None;
        }
        let (kept, layer) = (entry.kept(), self.layers.len() - 1);
        let placed = match entry.kind {
            NodeKind::Hardlink(target) => {
                let node = self.find(&target).map(|node| &self.nodes[node]);
                match node.and_then(|node| node.entry.clone()) {
                    Some(placed) => placed,
                    None => return Ok(()),
                }
            }
            kind => Box::new(Placed {
                kind,
                layer,
                content: entry.content,
                facts: FileFacts {
                    mode: entry.mode,
                    owner: entry.owner,
                    size: entry.size,
                    media: entry.media,
                    digest: entry.digest,
                },
            }),
        };
        if let NodeKind::Symlink(target) = &placed.kind {
            self.memory.take(target.len())?;
        }
        self.memory.take(kept)?;
        let node = self.enter(at, name)?;
        if placed.kind != NodeKind::Directory {
            self.empty(node);
        }
        self.place(node, Some(placed));
        Ok(())
    }

    /// Removes everything below a node.
    fn empty(&mut self, node: usize) {
        let names = std::mem::take(&mut self.nodes[node].names);
        let mut gone: Vec<usize> = names.into_values().collect();
        while let Some(node) = gone.pop() {
            let names = std::mem::take(&mut self.nodes[node].names);
            gone.extend(names.into_values());
            self.place(node, None);
        }
    }

    /// Replaces what is at a node. The memory of its content counts no more, unless a
    /// hard link has it as well; that of its name does, since nodes are not used again.
    fn place(&mut self, node: usize, placed: Option<Box<Placed>>) {
        let old = std::mem::replace(&mut self.nodes[node].entry, placed);
        let content = old.and_then(|old| old.content);
        if let Some(content) = content.and_then(Arc::into_inner) {
            self.memory.give(content.size());
        }
    }

    /// The folder for entries of `path`, made if necessary: where its links lead. Files
    /// on the way are removed.
    fn settle(&mut self, path: &str) -> Result<usize, LayerError> {
        // A path whose links loop counts as it is written.
        let names: Vec<String> = match self.walk(path) {
            Some(real) => real.iter().map(|(name, _)| (*name).to_owned()).collect(),
            None => path.split('/').map(str::to_owned).collect(),
        };
        self.check()?;
        let mut at = ROOT;
        for name in names.iter().filter(|name| !name.is_empty()) {
            at = self.enter(at, name)?;
            let entry = &self.nodes[at].entry;
            let stays =
                |placed: &Placed| matches!(placed.kind, NodeKind::Directory | NodeKind::Symlink(_));
            if entry.as_deref().is_some_and(|placed| !stays(placed)) {
                self.place(at, None);
            }
        }
        Ok(at)
    }

    /// The node called `name` in the folder `at`, made if necessary.
    fn enter(&mut self, at: usize, name: &str) -> Result<usize, LayerError> {
        if let Some(known) = self.nodes[at].names.get(name) {
            return Ok(*known);
        }
        self.memory.take(NODE_COST + name.len())?;
        let made = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[at].names.insert(name.into(), made);
        Ok(made)
    }

    /// The node at exactly `path`; links are not followed.
    fn find(&self, path: &str) -> Option<usize> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(ROOT, |at, name| self.nodes[at].names.get(name).copied())
    }

    /// The names on the real path behind `path`, each with its node if it has one;
    /// `None` if links loop, or if no steps are left.
    fn walk<'v>(&'v self, path: &'v str) -> Option<Vec<(&'v str, Option<usize>)>> {
        let mut ahead = vec![path.split('/')];
        let mut real: Vec<(&str, Option<usize>)> = Vec::new();
        let mut links = 0;
        while let Some(names) = ahead.last_mut() {
            let Some(name) = names.next() else {
                ahead.pop();
                continue;
            };
            self.steps.take()?;
            match name {
                "" | "." => continue,
                ".." => {
                    real.pop();
                    continue;
                }
                _ => {}
            }
            let folder = real.last().map_or(Some(ROOT), |(_, node)| *node);
            let node = folder.and_then(|at| self.nodes[at].names.get(name).copied());
            let placed = node.and_then(|node| self.nodes[node].entry.as_deref());
            if let Some(NodeKind::Symlink(target)) = placed.map(|placed| &placed.kind) {
                links += 1;
                if links > LINK_LIMIT {
                    return None;
                }
                if target.starts_with('/') {
                    real.clear();
                }
                ahead.push(target.split('/'));
                continue;
            }
            real.push((name, node));
        }
        Some(real)
    }

    /// Refuses what took more steps along paths than a scan may.
    pub(super) fn check(&self) -> Result<(), LayerError> {
        match self.steps.are_used_up() {
            true => Err(LayerError::TooLarge(
                "its links and paths are too long to follow",
            )),
            false => Ok(()),
        }
    }

    /// The real path behind `path`; `None` if links loop.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        Some(joined(&self.walk(path)?))
    }

    /// What `path` leads to.
    fn placed(&self, path: &str) -> Option<&Placed> {
        let real = self.walk(path)?;
        let node = real.last().map_or(Some(ROOT), |(_, node)| *node)?;
        self.nodes[node].entry.as_deref()
    }

    /// Whether the file that `path` leads to is kept whole.
    #[must_use]
    pub fn is_kept(&self, path: &str) -> bool {
        let content = self
            .placed(path)
            .and_then(|placed| placed.content.as_deref());
        matches!(content, Some(Content::Text(_)))
    }

    /// Kept bytes of the file that `path` leads to.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        match self.placed(path)?.content.as_deref()? {
            Content::Text(text) => Some(text.bytes()),
            Content::Executable(_) | Content::Extract(_) | Content::Unreadable(_) => None,
        }
    }

    /// What a cataloguer took out of the file that `path` leads to.
    pub(super) fn extract(&self, path: &str) -> Option<&[u8]> {
        match self.placed(path)?.content.as_deref()? {
            Content::Extract(bytes) => Some(bytes),
            Content::Text(_) | Content::Executable(_) | Content::Unreadable(_) => None,
        }
    }

    /// Whether there is a file, a folder or a link at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(real) = self.walk(folder) else {
            return false;
        };
        let folder = real.last().map_or(Some(ROOT), |(_, node)| *node);
        // A name without an entry is a folder, though a layer may have emptied it.
        folder.is_some_and(|folder| self.nodes[folder].names.contains_key(name))
    }

    /// The names in the folder that `path` leads to, sorted, from the first that begins
    /// with `start` on as long as they do.
    pub(super) fn names<'v>(
        &'v self,
        path: &str,
        start: &'v str,
    ) -> impl Iterator<Item = &'v str> + use<'v> {
        // Links that loop lead to nothing, not to the root.
        let real = self.walk(path);
        let node = real.and_then(|real| real.last().map_or(Some(ROOT), |(_, node)| *node));
        let names = node.map(|node| {
            let from = (Bound::Included(start), Bound::Unbounded);
            self.nodes[node].names.range::<str, _>(from)
        });
        let names = names.into_iter().flatten().map(|(name, _)| &**name);
        // Each is a step: a hostile list asks for the names of one folder again and again.
        names
            .take_while(move |name| name.starts_with(start))
            .map_while(|name| self.steps.take().map(|()| name))
    }

    /// Kept text of the file that `path` leads to; odd bytes are replaced.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let text = String::from_utf8(self.bytes(path)?);
        Some(text.unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned()))
    }

    /// Calls `visit` with the real path of every file with content.
    pub(super) fn each(&self, mut visit: impl FnMut(&str, &Content)) {
        // Every cataloguer asks, and few files have content.
        let listed = self.contents.get_or_init(|| {
            let (mut all, mut bytes) = (Listed::new(), 0);
            self.each_placed(&mut |path, node| {
                bytes += path.len() + LISTED_COST;
                if bytes <= LISTED_BYTES {
                    all.push((path.into(), node));
                }
            });
            (bytes <= LISTED_BYTES).then_some(all)
        });
        let mut with = |path: &str, node: usize| {
            let placed = self.nodes[node].entry.as_deref();
            if let Some(content) = placed.and_then(|placed| placed.content.as_deref()) {
                visit(path, content);
            }
        };
        match listed {
            Some(listed) => listed.iter().for_each(|(path, node)| with(path, *node)),
            None => self.each_placed(&mut with),
        }
    }

    /// Calls `visit` with the real path and the node of every file with content.
    fn each_placed(&self, visit: &mut dyn FnMut(&str, usize)) {
        let mut path = String::new();
        // What is left of each folder on the path, and where its name begins in it.
        let mut open = vec![(self.nodes[ROOT].names.iter(), 0)];
        while let Some((names, end)) = open.last_mut() {
            path.truncate(*end);
            let Some((name, node)) = names.next() else {
                open.pop();
                continue;
            };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            let placed = self.nodes[*node].entry.as_deref();
            if placed.is_some_and(|placed| placed.content.is_some()) {
                visit(&path, *node);
            }
            open.push((self.nodes[*node].names.iter(), path.len()));
        }
    }

    /// Calls `visit` with the real path of every regular file below the folder at `path`,
    /// as long as it returns true.
    pub(super) fn files_below(&self, path: &str, mut visit: impl FnMut(&str) -> bool) {
        let Some(real) = self.resolve(path) else {
            return;
        };
        let Some(root) = self.find(&real) else {
            return;
        };
        let mut path = real;
        let mut open = vec![(self.nodes[root].names.iter(), path.len())];
        while let Some((names, end)) = open.last_mut() {
            path.truncate(*end);
            let Some((name, node)) = names.next() else {
                open.pop();
                continue;
            };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            let node = &self.nodes[*node];
            let kind = node.entry.as_deref().map(|placed| &placed.kind);
            let is_file = matches!(kind, Some(NodeKind::File | NodeKind::Hardlink(_)));
            if is_file && !visit(&path) {
                return;
            }
            open.push((node.names.iter(), path.len()));
        }
    }

    /// The location of `path`, if it exists.
    #[must_use]
    pub fn location(&self, path: &str, evidence: Evidence) -> Option<Location> {
        let real = self.walk(path)?;
        let node = real.last().map_or(Some(ROOT), |(_, node)| *node)?;
        let placed = self.nodes[node].entry.as_deref()?;
        Some(Location {
            path: format!("/{}", joined(&real)),
            layer: self.layered.then_some(self.layers[placed.layer]),
            access_path: format!("/{path}"),
            annotations: Annotations { evidence },
        })
    }

    /// The regular file that `path` leads to, and its place in the tree.
    pub(super) fn file(&self, path: &str) -> Option<(usize, File)> {
        let real = self.walk(path)?;
        let node = real.last().and_then(|(_, node)| *node)?;
        let placed = self.nodes[node].entry.as_deref()?;
        let file = File {
            path: format!("/{}", joined(&real)),
            layer: self.layered.then_some(self.layers[placed.layer]),
            facts: placed.facts,
        };
        (placed.kind == NodeKind::File).then_some((node, file))
    }

    /// Facts about the distribution at the root; an empty object if unknown.
    #[must_use]
    pub fn distro(&self) -> &Value {
        self.distro
            .get_or_init(|| distro::read(&|path| self.text(path), ""))
    }
}

fn joined(real: &[(&str, Option<usize>)]) -> String {
    let names: Vec<&str> = real.iter().map(|(name, _)| *name).collect();
    names.join("/")
}

#[cfg(test)]
mod tests;
