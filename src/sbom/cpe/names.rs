//! Names that may be those of a vendor or a product.

use std::collections::BTreeSet;

/// Maximum number of names in a set; packages with many authors have thirty.
const MAX_NAMES: usize = 64;

/// Longest name that is used, in bytes.
const MAX_NAME: usize = 200;

#[derive(Default)]
pub(super) struct Candidates {
    pub(super) vendors: Names,
    pub(super) products: Names,
    /// The software for which it is; empty for any.
    pub(super) target: String,
}

#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Adds `name` as it is. A CPE has ASCII characters only.
    pub(super) fn exact(&mut self, name: &str) {
        let fits = !name.is_empty() && name.len() <= MAX_NAME && name.is_ascii();
        if fits && self.0.len() < MAX_NAMES {
            self.0.insert(name.to_owned());
        }
    }

    /// Adds `name`, and `name` with only dashes or only underscores.
    pub(super) fn forms(&mut self, name: &str) {
        if name.len() <= MAX_NAME {
            self.exact(name);
            self.exact(&name.replace('-', "_"));
            self.exact(&name.replace('_', "-"));
        }
    }

    /// Adds the forms of `name` and of what it begins with: `libpam` and `libpam-modules` of
    /// `libpam-modules-bin`.
    pub(super) fn beginnings(&mut self, name: &str) {
        if name.len() > MAX_NAME {
            return;
        }
        self.forms(name);
        // Of several separators in a row, the first one is left.
        let mut begin = String::new();
        let mut word = name;
        while let Some((first, rest)) = word.split_once(['-', '_']) {
            begin.push_str(first);
            self.forms(&begin);
            begin.extend(word[first.len()..].chars().next());
            word = rest.trim_start_matches(['-', '_']);
        }
        if !word.is_empty() {
            self.forms(&(begin + word));
        }
    }

    /// Adds a person, with dashes and with underscores between the names.
    pub(super) fn person(&mut self, person: &str) {
        let person = word(person);
        self.exact(&person.replace('-', "_"));
        self.exact(&person.replace('_', "-"));
    }

    /// Takes `name` out.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The longest ones first: they say most.
    pub(super) fn sorted(self) -> Vec<String> {
        let mut all: Vec<String> = self.0.into_iter().collect();
        all.sort_by_key(|name| std::cmp::Reverse(name.len()));
        all
    }
}

/// A name as one word: `The X. Y` is `x__y`.
pub(super) fn word(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("the ").unwrap_or(&name);
    name.replace(|c: char| c.is_whitespace() || c == '.', "_")
}
