//! Builds the tree of an expression by recursive descent.
//!
//! Used by the module above it. It never evaluates.

use super::lexer::{Op, Token, tokens};
use super::{ExpressionError, Function, Kind, Node, Value};

/// Deepest tree, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Contexts and the shapes of their paths, for messages.
const CONTEXTS: [&str; 6] = ["params", "matrix", "env", "git", "platform", "tasks"];

/// What of a commit a pipeline can use, after `git.`.
pub const GIT_FACTS: [&str; 6] = ["sha", "shortSha", "branch", "tag", "commitTime", "dirty"];

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    end: usize,
    operators: usize,
}

/// Parses all of `text`, whose first byte is at `base` in the whole string.
pub(super) fn parse(text: &str, base: usize) -> Result<Node, ExpressionError> {
    let mut parser = Parser {
        tokens: tokens(text, base)?.into_iter().peekable(),
        end: base + text.len(),
        operators: 0,
    };
    let node = parser.binary(0, 0)?;
    match parser.tokens.next() {
        None => Ok(node),
        Some((at, _)) => Err(ExpressionError::new(
            at,
            "expected an operator or the end of the expression",
        )),
    }
}

fn strength(op: Op) -> usize {
    match op {
        Op::Or => 1,
        Op::And => 2,
        Op::Equal | Op::NotEqual => 3,
    }
}

fn too_deep(at: usize) -> ExpressionError {
    ExpressionError::new(
        at,
        format!("the expression is nested deeper than {MAX_DEPTH} levels: split it"),
    )
}

impl Parser {
    fn binary(&mut self, least: usize, depth: usize) -> Result<Node, ExpressionError> {
        let mut left = self.unary(depth)?;
        while let Some((at, Token::Op(op))) = self.tokens.peek().cloned() {
            if strength(op) <= least {
                break;
            }
            self.tokens.next();
            // Each operator makes the tree one level deeper on the left.
            self.operators += 1;
            if self.operators > MAX_DEPTH {
                return Err(too_deep(at));
            }
            let right = self.binary(strength(op), depth + 1)?;
            left = Node {
                offset: left.offset,
                kind: Kind::Binary(op, Box::new(left), Box::new(right)),
            };
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let Some((offset, token)) = self.tokens.next() else {
            return Err(ExpressionError::new(
                self.end,
                "unexpected end: expected a value",
            ));
        };
        if depth > MAX_DEPTH {
            return Err(too_deep(offset));
        }
        let kind = match token {
            Token::Not => Kind::Not(Box::new(self.unary(depth + 1)?)),
            Token::Open => {
                let inner = self.binary(0, depth + 1)?;
                self.close()?;
                return Ok(inner);
            }
            Token::Text(text) => Kind::Literal(Value::Text(text)),
            Token::Number(number) => Kind::Literal(Value::Number(number)),
            Token::Name(name) => match self.tokens.next_if(|(_, t)| *t == Token::Open) {
                Some(_) => self.call(offset, &name, depth)?,
                None => name_kind(offset, &name)?,
            },
            Token::Op(_) | Token::Close | Token::Comma => {
                return Err(ExpressionError::new(offset, "expected a value here"));
            }
        };
        Ok(Node { offset, kind })
    }

    fn close(&mut self) -> Result<(), ExpressionError> {
        match self.tokens.next() {
            Some((_, Token::Close)) => Ok(()),
            Some((at, _)) => Err(ExpressionError::new(at, "expected `)` here")),
            None => Err(ExpressionError::new(self.end, "expected `)` at the end")),
        }
    }

    fn call(&mut self, at: usize, name: &str, depth: usize) -> Result<Kind, ExpressionError> {
        let (function, least, most) = match name {
            "always" => (Function::Always, 0, 0),
            "success" => (Function::Success, 0, 0),
            "failure" => (Function::Failure, 0, 0),
            "contains" => (Function::Contains, 2, 2),
            "startsWith" => (Function::StartsWith, 2, 2),
            "endsWith" => (Function::EndsWith, 2, 2),
            "format" => (Function::Format, 1, 32),
            "join" => (Function::Join, 1, 2),
            _ => {
                return Err(ExpressionError::new(
                    at,
                    format!(
                        "no function named `{name}`: expected always, success, failure, contains, startsWith, endsWith, format or join"
                    ),
                ));
            }
        };
        let mut arguments = Vec::new();
        if self.tokens.next_if(|(_, t)| *t == Token::Close).is_none() {
            arguments.push(self.binary(0, depth + 1)?);
            while self.tokens.next_if(|(_, t)| *t == Token::Comma).is_some() {
                arguments.push(self.binary(0, depth + 1)?);
            }
            self.close()?;
        }
        if arguments.len() < least || arguments.len() > most {
            let found = arguments.len();
            let message = format!("`{name}` takes {least} to {most} arguments, found {found}");
            return Err(ExpressionError::new(at, message));
        }
        Ok(Kind::Call(function, arguments))
    }
}

fn name_kind(at: usize, name: &str) -> Result<Kind, ExpressionError> {
    match name {
        "true" => return Ok(Kind::Literal(Value::Bool(true))),
        "false" => return Ok(Kind::Literal(Value::Bool(false))),
        _ => {}
    }
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    let Some(first) = path.first().filter(|f| CONTEXTS.contains(&f.as_str())) else {
        let known = CONTEXTS.join(", ");
        return Err(ExpressionError::new(
            at,
            format!("unknown value `{name}`: expected a path that starts with one of {known}"),
        ));
    };
    let fits = match first.as_str() {
        "git" => path.len() == 2 && GIT_FACTS.contains(&path[1].as_str()),
        "platform" => path.len() == 2 && ["os", "arch"].contains(&path[1].as_str()),
        "tasks" => path.len() == 3 && path[2] == "digest",
        _ => path.len() == 2,
    };
    if !fits || path.iter().any(String::is_empty) {
        let git = format!("git and one of {}", GIT_FACTS.join(", "));
        let shape = match first.as_str() {
            "git" => git.as_str(),
            "platform" => "platform.os or platform.arch",
            "tasks" => "tasks.<id>.digest",
            _ => "the context, a dot and one name",
        };
        let message = format!("`{name}` is not a value: expected {shape}");
        return Err(ExpressionError::new(at, message));
    }
    Ok(Kind::Path(path))
}
