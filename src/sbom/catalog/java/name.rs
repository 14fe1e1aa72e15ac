//! What the name of an archive says: its name and its version.

/// The name and the version in the name of an archive, without what follows the last dot.
/// Either may be empty.
pub(super) fn split(file: &str) -> (&str, &str) {
    let stem = stem(file);
    match ['-', '_', '.'].into_iter().find_map(|mark| cut(stem, mark)) {
        Some(at) => (&stem[..at], &stem[at + 1..]),
        None => (stem, ""),
    }
}

/// The name of a file without its folders and what follows the last dot.
pub(super) fn stem(file: &str) -> &str {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

/// Where the `mark` before the version is.
fn cut(stem: &str, mark: char) -> Option<usize> {
    let mut marks = stem.match_indices(mark).map(|(at, _)| at);
    marks.find(|at| *at > 0 && is_version(&stem[at + 1..]))
}

/// Whether `text` begins as versions do: `1` or `build1`; `r1` and `rc1` must be all of it.
fn is_version(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    if text
        .strip_prefix("build")
        .unwrap_or(text)
        .starts_with(is_digit)
    {
        return true;
    }
    let release = text
        .strip_prefix('r')
        .map(|rest| rest.strip_prefix('c').unwrap_or(rest));
    release.is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_begins_at_the_first_number() {
        for (file, expected) in [
            ("some-package-4.0.1.jar", ("some-package", "4.0.1")),
            ("my-http2-server-5.war", ("my-http2-server", "5")),
            ("jetpack-build235-rc5.jar", ("jetpack", "build235-rc5")),
            ("ironman-r4-2009.jar", ("ironman-r4", "2009")),
            ("tool-rc12.jar", ("tool", "rc12")),
            ("tool-r1x.jar", ("tool-r1x", "")),
            ("jtidy-4aug2000r7.jar", ("jtidy", "4aug2000r7")),
            ("guava-33.0.0-jre.jar", ("guava", "33.0.0-jre")),
            ("a/b/plain.jar", ("plain", "")),
            ("org.eclipse.osgi_3.18.jar", ("org.eclipse.osgi", "3.18")),
            ("-1.jar", ("-1", "")),
            ("", ("", "")),
        ] {
            assert_eq!(split(file), expected, "{file}");
        }
    }
}
