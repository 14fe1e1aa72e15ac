//! Records: mappings of a pipeline file, each declared once, key by key.
//!
//! `record!` makes five things of a list of keys: the struct, in its two
//! states; its reader; its rendering; its JSON Schema; and the list of known
//! keys. So a new key is one row, and no two of the five can disagree.
//!
//! Built on `reader` and `render`, and independent of verbs.

use std::borrow::Cow;
use std::fmt::Debug;

use serde_json::{Map, Value, json};

use super::error::ExpandError;
use super::reader::Reader;
use super::render::Renderer;
use crate::yaml::{Fields, Node, Span};

/// Whether the values of a record are as written, or rendered.
pub trait State: Clone + Debug + PartialEq {
    /// What a key of kind `K` holds in this state.
    type Of<K: Key>: Clone + Debug + PartialEq;
}

/// Templates are parsed and not yet evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Written;

/// Nothing is left to evaluate: texts are plain, references are instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered;

impl State for Written {
    type Of<K: Key> = K::Written;
}

impl State for Rendered {
    type Of<K: Key> = K::Rendered;
}

/// A rendered value, or the reason why it cannot be rendered.
pub type Rendering<T> = Result<T, ExpandError>;

/// The kind of a key's value: how it is read, rendered and described.
pub trait Key {
    /// What the checker makes of it.
    type Written: Clone + Debug + PartialEq;
    /// What the planner reads.
    type Rendered: Clone + Debug + PartialEq;
    /// Whether a file without the key is wrong.
    const REQUIRED: bool = false;

    /// The JSON Schema of the value, without its description.
    fn schema() -> Value;

    /// Other keys that are read with it, such as older names, with their schemas.
    fn also() -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Reads the value of `key`. `None` once a mistake is noted without which
    /// there is no value.
    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written>;

    /// The rendered value of an absent key; empty for one that is required.
    fn unset() -> Self::Rendered;

    /// Evaluates it; `key` is for messages.
    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered>;
}

/// A kind of value without templates, and with a value for an absent key.
pub trait Plain {
    /// The same as written and rendered.
    type Value: Clone + Debug + PartialEq;

    /// As [`Key::schema`].
    fn schema() -> Value;

    /// As [`Key::also`].
    fn also() -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Reads the value of `key`.
    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Self::Value;
}

impl<P: Plain> Key for P {
    type Written = P::Value;
    type Rendered = P::Value;

    fn schema() -> Value {
        P::schema()
    }

    fn also() -> Vec<(&'static str, Value)> {
        P::also()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<P::Value> {
        Some(P::read(f, key, r))
    }

    fn unset() -> P::Value {
        let empty = Node::mapping(Span::default());
        let mut f = Fields::new(&empty, "", &mut Vec::new());
        P::read(&mut f, "", &mut Reader::default())
    }

    fn render(written: &P::Value, _: &str, _: &Renderer<'_>) -> Rendering<P::Value> {
        Ok(written.clone())
    }
}

/// A mapping with declared keys, as written.
pub trait Record: Clone + Debug + PartialEq + Sized {
    /// The same, rendered.
    type Rendered: Clone + Debug + PartialEq;
    /// What messages call it.
    const NAME: &'static str;

    /// The JSON Schema of the mapping.
    fn schema() -> Value;

    /// Its keys.
    fn keys() -> Keys {
        Keys::default()
    }

