//! Evaluates a parsed expression against given values.
//!
//! Used by the module above it. It never fetches a value by itself.

use std::collections::BTreeMap;
use std::fmt;

use super::lexer::Op;
use super::{ExpressionError, Function, Kind, Node};

/// Longest string in bytes, so that nested formats cannot fill the memory.
pub(super) const MAX_VALUE: usize = 1024 * 1024;

pub(super) const TOO_LONG: &str = "the value is longer than 1 MiB";

/// A value in an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// False for false, 0 and empty text.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0,
            Self::Bool(yes) => *yes,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(yes) => write!(f, "{yes}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How the tasks before this one ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All succeeded, or no tasks came before.
    #[default]
    Success,
    /// At least one failed.
    Failure,
    /// At least one was skipped and none failed.
    Skipped,
}

/// The values an expression may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    values: BTreeMap<String, Value>,
    /// How the tasks before this one ended.
    pub outcome: Outcome,
}

impl Context {
    /// Gives a dotted path, such as `params.version`, a value.
    pub fn set(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        self.values.insert(path.into(), value.into());
    }

    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        let values = self.values.iter();
        let bytes = |(path, value): (&String, &Value)| match value {
            Value::Text(text) => path.len() + text.len(),
            Value::Number(_) | Value::Bool(_) => path.len(),
        };
        values.map(bytes).sum()
    }

    /// The value of a path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.values.get(path)
    }
}

pub(super) fn evaluate(node: &Node, context: &Context) -> Result<Value, ExpressionError> {
    match &node.kind {
        Kind::Literal(value) => Ok(value.clone()),
        Kind::Path(path) => {
            let name = path.join(".");
            context.get(&name).cloned().ok_or_else(|| {
                ExpressionError::new(node.offset, format!("`{name}` has no value here"))
            })
        }
        Kind::Not(inner) => Ok(Value::Bool(!evaluate(inner, context)?.is_true())),
        Kind::Binary(op, left, right) => {
            let left = evaluate(left, context)?;
            match op {
                Op::Or if left.is_true() => Ok(left),
                Op::And if !left.is_true() => Ok(left),
                Op::Or | Op::And => evaluate(right, context),
                Op::Equal => Ok(Value::Bool(left == evaluate(right, context)?)),
                Op::NotEqual => Ok(Value::Bool(left != evaluate(right, context)?)),
            }
        }
        Kind::Call(function, arguments) => {
            let values = arguments
                .iter()
                .map(|a| evaluate(a, context))
                .collect::<Result<Vec<_>, _>>()?;
            call(*function, &values, node.offset, context)
        }
    }
}

fn call(
    function: Function,
    values: &[Value],
    at: usize,
    context: &Context,
) -> Result<Value, ExpressionError> {
    let text = |n: usize| values.get(n).map(Value::to_string).unwrap_or_default();
    let value = match function {
        Function::Always => Value::Bool(true),
        Function::Success => Value::Bool(context.outcome == Outcome::Success),
        Function::Failure => Value::Bool(context.outcome == Outcome::Failure),
        Function::Contains => Value::Bool(text(0).contains(&text(1))),
        Function::StartsWith => Value::Bool(text(0).starts_with(&text(1))),
        Function::EndsWith => Value::Bool(text(0).ends_with(&text(1))),
        Function::Format => Value::Text(format(&text(0), &values[1..], at)?),
        // No context holds a list: each value is a list of one.
        Function::Join => Value::Text(text(0)),
    };
    Ok(value)
}

/// Replaces `{0}`, `{1}`; a doubled brace is one brace.
fn format(pattern: &str, values: &[Value], at: usize) -> Result<String, ExpressionError> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(found) = rest.find(['{', '}']) {
        out.push_str(&rest[..found]);
        let tail = &rest[found..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            out.push_str(&tail[..1]);
            rest = &tail[2..];
        } else {
            let place = tail.strip_prefix('{').and_then(|t| t.split_once('}'));
            let value = place.and_then(|(n, _)| values.get(n.parse::<usize>().ok()?));
            let (Some((_, after)), Some(value)) = (place, value) else {
                return Err(ExpressionError::new(
                    at,
                    "`format` has a brace without an argument: write {0}, or double the brace",
                ));
            };
            out.push_str(&value.to_string());
            rest = after;
        }
        if out.len() > MAX_VALUE {
            return Err(ExpressionError::new(at, TOO_LONG));
        }
    }
    out.push_str(rest);
    Ok(out)
}
