//! The known name that a misspelt one probably means.

/// Longest name that is compared, in bytes: the time grows with its length, for each
/// known name and for each mistake of a file.
const MAX_COMPARED: usize = 64;

/// The name among `known` that is closest to `name`, if they differ by a typo or
/// two: at most one edit, and one more for every four letters.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
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
        let long = "x".repeat(65);
        assert_eq!(nearest(&long, [&long[1..]]), None, "not compared");
    }
}
