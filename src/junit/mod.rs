//! Reports of test programs, in the XML that JUnit's runners made common.
//!
//! No standard defines it; [`read`] takes what pytest, vitest, Surefire, Gradle, CTest and
//! gotestsum write. A report is untrusted: whatever it holds is bounded.

mod place;
mod read;
mod write;

use std::collections::{HashMap, VecDeque};

pub use place::place;
pub use read::{Budget, MAX_FILE_BYTES, MAX_NAME, ReadError, read};
pub use write::write;

/// Maximum number of failed cases of an attempt that later attempts keep.
const MAX_CARRIED: usize = 1000;

/// Maximum length of the text of each of them, in bytes: 4 KiB.
const MAX_CARRIED_TEXT: usize = 4 << 10;

/// The report `bytes`, written twice and a third time: the same. What is read the first time
/// may be longer than a text that is read, once it is written.
///
/// # Errors
///
/// [`ReadError`]: it is no report.
#[doc(hidden)]
pub fn rewritten(bytes: &[u8]) -> Result<[String; 2], ReadError> {
    let written = |suites| write(&Report { suites });
    let first = written(read(bytes, &mut Budget::default())?);
    let again = |text: &str| Ok(written(read(text.as_bytes(), &mut Budget::of_own())?));
    let second = again(&first)?;
    let third = again(&second)?;
    Ok([second, third])
}

/// The suites of one or more reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub suites: Vec<Suite>,
}

/// Cases that ran together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    pub name: String,
    /// In microseconds; 0 if the report does not say.
    pub time: u64,
    pub timestamp: String,
    pub hostname: String,
    pub properties: Vec<(String, String)>,
    pub cases: Vec<Case>,
    pub out: String,
    pub err: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    /// What the report calls its class: also a module, a file or a package.
    pub class: String,
    pub file: String,
    pub line: String,
    /// In microseconds; 0 if the report does not say.
    pub time: u64,
    pub properties: Vec<(String, String)>,
    /// Empty: it passed.
    pub verdicts: Vec<Verdict>,
    pub out: String,
    pub err: String,
}

/// What happened to a case, apart from passing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub kind: VerdictKind,
    pub message: String,
    /// The class of the exception, or what the program has in its place.
    pub exception: String,
    /// A stack trace, mostly.
    pub text: String,
}

/// The kind of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    Failure,
    Error,
    Skipped,
    /// It failed, and passed in a later attempt.
    FlakyFailure,
    FlakyError,
    /// It failed in another attempt as well.
    RerunFailure,
    RerunError,
}

impl VerdictKind {
    /// All kinds with the names of their elements. Those of attempts are Surefire's.
    const NAMES: [(&'static str, Self); 7] = [
        ("failure", Self::Failure),
        ("error", Self::Error),
        ("skipped", Self::Skipped),
        ("flakyFailure", Self::FlakyFailure),
        ("flakyError", Self::FlakyError),
        ("rerunFailure", Self::RerunFailure),
        ("rerunError", Self::RerunError),
    ];

    /// Whether it happened in another attempt than the one that counts.
    #[must_use]
    pub fn is_of_another_attempt(self) -> bool {
        !matches!(self, Self::Failure | Self::Error | Self::Skipped)
    }

    fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, kind)| *kind == self)
            .map_or("failure", |(name, _)| name)
    }
}

impl Verdict {
    /// A verdict with this message only.
    pub fn new(kind: VerdictKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            exception: String::new(),
            text: String::new(),
        }
    }
}

/// How many cases there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub suites: u64,
    pub tests: u64,
    pub failures: u64,
    pub errors: u64,
    pub skipped: u64,
    /// Passed after they failed.
    pub flaky: u64,
    /// In microseconds.
    pub time: u64,
}

impl Counts {
    fn add(&mut self, suite: &Suite) {
        self.suites += 1;
        self.time = self.time.saturating_add(suite.duration());
        for case in &suite.cases {
            self.tests += 1;
            match case.outcome() {
                Outcome::Error => self.errors += 1,
                Outcome::Failed => self.failures += 1,
                Outcome::Skipped => self.skipped += 1,
                Outcome::Flaky => self.flaky += 1,
                Outcome::Passed => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// Passed after it failed.
    Flaky,
    Skipped,
    Failed,
    /// It could not be run to its end.
    Error,
}

impl Outcome {
    fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }
}

impl Suite {
    /// Its time in microseconds: what the report says, or else that of its cases.
    fn duration(&self) -> u64 {
        match self.time {
            0 => self
                .cases
                .iter()
                .fold(0, |sum: u64, case| sum.saturating_add(case.time)),
            time => time,
        }
    }
}

impl Case {
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        use VerdictKind as Kind;
        let has = |kinds: &[Kind]| self.verdicts.iter().any(|one| kinds.contains(&one.kind));
        if has(&[Kind::Error]) {
            Outcome::Error
        } else if has(&[Kind::Failure]) {
            Outcome::Failed
        } else if has(&[Kind::Skipped]) {
            Outcome::Skipped
        } else if has(&[Kind::FlakyFailure, Kind::FlakyError]) {
            Outcome::Flaky
        } else {
            Outcome::Passed
        }
    }

    /// The verdict that made it fail.
    #[must_use]
    pub fn reason(&self) -> Option<&Verdict> {
        let mut verdicts = self.verdicts.iter();
        verdicts.find(|one| matches!(one.kind, VerdictKind::Failure | VerdictKind::Error))
    }
}

impl Report {
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.suites.iter().for_each(|suite| counts.add(suite));
        counts
    }

