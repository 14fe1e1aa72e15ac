//! A file system in memory, changed by layers as an extractor would.

use std::collections::{BTreeMap, VecDeque};

/// One thing in a folder.
#[derive(Clone, Debug)]
enum Node {
    /// `entry`: the layer that has an entry for it.
    Folder {
        entry: Option<usize>,
        names: BTreeMap<String, Node>,
    },
    /// Equal numbers are hard links of each other.
    File {
        number: usize,
        bytes: Vec<u8>,
        mode: u32,
        layer: usize,
    },
    Link {
        target: String,
        layer: usize,
    },
}

impl Node {
    fn folder() -> Self {
        Self::Folder {
            entry: None,
            names: BTreeMap::new(),
        }
    }

    /// What it has; nothing if it is no folder.
    fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Folder { names, .. } => names.get(name),
            _ => None,
        }
    }

    /// Its names; a file or link gives way to a folder.
    fn names(&mut self) -> &mut BTreeMap<String, Self> {
        if !matches!(self, Self::Folder { .. }) {
            *self = Self::folder();
        }
        match self {
            Self::Folder { names, .. } => names,
            _ => unreachable!(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    root: Node,
    layers: usize,
    files: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            root: Node::folder(),
            layers: 0,
            files: 0,
        }
    }
}

impl Model {
    /// The names that `path` leads to; `None`: its links loop.
    fn follow(&self, path: &str) -> Option<Vec<String>> {
        let split = |path: &str| -> VecDeque<String> {
            let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
            names.map(str::to_owned).collect()
        };
        let (mut left, mut real, mut links) = (split(path), Vec::new(), 0);
        while let Some(name) = left.pop_front() {
            if name == ".." {
                real.pop();
                continue;
            }
            real.push(name);
            if let Some(Node::Link { target, .. }) = self.at(&real) {
                links += 1;
                if links > 40 {
                    return None;
                }
                real.pop();
                if target.starts_with('/') {
                    real.clear();
                }
                let mut ahead = split(target);
                ahead.append(&mut left);
                left = ahead;
            }
        }
        Some(real)
    }

    fn at(&self, real: &[String]) -> Option<&Node> {
        let mut names = real.iter();
        names.try_fold(&self.root, |node, name| node.child(name))
    }

    /// The layer that supplied what is at the real path `path`.
    pub(super) fn layer_of(&self, path: &str) -> Option<usize> {
        match self.at(&self.follow(path)?)? {
            Node::Folder { entry, .. } => *entry,
            Node::File { layer, .. } | Node::Link { layer, .. } => Some(*layer),
        }
    }

    /// Puts `node` at `path`; false: that is not possible.
    fn put(&mut self, path: &str, node: Node) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(real) = self.follow(folder) else {
            return false;
        };
        let mut at = &mut self.root;
        for name in &real {
            at = at.names().entry(name.clone()).or_insert_with(Node::folder);
        }
        let names = at.names();
        match (names.get_mut(name), node) {
            (Some(Node::Folder { entry, .. }), Node::Folder { entry: new, .. }) => *entry = new,
            (_, node) => {
                names.insert(name.to_owned(), node);
            }
        }
        true
    }

    /// The paths of everything, with folders before what is in them.
    fn paths(&self) -> Vec<(String, &Node)> {
        let (mut open, mut all) = (vec![(String::new(), &self.root)], Vec::new());
        while let Some((path, node)) = open.pop() {
            if let Node::Folder { names, .. } = node {
                for (name, node) in names.iter().rev() {
                    let gap = if path.is_empty() { "" } else { "/" };
                    open.push((format!("{path}{gap}{name}"), node));
                }
            }
            if !path.is_empty() {
                all.push((path, node));
            }
        }
        all
    }

    /// All of it as one layer.
    pub(super) fn flattened(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut written: BTreeMap<usize, String> = BTreeMap::new();
        for (path, node) in self.paths() {
            match node {
                Node::Folder { entry: None, names } if !names.is_empty() => {}
                Node::Folder { .. } => write(&mut tar, &path, Entry::Folder),
                Node::File { number, .. } if written.contains_key(number) => {
                    write(&mut tar, &path, Entry::Hard(&written[number]));
                }
                Node::File {
                    number,
                    bytes,
                    mode,
                    ..
                } => {
                    write(&mut tar, &path, Entry::File(bytes, *mode));
                    written.insert(*number, path);
                }
                Node::Link { target, .. } => write(&mut tar, &path, Entry::Link(target)),
            }
        }
        tar.into_inner().unwrap()
    }
}

