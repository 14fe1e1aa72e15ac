//! Nodes: values with their place in the source.

/// A stretch of a source text: where a node begins and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters on the first line; at least 1.
    pub length: u32,
}

impl Span {
    /// Where a file begins.
    pub const START: Self = Self {
        line: 1,
        column: 1,
        length: 1,
    };
}

/// How a scalar was written. Only a plain scalar can be a number or a boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In quotes, or as a block.
    Quoted,
}

/// One node of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the node begins.
    pub span: Span,
    pub value: Value,
}

/// The content of a node. Scalars keep their source text: `1.10` stays `1.10`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(String, Style),
    Sequence(Vec<Node>),
    /// Keys and values, in source order. Duplicate keys are kept.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar that is not null.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Whether it is an empty, `~` or `null` plain scalar (YAML 1.2, 10.3.2).
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// `"boolean"` or `"number"`, if a YAML 1.1 or 1.2 reader would read this
    /// scalar as one.
    #[must_use]
    pub fn plain_type(&self) -> Option<&'static str> {
        let Value::Scalar(text, Style::Plain) = &self.value else {
            return None;
        };
        let lower = text.to_ascii_lowercase();
        if matches!(lower.as_str(), "true" | "false") {
            return Some("boolean");
        }
        let digits = lower.trim_start_matches(['+', '-']);
        let radix = |prefix: &str, radix| {
            digits
                .strip_prefix(prefix)
                .is_some_and(|rest| u64::from_str_radix(rest, radix).is_ok())
        };
        let decimal = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.bytes().any(|b| b.is_ascii_digit())
            && digits.parse::<f64>().is_ok();
        (decimal || radix("0x", 16) || radix("0o", 8)).then_some("number")
    }

    /// The value of `key` in a mapping; the last one if `key` is duplicated.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(pairs) => pairs
                .iter()
                .rev()
                .find(|(name, _)| name.scalar() == Some(key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// A mapping without pairs.
    #[must_use]
    pub fn mapping(span: Span) -> Self {
        Self {
            span,
            value: Value::Mapping(Vec::new()),
        }
    }

    #[must_use]
    pub fn sequence(span: Span, items: Vec<Self>) -> Self {
        Self {
            span,
            value: Value::Sequence(items),
        }
    }

    /// A string, quoted so that no reader takes it for a number or boolean.
    #[must_use]
    pub fn text(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            value: Value::Scalar(text.into(), Style::Quoted),
        }
    }

    /// A number or boolean, from its source text.
    #[must_use]
    pub fn literal(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            value: Value::Scalar(text.into(), Style::Plain),
        }
    }

    /// As [`get`](Self::get), mutable.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Mapping(pairs) => pairs
                .iter_mut()
                .rev()
                .find(|(name, _)| name.scalar() == Some(key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sets `key` to `value`, replacing an older value. Does nothing unless the
    /// node is a mapping.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if let Value::Mapping(pairs) = &mut self.value {
            pairs.push((Self::text(value.span, key), value));
        }
    }

    /// The value of `key`, set to `new` if it was missing or null. `None` unless
    /// the node is a mapping.
    pub fn ensure(&mut self, key: &str, new: Self) -> Option<&mut Self> {
        if self.get(key).is_none_or(Self::is_null) {
            self.set(key, new);
        }
        self.get_mut(key)
    }

    /// Removes `key` from a mapping, duplicates included; returns the last value.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        let found = self.get(key).cloned();
        if let Value::Mapping(pairs) = &mut self.value {
            pairs.retain(|(name, _)| name.scalar() != Some(key));
        }
        found
    }

    /// The items of a sequence; empty for other nodes.
    pub fn items_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            Value::Sequence(items) => items,
            _ => &mut [],
        }
    }

    /// The number of nodes, including this one and all keys.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.value {
            Value::Scalar(..) => 1,
            Value::Sequence(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Mapping(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| key.count() + value.count());
                1 + pairs.sum::<usize>()
            }
        }
    }

    /// The number of bytes of all texts, keys included.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match &self.value {
            Value::Scalar(text, _) => text.len(),
            Value::Sequence(items) => items.iter().map(Self::text_bytes).sum(),
            Value::Mapping(pairs) => {
                let pairs = pairs.iter();
                pairs
                    .map(|(key, value)| key.text_bytes() + value.text_bytes())
                    .sum()
            }
        }
    }

    /// The items of a sequence; empty for other nodes.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The kind of node, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "null value",
            Value::Scalar(..) => self.plain_type().unwrap_or("string"),
            Value::Sequence(_) => "list",
            Value::Mapping(_) => "mapping",
        }
    }
}
