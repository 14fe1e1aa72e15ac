//! The squashed view: the files that a container started from the layers would see.
//!
//! Takes layer scans in the order of the manifest and gives cataloguers one tree.
//! Resolves links inside the root only. Never shows files that a later layer removed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::binary::Facts;
use super::document::{Annotations, Evidence, Location};
use super::layer::{Content, LayerScan, NodeKind};
use crate::oci::Digest;

/// Where distributions describe themselves, in order of preference.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Most links to follow for one path; the limit of Linux.
const LINK_LIMIT: usize = 40;

#[derive(Clone, Debug)]
struct Node {
    kind: NodeKind,
    layer: Digest,
    content: Option<Arc<Content>>,
}

/// One tree of paths without leading slash.
#[derive(Clone, Debug, Default)]
pub struct View {
    nodes: BTreeMap<String, Node>,
    /// Whether locations name their layer.
    layered: bool,
}

impl View {
    /// Stacks `layers`, base first. `layered`: locations name their layer.
    #[must_use]
    pub fn squash(layers: Vec<LayerScan>, layered: bool) -> Self {
        let mut view = Self {
            nodes: BTreeMap::new(),
            layered,
        };
        for layer in layers {
            for path in &layer.opaque {
                view.remove_below(path);
            }
            for path in &layer.whiteouts {
                view.remove_below(path);
                view.nodes.remove(path);
            }
            // Entries are usually grouped by folder: look up each folder once.
            let mut last: Option<(String, Option<String>)> = None;
            for mut entry in layer.entries {
                if let Some((parent, base)) = entry.path.rsplit_once('/') {
                    if last.as_ref().is_none_or(|(folder, _)| folder != parent) {
                        last = Some((parent.to_owned(), view.settle(parent)));
                    }
                    // A path through a linked directory belongs to its target.
                    if let Some((_, Some(real))) = &last {
                        entry.path = format!("{real}/{base}");
                    }
                }
                if !matches!(entry.kind, NodeKind::Directory | NodeKind::File) {
                    // A new link changes where later paths lead.
                    last = None;
                }
                view.add(entry, layer.diff_id);
            }
        }
        view
    }

    /// Prepares for entries in `parent`: removes files on its path that are not
    /// folders. Returns the real path of the folder if it differs.
    fn settle(&mut self, parent: &str) -> Option<String> {
        let real = self.resolve(parent).filter(|real| !real.is_empty())?;
        for (end, _) in real.match_indices('/').chain([(real.len(), "")]) {
            let folder = &real[..end];
            if self.nodes.get(folder).is_some_and(|node| {
                !matches!(node.kind, NodeKind::Directory | NodeKind::Symlink(_))
            }) {
                self.nodes.remove(folder);
            }
        }
        (real != parent).then_some(real)
    }

    fn add(&mut self, entry: super::layer::Entry, layer: Digest) {
        let node = match entry.kind {
            NodeKind::Hardlink(target) => match self.nodes.get(&target) {
                Some(node) => node.clone(),
                None => return,
            },
            kind => Node {
                kind,
                layer,
                content: entry.content,
            },
        };
        if node.kind != NodeKind::Directory {
            self.remove_below(&entry.path);
        }
        self.nodes.insert(entry.path, node);
    }

    fn remove_below(&mut self, path: &str) {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let gone: Vec<String> = self
            .nodes
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }

