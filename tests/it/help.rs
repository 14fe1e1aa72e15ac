//! The help of every command, as a user reads it.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test it help`.

use super::sandbox::Sandbox;

/// Longest summary of a flag or command, in characters.
const MAX_SUMMARY: usize = 80;

#[test]
fn the_help_of_every_command_is_as_recorded_and_its_summaries_are_short() {
    let mut long = Vec::new();
    for (command, text) in commands() {
        let found = summaries(&text).into_iter();
        long.extend(found.filter(|text| text.chars().count() > MAX_SUMMARY));
        insta::assert_snapshot!(command.replace(' ', "-"), text);
    }
    assert!(long.is_empty(), "too long: {long:#?}");
}

/// Every command, such as `jackal dev lint`, with its help.
pub(super) fn commands() -> Vec<(String, String)> {
    let sandbox = Sandbox::new();
    let mut open = vec![Vec::new()];
    let mut all = Vec::new();
    while let Some(command) = open.pop() {
        let line: Vec<&str> = command.iter().map(String::as_str).collect();
        let said = sandbox.run(&[&line[..], &["--help"]].concat());
        assert_eq!(said.code, Some(0), "{line:?}: {}", said.stderr);
        for name in subcommands(&said.stdout) {
            open.push([command.clone(), vec![name]].concat());
        }
        all.push((
            ["jackal"]
                .into_iter()
                .chain(line)
                .collect::<Vec<_>>()
                .join(" "),
            said.stdout,
        ));
    }
    all
}

/// The commands that a help text lists.
fn subcommands(text: &str) -> Vec<String> {
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The summaries of flags: what follows their lines.
fn summaries(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let flags = lines
        .windows(2)
        .filter(|pair| pair[0].trim_start().starts_with('-'));
    let indented = flags.filter(|pair| pair[1].starts_with("          "));
    indented.map(|pair| pair[1].trim().to_owned()).collect()
}
