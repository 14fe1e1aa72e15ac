//! `jackal` alone: what could be done in the current folder.

use std::path::PathBuf;

use super::command_error::CommandError;
use super::environment::current_folder;
use super::output::{one_line, print};
use crate::app::{self, Overview};

/// Number of files that are listed of each kind.
const LISTED: usize = 8;

pub(super) fn overview() -> Result<(), CommandError> {
    print(&text(&app::overview(&current_folder()?)))
}

fn text(found: &Overview) -> String {
    let mut text =
        "jackal builds packages for air-gapped systems, and rebuilds only what changed.\n\n"
            .to_owned();
    if let Some(root) = &found.workspace {
        text.push_str(&format!(
            "workspace: {}\n",
            one_line(&root.display().to_string())
        ));
    }
    list(&mut text, "pipelines", &found.pipelines);
    list(&mut text, "packages", &found.packages);
    let mut next = Vec::new();
    if found.pipelines.is_empty() && found.packages.is_empty() {
        text.push_str("There is no pipeline and no package here.\n");
        next.push((
            "jackal init",
            "write a first pipeline for the project in this folder",
        ));
        next.push(("jackal build FOLDER", "build what is in another folder"));
    } else {
        next.push(("jackal list", "list the tasks"));
        next.push(("jackal build", "build what is here and below"));
        next.push((
            "jackal build --watch",
            "build again after each change of a file",
        ));
        next.push(("jackal build --dry-run", "show what would run, and why"));
    }
    next.push(("jackal --help", "list all commands"));
    text.push_str("\nNext:\n");
    for (command, what) in next {
        text.push_str(&format!("  {command:<24}{what}\n"));
    }
    text
}

fn list(text: &mut String, what: &str, files: &[PathBuf]) {
    if files.is_empty() {
        return;
    }
    text.push_str(&format!("{what}:\n"));
    for file in files.iter().take(LISTED) {
        text.push_str(&format!("  {}\n", one_line(&file.display().to_string())));
    }
    if files.len() > LISTED {
        text.push_str(&format!("  and {} more\n", files.len() - LISTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_shows_what_is_in_it_and_the_next_commands() {
        let empty = text(&Overview::default());
        assert!(empty.contains("no pipeline and no package here"), "{empty}");
        assert!(empty.contains("  jackal init "), "{empty}");
        let files: Vec<PathBuf> = (0..9).map(|n| format!("p{n}/jackal.yaml").into()).collect();
        let found = Overview {
            workspace: Some("/w".into()),
            pipelines: vec!["a\u{1b}[2J/jackal.pipeline.yaml".into()],
            packages: files,
        };
        let text = text(&found);
        for line in [
            "workspace: /w\n",
            "pipelines:\n  a\u{fffd}[2J/jackal.pipeline.yaml\npackages:\n  p0/jackal.yaml\n",
            "  p7/jackal.yaml\n  and 1 more\n",
            "  jackal build            build what is here and below\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
