//! The import chain of one component: followed to its end, then merged from the end.

use std::collections::HashMap;
use std::rc::Rc;

use super::paths::{clean, join};
use super::surroundings::{ImportError, Look, SkeletonUrl};
use super::values::is_empty;
use super::{Composer, Purpose, STAGES, Whole, merge, migrate, name_of, sources};
use crate::codes::Code;
use crate::oci::Reference;
use crate::oci::place::layout_path;
use crate::package::Values;
use crate::text::{excerpt, with_causes};
use crate::yaml::{Mistake, Node, SourceText, Span, Value};

/// Longest import chain. No folder can appear twice, but symbolic links can give
/// one folder any number of names.
const MAX_CHAIN: usize = 64;

/// Maximum number of names in a message.
const MAX_NAMED: usize = 20;

/// Maximum number of characters of a command in a message.
const SHOWN_COMMAND: usize = 200;

/// One link of a chain.
pub(super) struct Link {
    component: Node,
    /// The definition that contains it.
    pub(super) root: Rc<Node>,
    /// That definition's folder or URL, as it was read; empty for the package itself.
    pub(super) source: String,
    /// The definition's folder, relative to the package; empty for the package itself.
    folder: String,
    /// The folder or the file that the import names; empty for the package itself.
    path: String,
    /// The skeleton package that the definition is, if it is one.
    remote: Option<SkeletonUrl>,
}

impl Composer<'_> {
    /// The `values` of the definition that an import leads to, with paths relative to the
    /// package.
    pub(super) fn values(&mut self, link: &Link) -> Option<Node> {
        let values = link.root.get("values").filter(|values| !is_empty(values));
        let mut values = values?.clone();
        if let Some(url) = &link.remote {
            self.mistake(
                link.component.span,
                format!("`{url}` has `values`, which are not taken over from a published package"),
                "Import the component from a folder, or ask its publisher to leave them out.",
            );
            return None;
        }
        merge::relocate_paths::<Values>(&mut values, &link.folder);
        Some(values)
    }
}

/// The target of an `import`.
enum Target {
    Path(String),
    Skeleton(SkeletonUrl),
}

