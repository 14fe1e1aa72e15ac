//! TOML text as nodes of the YAML reader, so that configuration files of every
//! format are checked by the same code.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::yaml::{Mistake, Mistakes, Node, SourceText, Span, Value};

/// The document in `source`.
///
/// # Errors
///
/// The first syntax error.
pub(super) fn parse(source: &SourceText) -> Result<Node, Mistakes> {
    let text: &str = &source.text;
    match DeTable::parse(text) {
        Ok(table) => Ok(mapping(text, table.span().start, table.get_ref())),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().replace('\n', "; ");
            let mistake = Mistake::new(
                span(text, at),
                format!("invalid TOML: {message}"),
                "Write settings as `key = \"value\"` lines below `[package.create]`.",
            );
            Mistakes::none_or(Node::mapping(Span::default()), source, vec![mistake])
        }
    }
}

fn span(text: &str, at: usize) -> Span {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Span {
        line: number(before.matches('\n').count()).saturating_add(1),
        column: number(before[line_start..].chars().count()).saturating_add(1),
        length: 1,
    }
}

fn mapping(text: &str, at: usize, table: &DeTable<'_>) -> Node {
    let pairs = table.iter().map(|(key, value)| {
        let name = Node::text(span(text, key.span().start), key.get_ref().as_ref());
        (name, node(text, value))
    });
    Node {
        span: span(text, at),
        value: Value::Mapping(pairs.collect()),
    }
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let at = span(text, value.span().start);
    match value.get_ref() {
        DeValue::String(string) => Node::text(at, string.as_ref()),
        DeValue::Integer(integer) => {
            // `0x10` and `1_000` become decimal. A number that does not fit is
            // kept as it is, and the reader rejects it.
            let digits = integer.as_str();
            let number = i64::from_str_radix(digits, integer.radix());
            Node::literal(at, number.map_or(digits.to_owned(), |n| n.to_string()))
        }
        DeValue::Float(float) => Node::literal(at, float.as_str()),
        DeValue::Boolean(boolean) => Node::literal(at, boolean.to_string()),
        DeValue::Datetime(date) => Node::literal(at, date.to_string()),
        DeValue::Array(items) => {
            Node::sequence(at, items.iter().map(|item| node(text, item)).collect())
        }
        DeValue::Table(table) => mapping(text, value.span().start, table),
    }
}
