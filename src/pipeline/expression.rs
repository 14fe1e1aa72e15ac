//! The expression language of `if` and of `${{ }}` templates.
//!
//! The checker parses each text once, and `expand` evaluates it. It is pure: every
//! value comes from a [`Context`], never from a command or the environment.

mod evaluate;
mod lexer;
mod parser;

pub use evaluate::{Context, Outcome, Value};
pub use parser::GIT_FACTS;

use lexer::Op;

/// Longest text, in bytes: far above any real condition.
const MAX_TEXT: usize = 64 * 1024;

/// Why a text is not an expression, or has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {offset})")]
pub struct ExpressionError {
    /// Byte offset in the text that was parsed.
    pub offset: usize,
    /// What was found and what was expected.
    pub message: String,
}

impl ExpressionError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
}

/// A node of the tree, with the offset where it starts.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    offset: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Literal(Value),
    Path(Vec<String>),
    Not(Box<Node>),
    Binary(Op, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Always,
    Success,
    Failure,
    Contains,
    StartsWith,
    EndsWith,
    Format,
    Join,
}

impl Node {
    fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        visit(self);
        match &self.kind {
            Kind::Literal(_) | Kind::Path(_) => {}
            Kind::Not(inner) => inner.walk(visit),
            Kind::Binary(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            Kind::Call(_, arguments) => arguments.iter().for_each(|a| a.walk(visit)),
        }
    }
}

/// A parsed `if` condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: Node,
}

impl Expression {
    /// Parses a condition, with or without `${{ }}` around it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        check_length(text)?;
        let lead = text.len() - text.trim_start().len();
        let inner = text
            .trim()
            .strip_prefix("${{")
            .and_then(|t| t.strip_suffix("}}"));
        let root = match inner {
            Some(inner) => parser::parse(inner, lead + 3)?,
            None => parser::parse(text, 0)?,
        };
        Ok(Self { root })
    }

    /// Whether the condition depends on the outcomes of other tasks, through `always()`,
    /// `success()` or `failure()`.
    pub fn asks_outcome(&self) -> bool {
        let mut found = false;
        self.root.walk(&mut |node| {
            found |= matches!(
                node.kind,
                Kind::Call(Function::Always | Function::Success | Function::Failure, _)
            );
        });
        found
    }

    /// The value under a context.
    pub fn evaluate(&self, context: &Context) -> Result<Value, ExpressionError> {
        evaluate::evaluate(&self.root, context)
    }

    /// Whether the value is true: false, 0 and the empty string are not.
    pub fn holds(&self, context: &Context) -> Result<bool, ExpressionError> {
        Ok(self.evaluate(context)?.is_true())
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Value(Node),
}

/// A string that may hold `${{ }}` parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses a string with any number of `${{ }}` parts.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        check_length(text)?;
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${{") {
            let open = at + found;
            if open > at {
                pieces.push(Piece::Text(text[at..open].to_owned()));
            }
            let start = open + 3;
            let length = lexer::closing(&text[start..]).ok_or_else(|| {
                ExpressionError::new(open, "unclosed `${{`: expected `}}` after it")
            })?;
            let inner = &text[start..start + length];
            pieces.push(Piece::Value(parser::parse(inner, start)?));
            at = start + length + 2;
        }
        if at < text.len() {
            pieces.push(Piece::Text(text[at..].to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text before the first `${{ }}` part, which is all of it without such a part.
    pub fn beginning(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// What its parts refer to, such as `git.sha`.
    pub fn names(&self) -> Vec<String> {
        let mut found = Vec::new();
        for piece in &self.pieces {
            if let Piece::Value(node) = piece {
                node.walk(&mut |node| {
                    if let Kind::Path(path) = &node.kind {
                        found.push(path.join("."));
                    }
                });
            }
        }
        found
    }

    /// The string with every part replaced by its value.
    pub fn render(&self, context: &Context) -> Result<String, ExpressionError> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(node) => {
                    out.push_str(&evaluate::evaluate(node, context)?.to_string());
                }
            }
            if out.len() > evaluate::MAX_VALUE {
                return Err(ExpressionError::new(0, evaluate::TOO_LONG));
            }
        }
        Ok(out)
    }
}

fn check_length(text: &str) -> Result<(), ExpressionError> {
    if text.len() > MAX_TEXT {
        return Err(ExpressionError::new(
            MAX_TEXT,
            format!("the text is longer than {MAX_TEXT} bytes"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let mut c = Context::default();
        c.set("params.channel", "stable");
        c.set("git.branch", "main");
        c.set("params.count", Value::Number(3.0));
        c.set("params.archs", "a,b");
        c.set("tasks.build-it.digest", "sha256:1");
        c
    }

    fn holds(text: &str) -> bool {
        Expression::parse(text).unwrap().holds(&context()).unwrap()
    }

    #[test]
    fn conditions_combine_with_the_usual_precedence() {
        assert!(holds("params.channel == 'stable' || git.branch == 'x'"));
        assert!(holds("true || false && false"));
        assert!(!holds("(true || false) && false"));
        assert!(holds("!(params.count == 4) && params.count != 2"));
        assert!(holds("${{ startsWith(git.branch, 'ma') }}"));
        assert!(holds(
            "contains(params.archs, 'b') && endsWith('it''s', '''s')"
        ));
        assert!(holds("always() && success() && !failure()"));
        assert!(holds("join(params.archs, '-') == 'a,b'"));
    }

    #[test]
    fn templates_replace_each_part_and_keep_the_rest() {
        let t = Template::parse("x-${{ params.count }}/${{ format('{0}{{}}', '}}') }}!").unwrap();
        assert_eq!(t.render(&context()).unwrap(), "x-3/}}{}!");
        let t = Template::parse("${{ tasks.build-it.digest }}").unwrap();
        assert_eq!(t.render(&context()).unwrap(), "sha256:1");
    }

    #[test]
    fn errors_point_at_their_byte() {
        let at = |text: &str| Template::parse(text).unwrap_err().offset;
        assert_eq!(at("ab${{ x"), 2);
        assert_eq!(at("ab${{ secrets.x }}"), 6);
        assert_eq!(at("${{ params.a = 1 }}"), 13);
        assert_eq!(at("${{ nope(1) }}"), 4);
        assert_eq!(at("${{ 'open }}"), 0);
        let missing = Template::parse("é${{ params.zip }}").unwrap();
        assert_eq!(missing.render(&context()).unwrap_err().offset, 6);
    }

    #[test]
    fn deep_nesting_is_refused_without_overflow() {
        for unit in ["(", "!", "join("] {
            assert!(Expression::parse(&unit.repeat(10_000)).is_err());
        }
        let chain = vec!["true"; 10_000].join(" && ");
        assert!(Expression::parse(&chain).is_err());
    }

    #[test]
    fn only_some_conditions_depend_on_outcomes() {
        let asks = |text: &str| Expression::parse(text).unwrap().asks_outcome();
        assert!(!asks("params.b == env.A || params.b == git.sha"));
        assert!(asks("params.b == '' && always()"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[\\$\\{\\}a-z'.!&|=()0-9, é-]{0,40}") {
            let _ = Expression::parse(&text).map(|e| e.holds(&context()));
            let _ = Template::parse(&text).map(|t| t.render(&context()));
        }
    }
}