impl Composer<'_> {
    /// The chain that begins with `component` of the package itself. Notes a
    /// mistake and returns `None` if an import fails.
    pub(super) fn follow(&mut self, component: Node, root: &Rc<Node>) -> Option<Vec<Link>> {
        let mut chain = vec![Link {
            component,
            root: Rc::clone(root),
            source: String::new(),
            folder: String::new(),
            path: String::new(),
            remote: None,
        }];
        loop {
            let last = chain.last()?;
            let Some(import) = last.component.get("import").filter(|node| is_used(node)) else {
                return Some(chain);
            };
            let import = import.clone();
            if chain.len() >= MAX_CHAIN {
                self.mistake(
                    import.span,
                    format!("the import chain has more than {MAX_CHAIN} links"),
                    "Import the component from the definition that has its content.",
                );
                return None;
            }
            let next = self.next(&chain, &import)?;
            chain.push(next);
        }
    }

    fn next(&mut self, chain: &[Link], import: &Node) -> Option<Link> {
        let last = chain.last()?;
        let (target, at) = self.target(last, import)?;
        let name = import.get("name").and_then(Node::scalar);
        let name = name.filter(|name| !name.is_empty());
        let name = name.or(name_of(&last.component)).unwrap_or_default();
        match target {
            Target::Path(path) => {
                if chain.iter().any(|link| link.path == path) {
                    let shown = |path: &str| match path {
                        "" => ".".to_owned(),
                        path => path.to_owned(),
                    };
                    let mut paths: Vec<_> = chain.iter().map(|link| shown(&link.path)).collect();
                    paths.push(shown(&path));
                    let message = format!("import cycle: {}", paths.join(" -> "));
                    let help = "Remove the `import` of one of these components.";
                    let mistake = Mistake::new(at, message, help);
                    self.whole.mistakes.push(mistake.with(Code::ImportCycle));
                    return None;
                }
                let root = self.file(&path, at, |composer| {
                    composer.surroundings.definition(&path)
                })?;
                let component = self.lookup(&root, name, &path, at)?;
                let folder = match self.surroundings.look(&path) {
                    Look::File => path.rsplit_once('/').map_or("", |(folder, _)| folder),
                    _ => path.as_str(),
                };
                let folder = folder.to_owned();
                if !folder.is_empty() {
                    self.whole.folders.insert(folder.clone());
                }
                Some(Link {
                    component,
                    root,
                    source: path.clone(),
                    folder,
                    path,
                    remote: None,
                })
            }
            Target::Skeleton(url) => {
                let shown = url.to_string();
                let root =
                    self.file(&shown, at, |composer| composer.surroundings.skeleton(&url))?;
                let component = self.lookup(&root, name, &shown, at)?;
                let files = self.surroundings.skeleton_files(&url, name);
                let folder = self.usable(files, at)?;
                self.whole.folders.insert(folder.clone());
                Some(Link {
                    component,
                    root,
                    source: shown,
                    path: folder.clone(),
                    folder,
                    remote: Some(url),
                })
            }
        }
    }

    /// The target of `import`, and its place.
    fn target(&mut self, last: &Link, import: &Node) -> Option<(Target, Span)> {
        let text = |key: &str| {
            let node = import.get(key)?;
            let text = node.scalar().filter(|text| !text.is_empty())?;
            Some((text.to_owned(), node.span))
        };
        let (path, url) = (text("path"), text("url"));
        match (path, url) {
            (None, None) => self.mistake(
                import.span,
                "the import needs `path` or `url`",
                "Add the folder or the oci:// URL of the imported package.",
            ),
            (Some(_), Some((_, at))) => self.mistake(
                at,
                "the import has both `path` and `url`",
                "Remove one of them.",
            ),
            (Some((_, at)), None) if last.remote.is_some() => self.mistake(
                at,
                "a component of a skeleton cannot import from a folder",
                "Publish the imported skeleton again, which resolves its imports.",
            ),
            (None, Some((_, at))) if last.remote.is_some() => self.mistake(
                at,
                "a component of a skeleton cannot import from another skeleton",
                "Import the second package directly, by its URL.",
            ),
            (Some((text, at)), None) | (None, Some((text, at))) if text.contains("###") => self
                .mistake(
                    at,
                    format!(
                        "`{text}` has a template, but imports are resolved before templates are \
                         filled"
                    ),
                    "Write out the path or URL.",
                ),
            (Some((path, at)), None) if path.starts_with('/') => self.mistake(
                at,
                format!("the import path `{path}` is absolute"),
                "Make it relative to this file's folder.",
            ),
            (Some((path, at)), None) => {
                let path = clean(format!("{}/{path}", last.folder).trim_start_matches('/'));
                return Some((Target::Path(path), at));
            }
            (None, Some((url, at))) => match skeleton_url(&url, &last.folder) {
                Some(url) => return Some((Target::Skeleton(url), at)),
                None => self.mistake(
                    at,
                    format!("the import URL `{url}` does not begin with `oci://`"),
                    "Use oci://REGISTRY/PATH:TAG, or oci:FOLDER:TAG for an OCI layout.",
                ),
            },
        }
        None
    }

    /// The definition with the folder or URL `key`, read once.
    fn file(
        &mut self,
        key: &str,
        at: Span,
        read: impl FnOnce(&mut Self) -> Result<SourceText, ImportError>,
    ) -> Option<Rc<Node>> {
        if let Some(known) = self.files.get(key) {
            return known.clone();
        }
        let own = !key.starts_with("oci:");
        let found = read(self);
        let source = self.usable(found, at);
        let node = source.and_then(|source| self.load(source, own));
        let node = node.map(Rc::new);
        self.files.insert(key.to_owned(), node.clone());
        node
    }

    fn usable<T>(&mut self, found: Result<T, ImportError>, at: Span) -> Option<T> {
        found
            .map_err(|error| {
                let help = match &error {
                    ImportError::NoDefinition(_) => {
                        "Correct the path, or add a jackal.yaml to the folder."
                    }
                    ImportError::NoSkeleton(_) => "Correct the URL, or publish the skeleton first.",
                    ImportError::Unusable(_) => "Correct the cause and try again.",
                    ImportError::Unread => "`jackal dev lint` reads them.",
                };
                let code = match &error {
                    ImportError::Unread => Code::UnreadSkeleton,
                    _ => Code::UnreadableImport,
                };
                let mistake = Mistake::new(at, with_causes(&error), help);
                self.whole.mistakes.push(mistake.with(code));
            })
            .ok()
    }

    /// The component `name` among those for this architecture and flavor.
    fn lookup(&mut self, root: &Node, name: &str, place: &str, at: Span) -> Option<Node> {
        let place = if place.is_empty() { "." } else { place };
        let listed = root.get("components").map_or(&[][..], Node::items);
        // Read once for all importers.
        let by_name = self.names.entry(place.to_owned()).or_insert_with(|| {
            let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
            for (index, component) in listed.iter().enumerate() {
                if let Some(name) = name_of(component) {
                    by_name.entry(name.to_owned()).or_default().push(index);
                }
            }
            by_name
        });
        let named = by_name.get(name).cloned().unwrap_or_default();
        let named = named.into_iter().filter_map(|index| listed.get(index));
        let named: Vec<&Node> = named
            .filter(|component| self.is_wanted(component))
            .collect();
        match named.as_slice() {
            [one] => return Some((*one).clone()),
            [] => {
                let names = listed.iter().filter_map(name_of);
                let names: Vec<&str> = names.take(MAX_NAMED).collect();
                let help = match names.as_slice() {
                    [] => "The definition has no components.".to_owned(),
                    names if listed.len() > MAX_NAMED => format!(
                        "Use one of: {}, or another of its {}.",
                        names.join(", "),
                        listed.len()
                    ),
                    names => format!("Use one of: {}.", names.join(", ")),
                };
                let message = format!("no component `{name}` in `{place}`");
                let mistake = Mistake::new(at, message, help);
                self.whole
                    .mistakes
                    .push(mistake.with(Code::UnknownComponent));
            }
            _ => {
                let architecture = self.architecture.clone();
                self.mistake(
                    at,
                    format!(
                        "more than one component `{name}` in `{place}` for architecture \
                         `{architecture}`"
                    ),
                    "Distinguish them with `only.flavor` or `only.cluster.architecture`.",
                );
            }
        }
        None
    }

    /// Refuses paths of a skeleton's component that lead out of the skeleton's files:
    /// a skeleton must not read those of the package that imports it.
    fn kept_inside(&mut self, component: &Node, folder: &str) {
        let mut paths = sources(component);
        let actions = component.get("actions");
        let create = actions.and_then(|actions| actions.get("onCreate"));
        for stage in merge::STAGES {
            let list = create.and_then(|create| create.get(stage));
            for action in list.map_or(&[][..], Node::items) {
                let dir = action.get("dir");
                let dir = dir.and_then(|dir| Some(("dir", dir.scalar()?.to_owned(), dir.span)));
                paths.extend(dir);
            }
        }
        for (key, path, at) in paths {
            let below = path.strip_prefix(folder);
            let inside = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // kustomize has URL forms of its own, which were not relocated.
            let local = key != "kustomizations" || clean(&path).starts_with("..");
            if !inside && local {
                self.mistake(
                    at,
                    format!("`{path}` leads out of the skeleton's files"),
                    "Publish the skeleton with the files that it needs, or do not import it.",
                );
            }
        }
    }

    /// Merges the links of a chain into one component.
    pub(super) fn merged(&mut self, chain: Vec<Link>) -> Node {
        let alone = chain.len() == 1;
        let any = self.is_for_any();
        let mut base = Node::mapping(chain[0].component.span);
        let name = name_of(&chain[0].component).map(str::to_owned);
        let kept = architecture(&chain[0].component).filter(|_| any).cloned();
        for link in chain.into_iter().rev() {
            let mut component = link.component;
            let done = if link.remote.is_some() {
                let build = link.root.get("build");
                let done = build.and_then(|build| build.get("migrations"));
                let done = done.map_or(&[][..], Node::items).iter();
                done.filter_map(Node::scalar).map(str::to_owned).collect()
            } else {
                Vec::new()
            };
            migrate::migrate(&mut component, &done, &mut self.whole.deprecated);
            if let Some(url) = &link.remote {
                self.note_commands(name.as_deref().unwrap_or_default(), &component, url);
                for node in ["repos", "charts", "manifests"].map(|key| component.get(key)) {
                    node.into_iter()
                        .for_each(|node| self.only_elsewhere(node, url));
                }
            }
            if alone {
                unconditional(&mut component, any);
                component.remove("import");
                return component;
            }
            let surroundings = &mut *self.surroundings;
            merge::relocate(&mut component, &link.folder, &mut |path| {
                matches!(surroundings.look(path), Look::File | Look::Folder)
            });
            if link.remote.is_some() {
                self.kept_inside(&component, &link.folder);
            }
            let Whole {
                mistakes, ignored, ..
            } = &mut self.whole;
            merge::merge(&mut base, component, mistakes, ignored);
        }
        if let Some(kept) = kept {
            // Importers of the skeleton select the component by it.
            let cluster = base
                .ensure("only", Node::mapping(kept.span))
                .and_then(|only| only.ensure("cluster", Node::mapping(kept.span)));
            if let Some(cluster) = cluster {
                cluster.set("architecture", kept);
            }
        }
        base
    }
}

