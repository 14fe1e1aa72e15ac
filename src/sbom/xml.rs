//! Small XML documents as trees, for lists of packages that are written in XML.
//!
//! Names lose their namespace, attributes are left out, and only the entities that XML
//! itself has are resolved.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// Maximum number of elements in one another; a description of a project has about ten.
const MAX_DEPTH: usize = 64;

/// Maximum number of elements of one document.
const MAX_ELEMENTS: usize = 200_000;

/// An element with the text directly in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first child called `name`.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children called `item` of the first child called `list`.
    pub(super) fn items<'e>(&'e self, list: &str, item: &'e str) -> impl Iterator<Item = &'e Self> {
        let children = self.child(list).into_iter().flat_map(|l| l.children.iter());
        children.filter(move |child| child.name == item)
    }

    /// Its text, without white space at the ends.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// The text of the first child called `name`; empty without one.
    pub(super) fn get(&self, name: &str) -> &str {
        self.child(name).map_or("", Self::text)
    }
}

/// The root of a document; `None` if it is not XML, or too large.
pub(super) fn parse(bytes: &[u8]) -> Option<Element> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Old documents are in Latin-1, whose bytes are the first characters of Unicode.
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut xml = Reader::from_str(text);
    xml.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    loop {
        match xml.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
                    return None;
                }
                let name: &str = start.local_name().into_inner();
                open.push(Element {
                    name: name.to_owned(),
                    ..Element::default()
                });
            }
            Event::End(_) => {
                let done = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Some(done),
                }
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
            }
            Event::CData(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(name) => {
                if let Some(element) = open.last_mut() {
                    match name.resolve_char_ref() {
                        Ok(Some(c)) => element.text.push(c),
                        _ => {
                            let known = resolve_predefined_entity(&name.xml10_content());
                            element.text.push_str(known.unwrap_or_default());
                        }
                    }
                }
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_texts_and_children() {
        let text = "<?xml version='1.0'?><!-- c --><p:a xmlns:p='x'><b> x &amp; &#65;<![CDATA[<]]> </b>\
                    <l><i>1</i><j/><i>2</i></l></p:a>";
        let root = parse(text.as_bytes()).unwrap();
        assert_eq!((root.name.as_str(), root.get("b")), ("a", "x & A<"));
        let items: Vec<_> = root.items("l", "i").map(Element::text).collect();
        assert_eq!(items, ["1", "2"]);
        assert_eq!(root.get("none"), "");
        assert_eq!(parse(b"<a><b>\xe9</b></a>").unwrap().get("b"), "\u{e9}");
    }

    #[test]
    fn damaged_and_deep_documents_are_refused() {
        for damaged in [&b""[..], b"x", b"<a>", b"<a><b></a>"] {
            assert!(parse(damaged).is_none());
        }
        assert!(parse("<a>".repeat(100_000).as_bytes()).is_none());
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(parse(deep(64).as_bytes()).is_some() && parse(deep(65).as_bytes()).is_none());
    }
}
