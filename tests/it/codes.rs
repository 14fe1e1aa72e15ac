//! `jackal explain`, and the codes that it explains.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jackal::codes::Code;
use jackal::yaml::{Node, SourceText, Value, parse_first};
use regex::Regex;

use super::help;
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

/// Command lines of jackal in a page: in backquotes, and lines of the example.
fn command_lines(code: Code) -> Vec<String> {
    let page = code.page();
    let quoted = Regex::new("`(jackal [^`]+)`").unwrap();
    let texts = [page.title, page.cause, page.fix].join(" ");
    let quoted = quoted.captures_iter(&texts);
    let quoted = quoted.map(|found| found[1].to_owned());
    let lines = page
        .example
        .lines()
        .filter(|line| line.starts_with("jackal "));
    quoted.chain(lines.map(str::to_owned)).collect()
}

#[test]
fn commands_and_flags_in_pages_exist() {
    let commands = help::commands();
    let flag = Regex::new("--[a-z][a-z-]+").unwrap();
    let has = |help: &str, wanted: &str| flag.find_iter(help).any(|one| one.as_str() == wanted);
    let mut seen = 0;
    for code in Code::ALL {
        for line in command_lines(*code) {
            // The longest command that it begins with.
            let named = commands.iter().filter(|(name, _)| {
                let rest = line.strip_prefix(name.as_str());
                name != "jackal"
                    && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            });
            let (_, help) = named
                .max_by_key(|(name, _)| name.len())
                .unwrap_or_else(|| panic!("{code}: `{line}` is no command"));
            for wanted in flag.find_iter(&line) {
                assert!(has(help, wanted.as_str()), "{code}: `{line}`");
                seen += 1;
            }
        }
        // Alone, it is a flag of any command. Examples also show output of other programs.
        let page = code.page();
        for wanted in [page.cause, page.fix]
            .iter()
            .flat_map(|text| flag.find_iter(text))
        {
            let known = commands.iter().any(|(_, help)| has(help, wanted.as_str()));
            assert!(known, "{code}: {}", wanted.as_str());
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// The example of a page as a policy; `None`: it shows something else.
fn policy(code: Code) -> Option<String> {
    const OF_RULES: [&str; 4] = ["packages", "signers", "attestations", "maxAge"];
    let example = code.page().example;
    let node = parse_first(&SourceText::new("x", example)).ok().flatten()?;
    let Value::Mapping(pairs) = &node.value else {
        return None;
    };
    let keys: Vec<&str> = pairs
        .iter()
        .filter_map(|(key, _)| Node::scalar(key))
        .collect();
    if keys.contains(&"rules") {
        return Some(example.to_owned());
    }
    let signers = match keys.contains(&"signers") {
        true => "",
        false => "- signers: [{ key: release.pub }]\n  ",
    };
    let rule = example.replace('\n', "\n  ");
    (keys.iter().all(|key| OF_RULES.contains(key))).then(|| format!("rules:\n{signers}{rule}\n"))
}

#[test]
fn policies_in_pages_are_accepted_or_refused_with_the_code_of_the_page() {
    let sandbox = Sandbox::new();
    let keys = sandbox.run(&["tools", "gen-key"]);
    assert_eq!(keys.code, Some(0), "{}", keys.stderr);
    let key = fs::read(sandbox.src().join("cosign.pub")).unwrap();
    sandbox.write("release.pub", key);
    let mut accepted = BTreeSet::new();
    for code in Code::ALL {
        let Some(text) = policy(*code) else { continue };
        sandbox.write("policy.yaml", &text);
        let said = sandbox.run(&["package", "verify", "--policy", "policy.yaml", "gone.tar"]);
        if *code == Code::EmptyValue {
            let refused = said.stderr.contains("[empty-value]");
            assert!(refused, "{text}\n{}", said.stderr);
        } else {
            let refused = said.stderr.contains("policy.yaml");
            assert!(
                !refused && said.stderr.contains("gone.tar"),
                "{text}\n{}",
                said.stderr
            );
            accepted.insert(code.name());
        }
    }
    let expected = ["no-attestation", "no-policy-rule", "old-signature"];
    assert_eq!(accepted, expected.into());
}
