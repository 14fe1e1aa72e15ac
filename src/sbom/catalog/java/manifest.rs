//! What an archive says about itself in `META-INF/MANIFEST.MF`.
//!
//! Source: the JAR file specification, "JAR Manifest".

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The pairs of one section, in their order.
pub(super) type Section = Vec<(String, String)>;

/// The main section, and those about single files.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) main: Section,
    pub(super) sections: Vec<Section>,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut reading = Reading::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line.strip_prefix(b" ") {
                Some(rest) => reading.line.extend_from_slice(rest),
                None => {
                    reading.end_line();
                    reading.line.extend_from_slice(line);
                    if line.is_empty() {
                        reading.is_open = false;
                    }
                }
            }
            if reading.pairs == MAX_PAIRS {
                break;
            }
        }
        reading.end_line();
        let mut sections = reading.sections.into_iter();
        Self {
            main: sections.next().unwrap_or_default(),
            sections: sections.collect(),
        }
    }

    /// How many pairs it has.
    pub(super) fn len(&self) -> usize {
        self.main.len() + self.sections.iter().map(Vec::len).sum::<usize>()
    }

    /// A value of the main section, or else of the first other that has one; empty
    /// without one.
    pub(super) fn get(&self, key: &str) -> &str {
        let sections = std::iter::once(&self.main).chain(&self.sections);
        let mut pairs = sections.flatten();
        pairs
            .find(|(name, value)| name == key && !value.is_empty())
            .map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        let pairs = |section: &Section| -> Value {
            let pairs = section.iter();
            pairs
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect()
        };
        let mut json = json!({});
        if !self.main.is_empty() {
            json["main"] = pairs(&self.main);
        }
        if !self.sections.is_empty() {
            json["sections"] = self.sections.iter().map(pairs).collect();
        }
        json
    }
}

/// Maximum number of pairs: those of a signed archive with ten thousand files. The rest
/// is ignored.
const MAX_PAIRS: usize = 50_000;

/// A manifest that is being read. A line that begins with a blank continues the one
/// before, maybe in the middle of a character.
#[derive(Default)]
struct Reading {
    sections: Vec<Section>,
    /// The line so far.
    line: Vec<u8>,
    /// Whether the last section goes on.
    is_open: bool,
    pairs: usize,
}

impl Reading {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let Some((key, value)) = line.split_once(':') else {
            return;
        };
        if !self.is_open {
            self.sections.push(Section::new());
            self.is_open = true;
        }
        self.pairs += 1;
        if let Some(section) = self.sections.last_mut() {
            section.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_continue_and_sections_are_apart() {
        let text = b"Manifest-Version: 1.0\r\nName: a\xc3\r\n \xa4 b\r\n  c\r\n\r\n\r\nName: x/y\r\nno pair\r\nK:v\r\n";
        let manifest = Manifest::parse(text);
        assert_eq!(manifest.get("Name"), "a\u{e4} b c");
        assert_eq!(manifest.get("K"), "v");
        assert_eq!(manifest.sections.len(), 1);
        assert_eq!(manifest.sections[0][1], ("K".to_owned(), "v".to_owned()));
        assert_eq!(Manifest::parse(b" \n\n"), Manifest::default());
        assert_eq!(Manifest::parse(b"A: b\n\nC: d").sections.len(), 1);
    }

    #[test]
    fn long_manifests_are_cut() {
        let many = b"Name: a\n\n".repeat(MAX_PAIRS + 10);
        assert_eq!(Manifest::parse(&many).len(), MAX_PAIRS);
        let long = b"K: v\n"
            .iter()
            .chain(b" x\n".repeat(100_000).iter())
            .copied()
            .collect::<Vec<u8>>();
        assert_eq!(Manifest::parse(&long).main[0].1.len(), 100_001);
    }
}
