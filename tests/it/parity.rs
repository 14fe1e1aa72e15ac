//! The table of the peers' commands and flags is true, and the page of the guide has it.

use std::fs;
use std::path::Path;

use super::sandbox::Sandbox;

struct Row<'t> {
    command: Vec<&'t str>,
    flags: Vec<&'t str>,
    status: &'t str,
    text: &'t str,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let columns: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
        let [command, flags, status, text] = columns[..] else {
            panic!("expected four columns: {line}");
        };
        Row {
            command: command.split(' ').filter(|word| *word != "*").collect(),
            flags: flags.split(", ").filter(|flag| *flag != "-").collect(),
            status,
            text,
        }
    });
    rows.collect()
}

fn table() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/parity.txt");
    fs::read_to_string(path).unwrap()
}

/// The command that is named, and those above it.
fn found<'c>(root: &'c clap::Command, names: &[&str]) -> Option<Vec<&'c clap::Command>> {
    let mut line = vec![root];
    for name in names {
        line.push(line.last()?.find_subcommand(name)?);
    }
    Some(line)
}

fn takes(line: &[&clap::Command], flag: &str) -> bool {
    let (own, above) = line.split_last().unwrap();
    let above = above.iter().flat_map(|command| command.get_arguments());
    let mut args = own
        .get_arguments()
        .chain(above.filter(|arg| arg.is_global_set()));
    args.any(|arg| match flag.strip_prefix("--") {
        Some(long) => {
            let others = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(long) || others.contains(&long)
        }
        None => arg.get_short() == flag.chars().nth(1),
    })
}

#[test]
fn every_row_of_the_table_is_true() {
    let root = jackal::cli::command();
    let mut wrong = Vec::new();
    for row in rows(&table()) {
        let shown = format!("{} {}", row.command.join(" "), row.flags.join(", "));
        let command = found(&root, &row.command);
        let is_there = match (&command, row.flags.as_slice()) {
            (None, _) => false,
            (Some(_), []) => true,
            (Some(line), flags) => flags.iter().all(|flag| takes(line, flag)),
        };
        let expected = match row.status {
            "same" | "other" | "accepted" => true,
            "absent" => false,
            status => panic!("{shown}: {status}"),
        };
        if is_there != expected {
            wrong.push(format!("{shown}: {}", row.status));
        }
        if row.status != "same" && row.text.is_empty() {
            wrong.push(format!("{shown}: says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_absent_command_is_named_with_the_next_step() {
    let sandbox = Sandbox::new();
    for row in rows(&table()) {
        if row.status != "absent" || !row.flags.is_empty() {
            continue;
        }
        let line = [&row.command[..], &["x", "--confirm", "--help"]].concat();
        let said = sandbox.run(&line);
        assert_eq!(said.code, Some(2), "{line:?}: {}", said.stderr);
        let name = row.command.join(" ");
        for part in [
            format!("jackal has no `{name}`"),
            format!("help: {}", row.text),
        ] {
            assert!(said.stderr.contains(&part), "{part} not in {}", said.stderr);
        }
    }
}

#[test]
fn a_program_called_zarf_has_no_init_of_its_own() {
    let sandbox = Sandbox::new();
    let zarf = sandbox.src().join("zarf");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jackal"), &zarf).unwrap();
    let mut command = std::process::Command::new(&zarf);
    let command = command
        .args(["init", "--confirm"])
        .current_dir(sandbox.src());
    let output = command.env("HOME", sandbox.src()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("jackal has no `init`"), "{error}");
    assert!(error.contains("it needs a cluster"), "{error}");
}

/// With `INSTA_UPDATE=always`, writes the page.
#[test]
fn the_guide_has_the_table() {
    let mut text = "| command | flag | here | |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows(&table()) {
        let code = |words: &[&str], between: &str| match words {
            [] => String::new(),
            words => format!("`{}`", words.join(between)),
        };
        let command = match row.command.as_slice() {
            [] => "every".to_owned(),
            words => code(words, " "),
        };
        let flags = code(&row.flags, "`, `");
        text.push_str(&format!(
            "| {command} | {flags} | {} | {} |\n",
            row.status, row.text
        ));
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/from-zarf.md");
    let before = fs::read_to_string(&page).unwrap();
    let (start, rest) = before.split_once("<!-- table -->\n").unwrap();
    let (_, end) = rest.split_once("<!-- end of the table -->").unwrap();
    let whole = format!("{start}<!-- table -->\n{text}<!-- end of the table -->{end}");
    if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        fs::write(&page, &whole).unwrap();
        return;
    }
    assert!(
        before == whole,
        "INSTA_UPDATE=always cargo test --test it parity"
    );
}
