//! Finds images in Kubernetes resources.
//!
//! Used to suggest the `images` of a component. Reads only nodes; callers can ask a
//! registry whether possible images exist.

use std::collections::{BTreeMap, BTreeSet};

use crate::yaml::{Node, Value};

/// Deepest nesting of lists of resources.
const MAX_LISTS: usize = 8;

/// Longest text to search for images, in bytes: 64 KiB. Longer texts are data.
const MAX_TEXT: usize = 64 << 10;

/// Images by reference, each with the resources that contain it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagesIn {
    /// Images in known places of resources.
    pub sure: BTreeMap<String, BTreeSet<String>>,
    /// Texts that look like images, in resources of unknown kinds.
    pub maybe: BTreeMap<String, BTreeSet<String>>,
}

impl ImagesIn {
    /// Adds the images in the resources of one file or chart, named `place`.
    pub fn look(&mut self, documents: &[Node], place: &str) {
        for document in documents {
            self.resource(document, place, 0);
        }
        // A sure image is not a possible one.
        let Self { sure, maybe } = self;
        maybe.retain(|image, _| !sure.contains_key(image));
    }

    fn resource(&mut self, node: &Node, place: &str, depth: usize) {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::scalar).map(str::to_owned);
        let kind = text(node, "kind").unwrap_or_default();
        if kind.ends_with("List") && depth < MAX_LISTS && node.get("items").is_some() {
            let items = node.get("items").map_or(&[][..], Node::items);
            for item in items {
                self.resource(item, place, depth + 1);
            }
            return;
        }
        let metadata = node.get("metadata");
        let name = metadata.and_then(|metadata| text(metadata, "name"));
        let place = format!("{place}: {kind} {}", name.unwrap_or_default());
        let place = place.trim_end();
        if let Some(images) = metadata
            .and_then(|metadata| metadata.get("annotations"))
            .and_then(|annotations| text(annotations, "helm.sh/images"))
        {
            self.annotated(&images, place);
        }
        match pod(&kind, node) {
            Some(pod) => {
                for list in ["containers", "initContainers", "ephemeralContainers"] {
                    for container in pod.get(list).map_or(&[][..], Node::items) {
                        if let Some(image) = text(container, "image") {
                            self.sure(&image, place);
                        }
                    }
                }
                for volume in pod.get("volumes").map_or(&[][..], Node::items) {
                    if let Some(image) = volume.get("image").and_then(reference) {
                        self.sure(image, place);
                    }
                }
            }
            None => self.unknown(node, place),
        }
    }

    /// Adds the images of a chart's annotation: a YAML list of `name` and `image`.
    fn annotated(&mut self, text: &str, place: &str) {
        for line in text.lines() {
            if let Some((_, image)) = line.split_once("image:") {
                self.sure(image.trim().trim_matches(['"', '\'']), place);
            }
        }
    }

    fn sure(&mut self, image: &str, place: &str) {
        if plausible(image) {
            let places = self.sure.entry(image.to_owned()).or_default();
            places.insert(place.to_owned());
        }
    }

    /// Adds images of a resource of unknown kind: values of `image` are sure, texts that
    /// look like an image are possible.
    fn unknown(&mut self, node: &Node, place: &str) {
        match &node.value {
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    let image = value.scalar().or_else(|| reference(value));
                    match (key.scalar(), image) {
                        (Some("image"), Some(image)) => self.sure(image, place),
                        _ => self.unknown(value, place),
                    }
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.unknown(item, place);
                }
            }
            Value::Scalar(text, _) if text.len() <= MAX_TEXT => {
                for word in text.split(|c: char| !in_reference(c)) {
                    if looks_like(word) {
                        let places = self.maybe.entry(word.to_owned()).or_default();
                        places.insert(place.to_owned());
                    }
                }
            }
            Value::Scalar(..) => {}
        }
    }
}

