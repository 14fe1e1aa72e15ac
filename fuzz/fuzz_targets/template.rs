//! A text with templates, and any value for them. The value appears whole in the one
//! string it was meant for, and nothing else changes.
#![no_main]

use std::collections::BTreeMap;

use jackal::package::{
    Choice, Component, Definition, ImportError, Look, Metadata, SkeletonUrl, Strictness, Surroundings,
};
use jackal::yaml::SourceText;
use libfuzzer_sys::fuzz_target;

struct Nothing;

impl Surroundings for Nothing {
    fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError> {
        Err(ImportError::NoDefinition(folder.to_owned()))
    }
    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
        Err(ImportError::NoSkeleton(url.to_string()))
    }
    fn skeleton_files(&mut self, url: &SkeletonUrl, _: &str) -> Result<String, ImportError> {
        Err(ImportError::NoSkeleton(url.to_string()))
    }
    fn look(&mut self, _: &str) -> Look {
        Look::Absent
    }
    fn answer(&mut self, _: &str) -> Option<String> {
        None
    }
}

const TEMPLATE: &str = "###JACKAL_PKG_TMPL_X###";

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    let around = Definition {
        kind: "JackalPackageConfig".into(),
        metadata: Metadata {
            name: "a".into(),
            description: format!("{text}{TEMPLATE}"),
            vendor: TEMPLATE.into(),
            authors: "unchanged".into(),
            ..Metadata::default()
        },
        // A definition without components is refused.
        components: vec![Component {
            name: "c".into(),
            ..Component::default()
        }],
        ..Definition::default()
    };
    let set = BTreeMap::from([("X".to_owned(), value.to_owned())]);
    let none = BTreeMap::new();
    let choice = Choice {
        architecture: Some("amd64"),
        host: "amd64",
        flavor: "",
        set: &set,
        metadata: &none,
    };
    let source = SourceText::new("jackal.yaml", around.to_yaml());
    // Another template in the text has no value, which is refused.
    let Ok(composed) = Definition::compose(source, &mut Nothing, &choice) else {
        assert!(text.contains("#"), "refused without a reason: {text:?}");
        return;
    };
    let metadata = &composed.definition.metadata;
    assert_eq!(metadata.vendor, value);
    assert_eq!(metadata.authors, "unchanged");
    if !text.contains('#') {
        assert_eq!(metadata.description, format!("{text}{value}"));
    }
    let written = SourceText::new("written", composed.definition.to_yaml());
    let again = Definition::parse(&written, Strictness::Existing);
    assert_eq!(again.ok().as_ref(), Some(&composed.definition));
});
