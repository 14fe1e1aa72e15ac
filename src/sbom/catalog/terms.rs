//! Terms of Erlang and Elixir, as far as lists of packages use them.
//!
//! Texts, atoms and numbers are texts; lists, maps and bits are lists. What is between
//! them is not checked.

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Text(String),
    /// A list or a bit string. A map is the list of its keys and values.
    List(Vec<Term>),
    Tuple(Vec<Term>),
}

impl Term {
    /// The text; empty if it is none.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::List(items) => match &items[..] {
                // `<<"text">>`
                [Self::Text(text)] => text,
                _ => "",
            },
            Self::Tuple(_) => "",
        }
    }

    /// What is inside.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Text(_) => &[],
            Self::List(items) | Self::Tuple(items) => items,
        }
    }

    /// The value in a tuple of this list that begins with `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let pairs = self.items().iter().map(Self::items);
        let mut found = pairs.filter(|pair| pair.len() > 1 && pair[0].text() == key);
        found.next().map(|pair| &pair[1])
    }
}

/// Deepest nesting of terms.
const MAX_DEPTH: usize = 64;

/// Maximum number of terms in a text; each takes about sixty bytes.
const MAX_TERMS: usize = 1 << 19;

/// The terms in `text`, whose comments begin with `comment`.
///
/// # Errors
///
/// It is too long or nested too deeply, or brackets do not fit each other.
pub(super) fn terms(text: &str, comment: char) -> Result<Vec<Term>, &'static str> {
    let mut open = vec![(Vec::new(), ' ')];
    let mut rest = text;
    let mut count = 0;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => quoted(rest, first),
            _ if is_bare(first) => rest.find(|c| !is_bare(c)).unwrap_or(rest.len()),
            _ if first == comment => rest.find('\n').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        let done = match first {
            '"' | '\'' => Some(Term::Text(unquoted(token))),
            // The end of a term of Erlang.
            '.' if token == "." => None,
            _ if is_bare(first) => Some(Term::Text(token.to_owned())),
            _ if first == comment => None,
            '[' | '{' | '<' => {
                if open.len() == MAX_DEPTH {
                    return Err("it is nested too deeply");
                }
                // `<<` opens once.
                rest = match first {
                    '<' => rest.trim_start_matches('<'),
                    _ => rest,
                };
                open.push((Vec::new(), first));
                None
            }
            // `=>` of a map.
            '>' if open.last().is_none_or(|(_, with)| *with != '<') => None,
            ']' | '}' | '>' => {
                rest = match first {
                    '>' => rest.trim_start_matches('>'),
                    _ => rest,
                };
                match (open.pop(), first) {
                    (Some((items, '[')), ']') | (Some((items, '<')), '>') => {
                        Some(Term::List(items))
                    }
                    (Some((items, '{')), '}') => Some(Term::Tuple(items)),
                    _ => return Err("its brackets do not fit each other"),
                }
            }
            _ => None,
        };
        if let Some(term) = done {
            count += 1;
            match open.last_mut() {
                Some((items, _)) if count <= MAX_TERMS => items.push(term),
                _ => return Err("it has too many terms"),
            }
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((items, _)), true) => Ok(items),
        _ => Err("it ends inside a term"),
    }
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | '-' | '+')
}

/// The length of the text in `quote`s with which `text` begins, in bytes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The text inside quotes.
fn unquoted(token: &str) -> String {
    let inner = token.get(1..token.len().max(2) - 1).unwrap_or_default();
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(term: &Term) -> String {
        let inner = |items: &[Term]| items.iter().map(shown).collect::<Vec<_>>().join(" ");
        match term {
            Term::Text(text) => text.clone(),
            Term::List(items) => format!("[{}]", inner(items)),
            Term::Tuple(items) => format!("({})", inner(items)),
        }
    }

    #[test]
    fn terms_of_both_languages_are_read() {
        let text = "% no \"\n{\"1.2\", [{<<\"a\">>, 'b c', 0.5, \"\\\"\"}]}.\n";
        assert_eq!(
            shown(&terms(text, '%').unwrap()[0]),
            "(1.2 [([a] b c 0.5 \")])"
        );
        let text = "%{\n \"a\": {:hex, :a, \"1\", [x: :y]}, \"b\" => 1 # no\n}";
        assert_eq!(
            shown(&terms(text, '#').unwrap()[0]),
            "(a (hex a 1 [x y]) b 1)"
        );
    }

    #[test]
    fn damaged_and_hostile_texts_are_refused() {
        for (text, reason) in [
            ("{a", "it ends inside a term"),
            ("{a]", "its brackets do not fit each other"),
            ("]", "its brackets do not fit each other"),
            (&"[".repeat(1 << 20), "it is nested too deeply"),
            (&"a ".repeat(1 << 20), "it has too many terms"),
        ] {
            assert_eq!(terms(text, '%'), Err(reason));
        }
        assert_eq!(terms("\"", '%'), Ok(vec![Term::Text(String::new())]));
    }
}
