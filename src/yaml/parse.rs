//! Text to nodes, over the events of `saphyr-parser`.

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Mistake, Mistakes, Node, SourceText, Span, Style, Value};
use crate::codes::Code;

/// Maximum number of nodes of a document after its aliases are expanded: 200,000. A
/// definition of a thousand components has fewer; an alias bomb has more.
pub const MAX_NODES: usize = 200_000;

/// Maximum length of the text that aliases and anchors copy, in bytes: 8 MiB. The
/// number of nodes alone says little: one alias may stand for a megabyte of text.
pub const MAX_COPIED_BYTES: usize = 8 << 20;

/// Deepest nesting of lists and mappings: 64. Readers recurse over nodes.
pub const MAX_DEPTH: usize = 64;

/// Longest key, in characters: 500. Kubernetes limits keys to 317.
const MAX_KEY: usize = 500;

/// Parses every document of `source`.
///
/// Resolves aliases and merge keys (`<<`). Skips documents without content.
///
/// # Errors
///
/// One [`Mistake`]: the first place that is invalid YAML, nested deeper than
/// [`MAX_DEPTH`], expands to more than [`MAX_NODES`], or copies more text than
/// [`MAX_COPIED_BYTES`].
pub fn parse(source: &SourceText) -> Result<Vec<Node>, Mistakes> {
    build(&source.text).map_err(|mistake| {
        let mistake = mistake.with(Code::InvalidYaml);
        let failed: Result<(), Mistakes> = Mistakes::none_or((), source, vec![mistake]);
        failed.expect_err("one mistake was given")
    })
}

/// Parses the first document of `source`; `None` if it has no document.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_first(source: &SourceText) -> Result<Option<Node>, Mistakes> {
    parse(source).map(|documents| documents.into_iter().next())
}

/// Parses the only document of `source`; `None` if it has no document.
///
/// # Errors
///
/// As [`parse`], and a second document: of two readers, one would see another
/// file than the other.
pub fn parse_only(source: &SourceText) -> Result<Option<Node>, Mistakes> {
    let mut documents = parse(source)?.into_iter();
    let first = documents.next();
    let second = documents.next().map(|node| second(&node));
    Mistakes::none_or(first, source, second.into_iter().collect())
}

/// The mistake of a document after the first one.
#[must_use]
pub fn second(document: &Node) -> Mistake {
    Mistake::new(
        document.span,
        "a second YAML document begins here, expected one document",
        "Remove it and the `---` above it, or move it to a file of its own.",
    )
    .with(Code::InvalidYaml)
}

/// A list or mapping that has begun and not ended.
enum Open {
    Sequence(Vec<Node>),
    /// The pairs, and the key whose value is missing.
    Mapping(Vec<(Node, Node)>, Option<Node>),
}

struct Frame {
    open: Open,
    span: Span,
    anchor: usize,
    /// What is inside, aliases expanded.
    size: Size,
}

/// What nodes take, aliases expanded.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    /// Bytes of their texts.
    bytes: usize,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A node that is complete.
struct Finished {
    node: Node,
    /// The number of its anchor; 0 if it has none.
    anchor: usize,
    /// What it takes, aliases expanded.
    size: Size,
}

fn build(text: &str) -> Result<Vec<Node>, Mistake> {
    let mut builder = Builder {
        // An anchored node is copied in case an alias names it.
        has_aliases: text.contains('*'),
        ..Builder::default()
    };
    for event in Parser::new_from_str(text) {
        let (event, place) = event.map_err(|error| {
            let mut at = point(error.marker().line(), error.marker().col(), 1);
            at.line = at.line.max(1);
            let help = if error.info().contains("anchor") {
                "Define `&name` on a node before using `*name`."
            } else {
                "Check the indentation, quotes and brackets here."
            };
            Mistake::new(at, format!("invalid YAML: {}", error.info()), help)
        })?;
        let one_line = place.start.line() == place.end.line();
        let length = if one_line {
            place.end.col().saturating_sub(place.start.col()).max(1)
        } else {
            1
        };
        let here = point(place.start.line(), place.start.col(), length);
        if let Some(finished) = builder.event(event, here)? {
            builder.add(finished)?;
        }
    }
    Ok(builder.documents)
}

