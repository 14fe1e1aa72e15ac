//! Paths in definitions, as text. Never looks at a disk.

/// `path` without `.`, double slashes and inner `..`. Empty for the folder
/// itself.
pub(super) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if absolute {
        format!("/{joined}")
    } else {
        joined
    }
}

/// Makes `path`, written in a definition in `folder`, relative to the same base
/// as `folder`. URLs and absolute paths stay.
pub(super) fn join(folder: &str, path: &str) -> String {
    if is_url(path) || path.starts_with('/') {
        return path.to_owned();
    }
    match clean(format!("{folder}/{path}").trim_start_matches('/')) {
        own if own.is_empty() => ".".to_owned(),
        joined => joined,
    }
}

/// Whether `text` is a URL.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_importing_package() {
        assert_eq!(join("", "./a//b/../c"), "a/c");
        assert_eq!(join("../common", "x"), "../common/x");
        assert_eq!(join("../common", "../x"), "../x");
        assert_eq!(join("../a/b", "../../c"), "../c");
        assert_eq!(join("..", "../x"), "../../x");
        assert_eq!(join("a", ".."), ".");
        assert_eq!(join("a", "https://example.com/x"), "https://example.com/x");
        assert_eq!(join("a", "/etc/passwd"), "/etc/passwd");
        assert_eq!(clean("/../a"), "/a");
    }
}
