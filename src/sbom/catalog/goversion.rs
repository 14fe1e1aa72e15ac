//! Versions of Go programs whose build information has none.
//!
//! Reads linker flags and repository facts. Never guesses: anything unexpected means
//! no version.

/// The value of a build setting without Go's quotes around it.
pub(super) fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => {
            let inner = value
                .strip_prefix('`')
                .and_then(|value| value.strip_suffix('`'));
            inner.unwrap_or(value).to_owned()
        }
    }
}

/// The version that linker flags set in a variable with a name such as `version`, in
/// package `main` or below the module `main`.
pub(super) fn from_flags(flags: &str, main: &str) -> Option<String> {
    let words = || {
        flags
            .split(|c: char| c.is_whitespace() || "'\"".contains(c))
            .map(|word| word.strip_prefix("-X=").unwrap_or(word))
            .filter_map(|word| word.split_once('='))
            .filter_map(|(variable, value)| {
                let (package, name) = variable.rsplit_once('.')?;
                Some((package, name.to_ascii_lowercase(), semantic(value)?))
            })
    };
    let below = |package: &str| {
        let rest = package.strip_prefix(main);
        !main.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_main = |package: &str| package == "main";
    let find = |of: &dyn Fn(&str) -> bool, wanted: &dyn Fn(&str) -> bool| {
        words()
            .find(|(package, name, _)| of(package) && wanted(name))
            .map(|(.., version)| version)
    };
    let is_version = |name: &str| {
        matches!(
            name,
            "version" | "buildversion" | "gitversion" | "appversion"
        )
    };
    let like_version = |name: &str| name.contains("version") && !name.contains("go");
    let is_tag = |name: &str| matches!(name, "tag" | "gittag");
    find(&is_main, &is_version)
        .or_else(|| find(&below, &is_version))
        .or_else(|| find(&is_main, &like_version))
        .or_else(|| find(&below, &is_tag))
        .or_else(|| find(&is_main, &is_tag))
}

/// `value` with a leading `v`, if it has three numbers and an optional suffix.
fn semantic(value: &str) -> Option<String> {
    let plain = value.strip_prefix('v').unwrap_or(value);
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let numbers = plain[..end].split('.');
    let fine = numbers.clone().count() == 3
        && numbers
            .clone()
            .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        && plain[end..]
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    fine.then(|| format!("v{plain}"))
}

/// The pseudo-version of a commit: its time and the start of its name.
pub(super) fn pseudo(revision: &str, time: &str) -> Option<String> {
    let short = revision.get(..12)?;
    let date = time.strip_suffix('Z')?;
    let digits: String = date.chars().filter(char::is_ascii_digit).collect();
    let fine = short.bytes().all(|b| b.is_ascii_hexdigit()) && digits.len() == 14;
    fine.then(|| format!("v0.0.0-{digits}-{short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_of_the_program_itself_count() {
        let version = |flags| from_flags(flags, "e.org/m");
        assert_eq!(version("-X main.version=1.2.3").as_deref(), Some("v1.2.3"));
        assert_eq!(
            version("-X 'e.org/m/internal/build.Version=v1.2.3-rc.1'").as_deref(),
            Some("v1.2.3-rc.1")
        );
        assert_eq!(
            version("-s -X=main.gitTag=v2.0.0").as_deref(),
            Some("v2.0.0")
        );
        assert_eq!(version("-X k8s.io/base.gitVersion=v1.2.3"), None);
        assert_eq!(version("-X e.org/more.version=1.2.3"), None);
        assert_eq!(version("-X main.version=latest -X main.date=1.2"), None);
        assert_eq!(version("-X main.goVersion=1.2.3"), None);
    }

    #[test]
    fn quoted_settings_are_read() {
        assert_eq!(unquoted("\"-X \\\"a\\\"\""), "-X \"a\"");
        assert_eq!(unquoted("`x`"), "x");
        assert_eq!(unquoted("\""), "\"");
        assert_eq!(pseudo("é123456789ab", "2024-12-13T18:41:10Z"), None);
    }
}
