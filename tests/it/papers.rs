//! Everything that pages and comments refer to exists: ADRs, documents and their
//! sections, links, commands and flags of `jackal`, keys in examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::schemas;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Files and folders that are searched for references.
const READ: &[&str] = &[
    ".ci",
    "README.md",
    "adr",
    "benches",
    "deny.toml",
    "docs",
    "examples",
    "fuzz/run",
    "pipelines",
    "src",
    "tests/it",
    "tests/peer",
];

/// A file with its comment marks and line ends taken out.
struct Paper {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
    /// On one line; in code, without comment marks.
    flat: String,
    /// In code, only the comments.
    comments: String,
}

impl Paper {
    fn is_page(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "md")
    }

    fn says(&self, what: &str) -> String {
        format!("{}: {what}", self.path.display())
    }
}

fn papers() -> Vec<Paper> {
    let mut files = Vec::new();
    for start in READ {
        collect(&Path::new(ROOT).join(start), &mut files);
    }
    files.sort();
    let marks = Regex::new(r"(?m)^\s*(//[/!]?|#)? ?").unwrap();
    files
        .into_iter()
        // The examples in this file refer to things that do not exist.
        .filter(|path| !path.ends_with("tests/it/papers.rs"))
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            let flat = |text: &str| marks.replace_all(text, "").replace('\n', " ");
            let is_page = path.extension().is_some_and(|end| end == "md");
            let lines = text.lines().filter(|line| {
                let line = line.trim_start();
                is_page || line.starts_with("//") || line.starts_with('#')
            });
            Some(Paper {
                path: path.strip_prefix(ROOT).unwrap().to_owned(),
                flat: flat(&text),
                comments: flat(&lines.collect::<Vec<_>>().join("\n")),
                text,
            })
        })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

/// Title and path of the ADR numbered `number`.
fn adr(number: &str) -> Option<(String, PathBuf)> {
    let start = format!("{:0>4}-", number);
    let mut files = fs::read_dir(Path::new(ROOT).join("adr")).unwrap();
    let path = files.find_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name()?.to_str()?;
        name.starts_with(&start).then_some(path)
    })?;
    let text = fs::read_to_string(&path).unwrap();
    let (_, title) = text.lines().next()?.split_once(". ")?;
    Some((title.to_owned(), path))
}

fn headings(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| line.trim_start_matches('#').trim().replace('`', ""))
        .collect()
}

