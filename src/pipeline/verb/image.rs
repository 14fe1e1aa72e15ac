//! `image`: an image built from files and task outputs, without a daemon.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::pipeline::reader::Reader;
use crate::pipeline::kinds::{Either, Nested, TaskOr, Text};
use crate::pipeline::record::{Plain, Written, record};
use crate::yaml::Fields;

record! {
    /// Builds an image without a daemon.
    pub struct Image as "`image`" {
        /// `scratch`, a reference, or `task:NAME`.
        base: TaskOr<ImageSource> = "base",
        /// `os/arch[/variant]`.
        platform: Option<Text> = "platform",
        /// Layers, lowest first.
        layers: Vec<ImageLayer<Written>> = "layers",
        /// Runtime settings of the image.
        config: Nested<RuntimeConfig<Written>> = "config",
    }
}

record! {
    /// One layer.
    pub struct ImageLayer as "a layer" {
        /// `task:NAME`, or a path relative to the pipeline file.
        from: TaskOr<LayerSource> = "from",
        /// The path in the image.
        to: Text = "to",
        /// User and group IDs, such as `1000:1000`.
        owner: Option<Text> = "owner",
        /// Permission bits of every file, in octal digits and quotes.
        mode: Mode = "mode",
    }
}

record! {
    /// Runtime settings of the image.
    pub struct RuntimeConfig as "`config`" {
        /// The program and its first arguments.
        entrypoint: Vec<Text> = "entrypoint",
        /// Default arguments.
        cmd: Vec<Text> = "cmd",
        /// Environment variables.
        env: BTreeMap<String, Text> = "env",
        /// The user that the program runs as.
        user: Option<Text> = "user",
        /// The working directory of the program.
        workdir: Option<Text> = "workdir",
        /// Labels.
        labels: BTreeMap<String, Text> = "labels",
        /// Ports that the program listens on, such as `8080/tcp`.
        ports: Vec<Text> = "ports",
    }
}

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
