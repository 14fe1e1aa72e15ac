//! From the user's definition to the one that a package is built from: resolves
//! imports, fills templates, migrates deprecated keys, and checks the result.
//!
//! Sits between `definition` and the planner. Works on nodes and not on typed
//! values, so that each mistake points at the file and line it came from. Gets
//! everything from outside through [`Surroundings`].
//!
//! Source: docs/spec/package.md, "Composition".

mod chain;
mod merge;
mod migrate;
mod paths;
mod surroundings;
mod template;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) use merge::{SETS, STAGES};
pub use migrate::{MIGRATIONS, UNLIMITED_RETRIES};
pub use surroundings::{ImportError, Look, SkeletonUrl, Surroundings};
pub(crate) use template::{Template, templates};
pub use template::{is_name, template_names, unfilled};

use self::template::Filling;
use self::values::{attached, imported_values, is_empty};
use super::definition::{
    Component, Part, Reading, Rule, check, check_values, documents, empty, without_components,
};
use super::{Definition, SKELETON};
use crate::yaml::{MAX_NODES, Mistake, Mistakes, Node, SourceText, Sources, Span, Value};

#[derive(Clone, Copy, Debug)]
pub struct Choice<'c> {
    /// Architecture that replaces the one in the definition.
    pub architecture: Option<&'c str>,
    /// Architecture if neither the user nor the definition has one.
    pub host: &'c str,
    /// Flavor whose components are included.
    pub flavor: &'c str,
    /// Values of templates, by name.
    pub set: &'c BTreeMap<String, String>,
    /// Values that replace keys of `metadata`.
    pub metadata: &'c BTreeMap<String, String>,
}

/// A definition that is complete without other files.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The checked definition, without imports and templates.
    pub definition: Definition,
    /// Deprecated and ignored keys.
    pub warnings: Vec<Warning>,
    /// Folders of imported components, relative to the package.
    pub folders: BTreeSet<String>,
    /// Names of all templates in the definition.
    pub templates: BTreeSet<String>,
    /// Commands from skeletons, by component.
    pub commands: BTreeMap<String, ImportedCommands>,
    /// The schemas of imported values, relative to the package; the nearest one first.
    pub schemas: Vec<String>,
}

/// How many actions at the start of each stage of `onCreate` come from a skeleton:
/// `before`, `after`, `onSuccess`, `onFailure`.
pub type ImportedCommands = [usize; STAGES.len()];

/// Something that is not a mistake but should be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// `file:line:column`.
    pub place: String,
    pub message: String,
    pub help: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n  help: {}", self.place, self.message, self.help)
    }
}

/// Maximum number of nodes of a composed definition: five times [`MAX_NODES`].
/// Imports can multiply nodes, as aliases do.
const MAX_COMPOSED_NODES: usize = 5 * MAX_NODES;

/// Maximum length of the text of a composed definition, and of what templates add to
/// it, in bytes: 32 MiB, twice the largest definition file. Imports and templates
/// multiply text.
const MAX_COMPOSED_BYTES: usize = 32 << 20;

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
        compose(source, surroundings, choice, Purpose::Package).into_result()
    }

    /// Composes the definition in `source` for a skeleton package. Templates stay
    /// for its importers to fill, and so do components of every architecture
    /// unless one is chosen.
    ///
    /// # Errors
    ///
    /// All mistakes of all files, each at its place.
    pub fn compose_skeleton(
        source: SourceText,
        surroundings: &mut dyn Surroundings,
        choice: &Choice<'_>,
    ) -> Result<Composed, Mistakes> {
        compose(source, surroundings, choice, Purpose::Skeleton).into_result()
    }
}

/// What a definition is composed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Package,
    Skeleton,
}

