//! Files of a document in syft-JSON, and the edges between packages and them.
//!
//! They are most of a document, so edges are made while they are written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::sbom::document::{Evidence, File, Package, Relationship, Unknown, file_id};

/// The files that are written.
pub(super) struct Files {
    /// Their ids, in the order of the document.
    ids: Vec<u64>,
}

/// The files of a package, and those that are evidence for it.
pub(super) struct Related {
    pub id: String,
    files: Vec<u32>,
    evidence: BTreeMap<u64, Evidence>,
}

impl Related {
    pub(super) fn of(package: Package, files: &Files) -> Self {
        let mut evidence = BTreeMap::new();
        for at in package.locations.iter().filter(|_| !files.ids.is_empty()) {
            let found = at.annotations.evidence;
            let id = file_id(&at.path, at.layer.as_ref());
            let known = evidence.entry(id).or_insert(found);
            *known = (*known).min(found);
        }
        Self {
            id: package.id(),
            files: package.files,
            evidence,
        }
    }
}

impl Files {
    pub(super) fn new(files: &[File]) -> Self {
        let ids: Vec<u64> = files
            .iter()
            .map(|file| file_id(&file.path, file.layer.as_ref()))
            .collect();
        Self { ids }
    }

    /// Writes the section of files, with a comma after it, if there are any.
    pub(super) fn write(
        &self,
        files: Vec<File>,
        unknowns: Vec<Unknown>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.ids.is_empty() && unknowns.is_empty() {
            return Ok(());
        }
        let mut reasons: HashMap<u64, Vec<Value>> = HashMap::new();
        let mut alone: Vec<(Value, u64)> = Vec::new();
        let known: HashSet<u64> = self.ids.iter().copied().collect();
        for unknown in unknowns {
            let at = &unknown.location;
            let id = file_id(&at.path, at.layer.as_ref());
            let reasons = reasons.entry(id).or_insert_with(|| {
                if !known.contains(&id) {
                    let mut location = json!({"path": at.path});
                    if let Some(layer) = at.layer {
                        location["layerID"] = json!(layer);
                    }
                    alone.push((location, id));
                }
                Vec::new()
            });
            reasons.push(json!(unknown.reason));
        }
        let mut order: Vec<usize> = (0..files.len()).collect();
        order.sort_unstable_by(|a, b| {
            let key = |place: &usize| (&files[*place].path, files[*place].layer);
            key(a).cmp(&key(b))
        });
        out.write_all(b"\"files\":[")?;
        let mut comma: &[u8] = b"";
        let mut last = None;
        for place in order {
            let id = self.ids[place];
            // Two trees of a component may have one file.
            if last == Some(id) {
                continue;
            }
            last = Some(id);
            out.write_all(comma)?;
            comma = b",";
            let mut text = entry(&files[place], id).to_string();
            if let Some(reasons) = reasons.get(&id) {
                text.pop();
                text.push_str(&format!(",\"unknowns\":{}}}", json!(reasons)));
            }
            out.write_all(text.as_bytes())?;
        }
        for (location, id) in alone {
            out.write_all(comma)?;
            comma = b",";
            let reasons = reasons.get(&id);
            let id = format!("{id:016x}");
            write!(
                out,
                "{}",
                json!({"id": id, "location": location, "unknowns": reasons})
            )?;
        }
        out.write_all(b"],")
    }
}

fn entry(file: &File, id: u64) -> Value {
    let facts = &file.facts;
    let mut location = json!({"path": file.path});
    if let Some(layer) = file.layer {
        location["layerID"] = json!(layer);
    }
    // The digits of the octal number, as a decimal one. The bits of set-id and sticky files
    // are those of Go's `FileMode`.
    let flag = |bit: u32, go: u32| if facts.mode & bit == 0 { 0 } else { go };
    let flags = flag(0o4000, 1 << 23) | flag(0o2000, 1 << 22) | flag(0o1000, 1 << 20);
    let mode = format!("{:o}", facts.mode & 0o777 | flags);
    let mut entry = json!({
        "id": format!("{id:016x}"),
        "location": location,
        "metadata": {
            "mode": mode.parse::<u32>().unwrap_or(0),
            "type": "RegularFile",
            "userID": facts.owner.0,
            "groupID": facts.owner.1,
            "mimeType": facts.media.name(),
            "size": facts.size,
        },
    });
    if let Some(digest) = facts.digest {
        entry["digests"] = json!([{"algorithm": "sha256", "value": digest.hex()}]);
    }
    entry
}

/// Writes `relationships`, which are sorted, and the edges of the packages `related`,
/// which are sorted by id, in the order of their parents.
pub(super) fn edges(
    relationships: Vec<Relationship>,
    related: Vec<Related>,
    files: &Files,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut comma: &[u8] = b"";
    let mut put = |value: &str| {
        out.write_all(comma)?;
        comma = b",";
        out.write_all(value.as_bytes())
    };
    let mut rest = relationships.into_iter().peekable();
    for package in related {
        let parent = package.id;
        while let Some(edge) = rest.next_if(|edge| edge.parent < parent) {
            put(&between(&edge))?;
        }
        let mut own: Vec<(String, &str, String)> = Vec::new();
        while let Some(edge) = rest.next_if(|edge| edge.parent == parent) {
            let text = between(&edge);
            own.push((edge.child, edge.kind, text));
        }
        let owned = package.files.iter();
        let owned = owned.filter_map(|place| files.ids.get(usize::try_from(*place).ok()?));
        for id in owned {
            let child = format!("{id:016x}");
            let text = format!(r#"{{"parent":"{parent}","child":"{child}","type":"contains"}}"#);
            own.push((child, "contains", text));
        }
        for (id, evidence) in package.evidence {
            let child = format!("{id:016x}");
            let text = json!({
                "parent": parent, "child": child, "type": "evident-by",
                "metadata": {"kind": evidence},
            });
            own.push((child, "evident-by", text.to_string()));
        }
        own.sort_unstable();
        for (_, _, text) in own {
            put(&text)?;
        }
    }
    for edge in rest {
        put(&between(&edge))?;
    }
    Ok(())
}

/// An edge between packages, or from the source.
fn between(edge: &Relationship) -> String {
    let mut value = json!({"parent": edge.parent, "child": edge.child, "type": edge.kind});
    if !edge.files.is_empty() {
        value["metadata"] = json!({"files": edge.files});
    }
    value.to_string()
}