    /// Reads every key, and notes every mistake.
    fn read(f: &mut Fields<'_>, r: &mut Reader) -> Option<Self>;

    /// The rendered mapping if no key is given.
    fn unset() -> Self::Rendered;

    /// Evaluates every key. Messages name a key with `above` before it.
    fn render(&self, above: &str, by: &Renderer<'_>) -> Rendering<Self::Rendered>;

    /// Reads `node` as a whole: unknown keys are mistakes.
    fn of_node(node: &Node, r: &mut Reader) -> Option<Self> {
        let mut f = Fields::new(node, Self::NAME, &mut r.mistakes);
        let made = Self::read(&mut f, r);
        f.finish(&mut r.mistakes);
        made
    }

    /// Reads it as the verb of a task, whose fields are `task`.
    fn of_task(node: &Node, _task: &mut Fields<'_>, r: &mut Reader) -> Option<Self> {
        Self::of_node(node, r)
    }

    /// Keys beside the verb in a task.
    fn beside() -> Vec<Beside> {
        Vec::new()
    }
}

/// A key of a task beside its verb.
pub struct Beside {
    /// The key.
    pub key: &'static str,
    /// Whether a task with the verb must have it.
    pub required: bool,
    /// Its schema; `None`: that of every task.
    pub schema: Option<Value>,
}

/// `key` below the key `above`, as messages name it: `config.env`.
pub fn below<'k>(above: &str, key: &'k str) -> Cow<'k, str> {
    match above {
        "" => Cow::Borrowed(key),
        above => Cow::Owned(format!("{above}.{key}")),
    }
}

/// The keys of a mapping, for its JSON Schema.
#[derive(Default)]
pub struct Keys {
    /// Each key with the schema of its value.
    pub properties: Map<String, Value>,
    /// Keys that must be given.
    pub required: Vec<&'static str>,
}

impl Keys {
    /// Adds `key`, of kind `K`.
    #[must_use]
    pub fn with<K: Key>(mut self, key: &'static str, text: &str) -> Self {
        self.required.extend(K::REQUIRED.then_some(key));
        let also = K::also().into_iter();
        let own = std::iter::once((key, described(K::schema(), text)));
        let all = own.chain(also).map(|(key, value)| (key.to_owned(), value));
        self.properties.extend(all);
        self
    }
}

/// The JSON Schema of a mapping with these keys and no others.
pub fn object(about: &str, keys: Keys) -> Value {
    let Keys {
        properties,
        required,
    } = keys;
    let form = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    });
    described(form, about)
}

/// A schema with its description.
pub fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = json!(text.trim());
    schema
}

/// Declares a record.
///
/// Each row is `/// text`, `field: Kind = "key"`. The text is the field's
/// documentation and the schema's description. `rules` names a function that
/// checks what no single key shows; it looks at the keys as written, so that
/// it runs also where another key is wrong.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident as $what:literal $(rules $rules:path)? {
            $( $(#[doc = $text:literal])+ $field:ident: $kind:ty = $key:literal, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<S: $crate::pipeline::record::State = $crate::pipeline::record::Rendered> {
            $( $(#[doc = $text])+ pub $field: S::Of<$kind>, )+
        }

        impl $name {
            /// Every key at its default; empty where one is required.
            #[must_use]
            pub fn unset() -> Self {
                $name { $( $field: <$kind as $crate::pipeline::record::Key>::unset() ),+ }
            }
        }

        impl $crate::pipeline::record::Record for $name<$crate::pipeline::record::Written> {
            type Rendered = $name;
            const NAME: &'static str = $what;

            fn schema() -> serde_json::Value {
                $crate::pipeline::record::object(concat!($($about),+), Self::keys())
            }

            fn keys() -> $crate::pipeline::record::Keys {
                $crate::pipeline::record::Keys::default()
                    $( .with::<$kind>($key, concat!($($text),+)) )+
            }

            fn read(
                f: &mut $crate::yaml::Fields<'_>,
                r: &mut $crate::pipeline::reader::Reader,
            ) -> Option<Self> {
                $( let $field = <$kind as $crate::pipeline::record::Key>::read(f, $key, r); )+
                $( $rules(f, r); )?
                Some(Self { $( $field: $field? ),+ })
            }

            fn unset() -> $name {
                $name::unset()
            }

            fn render(
                &self,
                above: &str,
                by: &$crate::pipeline::render::Renderer<'_>,
            ) -> $crate::pipeline::record::Rendering<$name> {
                use $crate::pipeline::record::{Key, below};
                Ok($name {
                    $( $field: <$kind as Key>::render(
                        &self.$field,
                        &below(above, $key),
                        by,
                    )? ),+
                })
            }
        }
    };
}

pub(super) use record;
