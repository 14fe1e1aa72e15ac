//! A corpus of definitions, each composed, filled and checked as in a build.
//!
//! A case is a folder of `tests/fixtures/definitions/`, named after its verdict:
//! `valid-` is accepted without warnings, `deprecated-` with warnings, `invalid-` is
//! refused. `expected.txt` has the composed definition, or every place and message.
//!
//! `BLESS=1 cargo test corpus` updates the expectations; read each one before you
//! commit it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jackal::package::{
    Choice, Composed, Definition, Dialect, ImportError, Look, SkeletonUrl, Strictness, Surroundings,
};
use jackal::yaml::{Mistakes, SourceText};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/definitions");

struct Case(PathBuf);

impl Case {
    fn definition_in(&self, folder: &str) -> Option<SourceText> {
        Dialect::ALL.into_iter().find_map(|dialect| {
            let file = dialect.definition_file();
            let text = fs::read_to_string(self.0.join(folder).join(file)).ok()?;
            let name = Path::new(folder).join(file).display().to_string();
            Some(SourceText::new(name, text))
        })
    }

    fn compose(&mut self) -> Result<Composed, Mistakes> {
        let source = self.definition_in("").unwrap();
        let with = source.text.lines().next().unwrap_or_default().to_owned();
        let mut words = BTreeMap::new();
        for word in with.strip_prefix("# with: ").unwrap_or_default().split(' ') {
            words.extend(
                word.split_once('=')
                    .map(|(k, v)| (k.to_owned(), v.to_owned())),
            );
        }
        let set = words
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("set.")?.to_owned(), value.clone())))
            .collect();
        let choice = Choice {
            architecture: words.get("architecture").map(String::as_str),
            host: "amd64",
            flavor: words.get("flavor").map_or("", String::as_str),
            set: &set,
            metadata: &BTreeMap::new(),
        };
        Definition::compose(source, self, &choice)
    }
}

impl Surroundings for Case {
    fn definition(&mut self, folder: &str) -> Result<SourceText, ImportError> {
        self.definition_in(folder)
            .ok_or_else(|| ImportError::NoDefinition(folder.to_owned()))
    }

    fn skeleton(&mut self, url: &SkeletonUrl) -> Result<SourceText, ImportError> {
        let text = url.to_string();
        let name = text.rsplit('/').next().unwrap().split(':').next().unwrap();
        let file = Path::new(FOLDER)
            .join("skeletons")
            .join(format!("{name}.yaml"));
        let found = fs::read_to_string(file).map_err(|_| ImportError::NoSkeleton(text.clone()))?;
        Ok(SourceText::new(text, found))
    }

    fn skeleton_files(&mut self, _: &SkeletonUrl, component: &str) -> Result<String, ImportError> {
        Ok(format!("skeleton-of-{component}"))
    }

    fn look(&mut self, path: &str) -> Look {
        match self.0.join(path) {
            path if path.is_dir() => Look::Folder,
            path if path.exists() => Look::File,
            _ => Look::Absent,
        }
    }

    fn answer(&mut self, _: &str) -> Option<String> {
        None
    }
}

/// The verdict, and all messages or the composed definition.
fn told(composed: &Result<Composed, Mistakes>) -> (&'static str, String) {
    match composed {
        Err(mistakes) => ("invalid", format!("{mistakes}\n")),
        Ok(composed) => {
            let warnings: String = composed
                .warnings
                .iter()
                .map(|warning| format!("# warning: {}\n", warning.to_string().replace('\n', "\n#")))
                .collect();
            let verdict = if warnings.is_empty() {
                "valid"
            } else {
                "deprecated"
            };
            (verdict, warnings + &composed.definition.to_yaml())
        }
    }
}

#[test]
fn every_definition_of_the_corpus_has_its_verdict() {
    let mut folders: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.ends_with("skeletons"))
        .collect();
    folders.sort();
    assert!(folders.len() >= 80, "{}", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let composed = Case(folder.clone()).compose();
        let (verdict, text) = told(&composed);
        assert_eq!(name.split('-').next(), Some(verdict), "{name}:\n{text}");
        let expected = folder.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(expected).unwrap(), "{name}");
        let Ok(composed) = composed else {
            assert!(text.contains("  help: "), "{name}:\n{text}");
            continue;
        };
        // A definition survives being written and read again.
        let written = SourceText::new("jackal.yaml", composed.definition.to_yaml());
        let again = Definition::parse(&written, Strictness::Existing).unwrap();
        assert_eq!(again, composed.definition, "{name}");
    }
}
