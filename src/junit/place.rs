//! Where a test failed, as far as its report says.

use super::Case;

/// Longest place, in bytes: longer ones are something else.
const MAX_PLACE: usize = 300;

/// The file and line at which `case` failed: what the text of the failure says, or else
/// the attributes of the case. `None`: the report does not say.
///
/// pytest counts the lines of its attributes from 0, so the text is the better source.
#[must_use]
pub fn place(case: &Case) -> Option<String> {
    let text = case.reason().map_or("", |reason| reason.text.as_str());
    let in_text = || {
        text.lines()
            .rev()
            .find_map(|line| of_line(line.trim_start()))
    };
    let in_trace = || {
        text.lines()
            .find_map(|line| of_frame(line.trim(), &case.class))
    };
    let in_attributes = || match (case.file.as_str(), case.line.as_str()) {
        ("", _) => None,
        (file, "") => Some(file.to_owned()),
        (file, line) => Some(format!("{file}:{line}")),
    };
    in_trace().or_else(in_text).or_else(in_attributes)
}

/// `test_a.py:12: AssertionError`, `a_test.go:12: got 1`, `❯ src/a.test.ts:5:17`.
fn of_line(line: &str) -> Option<String> {
    let line = line.trim_start_matches(['❯', ' ']);
    let mut parts = line.splitn(3, ':');
    let (file, number) = (parts.next()?, parts.next()?);
    let number = number.split_whitespace().next()?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_file(file) && is_number).then(|| format!("{file}:{number}"))
}

/// `at com.acme.CalcTest.adds(CalcTest.java:17)`, in the class of the test.
fn of_frame(line: &str, class: &str) -> Option<String> {
    let (method, rest) = line.strip_prefix("at ")?.split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    let (file, number) = inner.split_once(':')?;
    let (of_class, _) = method.rsplit_once('.')?;
    let own = of_class.split('$').next() == Some(class) && !class.is_empty();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (own && is_file(file) && is_number).then(|| format!("{file}:{number}"))
}

/// Whether `name` looks like a path with an extension.
fn is_file(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || "()<>\"'`".contains(c);
    let (stem, extension) = name.rsplit_once('.').unwrap_or_default();
    name.len() <= MAX_PLACE
        && !name.contains(odd)
        && !stem.is_empty()
        && (1..=5).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
}
