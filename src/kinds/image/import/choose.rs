//! Selects an image by reference or tag, or the only one.

use std::path::Path;

use crate::kinds::image::import::ImportError;
use crate::oci::{Digest, Platform, Reference};
use crate::text::first_of;

/// Facts about an image that are known before it is opened.
pub(crate) struct Candidate {
    pub names: Vec<String>,
    pub digest: Option<Digest>,
    pub platform: Option<Platform>,
}

/// Why no image was selected; converted to an [`ImportError`] where the path is known.
#[derive(Debug)]
pub(crate) enum NoChoice {
    NotThere { wanted: String, found: String },
    Several { found: String, name: String },
}

impl NoChoice {
    /// The error about the image at `path`, as it is named after `transport`.
    pub(crate) fn at(self, path: &Path, transport: &str) -> ImportError {
        let path = path.to_owned();
        match self {
            Self::NotThere { wanted, found } => ImportError::NotThere {
                path,
                wanted,
                found,
            },
            Self::Several { found, name } => {
                let example = format!("{transport}{}:{name}", path.display());
                ImportError::Several {
                    path,
                    found,
                    example,
                }
            }
        }
    }
}

/// The index of the selected image.
///
/// Names are compared exactly first, then as references, then by tag. Among several
/// images with one name, the platform decides.
pub(crate) fn choose(
    candidates: &[Candidate],
    wanted: Option<&str>,
    platform: &Platform,
) -> Result<usize, NoChoice> {
    let all = || (0..candidates.len()).collect::<Vec<_>>();
    let Some(wanted) = wanted else {
        return only(candidates, &all(), platform).ok_or_else(|| match candidates {
            [] => NoChoice::NotThere {
                wanted: "of any name".to_owned(),
                found: "an empty list".to_owned(),
            },
            _ => several(candidates, &all()),
        });
    };
    let reference: Option<Reference> = wanted.parse().ok();
    let digest = reference.as_ref().and_then(Reference::digest);
    let tag = reference.as_ref().and_then(Reference::tag);
    let full = |name: &str| {
        name.contains([':', '/'])
            .then(|| name.parse::<Reference>().ok())
            .flatten()
    };
    let rules: [&dyn Fn(&str) -> bool; 3] = [
        &|name| name == wanted,
        &|name| reference.is_some() && full(name) == reference,
        &|name| match full(name) {
            Some(name) => name.tag() == Some(wanted),
            None => wanted.contains([':', '/']) && tag == Some(name),
        },
    ];
    for rule in rules {
        let hits: Vec<usize> = all()
            .into_iter()
            .filter(|&at| candidates[at].names.iter().any(|name| rule(name)))
            .collect();
        if !hits.is_empty() {
            return only(candidates, &hits, platform).ok_or_else(|| several(candidates, &hits));
        }
    }
    let by_digest = |candidate: &Candidate| digest.is_some() && candidate.digest == digest;
    candidates
        .iter()
        .position(by_digest)
        .ok_or_else(|| NoChoice::NotThere {
            wanted: wanted.chars().take(300).collect(),
            found: names(candidates, &all()),
        })
}

/// The only image among `hits`, or the one for the platform.
fn only(candidates: &[Candidate], hits: &[usize], platform: &Platform) -> Option<usize> {
    let first = *hits.first()?;
    let same = |at: &usize| {
        let (one, other) = (candidates[first].digest, candidates[*at].digest);
        *at == first || one.is_some() && one == other
    };
    if hits.iter().all(same) {
        return Some(first);
    }
    let one_name = hits
        .iter()
        .all(|&at| candidates[at].names == candidates[first].names);
    let fits = |at: &usize| {
        let found = candidates[*at].platform.as_ref();
        found.is_some_and(|found| platform.accepts(found))
    };
    hits.iter().copied().find(|at| one_name && fits(at))
}

/// The error that lists the images at `hits`, and one that can be named.
fn several(candidates: &[Candidate], hits: &[usize]) -> NoChoice {
    let named = hits.iter().flat_map(|&at| candidates[at].names.first());
    let first = named.map(String::as_str).next().unwrap_or("1.0");
    NoChoice::Several {
        found: names(candidates, hits),
        name: first.chars().take(300).collect(),
    }
}

/// A few names, for an error.
fn names(candidates: &[Candidate], hits: &[usize]) -> String {
    let shown = |&at: &usize| match (candidates[at].names.first(), candidates[at].digest) {
        (Some(name), _) => name.chars().take(300).collect::<String>(),
        (None, Some(digest)) => format!("an unnamed one ({digest})"),
        (None, None) => "an unnamed one".to_owned(),
    };
    match hits.is_empty() {
        true => "an empty list".to_owned(),
        false => first_of(hits.iter().map(shown), 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, content: &str, platform: Option<&str>) -> Candidate {
        Candidate {
            names: (!name.is_empty())
                .then(|| name.to_owned())
                .into_iter()
                .collect(),
            digest: Some(Digest::of(content.as_bytes())),
            platform: platform.map(|platform| platform.parse().unwrap()),
        }
    }

    fn chosen(candidates: &[Candidate], wanted: Option<&str>) -> Option<usize> {
        choose(candidates, wanted, &"linux/arm64".parse().unwrap()).ok()
    }

    #[test]
    fn names_match_in_full_normalised_or_by_their_tag() {
        let images = [
            candidate("docker.io/library/nginx:1.25", "a", None),
            candidate("v2", "b", None),
            candidate("", "c", None),
        ];
        for wanted in ["nginx:1.25", "docker.io/library/nginx:1.25", "1.25"] {
            assert_eq!(chosen(&images, Some(wanted)), Some(0), "{wanted}");
        }
        assert_eq!(chosen(&images, Some("v2")), Some(1));
        assert_eq!(chosen(&images, Some("ghcr.io/a/b:v2")), Some(1));
        let by_digest = format!("a@{}", Digest::of(b"c"));
        assert_eq!(chosen(&images, Some(&by_digest)), Some(2));
        for wanted in ["nginx", "nginx:1.26", "v", ""] {
            assert_eq!(chosen(&images, Some(wanted)), None, "{wanted}");
        }
        assert_eq!(chosen(&images, None), None);
        assert_eq!(chosen(&images[1..2], None), Some(0));
        assert_eq!(chosen(&[], None), None);
    }

    #[test]
    fn one_name_for_several_platforms_is_decided_by_the_platform() {
        let images = [
            candidate("a:1", "a", Some("linux/amd64")),
            candidate("a:1", "b", Some("linux/arm64/v8")),
        ];
        assert_eq!(chosen(&images, Some("a:1")), Some(1));
        assert_eq!(chosen(&images, None), Some(1));
        let images = [candidate("a:1", "a", None), candidate("b:1", "b", None)];
        assert_eq!(chosen(&images, Some("1")), None);
        let twice = [candidate("a:1", "a", None), candidate("b:1", "a", None)];
        assert_eq!(chosen(&twice, Some("1")), Some(0));
    }
}