    /// The real path behind `path`; `None` if links loop.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut todo: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut real: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    real.pop();
                    continue;
                }
                _ => real.push(part),
            }
            if let Some(NodeKind::Symlink(target)) =
                self.nodes.get(&real.join("/")).map(|node| &node.kind)
            {
                links += 1;
                if links > LINK_LIMIT {
                    return None;
                }
                real.pop();
                if target.starts_with('/') {
                    real.clear();
                }
                for part in target.rsplit('/') {
                    todo.push_front(part.to_owned());
                }
            }
        }
        Some(real.join("/"))
    }

    /// Kept bytes of the file that `path` leads to.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.nodes.get(&self.resolve(path)?)?.content.as_deref()? {
            Content::Bytes(bytes) => Some(bytes),
            Content::Executable(_) => None,
        }
    }

    /// Kept text of the file that `path` leads to; odd bytes are replaced.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes(path)?).into_owned())
    }

    /// Real paths of all files with kept bytes, sorted.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|(_, node)| matches!(node.content.as_deref(), Some(Content::Bytes(_))))
            .map(|(path, _)| path.as_str())
    }

    /// All executables with facts, by path.
    pub fn executables(&self) -> impl Iterator<Item = (&str, &Facts)> {
        self.nodes
            .iter()
            .filter_map(|(path, node)| match node.content.as_deref() {
                Some(Content::Executable(facts)) => Some((path.as_str(), facts)),
                _ => None,
            })
    }

    /// The location of `path`, if it exists.
    #[must_use]
    pub fn location(&self, path: &str, evidence: Evidence) -> Option<Location> {
        let real = self.resolve(path)?;
        let node = self.nodes.get(&real)?;
        Some(Location {
            path: format!("/{real}"),
            layer: self.layered.then_some(node.layer),
            access_path: format!("/{path}"),
            annotations: Annotations { evidence },
        })
    }

    /// Distribution facts from os-release; an empty object if unknown.
    #[must_use]
    pub fn distro(&self) -> Value {
        let text = OS_RELEASE.iter().find_map(|path| self.text(path));
        let mut facts = Map::new();
        for line in text.as_deref().unwrap_or_default().lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = value.trim_matches(['"', '\'']);
            let key = match key {
                "PRETTY_NAME" => "prettyName",
                "NAME" => "name",
                "ID" => "id",
                "ID_LIKE" => {
                    let ids: Vec<&str> = value.split_whitespace().collect();
                    facts.insert("idLike".to_owned(), json!(ids));
                    continue;
                }
                "VERSION" => "version",
                "VERSION_ID" => "versionID",
                "VERSION_CODENAME" => "versionCodename",
                "BUILD_ID" => "buildID",
                "IMAGE_ID" => "imageID",
                "IMAGE_VERSION" => "imageVersion",
                "VARIANT" => "variant",
                "VARIANT_ID" => "variantID",
                "HOME_URL" => "homeURL",
                "SUPPORT_URL" => "supportURL",
                "BUG_REPORT_URL" => "bugReportURL",
                "PRIVACY_POLICY_URL" => "privacyPolicyURL",
                "CPE_NAME" => "cpeName",
                "SUPPORT_END" => "supportEnd",
                _ => continue,
            };
            facts.insert(key.to_owned(), json!(value));
        }
        Value::Object(facts)
    }
}

/// Whether a scan must keep the file at `path` for [`View::distro`]. The folder
/// does not count: links may lead there from one of the known places.
pub(super) fn is_wanted(path: &str) -> bool {
    path.rsplit('/').next() == Some("os-release")
}

#[cfg(test)]
mod tests {
    use super::super::catalog::is_wanted;
    use super::super::layer::{scan, tar_of};
    use super::*;

    fn view(layers: &[&[(&str, &[u8])]]) -> View {
        let scans: Vec<_> = layers
            .iter()
            .map(|l| scan(&tar_of(l)[..], is_wanted).unwrap())
            .collect();
        View::squash(scans, true)
    }

    #[test]
    fn whiteouts_delete_lower_layers_only() {
        let view = view(&[
            &[("a/package.json", b"1"), ("b/package.json", b"1")],
            &[
                ("b/package.json", b"2"),
                ("b/.wh..wh..opq", b""),
                (".wh.a", b""),
            ],
        ]);
        assert_eq!(view.text("a/package.json"), None);
        assert_eq!(view.text("b/package.json").as_deref(), Some("2"));
    }

    #[test]
    fn hard_links_keep_content_after_their_target_is_gone() {
        let view = view(&[
            &[
                ("a/package.json", b"1"),
                ("b/package.json == a/package.json", b""),
            ],
            &[("a/.wh.package.json", b"")],
        ]);
        assert_eq!(view.text("b/package.json").as_deref(), Some("1"));
    }

    #[test]
    fn links_are_resolved_inside_the_root_and_loops_end() {
        let view = view(&[&[
            (
                "usr/lib/os-release",
                b"ID=debian\nVERSION_ID=\"12\"\nID_LIKE='a b'\n",
            ),
            ("etc/os-release -> ../../../usr/lib/os-release", b""),
            ("lib -> /usr/lib", b""),
            ("x -> y", b""),
            ("y -> x", b""),
        ]]);
        assert_eq!(
            view.distro(),
            json!({"id": "debian", "versionID": "12", "idLike": ["a", "b"]})
        );
        assert_eq!(
            view.resolve("lib/os-release").as_deref(),
            Some("usr/lib/os-release")
        );
        assert_eq!(view.resolve("x"), None);
    }
}
