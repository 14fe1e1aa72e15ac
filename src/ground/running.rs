//! What is running below a process, for the report of a command whose time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rustix::process::Pid;

/// Maximum number of processes listed: a report of more does not help.
const MAX_LISTED: usize = 5;

/// Maximum length of a command line, in characters.
const MAX_COMMAND: usize = 200;

/// The kernel's clock ticks in a second: the same on every architecture that it offers
/// to programs.
const TICKS: u64 = 100;

/// What `/proc` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    parent: i32,
    /// Used time of processors, in ticks.
    used: u64,
}

/// The command lines below `top`, with the time of processors that each used; those
/// without further ones below first.
pub(super) fn below(top: Pid) -> Vec<String> {
    let all = all(Path::new("/proc"));
    let top = top.as_raw_nonzero().get();
    let below = all
        .keys()
        .filter(|id| **id != top)
        .filter_map(|id| Some((depth(&all, *id, top)?, *id)));
    let mut found: Vec<(usize, i32)> = below.collect();
    let parents = found.iter().filter_map(|(_, id)| Some(all.get(id)?.parent));
    let parents: BTreeSet<i32> = parents.collect();
    found.sort_by_key(|(depth, id)| (parents.contains(id), std::cmp::Reverse(*depth), *id));
    let lines = found.iter().filter_map(|(_, id)| {
        let used = all.get(id)?.used;
        let command = command(&fs::read(format!("/proc/{id}/cmdline")).ok()?)?;
        let (seconds, tenths) = (used / TICKS, used % TICKS * 10 / TICKS);
        Some(format!("`{command}` (used {seconds}.{tenths} s of CPU)"))
    });
    lines.take(MAX_LISTED).collect()
}

/// Every process of this machine that can be seen.
fn all(proc: &Path) -> BTreeMap<i32, Facts> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let each = entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((id, facts(&stat)?))
    });
    each.collect()
}

/// Source: proc_pid_stat(5). The name in parentheses may contain any character.
fn facts(stat: &str) -> Option<Facts> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Facts {
        parent: fields.get(1)?.parse().ok()?,
        used: number(11)? + number(12)?,
    })
}

/// How far below `top` a process is.
fn depth(all: &BTreeMap<i32, Facts>, id: i32, top: i32) -> Option<usize> {
    let mut chain = std::iter::successors(Some(id), |id| Some(all.get(id)?.parent));
    // Processes that end while they are listed could close a circle.
    chain.by_ref().take(all.len() + 1).position(|id| id == top)
}

/// A command line in one piece; `None`: it has ended.
fn command(words: &[u8]) -> Option<String> {
    let words: Vec<_> = words
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    let text = words.join(" ");
    let shown: String = text.trim_end().chars().take(MAX_COMMAND).collect();
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn facts_are_read_from_a_line_whose_name_has_spaces_and_parentheses() {
        let line = "7 (a) b) S 3 7 5 0 -1 4 1 2 3 4 250 30 0 0 20 0";
        let expected = Facts {
            parent: 3,
            used: 280,
        };
        assert_eq!(facts(line), Some(expected));
        assert_eq!(facts("7 (a"), None);
    }

    #[test]
    fn what_a_process_started_is_listed_and_the_innermost_is_first() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sh -c 'sleep 60; :'; :"])
            .process_group(0)
            .spawn()
            .unwrap();
        let id = Pid::from_raw(child.id().cast_signed()).unwrap();
        let found = loop {
            // A new process has its parent's command line until it becomes another.
            let found = below(id);
            if found.len() == 2 && found[0].starts_with("`sleep") {
                break found;
            }
        };
        rustix::process::kill_process_group(id, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(found[0].starts_with("`sleep 60` (used 0."), "{found:?}");
        assert!(found[1].starts_with("`sh -c sleep 60"), "{found:?}");
    }

    #[test]
    fn a_command_line_is_one_text() {
        assert_eq!(command(b""), None);
        assert_eq!(command(b"make\0all\0").as_deref(), Some("make all"));
    }
}
