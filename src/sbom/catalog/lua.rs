//! Rocks of Lua: what a `*.rockspec` describes.
//!
//! A rockspec is a program in Lua, but in practice a list of assignments of texts and
//! tables of texts, which is all that is read here.

use std::collections::HashMap;

use serde_json::{Map, json};

use super::lock::{self, Lock};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::{Ecosystem, License};
use crate::sbom::purl::purl;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: LUA,
    scope: Scope::Everywhere,
    finds: Finds::InFiles {
        lists: |_, name| name.ends_with(".rockspec"),
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| {
            lock::read(view, path, LUA, found, |file, text, found| {
                rock(file, text, found);
                Ok(())
            });
        },
    },
};

const LUA: Ecosystem = Ecosystem {
    kind: "lua-rocks",
    language: "lua",
    found_by: "lua-rock-cataloger",
    metadata_type: "luarocks-package",
};

fn rock(file: &Lock<'_>, source: &str, found: &mut Found) {
    let fields = fields(source);
    let get = |path: &str| {
        let mut found = fields.iter().filter(|(known, _)| known == path);
        found.next().map_or("", |(_, value)| value.as_str())
    };
    let (name, version) = (get("package"), get("version"));
    if name.is_empty() || version.is_empty() {
        return;
    }
    let mut package = file.package(LUA, name, version);
    package.purl = purl("luarocks", "", name, version, &[]);
    // Identifiers of licences have no spaces: `Apache 2.0` is one of them.
    let license = get("description.license").replace(' ', "-");
    if !license.is_empty() {
        package.licenses.insert(License::new(license.clone()));
    }
    let mut needed = Map::new();
    for (_, need) in fields.iter().filter(|(path, _)| path == "dependencies.") {
        let need = need.trim();
        let end = need.find(|c: char| c.is_whitespace() || "<>=~".contains(c));
        let (name, constraint) = need.split_at(end.unwrap_or(need.len()));
        needed.insert(name.to_owned(), json!(constraint.trim()));
    }
    package.describe(&json!({
        "name": name, "version": version, "license": license,
        "homepage": get("description.homepage"), "description": get("description.summary"),
        "url": get("source.url"), "dependencies": (!needed.is_empty()).then_some(needed),
    }));
    found.push(package);
}

/// Deepest nesting of tables, and most texts in a rockspec.
const MAX_DEPTH: usize = 32;
const MAX_FIELDS: usize = 20_000;

/// Most bytes of the texts in a rockspec, and of the paths of their names: variables may
/// repeat a text, and all that is in a table has its path.
const MAX_BYTES: usize = 4 << 20;

/// Longest path of a name, in bytes; longer ones are none of those looked for.
const MAX_PATH: usize = 1024;

/// Reads the texts that are assigned.
#[derive(Default)]
struct Reader<'s> {
    /// The texts, each with the path of its name; an item of a list has the empty name.
    fields: Vec<(String, String)>,
    bytes: usize,
    /// Where the texts are that have a name outside of tables.
    variables: HashMap<&'s str, usize>,
    path: Vec<&'s str>,
    /// The word that is the name if `=` and a value follow.
    word: &'s str,
    named: bool,
    /// Whether a value was just read, and whether `..` followed it.
    has_value: bool,
    joins: bool,
}

/// The texts that `source` assigns, each with the path of its name. Ends where the source
/// is damaged.
fn fields(source: &str) -> Vec<(String, String)> {
    let mut reader = Reader::default();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if reader.fields.len() == MAX_FIELDS || reader.path.len() > MAX_DEPTH {
            break;
        }
        let Some((token, length)) = token(rest, first) else {
            break;
        };
        let (source, mut after) = rest.split_at(length);
        match token {
            // `["name"] = value`
            Token::Text(_) if reader.word == "[" && after.starts_with(']') => {
                reader.word = &source[1..length - 1];
                after = &after[1..];
            }
            Token::Text(text) => reader.value(text),
            Token::Word => reader.word(source),
            Token::Sign => reader.sign(source),
            Token::Blank => {}
        }
        rest = after;
    }
    reader.fields
}

impl<'s> Reader<'s> {
    fn value(&mut self, text: String) {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            return;
        }
        let mut is_kept = true;
        match self.fields.last_mut().filter(|_| self.joins) {
            Some((_, before)) => before.push_str(&text),
            None => {
                let name = if self.named { self.word } else { "" };
                let above = self.path.iter().map(|name| name.len() + 1);
                let length = above.sum::<usize>() + name.len();
                self.bytes += length;
                is_kept = length <= MAX_PATH && self.bytes <= MAX_BYTES;
                if is_kept {
                    if self.path.is_empty() {
                        self.variables.insert(name, self.fields.len());
                    }
                    let at: Vec<&str> = self.path.iter().copied().chain([name]).collect();
                    self.fields.push((at.join("."), text));
                }
            }
        }
        // What follows `..` is no part of the text before one that is left out.
        (self.word, self.named, self.has_value, self.joins) = ("", false, is_kept, false);
    }

    fn word(&mut self, word: &'s str) {
        let variable = self
            .variables
            .get(word)
            .filter(|_| self.named || self.joins);
        match variable.and_then(|at| self.fields.get(*at)) {
            Some((_, text)) if self.bytes + text.len() <= MAX_BYTES => self.value(text.clone()),
            _ => {
                (self.word, self.named, self.has_value, self.joins) = (word, false, false, false);
            }
        }
    }

    fn sign(&mut self, sign: &str) {
        match sign {
            "=" => self.named = true,
            ".." => self.joins = self.has_value,
            "{" => {
                self.path.push(if self.named { self.word } else { "" });
                (self.word, self.named, self.has_value, self.joins) = ("", false, false, false);
            }
            _ => {
                if sign == "}" {
                    self.path.pop();
                }
                (self.word, self.named, self.has_value, self.joins) = ("", false, false, false);
            }
        }
    }
}

