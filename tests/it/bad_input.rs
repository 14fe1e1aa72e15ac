//! Malformed definitions and pipelines, each with the full text of its error.
//!
//! `BLESS=1 cargo test bad_input` updates the texts; read each one before you commit
//! it.

use std::fs;
use std::path::Path;

use jackal::package::{Definition, Strictness};
use jackal::pipeline;
use jackal::yaml::SourceText;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad");

fn error_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let source = SourceText::new(name.clone(), fs::read_to_string(path).unwrap());
    let found = if name.starts_with("pipeline-") {
        pipeline::parse(&source).err()
    } else {
        Definition::parse(&source, Strictness::Source).err()
    };
    found.map_or_else(
        || panic!("{name} was taken for a good one"),
        |mistakes| format!("{mistakes}\n"),
    )
}

#[test]
fn forty_malformed_files_report_their_place_and_the_next_step() {
    let mut files: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 40, "{}", files.len());
    for path in files {
        let text = error_of(&path);
        let expected = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        assert_eq!(
            text,
            fs::read_to_string(expected).unwrap(),
            "{}",
            path.display()
        );
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let rest = text.strip_prefix(&format!("{name}:")).unwrap_or_default();
        let mut place = rest.splitn(3, ':').map(str::parse::<u32>);
        assert!(
            matches!((place.next(), place.next()), (Some(Ok(1..)), Some(Ok(1..)))),
            "{text}"
        );
        assert!(text.contains("  help: "), "{text}");
    }
}
