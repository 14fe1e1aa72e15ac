//! The import chain of one component: followed, and merged tail first.

use std::rc::Rc;

use super::paths::{clean, join};
use super::surroundings::{ImportError, SkeletonUrl};
use super::{Composer, Whole, merge, migrate, name_of};
use crate::oci::Reference;
use crate::yaml::{Node, SourceText, Span, Value};

/// Longest import chain. Folders cannot be imported twice, but through links
/// one folder has names without end.
const MAX_CHAIN: usize = 64;

/// One link of a chain.
pub(super) struct Link {
    component: Node,
    /// The definition it is in.
    pub(super) root: Rc<Node>,
    /// Its definition's folder, relative to the package; empty for its own.
    folder: String,
    /// Whether it comes from a skeleton package.
    remote: bool,
}

/// What an `import` names.
enum Wanted {
    Folder(String),
    Skeleton(SkeletonUrl),
}

impl Composer<'_> {
    /// The chain that begins with `component`, one of the package's own; `None`
    /// if it is broken, which has been noted.
    pub(super) fn follow(&mut self, component: Node, root: &Rc<Node>) -> Option<Vec<Link>> {
        let mut chain = vec![Link {
            component,
            root: Rc::clone(root),
            folder: String::new(),
            remote: false,
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
                    "Import the component from where it is defined.",
                );
                return None;
            }
            let next = self.next(&chain, &import)?;
            chain.push(next);
        }
    }

    fn next(&mut self, chain: &[Link], import: &Node) -> Option<Link> {
        let last = chain.last()?;
        let (wanted, at) = self.wanted(last, import)?;
        let name = import.get("name").and_then(Node::scalar);
        let name = name.filter(|name| !name.is_empty());
        let name = name.or(name_of(&last.component)).unwrap_or_default();
        match wanted {
            Wanted::Folder(folder) => {
                if chain.iter().any(|link| link.folder == folder) {
                    let shown = |folder: &str| match folder {
                        "" => ".".to_owned(),
                        folder => folder.to_owned(),
                    };
                    let mut path: Vec<_> = chain.iter().map(|link| shown(&link.folder)).collect();
                    path.push(shown(&folder));
                    self.mistake(
                        at,
                        format!("detected circular import chain: {}", path.join(" -> ")),
                        "Let one of these components stand alone.",
                    );
                    return None;
                }
                let root = self.file(&folder, at, |composer| {
                    composer.surroundings.definition(&folder)
                })?;
                let component = self.lookup(&root, name, &folder, at)?;
                self.whole.folders.insert(folder.clone());
                Some(Link {
                    component,
                    root,
                    folder,
                    remote: false,
                })
            }
            Wanted::Skeleton(url) => {
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
                    folder,
                    remote: true,
                })
            }
        }
    }

    /// What `import` names, and where it does.
    fn wanted(&mut self, last: &Link, import: &Node) -> Option<(Wanted, Span)> {
        let text = |key: &str| {
            let node = import.get(key)?;
            let text = node.scalar().filter(|text| !text.is_empty())?;
            Some((text.to_owned(), node.span))
        };
        let (path, url) = (text("path"), text("url"));
        let malformed = "detected malformed import chain, cannot import";
        match (path, url) {
            (None, None) => self.mistake(
                import.span,
                "the import has neither `path` nor `url`",
                "Give the folder or the oci:// URL of the imported package.",
            ),
            (Some(_), Some((_, at))) => self.mistake(
                at,
                "the import has both `path` and `url`",
                "Remove one of the two.",
            ),
            (Some((_, at)), None) if last.remote => self.mistake(
                at,
                format!("{malformed} local components from remote components"),
                "Publish the imported package again, with this component composed.",
            ),
            (None, Some((_, at))) if last.remote => self.mistake(
                at,
                format!("{malformed} remote components from remote components"),
                "Import the second package by its own URL.",
            ),
            (Some((text, at)), None) | (None, Some((text, at))) if text.contains("###") => self
                .mistake(
                    at,
                    format!(
                        "`{text}` holds a template, and imports are followed before any is filled"
                    ),
                    "Write the path or URL itself.",
                ),
            (Some((path, at)), None) if path.starts_with('/') => self.mistake(
                at,
                format!("the import path `{path}` is absolute"),
                "Write it relative to this file's folder.",
            ),
            (Some((path, at)), None) => {
                let folder = clean(format!("{}/{path}", last.folder).trim_start_matches('/'));
                return Some((Wanted::Folder(folder), at));
            }
            (None, Some((url, at))) => match skeleton_url(&url, &last.folder) {
                Some(url) => return Some((Wanted::Skeleton(url), at)),
                None => self.mistake(
                    at,
                    format!("the import URL `{url}` does not begin with `oci://`"),
                    "Write oci://REGISTRY/PATH:TAG, or oci:FOLDER:TAG for an OCI layout.",
                ),
            },
        }
        None
    }

    /// The definition that `key` stands for, read once.
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
        if let Some(node) = &node {
            self.whole_package_only(node);
        }
        let node = node.map(Rc::new);
        self.files.insert(key.to_owned(), node.clone());
        node
    }

    /// Refuses what an imported definition says of its whole package, and what
    /// would be lost for its components.
    fn whole_package_only(&mut self, root: &Node) {
        for key in ["values", "documentation"] {
            let Some(node) = root.get(key) else { continue };
            if matches!(&node.value, Value::Mapping(pairs) if !pairs.is_empty()) {
                self.mistake(
                    node.span,
                    format!("`{key}` of an imported definition cannot be taken over yet"),
                    "Remove it there, or import the component from a definition without it.",
                );
            }
        }
    }

    fn usable<T>(&mut self, found: Result<T, ImportError>, at: Span) -> Option<T> {
        found
            .map_err(|error| {
                let help = match &error {
                    ImportError::NoDefinition(_) => "Correct the path, or add a jackal.yaml there.",
                    ImportError::NoSkeleton(_) => "Correct the URL, or publish the skeleton first.",
                    ImportError::Unusable(_) => "Correct what is named here, then try again.",
                };
                self.mistake(at, error.to_string(), help);
            })
            .ok()
    }

    /// The component called `name` among those for this architecture and flavor.
    fn lookup(&mut self, root: &Node, name: &str, place: &str, at: Span) -> Option<Node> {
        let place = if place.is_empty() { "." } else { place };
        let listed = root.get("components").map_or(&[][..], Node::items);
        let named: Vec<&Node> = listed
            .iter()
            .filter(|component| name_of(component) == Some(name) && self.is_wanted(component))
            .collect();
        match named.as_slice() {
            [one] => return Some((*one).clone()),
            [] => {
                let names: Vec<&str> = listed.iter().filter_map(name_of).collect();
                let help = match names.as_slice() {
                    [] => "That definition has no components.".to_owned(),
                    names => format!("It has: {}.", names.join(", ")),
                };
                self.mistake(
                    at,
                    format!("component \"{name}\" not found in \"{place}\""),
                    help,
                );
            }
            _ => {
                let architecture = self.architecture.clone();
                self.mistake(
                    at,
                    format!(
                        "multiple components named \"{name}\" found in \"{place}\" satisfying \
                         \"{architecture}\""
                    ),
                    "Tell them apart by `only.flavor` or `only.cluster.architecture`.",
                );
            }
        }
        None
    }

    /// The component that a chain stands for.
    pub(super) fn merged(&mut self, chain: Vec<Link>) -> Node {
        let alone = chain.len() == 1;
        let any = self.is_for_any();
        let mut base = Node::mapping(chain[0].component.span);
        let kept = architecture(&chain[0].component).filter(|_| any).cloned();
        for link in chain.into_iter().rev() {
            let mut component = link.component;
            let done = if link.remote {
                let build = link.root.get("build");
                let done = build.and_then(|build| build.get("migrations"));
                let done = done.map_or(&[][..], Node::items).iter();
                done.filter_map(Node::scalar).map(str::to_owned).collect()
            } else {
                Vec::new()
            };
            migrate::migrate(&mut component, &done, &mut self.whole.deprecated);
            if alone {
                unconditional(&mut component, any);
                component.remove("import");
                return component;
            }
            let surroundings = &mut *self.surroundings;
            merge::relocate(&mut component, &link.folder, &mut |path| {
                surroundings.exists(path)
            });
            let Whole {
                mistakes, ignored, ..
            } = &mut self.whole;
            merge::merge(&mut base, component, mistakes, ignored);
        }
        if let Some(kept) = kept {
            // Whoever imports the skeleton chooses by it.
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

fn architecture(component: &Node) -> Option<&Node> {
    component.get("only")?.get("cluster")?.get("architecture")
}

/// Blanks the conditions that chose the component; for `any` architecture, that
/// one chose nothing.
fn unconditional(component: &mut Node, any: bool) {
    if let Some(only) = component.get_mut("only") {
        only.remove("flavor");
        if let Some(cluster) = only.get_mut("cluster").filter(|_| !any) {
            cluster.remove("architecture");
        }
    }
}

/// Whether an `import` names anything.
fn is_used(import: &Node) -> bool {
    ["name", "path", "url"].iter().any(|key| {
        let text = import.get(key).and_then(Node::scalar);
        text.is_some_and(|text| !text.is_empty())
    })
}

/// A skeleton's URL; that of a layout is relative to `folder`.
fn skeleton_url(text: &str, folder: &str) -> Option<SkeletonUrl> {
    if let Some(rest) = Reference::url_path(text) {
        return Some(SkeletonUrl::Registry(rest.to_owned()));
    }
    let (path, tag) = text.strip_prefix("oci:")?.rsplit_once(':')?;
    if path.is_empty() || tag.is_empty() || tag.contains('/') {
        return None;
    }
    Some(SkeletonUrl::Layout {
        folder: join(folder, path),
        tag: tag.to_owned(),
    })
}
