//! One document of several: of all that a package carries.

use std::collections::HashSet;

use serde_json::json;

use super::catalogue::{Artifact, COMPONENT, Catalogue, Edge, IMAGE, Source};

const CONTAINS: &str = "contains";

impl Catalogue {
    /// A document about `source`, which contains what `parts` are about. It has no files:
    /// they are most of a document, and in those of its parts.
    #[must_use]
    pub fn merged(source: Source, parts: Vec<Self>) -> Self {
        let mut whole = Self {
            source,
            ..Self::default()
        };
        for (index, part) in parts.into_iter().enumerate() {
            whole.add(index, part);
        }
        whole
    }

    /// Adds a part with its subject as an artifact. Ids are only unique in their own
    /// document, so they get its number.
    fn add(&mut self, index: usize, part: Self) {
        let Self {
            artifacts,
            relationships,
            source,
            distro: _,
            files: _,
        } = part;
        let subject = index.to_string();
        let own = |id: &str| format!("{index}-{id}");
        let known: HashSet<String> = artifacts.iter().map(|one| one.id.clone()).collect();
        self.edge(self.source.id.clone(), subject.clone(), CONTAINS);
        let mut held: HashSet<String> = HashSet::new();
        for edge in relationships {
            let parent = match known.contains(&edge.parent) {
                true => own(&edge.parent),
                false if edge.parent == source.id => subject.clone(),
                false => continue,
            };
            if known.contains(&edge.child) {
                let child = own(&edge.child);
                self.edge(parent, child, &edge.kind);
                if edge.kind == CONTAINS {
                    held.insert(edge.child);
                }
            }
        }
        for mut artifact in artifacts {
            let id = own(&artifact.id);
            // Documents of older programs have no such edges.
            if !held.contains(&artifact.id) {
                self.edge(subject.clone(), id.clone(), CONTAINS);
            }
            artifact.id = id;
            self.artifacts.push(artifact);
        }
        self.artifacts.push(into_artifact(source, subject));
    }

    fn edge(&mut self, parent: String, child: String, kind: &str) {
        self.relationships.push(Edge {
            parent,
            child,
            kind: kind.to_owned(),
        });
    }
}

/// The subject of a document as an artifact called `id`.
fn into_artifact(source: Source, id: String) -> Artifact {
    let digest = source.metadata["manifestDigest"].as_str();
    let hex = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let digests = hex.map(|hex| json!({"algorithm": "sha256", "value": hex}));
    let kind = match source.kind.as_str() {
        "image" => IMAGE,
        _ => COMPONENT,
    };
    Artifact {
        id,
        purl: source.purl().unwrap_or_default(),
        name: source.title().to_owned(),
        version: source.version,
        kind: kind.to_owned(),
        metadata: json!({
            "vendor": source.supplier,
            "digest": digests.into_iter().collect::<Vec<_>>(),
        }),
        ..Artifact::default()
    }
}
