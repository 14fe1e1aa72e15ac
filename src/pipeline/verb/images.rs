//! The values of `images`: where its references come from.

use serde_json::{Value, json};

use super::image::ImageSource;
use crate::pipeline::expression::Template;
use crate::pipeline::reader::Reader;
use crate::pipeline::record::{Key, Rendering};
use crate::pipeline::render::Renderer;
use crate::yaml::Fields;

/// Where an `images` task finds its references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagesFrom<T = String, I = ImageSource> {
    /// The images that a package definition names, by the definition's path.
    Definition(T),
    /// These images.
    List(Vec<I>),
}

impl Key for ImagesFrom<Template, Template> {
    type Written = Self;
    type Rendered = ImagesFrom;
    const REQUIRED: bool = true;

    fn schema() -> Value {
        json!({"type": ["string", "array"], "items": {"type": "string"}})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self> {
        let nodes = Reader::nodes(f, key);
        if nodes.is_empty() {
            r.missing(f, key);
        }
        // One string is a definition, unless it is a task.
        let text = f.node(key).and_then(|node| node.scalar());
        if text.is_some_and(|text| !text.starts_with("task:")) {
            return r.one(f, key).map(Self::Definition);
        }
        for node in &nodes {
            r.edge_in(node);
        }
        let images = nodes.into_iter().filter_map(|node| r.template(node));
        Some(Self::List(images.collect()))
    }

    fn unset() -> ImagesFrom {
        ImagesFrom::List(Vec::new())
    }

    fn render(written: &Self, key: &str, by: &Renderer<'_>) -> Rendering<ImagesFrom> {
        let list = match written {
            Self::Definition(path) => {
                return Ok(ImagesFrom::Definition(by.render(key, path)?));
            }
            Self::List(list) => by.list(key, list)?,
        };
        let mut images = Vec::new();
        for text in list {
            match text.strip_prefix("task:") {
                Some(selector) => {
                    let chosen = by.select(key, selector)?;
                    images.extend(chosen.into_iter().map(ImageSource::Task));
                }
                None => images.push(ImageSource::Reference(text)),
            }
        }
        Ok(ImagesFrom::List(images))
    }
}
