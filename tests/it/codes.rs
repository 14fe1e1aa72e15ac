//! `jackal explain`, and the codes that it explains.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jackal::codes::Code;

use super::sandbox::Sandbox;

/// The codes that the sources use.
fn used(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            used(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("Code::").skip(1);
            found.extend(names.map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
                rest[..end.unwrap_or(rest.len())].to_owned()
            }));
        }
    }
}

#[test]
fn each_code_is_used_and_has_a_whole_page_and_a_lasting_name() {
    let mut found = BTreeSet::new();
    used(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    let mut names = BTreeSet::new();
    for code in Code::ALL {
        assert!(found.contains(&format!("{code:?}")), "{code} is never used");
        let name = code.name();
        assert!(names.insert(name), "{name} is there twice");
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        // The name is that of the variant.
        let joined = name.replace('-', "");
        assert_eq!(joined, format!("{code:?}").to_ascii_lowercase());
        let page = code.page();
        assert!(
            !page.title.ends_with('.') && page.title.len() < 80,
            "{name}"
        );
        for text in [page.cause, page.fix] {
            assert!(text.ends_with('.'), "{name}: {text}");
        }
        assert!(!page.example.is_empty(), "{name}");
        assert_eq!(Code::named(name), Some(*code));
    }
}

#[test]
fn explain_prints_a_page_or_all_codes() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["explain", "missing-file"]).stdout);
    let in_brackets = sandbox.run(&["explain", "[missing-file]"]);
    assert!(in_brackets.stdout.starts_with("missing-file: "));
    let all = sandbox.run(&["explain"]);
    assert_eq!(all.stdout.lines().count(), Code::ALL.len());
    let unknown = sandbox.run(&["explain", "mising-file"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("did you mean `missing-file`?"),
        "{}",
        unknown.stderr
    );
}
