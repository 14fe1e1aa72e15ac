//! A run record as a JUnit XML document: each task is a suite.

use super::record::{RunRecord, Status, TaskRecord};
use crate::junit::{Case, Report, Suite, Verdict, VerdictKind, write};

/// Maximum length of a log in the document, in bytes: its last 64 KiB.
const MAX_LOG: usize = 64 << 10;

/// The document: tasks in the order of their names. A task without reports is one case;
/// others bring their suites, with the task's name in front.
#[must_use]
pub fn junit(record: &RunRecord) -> String {
    let mut tasks: Vec<&TaskRecord> = record.tasks.iter().collect();
    tasks.sort_by(|one, other| one.task.cmp(&other.task));
    let suites = tasks.into_iter().flat_map(suites).collect();
    write(&Report { suites })
}

fn suites(task: &TaskRecord) -> Vec<Suite> {
    let reported = task.report.iter().flat_map(|report| report.suites.iter());
    let own = is_case(task).then(|| own_suite(task));
    let mut suites: Vec<Suite> = own.into_iter().collect();
    suites.extend(reported.map(|suite| Suite {
        name: format!("{}: {}", task.task, suite.name),
        ..suite.clone()
    }));
    for suite in &mut suites {
        let status = ("jackal.status".to_owned(), task.status.word().to_owned());
        suite.properties.insert(0, status);
    }
    suites
}

/// Whether a task is a case itself: its reports, if there are any, do not tell how it
/// ended, or why it was retried.
fn is_case(task: &TaskRecord) -> bool {
    let Some(report) = &task.report else {
        return true;
    };
    let silent_failure = task.status == Status::Failed && report.failed().next().is_none();
    let mut cases = report.suites.iter().flat_map(|suite| &suite.cases);
    let again = |case: &Case| {
        let mut verdicts = case.verdicts.iter();
        verdicts.any(|verdict| verdict.kind.is_of_another_attempt())
    };
    silent_failure || !task.retried.is_empty() && !cases.any(again)
}

fn own_suite(task: &TaskRecord) -> Suite {
    let time = task.wall_ms.saturating_mul(1000);
    let (own, again) = match task.status {
        Status::Failed => (Some(VerdictKind::Failure), VerdictKind::RerunFailure),
        Status::Skipped => (Some(VerdictKind::Skipped), VerdictKind::RerunFailure),
        Status::Executed | Status::Cached => (None, VerdictKind::FlakyFailure),
    };
    let own = own.map(|kind| Verdict::new(kind, &task.reason));
    let retried = task.retried.iter();
    let verdicts = own
        .into_iter()
        .chain(retried.map(|reason| Verdict::new(again, reason)));
    let case = Case {
        name: task.task.clone(),
        class: task.verb.clone(),
        time,
        verdicts: verdicts.collect(),
        out: match task.status {
            Status::Failed => end(&task.log).to_owned(),
            _ => String::new(),
        },
        ..Case::default()
    };
    Suite {
        name: task.task.clone(),
        time,
        cases: vec![case],
        ..Suite::default()
    }
}

/// The end of a log.
fn end(log: &str) -> &str {
    let mut start = log.len().saturating_sub(MAX_LOG);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    &log[start..]
}

impl RunRecord {
    /// The tasks that succeeded only after a retry, of their own or of a test.
    #[must_use]
    pub fn flaky(&self) -> usize {
        let flaky = |task: &&TaskRecord| {
            let tests = task.tests.as_ref().is_some_and(|tests| tests.flaky > 0);
            task.status == Status::Executed && (tests || !task.retried.is_empty())
        };
        self.tasks.iter().filter(flaky).count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::junit::{Budget, Outcome, read};
    use crate::run::record::{RECORD_VERSION, TestsRecord};

    fn task(name: &str, status: Status, report: Option<&str>) -> TaskRecord {
        let report = report.map(|text| Report {
            suites: read(text.as_bytes(), &mut Budget::default()).unwrap(),
        });
        TaskRecord {
            status,
            reason: match status {
                Status::Executed | Status::Cached => String::new(),
                _ => format!("why {name}"),
            },
            tests: report.as_ref().map(TestsRecord::of),
            report: report.map(Arc::new),
            wall_ms: 1500,
            ..TaskRecord::new(name, "run")
        }
    }

    fn record(tasks: Vec<TaskRecord>) -> RunRecord {
        RunRecord {
            version: RECORD_VERSION,
            jackal: String::new(),
            start_ms: 0,
            wall_ms: 0,
            tasks,
        }
    }

    /// The suites of the document, each with how its cases ended.
    fn read_back(record: &RunRecord) -> Vec<(String, Vec<Outcome>)> {
        let suites = read(junit(record).as_bytes(), &mut Budget::default()).unwrap();
        let of = |suite: Suite| {
            let cases = suite.cases.iter().map(Case::outcome).collect();
            (suite.name, cases)
        };
        suites.into_iter().map(of).collect()
    }

    const PASSES: &str = "<testsuite name='s'><testcase name='a'/></testsuite>";

    #[test]
    fn each_task_is_a_suite_and_brings_the_suites_of_its_tests() {
        let fails = "<testsuite name='s'><testcase name='a'><failure/></testcase><testcase name='b'/></testsuite>";
        let found = read_back(&record(vec![
            task("z", Status::Skipped, None),
            task("b", Status::Failed, Some(fails)),
            task("c", Status::Failed, None),
            task("a", Status::Cached, Some(PASSES)),
            task("d", Status::Executed, None),
        ]));
        let expected = [
            ("a: s", vec![Outcome::Passed]),
            ("b: s", vec![Outcome::Failed, Outcome::Passed]),
            ("c", vec![Outcome::Failed]),
            ("d", vec![Outcome::Passed]),
            ("z", vec![Outcome::Skipped]),
        ];
        let expected = expected.map(|(name, cases)| (name.to_owned(), cases));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_no_report_tells_is_a_case_of_the_task() {
        let retried = TaskRecord {
            retried: vec!["timed out".to_owned()],
            ..task("b", Status::Executed, Some(PASSES))
        };
        let record = record(vec![task("a", Status::Failed, Some(PASSES)), retried]);
        let expected = [
            ("a", vec![Outcome::Failed]),
            ("a: s", vec![Outcome::Passed]),
            ("b", vec![Outcome::Flaky]),
            ("b: s", vec![Outcome::Passed]),
        ];
        let expected = expected.map(|(name, cases)| (name.to_owned(), cases));
        assert_eq!(read_back(&record), expected);
        assert_eq!(record.flaky(), 1);
    }
}