enum Entry<'e> {
    Folder,
    File(&'e [u8], u32),
    Link(&'e str),
    Hard(&'e str),
}

fn write(tar: &mut tar::Builder<Vec<u8>>, path: &str, entry: Entry<'_>) {
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o755);
    match entry {
        Entry::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, format!("{path}/"), &[][..])
        }
        Entry::File(bytes, mode) => {
            header.set_mode(mode);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes)
        }
        Entry::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, target)
        }
        Entry::Hard(target) => {
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, path, target)
        }
    }
    .unwrap();
}

/// A layer that is being made on top of a model.
pub(super) struct Built<'m> {
    model: &'m mut Model,
    /// As it was before.
    below: Model,
    /// What it deletes, in the order in which it says so.
    deletes: Vec<Deletes>,
    adds: Vec<(String, Node)>,
}

enum Deletes {
    Path(String),
    Inside(String),
}

impl<'m> Built<'m> {
    pub(super) fn begin(model: &'m mut Model) -> Self {
        Self {
            below: model.clone(),
            model,
            deletes: Vec::new(),
            adds: Vec::new(),
        }
    }

    pub(super) fn file(&mut self, path: &str, bytes: Vec<u8>, mode: u32) {
        self.model.files += 1;
        let node = Node::File {
            number: self.model.files,
            bytes,
            mode,
            layer: self.model.layers,
        };
        self.adds.push((path.to_owned(), node));
    }

    pub(super) fn folder(&mut self, path: &str) {
        if path.is_empty() {
            return;
        }
        let entry = Some(self.model.layers);
        let names = BTreeMap::new();
        self.adds
            .push((path.to_owned(), Node::Folder { entry, names }));
    }

    pub(super) fn link(&mut self, at: &str, to: &str, absolute: bool) {
        if at.is_empty() || at == to.trim_end_matches('/') {
            return;
        }
        let up = "../".repeat(at.matches('/').count());
        let begin = if absolute { "/" } else { up.as_str() };
        let target = match format!("{begin}{}", to.trim_end_matches('/')) {
            nowhere if nowhere.is_empty() => ".".to_owned(),
            target => target,
        };
        let layer = self.model.layers;
        self.adds
            .push((at.to_owned(), Node::Link { target, layer }));
    }

    /// Only to what this layer wrote: so do all that make layers.
    pub(super) fn hard(&mut self, at: &str, to: &str) {
        let written = self.adds.iter().rev().find(|(path, _)| path == to);
        if let Some((_, node @ Node::File { .. })) = written
            && at != to
        {
            let node = node.clone();
            self.adds.push((at.to_owned(), node));
        }
    }

    /// A path that was there before.
    fn picked(&self, pick: u16) -> Option<(String, Node)> {
        let paths = self.below.paths();
        let place = usize::from(pick).checked_rem(paths.len())?;
        let (path, node) = &paths[place];
        Some((path.clone(), (*node).clone()))
    }

    pub(super) fn delete(&mut self, pick: u16) {
        let picked = self.picked(pick);
        self.deletes
            .extend(picked.map(|(path, _)| Deletes::Path(path)));
    }

    pub(super) fn empty(&mut self, pick: u16) {
        if let Some((path, Node::Folder { .. })) = self.picked(pick) {
            self.deletes.push(Deletes::Inside(path));
        }
    }

