//! Any text as a definition, read strictly and leniently and composed with itself.
//! Nothing panics, every mistake has a place, and what is accepted survives being
//! written and read again.
#![no_main]

use std::collections::BTreeMap;

use jackal::package::{Choice, Definition, ImportError, Look, SkeletonUrl, Strictness, Surroundings};
use jackal::yaml::SourceText;
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

/// Every folder and every URL holds the same text.
struct Mirror<'t>(&'t str);

impl Surroundings for Mirror<'_> {
    fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError> {
        Ok(SourceText::new(folder, self.0))
    }
    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
        Ok(SourceText::new(url.to_string(), self.0))
    }
    fn skeleton_files(&mut self, _: &SkeletonUrl, _: &str) -> Result<String, ImportError> {
        Ok("skeleton".to_owned())
    }
    fn look(&mut self, path: &str) -> Look {
        match path.len() % 4 {
            0 => Look::File,
            1 => Look::Folder,
            2 => Look::Absent,
            _ => Look::Refused(path.to_owned(), String::new()),
        }
    }
    fn chart_version(&mut self, path: &str) -> Option<String> {
        (path.len() % 2 == 0).then(|| path.to_owned())
    }
    fn answer(&mut self, template: &str) -> Option<String> {
        (template.len() % 2 == 0).then(|| template.to_lowercase())
    }
}

fuzz_target!(|text: &str| budget::within(text.len(), || read(text)));

fn read(text: &str) {
    let source = SourceText::new("jackal.yaml", text);
    for strictness in [Strictness::Source, Strictness::Existing] {
        match Definition::parse(&source, strictness) {
            Err(mistakes) => assert!(mistakes.list().iter().all(|m| m.span.line > 0)),
            Ok(definition) => same_again(&definition),
        }
    }
    let none = BTreeMap::new();
    let choice = Choice {
        architecture: None,
        host: "amd64",
        flavor: "",
        set: &none,
        metadata: &none,
    };
    if let Ok(composed) = Definition::compose(source, &mut Mirror(text), &choice) {
        same_again(&composed.definition);
    }
}

fn same_again(definition: &Definition) {
    let written = SourceText::new("written", definition.to_yaml());
    let again = Definition::parse(&written, Strictness::Existing);
    assert_eq!(again.as_ref().ok(), Some(definition), "{}", written.text);
}
