//! The values of a definition, and the macro that declares records.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::emit::Tree;
use super::reading::{self, Reading};
use super::row::Row;
use crate::yaml::{Node, Value};

/// A value of a definition: a record, a list, or a plain value.
pub(crate) trait Part: Sized {
    /// Whether the value is left out when written.
    fn blank(&self) -> bool;
    /// The value as it will be written.
    fn tree(&self) -> Tree;
    /// Reads the value of `key`. Notes a value of the wrong type and reads it as blank.
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self;
    /// The JSON Schema of the type.
    fn schema() -> Json;
    /// Calls `visit` for each key of each record in the value that was read
    /// from `node`, set or not; `within` names the keys around it.
    fn walk<'n>(
        &self,
        _node: &'n Node,
        _within: &mut Vec<&'static str>,
        _visit: &mut dyn FnMut(&Visited<'_, 'n>),
    ) {
    }
    /// Calls `visit` for each path in `node`, which has the shape of this type.
    fn paths(_node: &mut Node, _visit: &mut dyn FnMut(&'static Row, &mut Node)) {}
}

/// A key of a record, as [`Part::walk`] comes to it.
pub(crate) struct Visited<'w, 'n> {
    pub(crate) row: &'static Row,
    /// Whether the value would be left out when written.
    pub(crate) blank: bool,
    pub(crate) value: Option<&'n Node>,
    pub(crate) record: &'n Node,
    /// The keys around the record, outermost first.
    pub(crate) within: &'w [&'static str],
}

impl Part for String {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::Text(self.clone())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        reading::text(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Part for bool {
    fn blank(&self) -> bool {
        !*self
    }
    fn tree(&self) -> Tree {
        Tree::Literal(self.to_string())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        reading::boolean(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "boolean"})
    }
}

impl Part for i64 {
    fn blank(&self) -> bool {
        *self == 0
    }
    fn tree(&self) -> Tree {
        Tree::Literal(self.to_string())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        reading::integer(node, key, reading)
    }
    fn schema() -> Json {
        json!({"type": "integer"})
    }
}

impl<T: Part> Part for Option<T> {
    fn blank(&self) -> bool {
        self.is_none()
    }
    fn tree(&self) -> Tree {
        self.as_ref()
            .map_or(Tree::Literal("null".into()), Part::tree)
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        Some(T::read(node, key, reading))
    }
    fn schema() -> Json {
        T::schema()
    }
    fn walk<'n>(
        &self,
        node: &'n Node,
        within: &mut Vec<&'static str>,
        visit: &mut dyn FnMut(&Visited<'_, 'n>),
    ) {
        if let Some(value) = self {
            value.walk(node, within, visit);
        }
    }
    fn paths(node: &mut Node, visit: &mut dyn FnMut(&'static Row, &mut Node)) {
        T::paths(node, visit);
    }
}

impl<T: Part> Part for Vec<T> {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::List(self.iter().map(Part::tree).collect())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        if !matches!(node.value, Value::Sequence(_)) {
            reading.wrong(node, key, "a list");
        }
        node.items()
            .iter()
            .map(|item| T::read(item, key, reading))
            .collect()
    }
    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
    fn walk<'n>(
        &self,
        node: &'n Node,
        within: &mut Vec<&'static str>,
        visit: &mut dyn FnMut(&Visited<'_, 'n>),
    ) {
        for (value, node) in self.iter().zip(node.items()) {
            value.walk(node, within, visit);
        }
    }
    fn paths(node: &mut Node, visit: &mut dyn FnMut(&'static Row, &mut Node)) {
        for item in node.items_mut() {
            T::paths(item, visit);
        }
    }
}

impl<T: Part> Part for BTreeMap<String, T> {
    fn blank(&self) -> bool {
        self.is_empty()
    }
    fn tree(&self) -> Tree {
        Tree::Map(self.iter().map(|(k, v)| (k.clone(), v.tree())).collect())
    }
    fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
        let pairs = reading.pairs(node, key);
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), T::read(value, name, reading)))
            .collect()
    }
    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": T::schema()})
    }
}

/// Any value: kept without being understood.
impl Part for Tree {
    fn blank(&self) -> bool {
        false
    }
    fn tree(&self) -> Tree {
        self.clone()
    }
    fn read(node: &Node, _: &str, _: &mut Reading) -> Self {
        reading::tree(node)
    }
    fn schema() -> Json {
        json!({})
    }
}

/// Declares records from their rows.
///
/// A row is `field: Type = "key", "purpose" [, Rule]*;`. Reading, writing, schema,
/// checks and the merging of imports follow from it.
macro_rules! records {
    ($($(#[$doc:meta])* $name:ident {
        $($field:ident: $kind:ty = $key:literal, $text:literal $(, $rule:expr)*;)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`: ", $text, ".")] pub $field: $kind,)*
            /// Keys without a row, as they were read.
            pub extra: Vec<(String, Tree)>,
        }

        impl $name {
            /// The row of each key, in the order of writing.
            pub(crate) const ROWS: &'static [Row] = &[$(Row {
                key: $key,
                text: $text,
                rules: &[$($rule),*],
            }),*];
        }

        impl Part for $name {
            fn blank(&self) -> bool {
                $(self.$field.blank() &&)* self.extra.is_empty()
            }
            fn tree(&self) -> Tree {
                let mut pairs = Vec::new();
                $(if !self.$field.blank() {
                    pairs.push(($key.to_owned(), self.$field.tree()));
                })*
                pairs.extend(self.extra.iter().cloned());
                Tree::Map(pairs)
            }
            fn read(node: &Node, key: &str, reading: &mut Reading) -> Self {
                let mut record = Self::default();
                for (name, value) in reading.pairs(node, key) {
                    match name {
                        $($key if value.is_null() => {})*
                        $($key => record.$field = Part::read(value, $key, reading),)*
                        _ => record.extra.extend(reading.unknown(node, value, name, Self::ROWS)),
                    }
                }
                record
            }
            fn schema() -> Json {
                schema::record(Self::ROWS, vec![$(<$kind as Part>::schema()),*])
            }
            fn walk<'n>(
                &self,
                node: &'n Node,
                within: &mut Vec<&'static str>,
                visit: &mut dyn FnMut(&Visited<'_, 'n>),
            ) {
                let mut rows = Self::ROWS.iter();
                $(if let Some(row) = rows.next() {
                    let (value, blank) = (node.get($key), self.$field.blank());
                    visit(&Visited { row, blank, value, record: node, within });
                    if let Some(value) = value.filter(|_| !blank || row.is(&Rule::Required)) {
                        within.push($key);
                        self.$field.walk(value, within, visit);
                        within.pop();
                    }
                })*
            }
            fn paths(node: &mut Node, visit: &mut dyn FnMut(&'static Row, &mut Node)) {
                let mut rows = Self::ROWS.iter();
                $(if let (Some(row), Some(value)) = (rows.next(), node.get_mut($key)) {
                    if !row.is(&Rule::Path) {
                        <$kind as Part>::paths(value, visit);
                    } else if value.scalar().is_some() {
                        visit(row, value);
                    } else {
                        value.items_mut().iter_mut().for_each(|path| visit(row, path));
                    }
                })*
            }
        }
    )*};
}

pub(super) use records;