    /// The cases that failed, each with the name of its suite.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &Case)> {
        let cases = self.suites.iter().flat_map(|suite| {
            let cases = suite.cases.iter();
            cases.map(|case| (suite.name.as_str(), case))
        });
        cases.filter(|(_, case)| case.outcome().is_bad())
    }

    /// Applies `change` to every text that a test may have printed.
    pub fn each_text(&mut self, change: &dyn Fn(&mut String)) {
        for suite in &mut self.suites {
            let Suite {
                name,
                timestamp,
                hostname,
                properties,
                cases,
                out,
                err,
                time: _,
            } = suite;
            [name, timestamp, hostname, out, err]
                .into_iter()
                .for_each(change);
            each_property(properties, change);
            for case in cases {
                let Case {
                    name,
                    class,
                    file,
                    line,
                    properties,
                    verdicts,
                    out,
                    err,
                    time: _,
                } = case;
                [name, class, file, line, out, err]
                    .into_iter()
                    .for_each(change);
                each_property(properties, change);
                for verdict in verdicts {
                    let Verdict {
                        message,
                        exception,
                        text,
                        kind: _,
                    } = verdict;
                    [message, exception, text].into_iter().for_each(change);
                }
            }
        }
    }

    /// The failures of an attempt, bounded, for the report of a later one.
    #[must_use]
    pub fn carried(&self) -> Self {
        let mut suites: Vec<Suite> = Vec::new();
        for (suite, case) in self.failed().take(MAX_CARRIED) {
            if suites.last().is_none_or(|last| last.name != suite) {
                suites.push(Suite {
                    name: suite.to_owned(),
                    ..Suite::default()
                });
            }
            let verdict = case.reason().map(|reason| Verdict {
                text: cut(&reason.text, MAX_CARRIED_TEXT),
                message: cut(&reason.message, MAX_CARRIED_TEXT),
                ..reason.clone()
            });
            if let Some(last) = suites.last_mut() {
                last.cases.push(Case {
                    name: case.name.clone(),
                    class: case.class.clone(),
                    verdicts: verdict.into_iter().collect(),
                    ..Case::default()
                });
            }
        }
        Self { suites }
    }

    /// Marks the cases that failed in `earlier` attempts: as flaky if they passed now.
    pub fn follow(&mut self, earlier: &[Self]) {
        for attempt in earlier {
            let mut known: HashMap<CaseName<'_>, VecDeque<&Verdict>> = HashMap::new();
            for (suite, case) in attempt.failed() {
                let name = (suite, case.class.as_str(), case.name.as_str());
                known.entry(name).or_default().extend(case.reason());
            }
            for suite in &mut self.suites {
                for case in &mut suite.cases {
                    let name = (suite.name.as_str(), case.class.as_str(), case.name.as_str());
                    let before = known.get_mut(&name).and_then(VecDeque::pop_front);
                    let before = before.map(|before| again(before, case.outcome()));
                    case.verdicts.extend(before);
                }
            }
        }
    }
}

/// Suite, class and name of a case.
type CaseName<'r> = (&'r str, &'r str, &'r str);

/// The failure of an earlier attempt, as a verdict of a case that ended as `now`.
fn again(before: &Verdict, now: Outcome) -> Verdict {
    let kind = match (before.kind, now.is_bad()) {
        (VerdictKind::Error, false) => VerdictKind::FlakyError,
        (_, false) => VerdictKind::FlakyFailure,
        (VerdictKind::Error, true) => VerdictKind::RerunError,
        (_, true) => VerdictKind::RerunFailure,
    };
    Verdict {
        kind,
        ..before.clone()
    }
}

fn each_property(properties: &mut [(String, String)], change: &dyn Fn(&mut String)) {
    for (name, value) in properties {
        change(name);
        change(value);
    }
}

/// The first `longest` bytes of `text`, at most.
fn cut(text: &str, longest: usize) -> String {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
