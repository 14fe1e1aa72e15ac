//! What is written at a position, and around it.

use std::path::Path;

use super::context::{self, Context, siblings};

/// A position in a file.
pub(super) struct Cursor<'c> {
    pub(super) path: &'c Path,
    pub(super) text: &'c str,
    line: usize,
    pub(super) at: Context,
    /// The other keys of its mapping, each with what follows it on its line.
    beside: Vec<(String, String)>,
}

impl<'c> Cursor<'c> {
    /// `None`: in a comment or a block of text.
    pub(super) fn new(path: &'c Path, text: &'c str, line: usize, column: usize) -> Option<Self> {
        Some(Self {
            path,
            text,
            line,
            at: context::context(text, line, column)?,
            beside: siblings(text, line),
        })
    }

    pub(super) fn keys_beside(&self) -> Vec<String> {
        self.beside.iter().map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn folder(&self) -> &'c Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The value of another key of the same mapping.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        let own = self.text.lines().nth(self.line)?;
        let marked = format!("{key}:");
        let on_line = own.match_indices(&marked).find(|(at, _)| {
            let before = own[..*at].chars().next_back();
            before.is_none_or(|c| matches!(c, ' ' | '{' | ','))
        });
        let value = match on_line {
            Some((at, _)) => own[at + marked.len()..].to_owned(),
            None => self.beside.iter().find(|(own, _)| own == key)?.1.clone(),
        };
        let value = value.trim().trim_matches(['"', '\'']);
        let end = value.find([',', '}', '"', '\'', '#']);
        let value = value[..end.unwrap_or(value.len())].trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The name of the component around an `import`.
    pub(super) fn component_name(&self) -> Option<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let above = lines[..=self.line.min(lines.len().checked_sub(1)?)]
            .iter()
            .rev();
        let item = above
            .map(|line| line.trim_start())
            .find(|line| line.starts_with("- "))?;
        let name = item.split("name:").nth(1)?;
        let end = name.find([',', '}', '#']).unwrap_or(name.len());
        Some(name[..end].trim().trim_matches(['"', '\'']).to_owned())
    }
}

/// The tasks of a pipeline file, each with its line from 0, also if it does not parse.
pub(super) fn task_lines(text: &str) -> Vec<(String, usize)> {
    context::keys_below(text, &["tasks"])
}

/// The word around a position: where it begins and ends, and the character after it.
pub(super) fn word(text: &str, line: usize, column: usize) -> Option<(usize, usize, Option<char>)> {
    let chars: Vec<char> = text.lines().nth(line)?.chars().collect();
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let column = column.min(chars.len());
    let begin = column
        - chars[..column]
            .iter()
            .rev()
            .take_while(|c| is_word(c))
            .count();
    let end = column + chars[column..].iter().take_while(|c| is_word(c)).count();
    (begin < end).then(|| (begin, end, chars.get(end).copied()))
}

/// The scalar around a position, without quotes, and where it ends.
pub(super) fn value_at(text: &str, line: usize, column: usize) -> Option<(String, usize)> {
    let chars: Vec<char> = text.lines().nth(line)?.chars().collect();
    let column = column.min(chars.len());
    // Within quotes, brackets and commas are text.
    let mut quote: Option<(char, usize)> = None;
    for (at, c) in chars.iter().enumerate() {
        match quote {
            Some((mark, from)) if *c == mark => {
                if from < column && column <= at {
                    return Some((chars[from + 1..at].iter().collect(), at));
                }
                quote = None;
            }
            None if matches!(c, '"' | '\'') && (at == 0 || !chars[at - 1].is_alphanumeric()) => {
                quote = Some((*c, at));
            }
            _ => {}
        }
    }
    let ends =
        |c: &char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '\'');
    let begin = column
        - chars[..column]
            .iter()
            .rev()
            .take_while(|c| !ends(c))
            .count();
    let end = column + chars[column..].iter().take_while(|c| !ends(c)).count();
    (begin < end).then(|| (chars[begin..end].iter().collect(), end))
}