impl Composer<'_> {
    /// Counts the commands that a component of the skeleton `url` runs when the
    /// package is built, and refuses them unless the user allows them: the skeleton's
    /// publisher would otherwise run code on this machine.
    fn note_commands(&mut self, name: &str, component: &Node, url: &SkeletonUrl) {
        let set = component
            .get("actions")
            .and_then(|sets| sets.get("onCreate"));
        let Some(set) = set else { return };
        let trusted = self.purpose == Purpose::Skeleton || self.surroundings.trusts_commands(url);
        let counts = self.whole.commands.entry(name.to_owned()).or_default();
        for (stage, count) in STAGES.iter().zip(counts) {
            let actions = set.get(stage).map_or(&[][..], Node::items);
            *count += actions.len();
            for action in actions.iter().filter(|_| !trusted) {
                let command = action.get("cmd").and_then(Node::scalar);
                let what = match command.filter(|text| !text.is_empty()) {
                    Some(text) => format!("the command `{}`", excerpt(text, SHOWN_COMMAND)),
                    None => "an action".to_owned(),
                };
                self.whole.mistakes.push(Mistake::new(
                    action.span,
                    format!("`{url}` contains {what}, which is not allowed to run here"),
                    format!(
                        "Review it. To let it run, confined to the files of the skeleton, add \
                         --allow-import-actions={url}."
                    ),
                ));
            }
        }
    }
}

