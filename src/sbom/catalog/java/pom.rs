//! A project's description, `pom.xml`.
//!
//! Source: the POM reference of Apache Maven, "Maven Coordinates" and "Inheritance".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sbom::xml::{self, Element};

/// Longest description that is read, in bytes: 4 MiB.
pub(super) const MAX_POM: u64 = 4 << 20;

/// Maximum number of properties that one value names, and how often they may name others.
const MAX_EXPANSIONS: usize = 100;

/// Longest value with its properties filled in, in bytes.
const MAX_VALUE: usize = 4 << 10;

/// What names a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Coordinates {
    pub(super) group: String,
    pub(super) artifact: String,
    pub(super) version: String,
}

/// The parts of a description that say what an archive is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Project {
    pub(super) own: Coordinates,
    pub(super) parent: Option<Coordinates>,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) url: String,
    /// Names of licences with their addresses.
    pub(super) licenses: Vec<(String, String)>,
}

/// A description that was read.
pub(super) struct Pom {
    root: Element,
    pub(super) properties: BTreeMap<String, String>,
}

impl Coordinates {
    pub(super) fn of(element: &Element) -> Self {
        Self {
            group: element.get("groupId").to_owned(),
            artifact: element.get("artifactId").to_owned(),
            version: element.get("version").to_owned(),
        }
    }
}

impl Pom {
    /// Reads a description; `None` if it is not one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let root = xml::parse(bytes).filter(|root| root.name == "project")?;
        let properties = root.child("properties").into_iter();
        let properties = properties.flat_map(|list| list.children.iter());
        let properties = properties.map(|one| (one.name.clone(), one.text().to_owned()));
        let properties = properties.collect();
        Some(Self { root, properties })
    }

    pub(super) fn root(&self) -> &Element {
        &self.root
    }

    /// `text` with the properties that this description itself has filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        fill(text, &|name| self.value(name))
    }

    /// The value of a property in this description.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        if let Some(value) = self.properties.get(name) {
            return Some(value.clone());
        }
        let mut prefixes = ["project.", "pom."].iter();
        let path = match prefixes.find_map(|prefix| name.strip_prefix(prefix)) {
            Some(path) => path,
            // As projects of Maven 1 write them.
            None if matches!(name, "groupId" | "artifactId" | "version") => name,
            None => return None,
        };
        let mut at = &self.root;
        for part in path.split('.').take(4) {
            match at.child(part) {
                Some(child) => at = child,
                None => {
                    let inherited = matches!(path, "groupId" | "version");
                    let parent = self.root.child("parent").filter(|_| inherited)?;
                    at = parent.child(part)?;
                }
            }
        }
        Some(at.text().to_owned())
    }

    pub(super) fn project(&self) -> Project {
        let filled = |element: &Element| {
            let plain = Coordinates::of(element);
            Coordinates {
                group: self.fill(&plain.group),
                artifact: self.fill(&plain.artifact),
                version: self.fill(&plain.version),
            }
        };
        let licenses = self.root.items("licenses", "license");
        let licenses = licenses.map(|one| (self.fill(one.get("name")), self.fill(one.get("url"))));
        Project {
            own: filled(&self.root),
            parent: self.root.child("parent").map(filled),
            name: self.fill(self.root.get("name")),
            description: one_line(&self.fill(self.root.get("description"))),
            url: self.fill(self.root.get("url")),
            licenses: licenses.take(MAX_EXPANSIONS).collect(),
        }
    }
}

/// The lines of `text` as one.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// `text` with every `${name}` whose value is known replaced, also in values.
pub(super) fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = text.to_owned();
    let mut from = 0;
    for _ in 0..MAX_EXPANSIONS {
        let Some(start) = filled[from..].find("${").map(|at| from + at) else {
            break;
        };
        let Some(end) = filled[start..].find('}').map(|at| start + at) else {
            break;
        };
        match value(&filled[start + 2..end]) {
            Some(value) if filled.len() + value.len() <= MAX_VALUE => {
                filled.replace_range(start..=end, &value);
                from = start;
            }
            _ => from = end,
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_filled_in_and_loops_end() {
        let pom = Pom::parse(
            b"<project><parent><groupId>g</groupId><artifactId>p</artifactId><version>1</version></parent>\
              <artifactId>a</artifactId><version>${rev}-${project.parent.version}</version>\
              <properties><rev>2</rev><x>${y}</x><y>${x}${x}</y></properties>\
              <licenses><license><name>MIT</name></license></licenses></project>",
        )
        .unwrap();
        let project = pom.project();
        assert_eq!(project.own.version, "2-1");
        assert_eq!(pom.value("project.groupId").as_deref(), Some("g"));
        assert_eq!(project.licenses[0].0, "MIT");
        assert!(pom.fill("${x}").len() <= MAX_VALUE);
        assert_eq!(pom.fill("${none} ${rev} ${"), "${none} 2 ${");
        assert!(Pom::parse(b"<other/>").is_none());
    }
}