/// The pod specification in a resource of a known kind.
fn pod<'n>(kind: &str, node: &'n Node) -> Option<&'n Node> {
    let path: &[&str] = match kind {
        "Pod" => &["spec"],
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => &["spec", "template", "spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return None,
    };
    path.iter().try_fold(node, |node, key| node.get(key))
}

/// The reference of an image that is mounted as a volume.
fn reference(image: &Node) -> Option<&str> {
    image.get("reference").and_then(Node::scalar)
}

fn in_reference(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | ':' | '-' | '_' | '@')
}

fn plausible(image: &str) -> bool {
    !image.is_empty() && image.chars().all(in_reference)
}

/// Whether `word` is `name:tag` with lowercase parts, and not a time, URL or Windows
/// path.
fn looks_like(word: &str) -> bool {
    let Some((name, tag)) = word.rsplit_once(':') else {
        return false;
    };
    let tag_fits = !tag.is_empty()
        && tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !tag.contains(['/', '@', ':']);
    let parts_fit = name.split('/').all(|part| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(inner) && part.ends_with(inner)
    });
    let plain = name
        .chars()
        .all(|c| !c.is_ascii_uppercase() && !matches!(c, '@'));
    // Excludes `12:30` and other pairs of numbers.
    let lettered = name.chars().any(|c| c.is_ascii_lowercase());
    tag_fits && parts_fit && plain && lettered && name.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{SourceText, parse};

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let documents = parse(&SourceText::new("m.yaml", text)).unwrap();
        let mut images = ImagesIn::default();
        images.look(&documents, "m.yaml");
        let names = |map: BTreeMap<String, _>| map.into_keys().collect();
        (names(images.sure), names(images.maybe))
    }

    #[test]
    fn containers_of_every_kind_of_workload_are_sure() {
        let text = "kind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      \
                    initContainers: [{image: 'a:1'}]\n      containers:\n      - {image: 'b@sha256:aa', args: ['x:1']}\n\
                    ---\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: c}]}}}}}\n\
                    ---\nkind: List\nitems:\n- {kind: Pod, spec: {containers: [{image: 'd:2'}]}}\n\
                    ---\nkind: Pod\nspec: {containers: [{image: '{{ .Values.x }}'}]}\n";
        let (sure, maybe) = found(text);
        assert_eq!(sure, ["a:1", "b@sha256:aa", "c", "d:2"]);
        assert!(maybe.is_empty(), "{maybe:?}");
    }

    #[test]
    fn images_that_are_mounted_as_volumes_are_sure() {
        let volumes = "volumes: [{name: v, image: {reference: 'a:1', pullPolicy: Always}}, {name: e, emptyDir: {}}]";
        let text = format!(
            "kind: Pod\nspec: {{containers: [{{image: b}}], {volumes}}}\n---\nkind: Job\nspec: {{template: {{spec: {{{}}}}}}}\n---\nkind: Rollout\nspec: {{template: {{spec: {{{}}}}}}}\n",
            volumes.replace("a:1", "c:2"),
            volumes.replace("a:1", "d:3"),
        );
        let (sure, maybe) = found(&text);
        assert_eq!(sure, ["a:1", "b", "c:2", "d:3"]);
        assert!(maybe.is_empty(), "{maybe:?}");
    }

    #[test]
    fn other_kinds_give_their_image_keys_and_what_looks_like_an_image() {
        let text = "kind: Prometheus\nmetadata:\n  annotations:\n    helm.sh/images: |\n      - name: x\n        image: e/f:3\nspec:\n  \
                    image: quay.io/prometheus/prometheus:v2\n  args:\n  - --reloader=quay.io/op/reloader:v0.1\n  \
                    - http://host:80/x\n  - 'at 12:30'\n  - C:\\\\dir\n  - Key:value\n  - a:1\n";
        let (sure, maybe) = found(text);
        assert_eq!(sure, ["e/f:3", "quay.io/prometheus/prometheus:v2"]);
        assert_eq!(maybe, ["quay.io/op/reloader:v0.1"]);
    }
}
