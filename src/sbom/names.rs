//! File names in `sboms.tar`.

/// Replaces every character but ASCII letters, digits, `.` and `-` with `_`.
#[must_use]
pub fn normalise(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '_',
        })
        .collect()
}

/// File name of an image's SBOM, from its fully qualified reference.
#[must_use]
pub fn image(reference: &str) -> String {
    normalise(&format!("{reference}.json"))
}

/// File name of a component's SBOM.
#[must_use]
pub fn component(name: &str) -> String {
    normalise(&format!("jackal-component-{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_letters_digits_dots_and_dashes_only() {
        assert_eq!(
            image("docker.io/library/nginx:1.25"),
            "docker.io_library_nginx_1.25.json"
        );
        assert_eq!(component("base_é"), "jackal-component-base__.json");
    }
}