    pub(super) fn rename(&mut self, pick: u16, place: &str) {
        let Some((path, node)) = self.picked(pick) else {
            return;
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let to = format!("{place}{name}");
        if to == path || to.starts_with(&format!("{path}/")) {
            return;
        }
        self.deletes.push(Deletes::Path(path));
        let moved = Model {
            root: node.clone(),
            layers: 0,
            files: 0,
        };
        self.again(&to, &node);
        for (below, node) in moved.paths() {
            self.again(&format!("{to}/{below}"), node);
        }
    }

    /// Writes what is at a node as this layer's own.
    fn again(&mut self, path: &str, node: &Node) {
        match node {
            Node::Folder { entry: None, .. } => {}
            Node::Folder { .. } => self.folder(path),
            Node::File { bytes, mode, .. } => self.file(path, bytes.clone(), *mode),
            Node::Link { target, .. } => {
                let (target, layer) = (target.clone(), self.model.layers);
                self.adds
                    .push((path.to_owned(), Node::Link { target, layer }));
            }
        }
    }

    pub(super) fn replace(&mut self, pick: u16) {
        match self.picked(pick) {
            Some((path, Node::File { .. })) => self.folder(&path),
            Some((path, _)) => self.file(&path, b"a file in the place of a folder".to_vec(), 0o644),
            None => {}
        }
    }

    pub(super) fn touch(&mut self, pick: u16) {
        if let Some((path, Node::File { bytes, .. })) = self.picked(pick) {
            self.file(&path, bytes, 0o700);
        }
    }

    pub(super) fn below(&mut self, pick: u16, suffix: &str, bytes: Vec<u8>) {
        if let Some((path, _)) = self.picked(pick) {
            self.file(&format!("{path}/{suffix}"), bytes, 0o644);
        }
    }

    /// Changes the model, and writes the layer. Deletions go first whatever their place
    /// is: those of even number stand before the rest, the others behind.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for deletes in &self.deletes {
            let (Deletes::Path(path) | Deletes::Inside(path)) = deletes;
            let names: Vec<&str> = path.split('/').collect();
            let (name, folder) = names.split_last().unwrap();
            let node = folder.iter().try_fold(&mut self.model.root, |node, name| {
                node.names().get_mut(*name)
            });
            let Some(node) = node else { continue };
            match deletes {
                Deletes::Path(_) => drop(node.names().remove(*name)),
                Deletes::Inside(_) => {
                    if let Some(Node::Folder { names, .. }) = node.names().get_mut(*name) {
                        names.clear();
                    }
                }
            }
        }
        let whiteout = |tar: &mut tar::Builder<Vec<u8>>, deletes: &Deletes| {
            let path = match deletes {
                Deletes::Inside(path) => format!("{path}/.wh..wh..opq"),
                Deletes::Path(path) => match path.rsplit_once('/') {
                    Some((folder, name)) => format!("{folder}/.wh.{name}"),
                    None => format!(".wh.{path}"),
                },
            };
            write(tar, &path, Entry::File(b"", 0o644));
        };
        for deletes in self.deletes.iter().step_by(2) {
            whiteout(&mut tar, deletes);
        }
        let mut written: BTreeMap<usize, String> = BTreeMap::new();
        for (path, node) in self.adds {
            // A hard link whose first name is gone again has nothing to lead to.
            let first = match &node {
                Node::File { number, .. } => written.get(number).cloned(),
                _ => None,
            };
            if let (Some(first), Node::File { number, .. }) = (&first, &node) {
                let real: Vec<String> = first.split('/').map(str::to_owned).collect();
                let there = self.model.at(&real);
                if !matches!(there, Some(Node::File { number: found, .. }) if found == number) {
                    continue;
                }
            }
            if !self.model.put(&path, node.clone()) {
                continue;
            }
            match (&node, first) {
                (_, Some(first)) => write(&mut tar, &path, Entry::Hard(&first)),
                (Node::Folder { .. }, _) => write(&mut tar, &path, Entry::Folder),
                (Node::Link { target, .. }, _) => write(&mut tar, &path, Entry::Link(target)),
                (
                    Node::File {
                        number,
                        bytes,
                        mode,
                        ..
                    },
                    _,
                ) => {
                    write(&mut tar, &path, Entry::File(bytes, *mode));
                    written.insert(*number, path);
                }
            }
        }
        for deletes in self.deletes.iter().skip(1).step_by(2) {
            whiteout(&mut tar, deletes);
        }
        self.model.layers += 1;
        tar.into_inner().unwrap()
    }
}
