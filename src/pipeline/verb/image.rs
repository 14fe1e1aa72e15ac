//! The values of `image`: its base, its layers' sources, and their mode.

use serde_json::{Value, json};

use crate::pipeline::kinds::Either;
use crate::pipeline::reader::Reader;
use crate::pipeline::record::Plain;
use crate::yaml::Fields;

/// One image, by where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// An image without layers.
    Scratch,
    /// A registry, or a file or folder with `oci:` or the like before it.
    Reference(String),
    /// An instance of this pipeline.
    Task(String),
}

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// Files at a path relative to the pipeline file.
    Path(String),
    /// The outputs of an instance.
    Task(String),
}

/// Permission bits in octal digits, quoted so that no YAML reader takes them for a
/// number.
pub enum Mode {}

impl Either for ImageSource {
    fn text(text: String) -> Self {
        match text.as_str() {
            "scratch" => Self::Scratch,
            _ => Self::Reference(text),
        }
    }

    fn task(instance: String) -> Self {
        Self::Task(instance)
    }
}

impl Either for LayerSource {
    fn text(text: String) -> Self {
        Self::Path(text)
    }

    fn task(instance: String) -> Self {
        Self::Task(instance)
    }
}

impl Plain for Mode {
    type Value = Option<u32>;

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-7]{1,4}$"})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<u32> {
        let node = f.node(key)?;
        let bits = node
            .scalar()
            .and_then(|text| u32::from_str_radix(text, 8).ok())
            .filter(|bits| *bits <= 0o7777 && node.plain_type().is_none());
        if bits.is_none() {
            let help = "Write octal digits in quotes, such as '0755'.";
            r.at(node.span, format!("`{key}` is not a file mode"), help);
        }
        bits
    }
}