/// The result of a composition, with everything that was noted.
#[derive(Default)]
pub(super) struct Whole {
    pub(super) definition: Definition,
    /// The definition before templates were filled.
    pub(super) unfilled: Option<Node>,
    pub(super) sources: Sources,
    pub(super) mistakes: Vec<Mistake>,
    /// Deprecated keys, in order.
    pub(super) deprecated: Vec<Mistake>,
    /// Keys without effect, in order.
    pub(super) ignored: Vec<Mistake>,
    pub(super) folders: BTreeSet<String>,
    /// The first place of each template.
    pub(super) templates: BTreeMap<String, Span>,
    /// Commands from skeletons, by component.
    pub(super) commands: BTreeMap<String, ImportedCommands>,
    /// The schemas of imported values.
    pub(super) schemas: Vec<String>,
}

impl Whole {
    fn into_result(self) -> Result<Composed, Mistakes> {
        let composed = Composed {
            warnings: self.shown(),
            definition: self.definition,
            folders: self.folders,
            templates: self.templates.into_keys().collect(),
            commands: self.commands,
            schemas: self.schemas,
        };
        Mistakes::none_of(composed, &self.sources, self.mistakes)
    }

    /// The warnings for the user, without duplicates.
    fn shown(&self) -> Vec<Warning> {
        let mut warnings: Vec<&Mistake> = self.deprecated.iter().chain(&self.ignored).collect();
        warnings.sort_by_key(|warning| warning.span);
        let shown = warnings.into_iter().map(|warning| Warning {
            place: self.sources.shown(warning.span),
            message: warning.message.clone(),
            help: warning.help.clone(),
        });
        let mut shown: Vec<Warning> = shown.collect();
        shown.dedup();
        shown
    }
}

/// Composes as far as possible; mistakes are in the result.
pub(super) fn compose(
    source: SourceText,
    surroundings: &mut dyn Surroundings,
    choice: &Choice<'_>,
    purpose: Purpose,
) -> Whole {
    let mut composer = Composer {
        surroundings,
        purpose,
        flavor: choice.flavor,
        architecture: choice.architecture.unwrap_or_default().to_owned(),
        whole: Whole::default(),
        files: BTreeMap::new(),
        nodes: 0,
        bytes: 0,
        imported: BTreeSet::new(),
        names: BTreeMap::new(),
    };
    if let Some(head) = composer.load(source, true) {
        composer.composed(head, choice);
    }
    let mut whole = composer.whole;
    whole.deprecated.sort_by_key(|warning| warning.span);
    whole.ignored.sort_by_key(|warning| warning.span);
    whole
}

/// A composition in progress.
struct Composer<'c> {
    surroundings: &'c mut dyn Surroundings,
    purpose: Purpose,
    flavor: &'c str,
    architecture: String,
    whole: Whole,
    /// Imported definitions by folder or URL; `None` if unusable.
    files: BTreeMap<String, Option<std::rc::Rc<Node>>>,
    /// Number of nodes of all components so far.
    nodes: usize,
    /// Number of bytes of their texts.
    bytes: usize,
    /// Folders and URLs whose variables and constants were taken.
    imported: BTreeSet<String>,
    /// Places of the components of imported definitions, by folder or URL and name.
    names: BTreeMap<String, HashMap<String, Vec<usize>>>,
}