/// Puts nodes together from the events of the parser.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Frame>,
    /// Anchored nodes of this document with their sizes.
    anchors: HashMap<usize, (Node, Size)>,
    has_aliases: bool,
    /// Nodes of this document so far, aliases expanded.
    total: usize,
    /// What was copied in all documents, for anchors and for aliases.
    copied: Size,
    /// Where this document begins.
    start: Span,
}

impl Builder {
    /// Takes an event; returns the node that it completes.
    fn event(&mut self, event: Event<'_>, here: Span) -> Result<Option<Finished>, Mistake> {
        let finished = match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.total = 0;
                self.start = here;
                return Ok(None);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match (style, tag) {
                    (style, Some(tag)) => tagged(&tag, style, &text, here)?,
                    (ScalarStyle::Plain, None) => Style::Plain,
                    (_, None) => Style::Quoted,
                };
                let size = Size {
                    nodes: 1,
                    bytes: text.len(),
                };
                let value = Value::Scalar(text.into_owned(), style);
                let node = Node { span: here, value };
                Finished { node, anchor, size }
            }
            Event::Alias(anchor) => self.alias(anchor, here)?,
            Event::SequenceStart(anchor, tag) => {
                only_tag("seq", tag.as_deref(), here)?;
                self.open(Open::Sequence(Vec::new()), here, anchor)?;
                return Ok(None);
            }
            Event::MappingStart(anchor, tag) => {
                only_tag("map", tag.as_deref(), here)?;
                self.open(Open::Mapping(Vec::new(), None), here, anchor)?;
                return Ok(None);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else {
                    return Ok(None);
                };
                let value = match frame.open {
                    Open::Sequence(items) => Value::Sequence(items),
                    Open::Mapping(pairs, _) => Value::Mapping(merge(pairs)?),
                };
                // `add` counts the nodes inside once more, with the node itself.
                self.total -= frame.size.nodes;
                let (span, mut size) = (frame.span, frame.size);
                size.nodes += 1;
                Finished {
                    node: Node { span, value },
                    anchor: frame.anchor,
                    size,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(finished))
    }

    /// A copy of the anchored node. Its size is checked first: copies of copies
    /// grow exponentially.
    fn alias(&mut self, anchor: usize, here: Span) -> Result<Finished, Mistake> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Mistake::new(
                here,
                "this alias refers to the node that contains it",
                "Write out the value, or use an anchor of an earlier node.",
            ));
        };
        if self.total + size.nodes > MAX_NODES {
            return Err(too_many(here));
        }
        let size = *size;
        copy(&mut self.copied, size, here)?;
        let node = Node {
            span: here,
            value: node.value.clone(),
        };
        Ok(Finished {
            node,
            anchor: 0,
            size,
        })
    }

    fn open(&mut self, open: Open, span: Span, anchor: usize) -> Result<(), Mistake> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Mistake::new(
                span,
                format!("nested deeper than {MAX_DEPTH} levels"),
                "Flatten this part of the file.",
            ));
        }
        self.stack.push(Frame {
            open,
            span: Span { length: 1, ..span },
            anchor,
            size: Size::default(),
        });
        Ok(())
    }

    /// Adds a node to the list or mapping around it, or to the documents.
    fn add(&mut self, finished: Finished) -> Result<(), Mistake> {
        let Finished { node, anchor, size } = finished;
        self.total += size.nodes;
        if self.total > MAX_NODES {
            return Err(too_many(self.start));
        }
        if anchor > 0 && self.has_aliases {
            // Anchors inside anchors copy the same text once for each level.
            copy(&mut self.copied, size, node.span)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut() {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(frame) => {
                frame.size += size;
                match &mut frame.open {
                    Open::Sequence(items) => items.push(node),
                    Open::Mapping(pairs, key) => match key.take() {
                        None => {
                            plain_key(&node)?;
                            *key = Some(node);
                        }
                        Some(name) => pairs.push((name, node)),
                    },
                }
            }
        }
        Ok(())
    }
}

