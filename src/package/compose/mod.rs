//! From the definition a user wrote to the one a package is made from: imports
//! followed, templates filled, deprecated keys migrated, all of it checked.
//!
//! Sits between `yaml`, which reads text, and whoever builds. Works on nodes
//! and not on typed values, so that each mistake of the result points at the
//! file and line it came from. What lies outside, it asks [`Surroundings`] for.
//!
//! Source: package.md 2.1, step 3, and 2.7.

mod chain;
mod merge;
mod migrate;
mod paths;

use std::collections::{BTreeMap, BTreeSet};

use super::check::check;
use super::definition::Part;
use super::parse::Reading;
use super::surroundings::Surroundings;
use super::template::Filling;
use super::{Definition, MIGRATIONS};
use crate::yaml::{
    MAX_NODES, Mistake, Mistakes, Node, SourceText, Sources, Span, Value, parse_first,
};

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'c> {
    /// Instead of the definition's own architecture.
    pub architecture: Option<&'c str>,
    /// The architecture if nobody names one.
    pub host: &'c str,
    /// Components of this flavor are taken as well.
    pub flavor: &'c str,
    /// Values of templates.
    pub set: &'c BTreeMap<String, String>,
    /// Values of keys of `metadata`, instead of the definition's own.
    pub metadata: &'c BTreeMap<String, String>,
}

/// A definition that stands alone.
#[derive(Clone, Debug)]
pub struct Composed {
    /// Without imports and templates, checked.
    pub definition: Definition,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// Folders that imported components name files in, relative to the package.
    pub folders: BTreeSet<String>,
    /// Names of the templates that were found.
    pub templates: BTreeSet<String>,
}

/// Something that is not wrong, but should be changed or known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// `file:line:column`.
    pub place: String,
    /// What was found.
    pub message: String,
    /// The next step.
    pub help: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n  help: {}", self.place, self.message, self.help)
    }
}

/// Most nodes of a composed definition: five of the largest files. Imports
/// multiply what they name, as aliases do.
const MAX_COMPOSED_NODES: usize = 5 * MAX_NODES;

impl Definition {
    /// Composes the definition in `source` and fills its templates.
    ///
    /// # Errors
    ///
    /// All mistakes of all files, each at its place.
    pub fn compose(
        source: SourceText,
        surroundings: &mut dyn Surroundings,
        choice: &Choice<'_>,
    ) -> Result<Composed, Mistakes> {
        let mut composer = Composer {
            surroundings,
            flavor: choice.flavor,
            architecture: choice.architecture.unwrap_or_default().to_owned(),
            sources: Sources::default(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            nodes: 0,
        };
        let head = composer.load(source, true);
        let composed = head.map(|head| composer.composed(head, choice));
        let Composer {
            sources,
            mistakes,
            mut warnings,
            folders,
            ..
        } = composer;
        let (definition, templates) = composed.unwrap_or_default();
        warnings.sort_by_key(|warning| warning.span);
        let mut shown: Vec<Warning> = warnings
            .into_iter()
            .map(|warning| Warning {
                place: sources.shown(warning.span),
                message: warning.message,
                help: warning.help,
            })
            .collect();
        shown.dedup();
        let composed = Composed {
            definition,
            warnings: shown,
            folders,
            templates,
        };
        Mistakes::none_of(composed, &sources, mistakes)
    }
}

/// A composition under way.
struct Composer<'c> {
    surroundings: &'c mut dyn Surroundings,
    flavor: &'c str,
    architecture: String,
    sources: Sources,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    /// Imported definitions by folder or URL; `None` cannot be used.
    files: BTreeMap<String, Option<std::rc::Rc<Node>>>,
    folders: BTreeSet<String>,
    /// Of all components so far.
    nodes: usize,
}

