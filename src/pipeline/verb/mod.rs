//! What a task does, with one file per verb.
//!
//! A verb's file declares its keys, and thereby how they are read, checked,
//! rendered and described. The checker and the planner see them as [`Verb`],
//! in two states. No file here knows a task or an instance.

use serde_json::Value;

use super::reader::Reader;
use super::record::{Beside, Record, Rendered, Rendering, State, Written};
use super::render::Renderer;
use crate::yaml::{Fields, Node};

macro_rules! verbs {
    ($($name:literal => $module:ident::$verb:ident),+ $(,)?) => {
        $( mod $module; pub use $module::$verb; )+

        /// What a task does.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Verb<S: State = Rendered> {
            $( #[doc = concat!("`", $name, "`")] $verb($verb<S>), )+
        }

        /// The key of each verb; a task has exactly one of them.
        pub const NAMES: &[&str] = &[$($name),+];

        impl Verb<Written> {
            /// Reads the verb `name` of a task with these fields from `node`.
            pub fn read(
                name: &str,
                node: &Node,
                task: &mut Fields<'_>,
                r: &mut Reader,
            ) -> Option<Self> {
                match name {
                    $( $name => $verb::of_task(node, task, r).map(Self::$verb), )+
                    _ => None,
                }
            }

            /// Evaluates every key.
            pub fn render(&self, renderer: &Renderer<'_>) -> Rendering<Verb> {
                match self {
                    $( Self::$verb(verb) => verb.render("", renderer).map(Verb::$verb), )+
                }
            }

            /// The JSON Schema of each verb: its key, its value, and the keys beside
            /// it.
            pub fn forms() -> Vec<Form> {
                vec![$( Form {
                    verb: $name,
                    value: $verb::schema(),
                    beside: $verb::beside(),
                } ),+]
            }
        }
    };
}

verbs! {
    "component" => component::Component,
    "images" => images::Images,
    "image" => image::Image,
    "sbom" => sbom::Sbom,
    "package" => package::Package,
    "sign" => sign::Sign,
    "publish" => publish::Publish,
    "run" => run::Run,
}

pub use image::{ImageLayer, ImageSource, LayerSource, RuntimeConfig};
pub use images::ImagesFrom;

/// The JSON Schema of one verb.
pub struct Form {
    /// Its key.
    pub verb: &'static str,
    /// The schema of its value.
    pub value: Value,
    /// Keys of the task that belong to it.
    pub beside: Vec<Beside>,
}
