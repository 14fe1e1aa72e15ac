//! File names in `sboms.tar`.

use crate::oci::Digest;

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

/// What Zarf calls the file of a document.
#[must_use]
pub fn of_zarf(file: &str) -> String {
    match file.strip_prefix("jackal-component-") {
        Some(component) => format!("zarf-component-{component}"),
        None => file.to_owned(),
    }
}

/// Begins the file names of documents of whole packages.
pub const PACKAGE: &str = "jackal-package-";

/// File name of the document of a whole package.
#[must_use]
pub fn package(name: &str) -> String {
    normalise(&format!("{PACKAGE}{name}.json"))
}

/// A name of its own for the document of `subject`, of which another one has `file`.
#[must_use]
pub fn distinct(file: &str, subject: &str) -> String {
    let stem = file.strip_suffix(".json").unwrap_or(file);
    let digest = Digest::of(subject.as_bytes()).hex();
    format!("{stem}-{}.json", &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_name_has_a_suffix_that_depends_on_its_subject() {
        let second = distinct("r.io_a_b_1.json", "r.io/a_b:1");
        assert_eq!(second.len(), "r.io_a_b_1-01234567.json".len());
        assert!(second.starts_with("r.io_a_b_1-") && second.ends_with(".json"));
        assert_ne!(second, distinct("r.io_a_b_1.json", "r.io/a/b:1"));
    }

    #[test]
    fn names_keep_letters_digits_dots_and_dashes_only() {
        assert_eq!(
            image("docker.io/library/nginx:1.25"),
            "docker.io_library_nginx_1.25.json"
        );
        assert_eq!(component("base_é"), "jackal-component-base__.json");
        assert_eq!(of_zarf(&component("base")), "zarf-component-base.json");
        assert_eq!(of_zarf("r.io_a_1.json"), "r.io_a_1.json");
    }
}