enum Token {
    Text(String),
    /// A name, or the bracket before the text of one.
    Word,
    Sign,
    /// A comment or white space.
    Blank,
}

/// The token with which `rest` begins, and its length in bytes; `None` if it has no end.
fn token(rest: &str, first: char) -> Option<(Token, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(comment) = rest.strip_prefix("--") {
        return match opening(comment) {
            Some(level) => Some((Token::Blank, 2 + long_text(comment, level)?.1)),
            None => Some((Token::Blank, rest.find('\n').unwrap_or(rest.len()))),
        };
    }
    if let Some(level) = opening(rest) {
        let (text, length) = long_text(rest, level)?;
        return Some((Token::Text(text), length));
    }
    Some(match first {
        '"' | '\'' => {
            let (text, length) = short_text(rest, first)?;
            (Token::Text(text), length)
        }
        '[' => (Token::Word, 1),
        c if is_word(c) => {
            let end = rest.find(|c| !is_word(c));
            (Token::Word, end.unwrap_or(rest.len()))
        }
        '.' if rest.starts_with("..") => (Token::Sign, 2),
        c if c.is_whitespace() => (Token::Blank, c.len_utf8()),
        c => (Token::Sign, c.len_utf8()),
    })
}

/// The number of `=` in the long bracket with which `rest` begins, such as `[==[`.
fn opening(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('[')?;
    let level = inner.len() - inner.trim_start_matches('=').len();
    inner[level..].starts_with('[').then_some(level)
}

fn long_text(rest: &str, level: usize) -> Option<(String, usize)> {
    let inner = &rest[level + 2..];
    let end = format!("]{}]", "=".repeat(level));
    let at = inner.find(&end)?;
    Some((inner[..at].to_owned(), level + 2 + at + end.len()))
}

fn short_text(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c => value.push(c),
            },
            c if c == quote => return Some((value, at + 1)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    const ROCK: &str = r#"
rockspec_format = "3.0"
package = "lua-cjson" -- the name
version = '2.1.0-1'
--[[ package = "no" ]]
source = { url = "git://x/y", ["tag"] = "v2" }
description = {
   summary = [[Fast
JSON]], detailed = [==[ ]] ]==],
   homepage = "http://x", license = "MIT",
}
dependencies = { "lua >= 5.1", "luasocket" }
build = { type = "builtin", modules = { cjson = { sources = { "lua_cjson.c", "package = 'no'" } } } }
"#;

    #[test]
    fn a_rock_is_described() {
        let found = find_in(&CATALOGUER, &[("usr/lib/x.rockspec", ROCK.as_bytes())]);
        assert_eq!(found[0].purl, "pkg:luarocks/lua-cjson@2.1.0-1");
        assert_eq!(found[0].licenses.first().unwrap().value, "MIT");
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"dependencies":{"lua":">= 5.1","luasocket":""},"description":"Fast\nJSON","homepage":"http://x","license":"MIT","name":"lua-cjson","url":"git://x/y","version":"2.1.0-1"}"#
        );
        let text = "local v = '1.0'\nlocal w = v .. '-' .. '2'\npackage = \"q\"\nversion = w..'3'\nx = f(v)";
        let found = find_in(&CATALOGUER, &[("q.rockspec", text.as_bytes())]);
        assert_eq!(found[0].version, "1.0-23");
        assert!(fields(ROCK).contains(&("source.tag".to_owned(), "v2".to_owned())));
    }

    #[test]
    fn damaged_and_hostile_sources_end() {
        for source in [
            "package = \"",
            "package = 'a' version = [[",
            &"[".repeat(1 << 19),
            &"\"\\".repeat(1 << 18),
        ] {
            assert!(find_in(&CATALOGUER, &[("a.rockspec", source.as_bytes())]).is_empty());
        }
        assert!(fields(&"{".repeat(1 << 19)).is_empty());
        let copies = format!(
            "a='{}'\n{}",
            "x".repeat(1 << 19),
            "b=a\na=a..b\n".repeat(1000)
        );
        let copied: usize = fields(&copies).iter().map(|(_, text)| text.len()).sum();
        assert!(copied <= MAX_BYTES);
    }

    #[test]
    fn paths_of_names_are_counted_and_not_long() {
        let texts = "'t',".repeat(10_000);
        let held = |fields: &[(String, String)]| -> usize {
            let held = fields.iter().map(|(path, text)| path.len() + text.len());
            held.sum()
        };
        let long = fields(&format!(
            "{} = {{{texts} a = 'x' .. 'y'}}",
            "n".repeat(MAX_PATH)
        ));
        assert_eq!(held(&long), 0);
        let short = fields(&format!("{} = {{{texts}}}", "n".repeat(MAX_PATH - 1)));
        assert!(!short.is_empty() && held(&short) <= MAX_BYTES);
    }
}
