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
        let mut sections: Vec<Section> = Vec::new();
        let mut is_open = false;
        for line in unfolded(bytes) {
            if line.trim().is_empty() {
                is_open = false;
            } else if let Some((key, value)) = line.split_once(':') {
                if !is_open {
                    sections.push(Section::new());
                    is_open = true;
                }
                if let Some(section) = sections.last_mut() {
                    section.push((key.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        let mut sections = sections.into_iter();
        Self {
            main: sections.next().unwrap_or_default(),
            sections: sections.collect(),
        }
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

/// The lines of a manifest. A line that begins with a blank continues the one before,
/// maybe in the middle of a character.
fn unfolded(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.strip_prefix(b" "), lines.last_mut()) {
            (Some(rest), Some(last)) => last.extend_from_slice(rest),
            _ => lines.push(line.to_vec()),
        }
    }
    let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    lines.into_iter().map(text).collect()
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
    }
}