/// Mistakes in the ADRs that `paper` cites. Code cites an ADR with words of its
/// title: `adr/0012, "Deltas"`.
fn wrong_adrs(paper: &Paper) -> Vec<String> {
    let cited = Regex::new(r#"(?:adr/|ADRs? )([0-9]{1,4})\b(?:, \\?"([^"\\]+))?"#).unwrap();
    let mut wrong = Vec::new();
    for found in cited.captures_iter(&paper.flat) {
        let Some((title, _)) = adr(&found[1]) else {
            wrong.push(paper.says(&format!("there is no `{}`", &found[0])));
            continue;
        };
        match found.get(2) {
            Some(words)
                if title
                    .to_lowercase()
                    .contains(&words.as_str().to_lowercase()) => {}
            None if paper.is_page() => {}
            _ => wrong.push(paper.says(&format!("`{}` is called \"{title}\"", &found[0]))),
        }
    }
    wrong
}

fn is_spec(name: &str) -> bool {
    let page = Path::new(ROOT).join("docs/spec").join(name);
    name != "README.md" && page.is_file()
}

/// Mistakes in the pages and sections that `paper` cites.
fn wrong_pages(paper: &Paper) -> Vec<String> {
    let cited = Regex::new(r#"([\w./-]*\w\.md)((?:(?:,| and) "[^"]+")*)"#).unwrap();
    let quoted = Regex::new(r#""([^"]+)""#).unwrap();
    let folder = paper.path.parent().unwrap();
    let mut wrong = Vec::new();
    for found in cited.captures_iter(&paper.comments) {
        let name = &found[1];
        let beside = Path::new(ROOT).join(folder).join(name);
        let page = match name.starts_with("docs/") || name.starts_with("adr/") {
            false if paper.is_page() && beside.is_file() => beside,
            true => Path::new(ROOT).join(name),
            // Accepted decisions are not edited.
            false if is_spec(name) && !paper.path.starts_with("adr") => {
                wrong.push(paper.says(&format!("write `docs/spec/{name}` for `{name}`")));
                continue;
            }
            false => continue,
        };
        if !page.is_file() {
            wrong.push(paper.says(&format!("there is no `{name}`")));
            continue;
        }
        let headings = headings(&page);
        for section in quoted.captures_iter(&found[2]) {
            if !headings.contains(&section[1]) {
                wrong.push(paper.says(&format!("`{name}` has no section \"{}\"", &section[1])));
            }
        }
    }
    wrong
}

#[test]
fn cited_adrs_pages_and_sections_exist() {
    let papers = papers();
    assert!(papers.len() > 300, "{}", papers.len());
    let wrong: Vec<String> = papers
        .iter()
        .flat_map(|paper| [wrong_adrs(paper), wrong_pages(paper)].concat())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn planted_citations_of_nothing_are_found() {
    let paper = |flat: &str| Paper {
        path: "src/a.rs".into(),
        text: flat.to_owned(),
        flat: flat.to_owned(),
        comments: flat.to_owned(),
    };
    for bad in ["adr/0999", "adr/0012", r#"adr/0012, "Clones""#, "ADR 99"] {
        assert_eq!(wrong_adrs(&paper(bad)).len(), 1, "{bad}");
    }
    assert!(wrong_adrs(&paper(r#"see adr/0012, "Deltas"."#)).is_empty());
    for bad in [
        "Source: package.md 3.4.",
        "docs/spec/gone.md",
        r#"docs/spec/package.md, "Component tar" and "Gone"."#,
    ] {
        assert_eq!(wrong_pages(&paper(bad)).len(), 1, "{bad}");
    }
    let good = r#"docs/spec/package.md, "Component tar", "Images"; image-spec, descriptor.md"#;
    assert!(wrong_pages(&paper(good)).is_empty());
}

/// A heading as the anchor that links use.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut wrong = Vec::new();
    for paper in papers().iter().filter(|paper| paper.is_page()) {
        for found in link.captures_iter(&paper.text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let whole = Path::new(ROOT).join(&paper.path);
            let page = match file {
                "" => whole,
                file => whole.parent().unwrap().join(file),
            };
            let exists = page.exists();
            let has = |page: &Path| headings(page).iter().any(|text| anchor(text) == fragment);
            if !exists || !(fragment.is_empty() || has(&page)) {
                wrong.push(paper.says(&format!("the link `{target}` leads nowhere")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_the_map_names_exist() {
    let map = fs::read_to_string(Path::new(ROOT).join("docs/architecture.md")).unwrap();
    let named = Regex::new("`([a-z_]+(?:/[a-z_.]+)+/?)`").unwrap();
    let missing: Vec<&str> = named
        .captures_iter(&map)
        .map(|found| found.get(1).unwrap().as_str())
        .filter(|name| {
            let root = Path::new(ROOT);
            !root.join(name).exists() && !root.join("src").join(name).exists()
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_tables_of_exit_codes_list_those_of_the_program() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let numbers = |text: &str, pattern: &str| -> BTreeSet<u8> {
        let pattern = Regex::new(pattern).unwrap();
        let rows = pattern.captures_iter(text);
        rows.flat_map(|row| {
            let row = row.get(1).unwrap().as_str().split(", ");
            row.map(|code| code.parse().unwrap()).collect::<Vec<_>>()
        })
        .collect()
    };
    let mut made = numbers(&read("src/cli/exit.rs"), r"(?m)^    [A-Z]\w+ = (\d+),$");
    assert!(made.len() > 5, "{made:?}");
    made.insert(0);
    for page in ["docs/spec/pipeline.md", "docs/guide/ci.md"] {
        let text = read(page);
        let (_, table) = text.split_once("\n## Exit codes\n").unwrap();
        let table = table.split("\n## ").next().unwrap();
        let listed = numbers(table, r"(?m)^\| (\d+(?:, \d+)*) \|");
        assert_eq!(listed, made, "{page}");
    }
}

/// The code blocks of `page` in `language`.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect()
}

/// The words of each command line that calls `jackal` in a shell block.
fn command_lines(block: &str) -> Vec<Vec<String>> {
    let word = Regex::new(r#"'[^']*'|"[^"]*"|\S+"#).unwrap();
    let lines = block.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in lines.lines() {
        let words = word.find_iter(line).map(|word| word.as_str());
        let words: Vec<String> = words
            .take_while(|word| !word.starts_with('#') && !["|", ">", "&&"].contains(word))
            .map(|word| word.trim_matches(['\'', '"']).to_owned())
            .collect();
        let own = match words.first().map(String::as_str) {
            Some("jackal") => Some(1),
            Some("cargo") => words.iter().position(|word| word == "--").map(|at| at + 1),
            _ => None,
        };
        if let Some(own) = own {
            let program = std::iter::once("jackal".to_owned());
            found.push(program.chain(words[own..].iter().cloned()).collect());
        }
    }
    found
}

/// The flags of `command` and of all below it.
fn flags(command: &clap::Command, all: &mut BTreeSet<String>) {
    for arg in command.get_arguments() {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        all.extend(arg.get_long().into_iter().chain(aliases).map(str::to_owned));
    }
    for below in command.get_subcommands() {
        flags(below, all);
    }
}

/// The part of a mention such as `jackal build --locked` that does not exist.
fn unknown(mention: &str, command: &clap::Command, all: &BTreeSet<String>) -> Option<String> {
    let mut command = command;
    let mut own = all.clone();
    let mut walking = true;
    for word in mention.split_whitespace() {
        if let Some(flag) = word.strip_prefix("--") {
            walking = false;
            let name = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
            let flag = flag.split(name).next().unwrap_or_default();
            if !flag.is_empty() && flag != "help" && !own.contains(flag) {
                return Some(format!("`--{flag}` of `{mention}`"));
            }
        } else if walking && word.starts_with(|c: char| c.is_ascii_lowercase()) && word != "jackal"
        {
            let Some(below) = command.find_subcommand(word) else {
                if command.has_subcommands() {
                    return Some(format!("`{word}` of `{mention}`"));
                }
                walking = false;
                continue;
            };
            command = below;
            own = BTreeSet::new();
            flags(command, &mut own);
        } else if word != "jackal" {
            walking = false;
        }
    }
    None
}

#[test]
fn commands_and_flags_that_are_named_exist() {
    let mut command = jackal::cli::command();
    command.build();
    let mut all = BTreeSet::new();
    flags(&command, &mut all);
    let mention = Regex::new("`(jackal [^`]+|--[a-z][^`]*)`").unwrap();
    let mut wrong = Vec::new();
    for paper in papers() {
        if paper.path.starts_with("adr") {
            continue;
        }
        for found in mention.captures_iter(&paper.flat) {
            // What that page says of each flag is held by a test of its own.
            let page = paper.is_page() && !paper.path.ends_with("from-zarf.md");
            let own = page || found[1].starts_with("jackal");
            if let Some(what) = unknown(&found[1], &command, &all).filter(|_| own) {
                wrong.push(paper.says(&format!("there is no {what}")));
            }
        }
        if !paper.is_page() {
            continue;
        }
        for words in blocks(&paper.text, "sh")
            .into_iter()
            .flat_map(command_lines)
        {
            if let Err(error) = command.clone().try_get_matches_from(&words)
                && error.use_stderr()
            {
                wrong.push(paper.says(&format!("{}: {error}", words.join(" "))));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The help of `command` and of all below it, long and short.
fn help(command: &mut clap::Command, all: &mut Vec<String>) {
    all.push(command.render_long_help().to_string());
    all.push(command.render_help().to_string());
    for below in command.get_subcommands_mut() {
        help(below, all);
    }
}

#[test]
fn help_and_pages_have_subjects_and_active_verbs() {
    let odd = Regex::new(
        r"(?i)\b(anew|whoever|nobody|somebody|anybody|(is|are) (told|asked( for)?|there)|(is|are) none|not there|so many)\b",
    )
    .unwrap();
    let mut command = jackal::cli::command();
    command.build();
    let mut texts = Vec::new();
    help(&mut command, &mut texts);
    let pages = papers().into_iter().filter(|paper| {
        let page = paper.path.starts_with("docs") || paper.path.starts_with("README.md");
        page && paper.is_page()
    });
    texts.extend(pages.map(|page| page.flat));
    let found: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| odd.find_iter(text).map(move |found| (text, found)))
        .map(|(text, found)| {
            let around = |at: usize| text.floor_char_boundary(at);
            &text[around(found.start().saturating_sub(50))..around(found.end() + 50)]
        })
        .collect();
    assert!(found.is_empty(), "write it as you would say it: {found:#?}");
}

#[test]
fn examples_of_definitions_pipelines_and_policies_fit_their_schemas() {
    let mut wrong = Vec::new();
    for paper in papers().iter().filter(|paper| paper.is_page()) {
        for block in blocks(&paper.text, "yaml") {
            let kind = match block {
                block if block.contains("kind: JackalPipeline") => "pipeline",
                block if block.contains("kind: JackalPackageConfig") => "package",
                block if block.starts_with("rules:") => "policy",
                _ => continue,
            };
            for what in schemas::disagreements(kind, block) {
                wrong.push(paper.says(&format!("an example of a {kind}: {what}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_adr_has_its_own_number() {
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(Path::new(ROOT).join("adr")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(numbers.insert(name[..4].to_owned()), "{name}");
    }
    assert!(!numbers.is_empty());
}