impl Composer<'_> {
    /// Refuses repositories of this machine in a component of the skeleton `url`: they
    /// are not its publisher's, and would get into the package.
    fn only_elsewhere(&mut self, node: &Node, url: &SkeletonUrl) {
        match &node.value {
            Value::Scalar(text, _) if text.to_ascii_lowercase().contains("file://") => {
                let named = excerpt(text, SHOWN_COMMAND);
                self.whole.mistakes.push(Mistake::new(
                    node.span,
                    format!("`{url}` names `{named}`, a repository of this machine"),
                    "Ask its publisher for an https:// or ssh:// address, or write the component \
                     into this package."
                        .to_owned(),
                ));
            }
            Value::Scalar(..) => {}
            Value::Sequence(items) => items.iter().for_each(|item| self.only_elsewhere(item, url)),
            Value::Mapping(pairs) => {
                pairs
                    .iter()
                    .for_each(|(_, value)| self.only_elsewhere(value, url));
            }
        }
    }
}

fn architecture(component: &Node) -> Option<&Node> {
    component.get("only")?.get("cluster")?.get("architecture")
}

/// Removes the conditions that selected the component. If components of `any`
/// architecture are included, the architecture did not select it and stays.
fn unconditional(component: &mut Node, any: bool) {
    if let Some(only) = component.get_mut("only") {
        only.remove("flavor");
        if let Some(cluster) = only.get_mut("cluster").filter(|_| !any) {
            cluster.remove("architecture");
        }
    }
}

/// Whether an `import` has a value.
fn is_used(import: &Node) -> bool {
    ["name", "path", "url"].iter().any(|key| {
        let text = import.get(key).and_then(Node::scalar);
        text.is_some_and(|text| !text.is_empty())
    })
}

/// Parses a skeleton's URL. The path of a layout is relative to `folder`.
fn skeleton_url(text: &str, folder: &str) -> Option<SkeletonUrl> {
    if let Some(rest) = Reference::url_path(text) {
        return Some(SkeletonUrl::Registry(rest.to_owned()));
    }
    let layout = layout_path(text)?;
    let (path, tag) = layout.rsplit_once(':')?;
    if path.is_empty() || tag.is_empty() || tag.contains('/') {
        return None;
    }
    Some(SkeletonUrl::Layout {
        folder: join(folder, path),
        tag: tag.to_owned(),
    })
}
