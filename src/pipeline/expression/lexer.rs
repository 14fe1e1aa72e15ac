//! Splits an expression into tokens with byte offsets.
//!
//! Used by the parser. It never interprets a name.

use super::ExpressionError;

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Text(String),
    Number(f64),
    Name(String),
    Op(Op),
    Not,
    Open,
    Close,
    Comma,
}

/// Length of the text before the `}}` that closes a template part; quotes hide braces.
pub(super) fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b'}' if !quoted && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Tokens of `text`, whose first byte is at `base` in the whole string.
pub(super) fn tokens(text: &str, base: usize) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c == '\'' {
            quoted(rest)
                .ok_or_else(|| ExpressionError::new(base + at, "unclosed string: expected `'`"))?
        } else if c.is_ascii_digit() || c == '-' {
            let length = rest
                .bytes()
                .skip(1)
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'.')
                .count()
                + 1;
            let number = rest[..length].parse::<f64>().ok().filter(|n| n.is_finite());
            let number = number.ok_or_else(|| {
                let found = &rest[..length];
                ExpressionError::new(base + at, format!("`{found}` is not a number"))
            })?;
            (Token::Number(number), length)
        } else if c.is_ascii_alphabetic() || c == '_' {
            let length = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(b))
                .count();
            (Token::Name(rest[..length].to_owned()), length)
        } else {
            symbol(rest).ok_or_else(|| {
                let hint = match c {
                    '=' => ": write == to compare",
                    '"' => ": write strings in single quotes",
                    _ => ": expected a value or an operator",
                };
                ExpressionError::new(base + at, format!("unexpected `{c}`{hint}"))
            })?
        };
        out.push((base + at, token));
        at += length;
    }
    Ok(out)
}

fn symbol(rest: &str) -> Option<(Token, usize)> {
    let table = [
        ("||", Token::Op(Op::Or)),
        ("&&", Token::Op(Op::And)),
        ("==", Token::Op(Op::Equal)),
        ("!=", Token::Op(Op::NotEqual)),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    let found = table.into_iter().find(|(s, _)| rest.starts_with(s));
    found.map(|(s, token)| (token, s.len()))
}

/// A single-quoted string, in which `''` is one quote.
fn quoted(rest: &str) -> Option<(Token, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            value.push('\'');
        } else {
            return Some((Token::Text(value), at + 1));
        }
    }
    None
}
