//! What a package holds beside its components: values, also of imported definitions, and
//! documentation.

use super::paths;
use crate::yaml::{Node, Span, Value};

/// Whether a mapping has nothing.
pub(super) fn is_empty(node: &Node) -> bool {
    node.is_null() || matches!(&node.value, Value::Mapping(pairs) if pairs.is_empty())
}

/// Puts the files of imported `values` before those of the package; returns the schemas that
/// are imported besides the one that `values` names.
pub(super) fn imported_values(head: &mut Node, imported: Vec<Node>) -> Vec<String> {
    let Some(span) = imported.first().map(|values| values.span) else {
        return Vec::new();
    };
    let items = |values: &Node| values.get("files").map_or(&[][..], Node::items).to_vec();
    let mut files: Vec<Node> = imported.iter().flat_map(items).collect();
    let schemas = imported
        .iter()
        .rev()
        .filter_map(|values| values.get("schema"));
    let mut schemas: Vec<Node> = schemas.cloned().collect();
    let Some(own) = head.ensure("values", Node::mapping(span)) else {
        return Vec::new();
    };
    files.extend(items(own));
    own.set("files", Node::sequence(span, files));
    if own.get("schema").is_none() && !schemas.is_empty() {
        own.set("schema", schemas.remove(0));
    }
    let others = schemas.iter().filter_map(Node::scalar);
    others.map(str::to_owned).collect()
}

/// The paths of values and documentation, with their places.
pub(super) fn attached(head: &Node) -> Vec<(String, Span)> {
    let values = head.get("values");
    let files = values.and_then(|values| values.get("files"));
    let schema = values.and_then(|values| values.get("schema"));
    let documentation = match head.get("documentation").map(|node| &node.value) {
        Some(Value::Mapping(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    let files = files.map_or(&[][..], Node::items).iter();
    let all = files
        .chain(schema)
        .chain(documentation.iter().map(|(_, path)| path));
    all.filter_map(|path| Some((path.scalar()?.to_owned(), path.span)))
        .filter(|(path, _)| !path.is_empty() && !paths::is_url(path))
        .collect()
}
