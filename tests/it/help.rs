//! The help of every command, as a user reads it.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test it help`.

use super::sandbox::Sandbox;

/// Longest summary of a flag or command, in characters.
const MAX_SUMMARY: usize = 80;

#[test]
fn the_help_of_every_command_is_as_recorded_and_its_summaries_are_short() {
    let sandbox = Sandbox::new();
    let mut commands = vec![Vec::new()];
    let mut long = Vec::new();
    while let Some(command) = commands.pop() {
        let line: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = |flag| {
            let said = sandbox.run(&[&line[..], &[flag]].concat());
            assert_eq!(said.code, Some(0), "{line:?}: {}", said.stderr);
            said.stdout
        };
        let text = help("--help");
        for name in subcommands(&text) {
            commands.push([command.clone(), vec![name]].concat());
        }
        let found = summaries(&text).into_iter();
        long.extend(found.filter(|text| text.chars().count() > MAX_SUMMARY));
        let name = ["jackal"].into_iter().chain(line.iter().copied());
        insta::assert_snapshot!(name.collect::<Vec<_>>().join("-"), text);
    }
    assert!(long.is_empty(), "too long: {long:#?}");
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
