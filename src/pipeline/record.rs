//! Records: mappings of a pipeline file, each declared once, key by key.
//!
//! `record!` makes five things of a list of keys: the struct, in its two
//! states; its reader; its rendering; its JSON Schema; and the list of known
//! keys. So a new key is one row, and no two of the five can disagree.
//!
//! Stands on `reader` and `render`. It knows no verb.

use std::borrow::Cow;
use std::fmt::Debug;

use serde_json::{Map, Value, json};

use super::error::ExpandError;
use super::expression::Template;
use super::reader::Reader;
use super::render::Renderer;
use crate::yaml::{Fields, Node};

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

    /// Evaluates it; `key` is for messages.
    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError>;
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

    fn render(written: &P::Value, _: &str, _: &Renderer<'_>) -> Result<P::Value, ExpandError> {
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

    /// Evaluates every key. Messages name a key with `above` before it.
    fn render(&self, above: &str, renderer: &Renderer<'_>) -> Result<Self::Rendered, ExpandError>;

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

    /// Keys that stand beside the verb in a task.
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

            fn render(
                &self,
                above: &str,
                renderer: &$crate::pipeline::render::Renderer<'_>,
            ) -> Result<$name, $crate::pipeline::error::ExpandError> {
                use $crate::pipeline::record::{Key, below};
                Ok($name {
                    $( $field: <$kind as Key>::render(
                        &self.$field,
                        &below(above, $key),
                        renderer,
                    )? ),+
                })
            }
        }
    };
}

pub(super) use record;

/// A string that may hold `${{ }}`, and must be given.
pub enum Text {}

/// References to tasks: `task` or `task[axis=value]`, one or a list.
pub enum Tasks {}

/// Names of tasks of which at least one must be given.
pub enum SomeTasks {}

/// True or false, and what holds when the file says neither.
pub enum Flag<const DEFAULT: bool> {}

/// A mapping of its own; without it, one without keys.
pub struct Nested<R>(std::marker::PhantomData<R>);

/// One of a few words.
pub struct OneOf<W>(std::marker::PhantomData<W>);

/// A list of words.
pub struct ListOf<W>(std::marker::PhantomData<W>);

/// A list of strings without `${{ }}`.
pub enum Names {}

/// The words that [`OneOf`] chooses among.
pub trait Word: Copy + Debug + PartialEq + 'static {
    /// Each word with its meaning.
    const WORDS: &'static [(&'static str, Self)];
}

fn string() -> Value {
    json!({"type": "string"})
}

fn one_or_many() -> Value {
    json!({"type": ["string", "array"], "items": {"type": "string"}})
}

impl Key for Text {
    type Written = Template;
    type Rendered = String;
    const REQUIRED: bool = true;

    fn schema() -> Value {
        string()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Template> {
        r.must(f, key)
    }

    fn render(
        written: &Template,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<String, ExpandError> {
        renderer.render(key, written)
    }
}

impl Key for Option<Text> {
    type Written = Option<Template>;
    type Rendered = Option<String>;

    fn schema() -> Value {
        string()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.one(f, key))
    }

    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        renderer.optional(key, written.as_ref())
    }
}

impl Key for Vec<Text> {
    type Written = Vec<Template>;
    type Rendered = Vec<String>;

    fn schema() -> Value {
        one_or_many()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.many(f, key))
    }

    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        renderer.list(key, written)
    }
}

/// Names with values that may hold `${{ }}`.
impl Key for std::collections::BTreeMap<String, Text> {
    type Written = std::collections::BTreeMap<String, Template>;
    type Rendered = std::collections::BTreeMap<String, String>;

    fn schema() -> Value {
        json!({"type": "object", "additionalProperties": string()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.templates_map(f, key).into_iter().collect())
    }

    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        let value = |(name, text): (&String, &Template)| {
            Ok((name.clone(), renderer.render(&below(key, name), text)?))
        };
        written.iter().map(value).collect()
    }
}

impl Key for Tasks {
    type Written = Vec<Template>;
    /// Instances, each once, in the order of the references.
    type Rendered = Vec<String>;

    fn schema() -> Value {
        one_or_many()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        Some(r.references(f, key))
    }

    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        renderer.references(key, written)
    }
}

impl Key for SomeTasks {
    type Written = Vec<Template>;
    type Rendered = Vec<String>;
    const REQUIRED: bool = true;

    fn schema() -> Value {
        one_or_many()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        if Reader::nodes(f, key).is_empty() {
            r.missing(f, key);
        }
        Some(r.references(f, key))
    }

    fn render(
        written: &Self::Written,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        renderer.references(key, written)
    }
}

impl<const DEFAULT: bool> Plain for Flag<DEFAULT> {
    type Value = bool;

    fn schema() -> Value {
        json!({"type": "boolean", "default": DEFAULT})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> bool {
        f.bool(key, &mut r.mistakes).unwrap_or(DEFAULT)
    }
}

impl Plain for Names {
    type Value = Vec<String>;

    fn schema() -> Value {
        json!({"type": "array", "items": string()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<String> {
        f.strings(key, &mut r.mistakes)
    }
}

impl<W: Word> OneOf<W> {
    fn words() -> Vec<&'static str> {
        W::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn word(node: &Node, key: &str, r: &mut Reader) -> Option<W> {
        let found = W::WORDS
            .iter()
            .find(|(word, _)| node.scalar() == Some(word));
        if found.is_none() {
            let found = node.scalar().unwrap_or(node.kind());
            let message = format!("`{key}` cannot be `{found}`");
            let help = format!("Use one of: {}.", Self::words().join(", "));
            r.at(node.span, message, help);
        }
        found.map(|(_, meaning)| *meaning)
    }
}

impl<W: Word> Plain for Option<OneOf<W>> {
    type Value = Option<W>;

    fn schema() -> Value {
        json!({"enum": OneOf::<W>::words()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<W> {
        f.node(key).and_then(|node| OneOf::word(node, key, r))
    }
}

impl<W: Word + Default> Plain for OneOf<W> {
    type Value = W;

    fn schema() -> Value {
        json!({"enum": Self::words()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> W {
        let word = f.node(key).and_then(|node| Self::word(node, key, r));
        word.unwrap_or_default()
    }
}

impl<W: Word> Plain for ListOf<W> {
    type Value = Vec<W>;

    fn schema() -> Value {
        json!({"type": "array", "items": {"enum": OneOf::<W>::words()}})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Vec<W> {
        let nodes = f.list(key, &mut r.mistakes).iter();
        nodes.filter_map(|node| OneOf::word(node, key, r)).collect()
    }
}

impl<R: Record> Key for Nested<R> {
    type Written = R;
    type Rendered = R::Rendered;

    fn schema() -> Value {
        R::schema()
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<R> {
        let empty = Node::mapping(f.span());
        R::of_node(f.node(key).unwrap_or(&empty), r)
    }

    fn render(written: &R, key: &str, renderer: &Renderer<'_>) -> Result<R::Rendered, ExpandError> {
        written.render(key, renderer)
    }
}

impl<R: Record> Key for Vec<R> {
    type Written = Vec<R>;
    type Rendered = Vec<R::Rendered>;

    fn schema() -> Value {
        json!({"type": "array", "items": R::schema()})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Vec<R>> {
        let nodes = f.list(key, &mut r.mistakes).iter();
        Some(nodes.filter_map(|node| R::of_node(node, r)).collect())
    }

    fn render(
        written: &Vec<R>,
        key: &str,
        renderer: &Renderer<'_>,
    ) -> Result<Self::Rendered, ExpandError> {
        let items = written.iter();
        items.map(|item| item.render(key, renderer)).collect()
    }
}