impl Composer<'_> {
    /// Reads a definition as nodes; a file that its user wrote is held to its
    /// shape as well.
    fn load(&mut self, source: SourceText, own: bool) -> Option<Node> {
        let before = self.sources.add(source.clone());
        let shifted = |mut mistake: Mistake| {
            mistake.span.line = mistake.span.line.saturating_add(before);
            mistake
        };
        let mut node = match parse_first(&source) {
            Err(found) => {
                let found = found.list().iter().cloned();
                self.mistakes.extend(found.map(shifted));
                return None;
            }
            Ok(None) => {
                self.mistakes.push(shifted(super::parse::empty()));
                return None;
            }
            Ok(Some(node)) => node,
        };
        node.shift(before);
        let mut reading = Reading {
            strict: own,
            mistakes: Vec::new(),
        };
        // Whether the shape is right; what is read is read again when whole.
        let _ = Definition::read(&node, "the definition", &mut reading);
        self.mistakes.extend(reading.mistakes);
        matches!(node.value, Value::Mapping(_)).then_some(node)
    }

    fn composed(&mut self, mut head: Node, choice: &Choice<'_>) -> (Definition, BTreeSet<String>) {
        self.metadata(&mut head, choice);
        let root = std::rc::Rc::new(head.clone());
        let listed = head.get("components").map_or(&[][..], Node::items).to_vec();
        let mut variables = Merged::of(&head, "variables");
        let mut constants = Merged::of(&head, "constants");
        let mut components = Vec::new();
        for component in listed {
            if !self.is_wanted(&component) {
                continue;
            }
            let Some(chain) = self.follow(component, &root) else {
                continue;
            };
            for link in &chain {
                variables.add(&link.root);
                constants.add(&link.root);
            }
            let component = self.merged(chain);
            self.nodes = self.nodes.saturating_add(component.count());
            if self.nodes > MAX_COMPOSED_NODES {
                self.mistakes.push(Mistake::new(
                    component.span,
                    format!("the composed definition has more than {MAX_COMPOSED_NODES} nodes"),
                    "Import less, or split the package.",
                ));
                break;
            }
            components.push(component);
        }
        if let Some(list) = head.get_mut("components") {
            list.value = Value::Sequence(components);
        }
        for (key, merged) in [("variables", variables), ("constants", constants)] {
            if let Some(span) = merged.items.first().map(|item| item.span) {
                head.set(key, Node::sequence(span, merged.items));
            }
        }
        let templates = self.fill(&mut head, choice);
        let mut reading = Reading {
            strict: false,
            mistakes: Vec::new(),
        };
        let mut definition = Definition::read(&head, "the definition", &mut reading);
        check(&definition, &head, &mut reading.mistakes);
        self.mistakes.extend(reading.mistakes);
        definition.build.migrations = MIGRATIONS.map(str::to_owned).to_vec();
        (definition, templates)
    }

    /// Puts the user's choices in and settles the architecture (package.md 2.3).
    fn metadata(&mut self, head: &mut Node, choice: &Choice<'_>) {
        let span = head.span;
        let Some(metadata) = head.ensure("metadata", Node::mapping(span)) else {
            return;
        };
        let at = metadata.span;
        for (key, value) in choice.metadata {
            metadata.set(key, Node::text(at, value));
        }
        if self.architecture.is_empty() {
            let own = metadata.get("architecture").and_then(Node::scalar);
            self.architecture = own.unwrap_or_default().to_owned();
        }
        if self.architecture.is_empty() {
            self.architecture = choice.host.to_owned();
        }
        let at = metadata.get("architecture").map_or(at, |node| node.span);
        metadata.set("architecture", Node::text(at, &self.architecture));
    }

    fn fill(&mut self, head: &mut Node, choice: &Choice<'_>) -> BTreeSet<String> {
        let surroundings = &mut *self.surroundings;
        let mut ask = |name: &str| surroundings.answer(name);
        let mut filling = Filling {
            values: choice.set,
            ask: &mut ask,
            architecture: &self.architecture,
            asked: BTreeMap::new(),
            found: BTreeSet::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        };
        filling.definition(head);
        self.mistakes.append(&mut filling.mistakes);
        self.warnings.append(&mut filling.warnings);
        filling.found
    }

    /// Whether a component is for this architecture and flavor (2.7, rule 1).
    fn is_wanted(&self, component: &Node) -> bool {
        let only = component.get("only");
        let fits = |node: Option<&Node>, have: &str| {
            let asked = node.and_then(Node::scalar).unwrap_or_default();
            asked.is_empty() || asked == have
        };
        let cluster = only.and_then(|only| only.get("cluster"));
        fits(
            cluster.and_then(|cluster| cluster.get("architecture")),
            &self.architecture,
        ) && fits(only.and_then(|only| only.get("flavor")), self.flavor)
    }

    fn mistake(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, message, help));
    }
}

/// Variables or constants by name: the first of a name stays.
struct Merged {
    key: &'static str,
    names: BTreeSet<String>,
    items: Vec<Node>,
}

impl Merged {
    /// Begins with the package's own, whatever they are called.
    fn of(head: &Node, key: &'static str) -> Self {
        let items = head.get(key).map_or(&[][..], Node::items).to_vec();
        let names = items.iter().filter_map(name_of).map(str::to_owned);
        Self {
            key,
            names: names.collect(),
            items,
        }
    }

    fn add(&mut self, root: &Node) {
        for item in root.get(self.key).map_or(&[][..], Node::items) {
            let name = name_of(item).unwrap_or_default();
            if !name.is_empty() && self.names.insert(name.to_owned()) {
                self.items.push(item.clone());
            }
        }
    }
}

fn name_of(node: &Node) -> Option<&str> {
    node.get("name").and_then(Node::scalar)
}

#[cfg(test)]
mod tests;
