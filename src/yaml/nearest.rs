//! The known name that a misspelt one probably means.

/// The name among `known` that is closest to `name`, if they differ by a typo or
/// two: at most one edit, and one more for every four letters.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(name, word), word));
    let (distance, word) = distances.min()?;
    (distance <= 1 + name.len() / 4).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_near_and_another_word_is_not() {
        let known = ["component", "package", "sbom"];
        assert_eq!(nearest("componnet", known), Some("component"));
        assert_eq!(nearest("sbmo", known), Some("sbom"));
        assert_eq!(nearest("deploy", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
