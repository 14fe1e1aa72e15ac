//! What definitions and pipelines name, of any architecture and flavor: used to find
//! the pins of a lock file that are no longer needed.
//!
//! Reads every text of a file as what it could be. A text with a template stands for
//! all that it can become, so a pin that may be needed is kept.

use std::collections::BTreeSet;

use regex::Regex;

use super::RepoUrl;
use crate::oci::Reference;
use crate::yaml::{Node, Value};

/// The texts of some files, by what they could name.
#[derive(Debug, Default)]
pub struct NamesIn {
    images: BTreeSet<String>,
    repositories: BTreeSet<String>,
    /// Texts as they are, and charts as a lock file names them.
    others: BTreeSet<String>,
    /// Texts with templates.
    open: Vec<Regex>,
}

impl NamesIn {
    /// Adds what the documents of one file name. `shown` removes the login from an
    /// address, as lock files do.
    pub fn look(&mut self, documents: &[Node], shown: fn(&str) -> String) {
        for document in documents {
            self.node(document, shown);
        }
    }

    /// Whether the image or skeleton `pinned` is named, in full.
    #[must_use]
    pub fn has_image(&self, pinned: &str) -> bool {
        self.images.contains(pinned) || self.may_become(pinned)
    }

    /// Whether the repository `pinned` is named.
    #[must_use]
    pub fn has_repository(&self, pinned: &str) -> bool {
        self.repositories.contains(pinned) || self.may_become(pinned)
    }

    /// Whether the file or chart `pinned` is named.
    #[must_use]
    pub fn has_other(&self, pinned: &str) -> bool {
        self.others.contains(pinned) || self.may_become(pinned)
    }

    fn may_become(&self, pinned: &str) -> bool {
        self.open.iter().any(|open| open.is_match(pinned))
    }

    fn node(&mut self, node: &Node, shown: fn(&str) -> String) {
        match &node.value {
            Value::Mapping(pairs) => {
                self.chart(node, shown);
                for (_, value) in pairs {
                    self.node(value, shown);
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.node(item, shown);
                }
            }
            Value::Scalar(text, _) => self.text(text, shown),
        }
    }

    /// A mapping with a URL may be a chart: of a repository of charts or of Git.
    fn chart(&mut self, node: &Node, shown: fn(&str) -> String) {
        let text = |key: &str| node.get(key).and_then(Node::scalar).unwrap_or_default();
        let (url, version) = (text("url"), text("version"));
        if url.is_empty() {
            return;
        }
        for name in [text("name"), text("repoName")] {
            self.other(format!("{} {name} {version}", shown(url)));
        }
        self.text(&format!("{url}@{version}"), shown);
    }

    fn text(&mut self, text: &str, shown: fn(&str) -> String) {
        let named = Reference::url_path(text).unwrap_or(text);
        if let Ok(reference) = named.parse::<Reference>() {
            self.images.insert(reference.to_string());
        }
        if let Ok(url) = RepoUrl::parse(text) {
            self.repositories.insert(url.to_string());
        }
        self.other(shown(text));
    }

    fn other(&mut self, text: String) {
        match open(&text) {
            Some(open) => self.open.push(open),
            None => drop(self.others.insert(text)),
        }
    }
}

/// The pattern of what a text with templates can become; `None`: it has none.
fn open(text: &str) -> Option<Regex> {
    let mut pattern = String::from("(?s)^(?:oci://)?(?:[^ ]*/)?");
    let (mut rest, mut templates) = (text.trim_start_matches("oci://"), 0);
    loop {
        let begin = [("###", "###"), ("${{", "}}")]
            .into_iter()
            .filter_map(|(begin, end)| Some((rest.find(begin)?, begin, end)))
            .min();
        let closed = begin.and_then(|(at, begin, end)| {
            let inside = &rest[at + begin.len()..];
            let length = inside.find(end)?;
            Some((&rest[..at], &inside[length + end.len()..]))
        });
        let Some((before, after)) = closed else {
            break;
        };
        pattern.push_str(&regex::escape(before));
        pattern.push_str(".*");
        templates += 1;
        rest = after;
    }
    // A reference without a tag means the latest one.
    pattern.push_str(&regex::escape(rest));
    pattern.push_str("(?::latest)?$");
    (templates > 0).then(|| Regex::new(&pattern).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{SourceText, parse};

    fn names(text: &str) -> NamesIn {
        let documents = parse(&SourceText::new("jackal.yaml", text)).unwrap();
        let mut names = NamesIn::default();
        names.look(&documents, |url| url.replace("u:p@", ""));
        names
    }

    #[test]
    fn every_kind_of_pin_is_found_in_the_text_that_names_it() {
        let names = names(
            "components:\n- name: a\n  only: {flavor: x}\n  images: ['nginx:1', 'ghcr.io/a/b']\n  \
             repos: ['https://u:p@h.io/r.git@v1']\n  files: [{source: 'https://u:p@h.io/f@1'}]\n  \
             import: {url: 'oci://h.io/s:2'}\n  charts:\n  - {name: c, repoName: d, url: \
             'https://u:p@h.io/charts', version: '>1'}\n  - {name: e, url: 'https://h.io/c.git', \
             version: v3}\n",
        );
        for image in [
            "docker.io/library/nginx:1",
            "ghcr.io/a/b:latest",
            "h.io/s:2",
        ] {
            assert!(names.has_image(image), "{image}");
        }
        for gone in ["docker.io/library/nginx:2", "ghcr.io/a/b:1", "h.io/a/s:2"] {
            assert!(!names.has_image(gone), "{gone}");
        }
        assert!(names.has_repository("https://h.io/r.git@v1"));
        assert!(names.has_repository("https://h.io/c.git@v3"));
        assert!(!names.has_repository("https://h.io/r.git@v2"));
        assert!(names.has_other("https://h.io/f@1"));
        assert!(names.has_other("https://h.io/charts d >1"));
        assert!(!names.has_other("https://h.io/charts d 1.0"));
    }

    #[test]
    fn a_text_with_a_template_stands_for_all_that_it_can_become() {
        let names = names(
            "images: ['app:###JACKAL_PKG_TMPL_TAG###', '${{ params.host }}/x', \
             'ghcr.io/###ZARF_PKG_TMPL_A###/b:###ZARF_PKG_TMPL_B###']\n",
        );
        for image in [
            "docker.io/library/app:1",
            "any.io/x:latest",
            "ghcr.io/team/b:9",
        ] {
            assert!(names.has_image(image), "{image}");
        }
        for gone in ["docker.io/library/app2:1", "ghcr.io/team/c:9"] {
            assert!(!names.has_image(gone), "{gone}");
        }
    }
}