impl Composer<'_> {
    /// Reads a definition as nodes, and checks keys and types. Unknown keys are
    /// mistakes in the user's `own` files only.
    fn load(&mut self, source: SourceText, own: bool) -> Option<Node> {
        let before = self.whole.sources.add(source.clone());
        let shifted = |mut mistake: Mistake| {
            mistake.span.line = mistake.span.line.saturating_add(before);
            mistake
        };
        let mut node = match documents(&source) {
            Err(found) => {
                let found = found.list().iter().cloned();
                self.whole.mistakes.extend(found.map(shifted));
                return None;
            }
            Ok((None, _)) => {
                self.whole.mistakes.push(shifted(empty()));
                return None;
            }
            Ok((Some(node), newer)) => {
                let newer = newer.filter(|_| own).map(|newer| {
                    let message = "the second YAML document is ignored: the format v1beta1 is not supported yet";
                    Mistake::new(newer.span, message, "Make sure that the first document says the same.")
                });
                self.whole.ignored.extend(newer.map(shifted));
                node
            }
        };
        node.shift(before);
        let mut reading = Reading {
            strict: own,
            extensions: false,
            mistakes: Vec::new(),
        };
        // Only for the mistakes: the definition is read again once it is complete.
        let _ = Definition::read(&node, "the definition", &mut reading);
        check_values(&node, &mut reading.mistakes);
        self.whole.mistakes.extend(reading.mistakes);
        matches!(node.value, Value::Mapping(_)).then_some(node)
    }

    fn composed(&mut self, mut head: Node, choice: &Choice<'_>) {
        self.metadata(&mut head, choice);
        let root = std::rc::Rc::new(head.clone());
        let listed = head.get("components").map_or(&[][..], Node::items).to_vec();
        let mut variables = Merged::of(&head, "variables");
        let mut constants = Merged::of(&head, "constants");
        let mut values = Vec::new();
        let mut components = Vec::new();
        let none_left = !listed.is_empty() && !listed.iter().any(|c| self.is_wanted(c));
        for component in listed.iter().cloned() {
            if !self.is_wanted(&component) {
                continue;
            }
            let Some(chain) = self.follow(component, &root) else {
                continue;
            };
            // The end of the chain comes first: what is nearer to the package overrides it.
            let before = values.len();
            for link in &chain {
                if self.imported.insert(link.source.clone()) {
                    variables.add(&link.root);
                    constants.add(&link.root);
                    if !link.source.is_empty() {
                        values.extend(self.values(link));
                    }
                }
            }
            values[before..].reverse();
            let component = self.merged(chain);
            self.nodes = self.nodes.saturating_add(component.count());
            self.bytes = self.bytes.saturating_add(component.text_bytes());
            let what = match () {
                () if self.nodes > MAX_COMPOSED_NODES => format!("{MAX_COMPOSED_NODES} nodes"),
                () if self.bytes > MAX_COMPOSED_BYTES => {
                    format!("{} MiB of text", MAX_COMPOSED_BYTES >> 20)
                }
                () => String::new(),
            };
            if !what.is_empty() {
                self.mistake(
                    component.span,
                    format!("the composed definition has more than {what}"),
                    "Import fewer components, or split the package.",
                );
                break;
            }
            components.push(component);
        }
        self.unknown_flavor(&listed, root.get("components").unwrap_or(&root).span);
        if let Some(list) = head.get_mut("components") {
            if none_left {
                self.none_left(&listed, list.span);
            } else {
                list.value = Value::Sequence(components);
            }
        }
        for (key, merged) in [("variables", variables), ("constants", constants)] {
            if let Some(span) = merged.items.first().map(|item| item.span) {
                head.set(key, Node::sequence(span, merged.items));
            }
        }
        self.whole.schemas = imported_values(&mut head, values);
        self.whole.unfilled = Some(head.clone());
        match self.purpose {
            Purpose::Package => self.fill(&mut head, choice),
            Purpose::Skeleton => {
                fill_metadata(&mut head, choice.set);
                if let Some(values) = head.get("values").filter(|values| !is_empty(values)) {
                    self.mistake(
                        values.span,
                        "a skeleton cannot have `values`: who imports it would not get them",
                        "Move them to the definitions that import its components.",
                    );
                }
            }
        }
        self.sources(&mut head);
        let mut reading = Reading {
            strict: false,
            extensions: false,
            mistakes: Vec::new(),
        };
        let mut definition = Definition::read(&head, "the definition", &mut reading);
        self.whole.mistakes.extend(without_components(&root));
        if self.purpose == Purpose::Package && !none_left {
            check(&definition, &head, &mut reading.mistakes);
        }
        self.whole.mistakes.extend(reading.mistakes);
        // A source may carry the build section of a finished package.
        definition.build.differential = false;
        definition.build.differential_package_version.clear();
        definition.build.differential_package_checksum.clear();
        definition.build.flavor = choice.flavor.to_owned();
        definition.build.migrations = MIGRATIONS.map(str::to_owned).to_vec();
        self.whole.definition = definition;
    }

    /// Applies the user's choices to `metadata` and determines the architecture
    /// (docs/spec/package.md, "Architecture").
    fn metadata(&mut self, head: &mut Node, choice: &Choice<'_>) {
        let span = head.span;
        let Some(metadata) = head.ensure("metadata", Node::mapping(span)) else {
            return;
        };
        let at = metadata.span;
        for (key, value) in choice.metadata {
            metadata.set(key, Node::text(at, value));
        }
        if self.purpose == Purpose::Skeleton {
            metadata.set("architecture", Node::text(at, SKELETON));
            return;
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

    fn fill(&mut self, head: &mut Node, choice: &Choice<'_>) {
        let surroundings = &mut *self.surroundings;
        let mut ask = |name: &str| surroundings.answer(name);
        let mut filling = Filling {
            values: choice.set,
            ask: &mut ask,
            architecture: &self.architecture,
            answers: BTreeMap::new(),
            found: BTreeMap::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            left: Some(MAX_COMPOSED_BYTES),
        };
        filling.definition(head);
        let (found, mut mistakes, mut warnings) =
            (filling.found, filling.mistakes, filling.warnings);
        self.whole.mistakes.append(&mut mistakes);
        self.whole.deprecated.append(&mut warnings);
        self.whole.templates = found;
    }

    /// Checks the paths that components name: refuses those that they may not name, and
    /// reads the versions of charts.
    fn sources(&mut self, head: &mut Node) {
        let imported = head.get("values").map_or(head.span, |values| values.span);
        let schemas = self.whole.schemas.clone().into_iter();
        let schemas = schemas.map(|path| (path, imported));
        for (path, at) in attached(head).into_iter().chain(schemas) {
            if let Look::Refused(message, help) = self.surroundings.look(&path) {
                self.mistake(at, message, help);
            }
        }
        let components = head.get_mut("components");
        for component in components.map(Node::items_mut).into_iter().flatten() {
            for (_, path, at) in sources(component) {
                if let Look::Refused(message, help) = self.surroundings.look(&path) {
                    self.mistake(at, message, help);
                }
            }
            let charts = component.get_mut("charts");
            for chart in charts.map(Node::items_mut).into_iter().flatten() {
                let given = |key: &str| {
                    let text = chart.get(key).and_then(Node::scalar);
                    text.is_some_and(|text| !text.is_empty())
                };
                if given("version") || given("url") || self.purpose == Purpose::Skeleton {
                    continue;
                }
                let path = chart.get("localPath");
                let Some((path, at)) = path.and_then(|node| Some((node.scalar()?, node.span)))
                else {
                    continue;
                };
                if let Some(version) = self.surroundings.chart_version(path) {
                    chart.set("version", Node::text(at, version));
                }
            }
        }
    }

    /// Whether a component is for this architecture and flavor (2.7, rule 1).
    fn is_wanted(&self, component: &Node) -> bool {
        let only = component.get("only");
        let fits = |node: Option<&Node>, have: &str| {
            let wanted = node.and_then(Node::scalar).unwrap_or_default();
            wanted.is_empty() || wanted == have
        };
        let cluster = only.and_then(|only| only.get("cluster"));
        let architecture = cluster.and_then(|cluster| cluster.get("architecture"));
        let flavor = only.and_then(|only| only.get("flavor"));
        (self.is_for_any() || fits(architecture, &self.architecture)) && fits(flavor, self.flavor)
    }

    /// Notes that the choice of flavor and architecture leaves no component.
    fn none_left(&mut self, listed: &[Node], at: Span) {
        let flavors = known(listed, &["only", "flavor"]);
        let architectures = known(listed, &["only", "cluster", "architecture"]);
        let mut chosen = format!("architecture `{}`", self.architecture);
        match self.flavor {
            "" => chosen += " and no flavor",
            flavor => chosen += &format!(" and flavor `{flavor}`"),
        }
        let message = format!("no component is left for {chosen}");
        let mut help = Vec::new();
        let joined = |known: BTreeSet<&str>| known.into_iter().collect::<Vec<_>>().join(", ");
        if !flavors.is_empty() {
            help.push(format!(
                "Choose a flavor with --flavor: {}.",
                joined(flavors)
            ));
        }
        if !architectures.is_empty() {
            let architectures = joined(architectures);
            help.push(format!("The components have architecture {architectures}."));
        }
        self.mistake(at, message, help.join(" "));
    }

    /// Warns about a flavor that no component has, here or where they are imported
    /// from.
    fn unknown_flavor(&mut self, listed: &[Node], at: Span) {
        let imported = self.files.values().flatten();
        let imported = imported.filter_map(|root| root.get("components"));
        let lists = imported.map(Node::items).chain([listed]);
        let known = known(lists.flatten(), &["only", "flavor"]);
        // A package without flavors may be built with others that have some.
        if self.flavor.is_empty() || known.is_empty() || known.contains(self.flavor) {
            return;
        }
        let known: Vec<&str> = known.into_iter().collect();
        let known = known.join(", ");
        let help = format!("Correct --flavor; the components have: {known}.");
        let message = format!("no component has the flavor `{}`", self.flavor);
        self.whole.ignored.push(Mistake::new(at, message, help));
    }

    /// Whether components of every architecture are included.
    fn is_for_any(&self) -> bool {
        self.purpose == Purpose::Skeleton && self.architecture.is_empty()
    }

    fn mistake(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.whole.mistakes.push(Mistake::new(at, message, help));
    }
}

/// Every path on the disk that a component names, with its key and place. Paths with
/// templates, which have no value yet, are left out.
pub(super) fn sources(component: &Node) -> Vec<(&'static str, String, Span)> {
    let mut found = Vec::new();
    let mut add = |key: &'static str, path: &Node| {
        let text = path.scalar().unwrap_or_default();
        if !text.is_empty() && !paths::is_url(text) && !text.contains("###") {
            found.push((key, text.to_owned(), path.span));
        }
    };
    Component::paths(&mut component.clone(), &mut |row, path| {
        if !row.is(&Rule::Deprecated) && !row.is(&Rule::Unbuilt) {
            add(row.key, path);
        }
    });
    let manifests = component.get("manifests").map_or(&[][..], Node::items);
    for manifest in manifests {
        let list = manifest.get("kustomizations").map_or(&[][..], Node::items);
        list.iter().for_each(|path| add("kustomizations", path));
    }
    found
}

/// Fills the templates of `metadata` that have a value: a skeleton's tag is made of its
/// version, and all other templates are for its importers.
fn fill_metadata(head: &mut Node, set: &BTreeMap<String, String>) {
    if let Some(metadata) = head.get_mut("metadata") {
        template::fill_known(metadata, set);
    }
}

fn text_at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    let found = path.iter().try_fold(node, |node, key| node.get(key));
    found.and_then(Node::scalar)
}

/// The different texts at `path` of `components`.
fn known<'n>(components: impl IntoIterator<Item = &'n Node>, path: &[&str]) -> BTreeSet<&'n str> {
    let texts = components
        .into_iter()
        .filter_map(|node| text_at(node, path));
    texts.filter(|text| !text.is_empty()).collect()
}

/// Variables or constants; the first of each name wins.
struct Merged {
    key: &'static str,
    names: BTreeSet<String>,
    items: Vec<Node>,
}

impl Merged {
    /// Starts with those of the package itself, duplicates included.
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
