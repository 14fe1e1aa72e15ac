//! What a statement claims to be about, before anything of it is checked.
//!
//! Holds the digests of its subjects and nothing else, within limits: statements
//! come from anyone.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bundle::{Bundle, Content};
use super::envelope::{Envelope, MAX_DIGESTS, MAX_SUBJECTS, names};

/// The digests of a statement's subjects, by algorithm.
pub struct Claims(Vec<BTreeMap<String, String>>);

impl Claims {
    /// The claims of the statement in `envelope`, unverified; none if it cannot
    /// be parsed.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        let read = serde_json::from_slice::<Claimed>(&envelope.payload);
        let subjects = read.map(|claimed| claimed.subject.0).unwrap_or_default();
        Self(subjects.into_iter().map(|one| one.digest.0).collect())
    }

    /// Whether the statement in `bundle` names `digest`, unverified.
    #[must_use]
    pub fn name(bundle: &[u8], digest: &(&str, String)) -> bool {
        match Bundle::parse(bundle).as_ref().map(Bundle::content) {
            Ok(Content::Envelope(envelope)) => {
                Self::of(envelope).about(std::slice::from_ref(digest))
            }
            _ => false,
        }
    }

    /// Whether one of the subjects has one of `digests`.
    #[must_use]
    pub fn about(&self, digests: &[(&str, String)]) -> bool {
        self.0.iter().any(|found| names(found, digests))
    }
}

#[derive(Deserialize)]
struct Claimed {
    subject: Few<ClaimedSubject, MAX_SUBJECTS>,
}

#[derive(Deserialize)]
struct ClaimedSubject {
    #[serde(default)]
    digest: FewDigests,
}

/// A list of limited length.
struct Few<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T, const MOST: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> serde::de::Visitor<'de> for Visitor<T, MOST> {
            type Value = Few<T, MOST>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MOST {
                        return Err(serde::de::Error::invalid_length(MOST + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Few(items))
            }
        }
        deserializer.deserialize_seq(Visitor(std::marker::PhantomData))
    }
}

#[derive(Default)]
struct FewDigests(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for FewDigests {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = FewDigests;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "at most {MAX_DIGESTS} digests")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut digests = BTreeMap::new();
                while let Some((name, hex)) = map.next_entry()? {
                    if digests.len() == MAX_DIGESTS {
                        return Err(serde::de::Error::invalid_length(MAX_DIGESTS + 1, &self));
                    }
                    digests.insert(name, hex);
                }
                Ok(FewDigests(digests))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