/// How a scalar with a tag is read: `!!str` and `!` make it a string (YAML 1.2.2,
/// 10.1.1.3), and other tags must say what it is anyway. A reader that knows the tag
/// and one that does not would otherwise see two values.
fn tagged(tag: &Tag, style: ScalarStyle, text: &str, here: Span) -> Result<Style, Mistake> {
    let plain = Node::literal(here, text);
    let kind = match plain.plain_type() {
        _ if style != ScalarStyle::Plain => "str",
        _ if plain.is_null() => "null",
        Some("boolean") => "bool",
        Some(_) if text.parse::<i64>().is_ok() => "int",
        Some(_) => "float",
        None => "str",
    };
    match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
        (true, "str") => Ok(Style::Quoted),
        (false, "" | "!") => Ok(Style::Quoted),
        (true, named) if named == kind && kind != "str" => Ok(Style::Plain),
        _ => Err(odd_tag(tag, here)),
    }
}

/// Refuses a tag that is not the one every list or every mapping has.
fn only_tag(expected: &str, tag: Option<&Tag>, here: Span) -> Result<(), Mistake> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
            Err(odd_tag(tag, here))
        }
        _ => Ok(()),
    }
}

fn odd_tag(tag: &Tag, here: Span) -> Mistake {
    let suffix = &tag.suffix;
    let shown = match tag.is_yaml_core_schema() {
        true => format!("!!{suffix}"),
        false => format!("!{suffix}"),
    };
    Mistake::new(
        here,
        format!("the tag `{shown}` gives this value another type"),
        "Remove the tag, and write the value as intended.",
    )
}

/// Refuses a key that could not be written back: YAML limits a key to one line
/// of 1024 characters, and escapes make it longer.
fn plain_key(node: &Node) -> Result<(), Mistake> {
    let Value::Scalar(text, _) = &node.value else {
        return Ok(());
    };
    if text.chars().count() <= MAX_KEY && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let message =
        format!("a key is longer than {MAX_KEY} characters or contains control characters");
    let help = "Shorten the key, and store its text as a value.";
    Err(Mistake::new(node.span, message, help))
}

/// Counts a copy of `size` nodes and bytes; its caller makes it.
fn copy(copied: &mut Size, size: Size, at: Span) -> Result<(), Mistake> {
    *copied += size;
    if copied.nodes > MAX_NODES {
        return Err(too_many(at));
    }
    if copied.bytes > MAX_COPIED_BYTES {
        let limit = MAX_COPIED_BYTES >> 20;
        return Err(Mistake::new(
            at,
            format!("aliases and anchors copy more than {limit} MiB of text"),
            "Use fewer aliases of long texts, or split the file.",
        ));
    }
    Ok(())
}

/// Appends the pairs of merged mappings; keys of the mapping itself take precedence.
fn merge(pairs: Vec<(Node, Node)>) -> Result<Vec<(Node, Node)>, Mistake> {
    let is_merge =
        |key: &Node| matches!(&key.value, Value::Scalar(text, Style::Plain) if text == "<<");
    if !pairs.iter().any(|(key, _)| is_merge(key)) {
        return Ok(pairs);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| is_merge(key));
    if let Some((again, _)) = merges.get(1) {
        return Err(Mistake::new(
            again.span,
            "duplicate key `<<`",
            "Merge a list of mappings: `<<: [*a, *b]`.",
        ));
    }
    let text = |key: &Node| match &key.value {
        Value::Scalar(text, _) => Some(text.clone()),
        // Keys of other kinds are mistakes, which each reader reports.
        _ => None,
    };
    let mut seen: HashSet<String> = own.iter().filter_map(|(key, _)| text(key)).collect();
    for (key, value) in merges {
        let sources = match value.value {
            Value::Sequence(items) => items,
            value => vec![Node {
                span: key.span,
                value,
            }],
        };
        for source in sources {
            let Value::Mapping(pairs) = source.value else {
                return Err(Mistake::new(
                    key.span,
                    "a merge key needs a mapping or a list of mappings",
                    "Set `<<` to an alias of a mapping.",
                ));
            };
            for (name, value) in pairs {
                if text(&name).is_none_or(|text| seen.insert(text)) {
                    own.push((name, value));
                }
            }
        }
    }
    Ok(own)
}

fn too_many(span: Span) -> Mistake {
    Mistake::new(
        span,
        format!("the document expands to more than {MAX_NODES} nodes"),
        "Use fewer aliases, or split the file.",
    )
}

fn point(line: usize, column: usize, length: usize) -> Span {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: small(line),
        column: small(column + 1),
        length: small(length),
    }
}

#[cfg(test)]
mod tests;
