//! What CI services show beside a log: folded blocks, annotations at lines of files,
//! and a summary of the job.
//!
//! Source: "Workflow commands for GitHub Actions", and "Job logs" of GitLab's manual.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::environment::variable;
use super::output::{one_line, without_logins};
use crate::app::{RunRecord, Status, TaskRecord};

/// A service that reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CiService {
    GitHub,
    GitLab,
}

/// Number of tasks that the summary lists for each question.
const LISTED: usize = 10;

impl CiService {
    /// The one that runs this program.
    pub(super) fn here() -> Option<Self> {
        let set = |name| variable(name).is_some_and(|value| value == "true");
        match (set("GITHUB_ACTIONS"), set("GITLAB_CI")) {
            (true, _) => Some(Self::GitHub),
            (false, true) => Some(Self::GitLab),
            (false, false) => None,
        }
    }

    /// `body`, folded below the line `title`. `name` and `at`, seconds since the Unix
    /// epoch, identify the block.
    pub(super) fn folded(self, title: &str, body: &str, name: &str, at: u64) -> String {
        match self {
            Self::GitHub => format!("::group::{}\n{body}::endgroup::\n", data(title)),
            Self::GitLab => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name: String = name
                    .chars()
                    .map(|c| if plain(c) { c } else { '_' })
                    .collect();
                format!(
                    "\u{1b}[0Ksection_start:{at}:{name}[collapsed=true]\r\u{1b}[0K{title}\n\
                     {body}\u{1b}[0Ksection_end:{at}:{name}\r\u{1b}[0K"
                )
            }
        }
    }
}

/// Shows mistakes in files where the service shows files. Of a failed task that has been
/// shown, the message begins with no place.
pub(super) fn annotate(message: &str) {
    if CiService::here() == Some(CiService::GitHub) {
        let _ = std::io::stderr().write_all(annotations(message).as_bytes());
    }
}

/// The annotations of an error message: one for each of its lines that begins with a
/// place.
pub(super) fn annotations(message: &str) -> String {
    let mut text = String::new();
    for line in message.lines() {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        if let Some((place, rest)) = placed(line) {
            text.push_str(&annotation(&place, "", rest));
        }
    }
    text
}

/// Shows the failed tasks of a run where the service shows files.
pub(super) fn annotate_tasks(record: &RunRecord) {
    if CiService::here() == Some(CiService::GitHub) {
        let failed = record
            .tasks
            .iter()
            .filter(|task| task.status == Status::Failed);
        let text: String = failed.map(of_task).collect();
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// The annotations of a failed task: its failed tests, or itself.
fn of_task(record: &TaskRecord) -> String {
    let mut text = String::new();
    let failed = record.tests.iter().flat_map(|tests| &tests.failed);
    for test in failed {
        let place = place(&test.place);
        let message = match test.message.as_str() {
            "" => "failed",
            message => message,
        };
        let title = format!("{} ({})", test.name, record.task);
        text.push_str(&annotation(&place.unwrap_or_default(), &title, message));
    }
    if text.is_empty() {
        let place = place(record.place.as_deref().unwrap_or_default());
        let title = format!("task {}", record.task);
        text.push_str(&annotation(
            &place.unwrap_or_default(),
            &title,
            &record.reason,
        ));
    }
    text
}

/// A place in a file, from 1.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place<'m> {
    file: &'m str,
    line: u32,
    column: u32,
}

/// A message that begins with a place, taken apart.
fn placed(text: &str) -> Option<(Place<'_>, &str)> {
    let (front, message) = text.split_once(": ")?;
    Some((place(front)?, message))
}

/// `FILE:LINE:COLUMN` or `FILE:LINE`.
fn place(text: &str) -> Option<Place<'_>> {
    let (rest, last) = text.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    let (file, line, column) = match rest.rsplit_once(':') {
        Some((file, line)) if line.parse::<u32>().is_ok() => (file, line.parse().ok()?, last),
        _ => (rest, last, 0),
    };
    let known = !file.is_empty() && !file.contains(char::is_whitespace);
    known.then_some(Place { file, line, column })
}

fn annotation(place: &Place<'_>, title: &str, message: &str) -> String {
    let mut properties = Vec::new();
    if !place.file.is_empty() {
        properties.push(format!("file={}", property(place.file)));
        properties.push(format!("line={}", place.line));
        if place.column > 0 {
            properties.push(format!("col={}", place.column));
        }
    }
    if !title.is_empty() {
        properties.push(format!(
            "title={}",
            property(&one_line(&without_logins(title)))
        ));
    }
    let space = if properties.is_empty() { "" } else { " " };
    let message = data(&one_line(&without_logins(message)));
    format!("::error{space}{}::{message}\n", properties.join(","))
}

/// Text after the second `::` of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Adds the summary of a run to what GitHub shows of the job.
pub(super) fn summarize(record: &RunRecord) {
    let path = variable("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    let Some(path) = path.filter(|_| CiService::here() == Some(CiService::GitHub)) else {
        return;
    };
    // It belongs to the service: a summary that cannot be written fails no build.
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    drop(file.and_then(|mut file| file.write_all(markdown(record).as_bytes())));
}

/// A run in Markdown.
fn markdown(record: &RunRecord) -> String {
    let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
    let count = |status| record.count(status);
    let failed = count(Status::Failed);
    let mut text = format!(
        "### jackal: {}\n\n| executed | cached | skipped | failed | time |\n| --: | --: | --: | --: | --: |\n| {} | {} | {} | {failed} | {:.1} s |\n",
        if failed == 0 { "succeeded" } else { "failed" },
        count(Status::Executed),
        count(Status::Cached),
        count(Status::Skipped),
        seconds(record.wall_ms),
    );
    let all = record.tasks.iter();
    let wrong: Vec<_> = all.filter(|task| task.status == Status::Failed).collect();
    if !wrong.is_empty() {
        text.push_str("\n| failed | why |\n| --- | --- |\n");
        for task in wrong.iter().take(LISTED) {
            let _ = writeln!(text, "| {} | {} |", cell(&task.task), cell(&task.reason));
            for test in task
                .tests
                .iter()
                .flat_map(|tests| &tests.failed)
                .take(LISTED)
            {
                let what = format!("{} {}", test.name, test.place);
                let _ = writeln!(text, "| {} | {} |", cell(&what), cell(&test.message));
            }
        }
        more(&mut text, wrong.len());
    }
    let mut slow: Vec<_> = (record.tasks.iter())
        .filter(|task| task.status == Status::Executed)
        .collect();
    slow.sort_by_key(|task| std::cmp::Reverse(task.wall_ms));
    if !slow.is_empty() {
        text.push_str("\n| executed | time | why |\n| --- | --: | --- |\n");
        for task in slow.iter().take(LISTED) {
            let (name, reason) = (cell(&task.task), cell(&task.reason));
            let _ = writeln!(
                text,
                "| {name} | {:.1} s | {reason} |",
                seconds(task.wall_ms)
            );
        }
        more(&mut text, slow.len());
    }
    let files: Vec<&String> = record.tasks.iter().flat_map(|task| &task.files).collect();
    if !files.is_empty() {
        text.push('\n');
        for file in files {
            let _ = writeln!(text, "- {}", cell(file));
        }
    }
    text.push('\n');
    text
}

fn more(text: &mut String, count: usize) {
    if count > LISTED {
        let _ = writeln!(text, "\nand {} more", count - LISTED);
    }
}

/// Text that is neither markup nor the end of a cell: names and reasons may be anybody's.
fn cell(text: &str) -> String {
    let text = one_line(&without_logins(text));
    let mut safe = String::from("<code>");
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '|' => safe.push_str("&#124;"),
            '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '@' | '#' | '!' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe.push_str("</code>");
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_a_place_is_an_annotation_of_that_line() {
        let message = "error: p/a.yaml:4:10: no task named `x`\n4 | a\n  help: Add it.\n";
        assert_eq!(
            annotations(message),
            "::error file=p/a.yaml,line=4,col=10::no task named `x`\n"
        );
        assert_eq!(annotations("error: no such file: x"), "");
        assert_eq!(annotations("error: the port 127.0.0.1:80: refused"), "");
    }

    #[test]
    fn texts_of_strangers_end_neither_an_annotation_nor_a_cell() {
        let place = place("a,b:c.rs:3").unwrap();
        assert_eq!(
            annotation(&place, "t: 1,2", "100% \n::add-mask::x"),
            "::error file=a%2Cb%3Ac.rs,line=3,title=t%3A 1%2C2::100%25 %0A::add-mask::x\n"
                .replace("%0A", "\u{fffd}")
        );
        assert_eq!(cell("a|<b>`"), "<code>a&#124;&lt;b&gt;&#96;</code>");
    }

    #[test]
    fn logs_are_folded_as_each_service_reads_it() {
        let github = CiService::GitHub.folded("executed t", "  | x\n", "t", 7);
        assert_eq!(github, "::group::executed t\n  | x\n::endgroup::\n");
        let gitlab = CiService::GitLab.folded("executed a:t", "  | x\n", "a:t", 7);
        assert_eq!(
            gitlab,
            "\u{1b}[0Ksection_start:7:a_t[collapsed=true]\r\u{1b}[0Kexecuted a:t\n  | x\n\u{1b}[0Ksection_end:7:a_t\r\u{1b}[0K"
        );
    }
}
