//! Manifests that refer to another one: signatures, attestations, SBOMs.
//!
//! Writes through the referrers API if the registry has it, otherwise to the
//! index under the fallback tag. Reads both, since other clients may have
//! written either. Source: distribution-spec 1.1, "Listing Referrers",
//! "Referrers Tag Schema".

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use reqwest::Method;

use super::RegistryError;
use super::client::{Call, Registry, header, whole};
use super::index::{IndexUpdate, Merge};
use super::retry::Failure;
use crate::oci::{Descriptor, Digest, Index, Manifest, Reference, media_type};
use crate::text::with_causes;

/// Maximum number of pages of a listing, against endless ones.
const MAX_PAGES: usize = 100;

impl Registry {
    /// Every manifest of the repository that refers to `subject`.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: refused, unreachable, or not an index.
    pub async fn referrers(
        &self,
        repository: &Reference,
        subject: Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let listed = self.referrers_in(repository, subject, ListedIn::ALL);
        Ok(listed.await?.0)
    }

    /// The same, from these lists only; also returns which of them have entries.
    ///
    /// # Errors
    ///
    /// As [`referrers`](Self::referrers).
    pub async fn referrers_in(
        &self,
        repository: &Reference,
        subject: Digest,
        lists: ListedIn,
    ) -> Result<(Vec<Descriptor>, ListedIn), RegistryError> {
        let listed = match lists.api {
            true => self.listed(repository, subject).await?.unwrap_or_default(),
            false => Vec::new(),
        };
        let tagged = match lists.fallback {
            true => self.find(&fallback(repository, subject)?).await?,
            false => None,
        };
        let tagged = tagged.and_then(|(_, bytes)| serde_json::from_slice::<Index>(&bytes).ok());
        let tagged = tagged.map(|index| index.manifests).unwrap_or_default();
        let filled = ListedIn {
            api: !listed.is_empty(),
            fallback: !tagged.is_empty(),
        };
        let mut found = BTreeMap::new();
        for descriptor in listed.into_iter().chain(tagged) {
            found.entry(descriptor.digest).or_insert(descriptor);
        }
        Ok((found.into_values().collect(), filled))
    }

    /// Stores manifests that name `subject`, and lets them be found by that.
    ///
    /// Their blobs must be present. Pushing them again changes nothing. The list at the
    /// fallback tag is written once for all of them, and may still be overwritten by
    /// another client: see [`settle_referrers`](Self::settle_referrers).
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: another subject, refused, unreachable.
    pub async fn attach(
        &self,
        repository: &Reference,
        subject: Digest,
        manifests: &[Bytes],
    ) -> Result<Attaching, RegistryError> {
        let mut pushed = Vec::new();
        for bytes in manifests {
            pushed.push(self.push_referrer(repository, subject, bytes).await?);
        }
        // Some registries claim to support subjects but list nothing.
        let listed = match pushed.iter().any(|(_, heeded)| *heeded) {
            true => self.listed(repository, subject).await?.unwrap_or_default(),
            false => Vec::new(),
        };
        let listed: HashSet<Digest> = listed.iter().map(|found| found.digest).collect();
        let left = pushed.into_iter().filter(|(described, heeded)| {
            let known = *heeded && listed.contains(&described.digest);
            !known
        });
        let left: Vec<Descriptor> = left.map(|(described, _)| described).collect();
        if left.is_empty() {
            return Ok(Attaching(None));
        }
        let tag = fallback(repository, subject)?;
        let merge: MergeReferrers = Box::new(move |index| with(index, &left));
        let mut update = IndexUpdate::new(tag, false, merge);
        self.write_index(&mut update).await?;
        Ok(Attaching(Some(update)))
    }

    /// Waits until attached manifests are listed for good. Returns whether another client
    /// had removed one meanwhile.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: endless changes by other clients, refused, unreachable.
    pub async fn settle_referrers(&self, attached: &mut Attaching) -> Result<bool, RegistryError> {
        let Some(update) = &mut attached.0 else {
            return Ok(false);
        };
        let before = update.writes();
        self.settle_index(update).await?;
        Ok(update.writes() > before)
    }

    async fn push_referrer(
        &self,
        repository: &Reference,
        subject: Digest,
        bytes: &Bytes,
    ) -> Result<(Descriptor, bool), RegistryError> {
        let odd = |found: &str| {
            let expected = format!("a manifest with the subject {subject}");
            RegistryError::content(repository, found.to_owned(), expected)
        };
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|_| odd("not a manifest to attach"))?;
        if manifest.subject.map(|named| named.digest) != Some(subject) {
            return Err(odd("a manifest with another subject, or none"));
        }
        let described = Descriptor {
            annotations: manifest.annotations,
            // Without an artifact type, the media type of the config counts.
            artifact_type: Some(manifest.artifact_type.unwrap_or(manifest.config.media_type)),
            ..Descriptor::of(media_type::MANIFEST, bytes)
        };
        let at = repository.at(described.digest);
        let heeded = self.push_manifest(&at, media_type::MANIFEST, bytes).await?;
        Ok((described, heeded))
    }

    /// The list of the referrers API; `None`: the registry does not have the
    /// API.
    pub(super) async fn listed(
        &self,
        repository: &Reference,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let reference = repository.at(subject);
        let mut url = self.url(repository, &format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        let mut pages = Pages::from(&url);
        for _ in 0..MAX_PAGES {
            let once = || self.page(&reference, &url);
            let Some((index, next, length)) = self.retries().run(once).await? else {
                // A missing page, perhaps because of a proxy, does not
                // invalidate those before it.
                return Ok(Some(found).filter(|found| !found.is_empty()));
            };
            let count = index.manifests.len();
            found.extend(index.manifests);
            match pages.after(&reference, &url, next, (count, length))? {
                Some(next) => url = next,
                None => return Ok(Some(found)),
            }
        }
        let expected = format!("at most {MAX_PAGES} pages of referrers");
        Err(RegistryError::content(
            &reference,
            "more".to_owned(),
            expected,
        ))
    }

    async fn page(
        &self,
        reference: &Reference,
        url: &reqwest::Url,
    ) -> Result<Option<(Index, Option<String>, usize)>, Failure> {
        let call = Call::new(Method::GET, reference, url.clone());
        let response = match self.send(&call).await {
            Ok(response) => response,
            // A web page is not an answer of the API either.
            Err(Failure::Final(RegistryError::NotFound { .. } | RegistryError::WebPage { .. })) => {
                return Ok(None);
            }
            // Registries without this endpoint.
            Err(Failure::Final(RegistryError::Status {
                status: 400 | 405 | 406 | 501,
                ..
            })) => {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let next = next_page(header(&response, "link"));
        let bytes = whole(reference, response, "listing").await?;
        // Some registries without the API answer 200 with something else.
        Ok(serde_json::from_slice(&bytes)
            .ok()
            .map(|index| (index, next, bytes.len())))
    }
}

/// Maximum total size of the pages of a listing, in bytes: 16 MiB, some hundred
/// thousand tags. They are held in memory.
const MAX_LISTING_BYTES: usize = 16 << 20;

/// Maximum number of tags or referrers of one listing. Each referrer may be fetched.
const MAX_LISTED: usize = 10_000;

/// The pages of a listing read so far.
pub(super) struct Pages {
    seen: HashSet<reqwest::Url>,
    bytes: usize,
    items: usize,
}

impl Pages {
    pub(super) fn from(first: &reqwest::Url) -> Self {
        Self {
            seen: [first.clone()].into(),
            bytes: 0,
            items: 0,
        }
    }

    /// The next page, after the one at `url` with this many items and bytes.
    pub(super) fn after(
        &mut self,
        reference: &Reference,
        url: &reqwest::Url,
        next: Option<String>,
        (items, length): (usize, usize),
    ) -> Result<Option<reqwest::Url>, RegistryError> {
        self.bytes += length;
        self.items += items;
        let larger = |expected| {
            let found = "a larger listing".to_owned();
            Err(RegistryError::content(reference, found, expected))
        };
        if self.bytes > MAX_LISTING_BYTES {
            return larger(format!("at most {MAX_LISTING_BYTES} bytes"));
        }
        if self.items > MAX_LISTED {
            return larger(format!("at most {MAX_LISTED} entries"));
        }
        let next = next.and_then(|next| follow(url, &next));
        if next
            .as_ref()
            .is_some_and(|next| !self.seen.insert(next.clone()))
        {
            let found = "a listing that links back to an earlier page".to_owned();
            return Err(RegistryError::content(
                reference,
                found,
                "an end".to_owned(),
            ));
        }
        Ok(next)
    }
}

/// `<address>; rel="next"`, perhaps among others.
///
/// Source: distribution-spec 1.1, "Listing Tags"; RFC 8288.
pub(super) fn next_page(link: &str) -> Option<String> {
    let mut links = link.split('<').skip(1);
    links.find_map(|link| {
        let (address, rest) = link.split_once('>')?;
        let rel = rest.split(';').find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim_matches([' ', ',', '"']);
            (name.trim().eq_ignore_ascii_case("rel")).then_some(value)
        });
        (rel == Some("next")).then(|| address.to_owned())
    })
}

/// The URL of the page `next` of a listing at `url`, on the same host: behind a
/// proxy, a registry may not know its own host name. `None`: it is the same
/// page.
fn follow(url: &reqwest::Url, next: &str) -> Option<reqwest::Url> {
    let named = url.join(next).ok()?;
    let mut own = url.clone();
    own.set_path(named.path());
    own.set_query(named.query());
    (own != *url).then_some(own)
}

/// The tag of the index for registries without the API.
fn fallback(repository: &Reference, subject: Digest) -> Result<Reference, RegistryError> {
    let (host, path) = (repository.registry(), repository.repository());
    let text = format!("{host}/{path}:sha256-{}", subject.hex());
    text.parse()
        .map_err(|error: crate::oci::ReferenceError| RegistryError::Setup(with_causes(&error)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedIn {
    /// That of the referrers API.
    pub api: bool,
    /// The index under the fallback tag.
    pub fallback: bool,
}

impl ListedIn {
    /// Both: other clients may have written either.
    pub const ALL: Self = Self {
        api: true,
        fallback: true,
    };
}

type MergeReferrers = Box<dyn FnMut(Option<&Index>) -> Result<Merge, RegistryError> + Send>;

/// Manifests that were attached, and the list that was written for them; `None`: the
/// registry lists them by itself.
#[must_use = "a written list may be overwritten until it is settled"]
pub struct Attaching(Option<IndexUpdate<MergeReferrers>>);

impl Attaching {
    /// Waits for other clients that read the list before it was written.
    pub fn wait(&self) -> tokio::time::Sleep {
        let wait = self.0.as_ref().map(IndexUpdate::wait);
        wait.unwrap_or_else(|| tokio::time::sleep(std::time::Duration::ZERO))
    }
}

fn with(index: Option<&Index>, described: &[Descriptor]) -> Result<Merge, RegistryError> {
    let mut index = index.cloned().unwrap_or_else(Index::empty);
    if described.iter().all(|one| index.manifests.contains(one)) {
        return Ok(Merge::Unchanged);
    }
    for one in described {
        index.manifests.retain(|found| found.digest != one.digest);
        index.manifests.push(one.clone());
    }
    let bytes = serde_json::to_vec(&index);
    let bytes = bytes.map_err(|error| RegistryError::Setup(with_causes(&error)))?;
    Ok(Merge::Put(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_bounded_in_all_its_pages() {
        let reference = "r.example/x:1".parse().unwrap();
        let at = |page: usize| {
            let text = format!("https://r.example/v2/x/tags/list?{page}");
            reqwest::Url::parse(&text).unwrap()
        };
        let mut pages = Pages::from(&at(0));
        let mut page = |number: usize| {
            let next = Some(at(number + 1).to_string());
            pages.after(&reference, &at(number), next, (1, 4 << 20))
        };
        for number in 0..4 {
            assert_eq!(page(number).unwrap(), Some(at(number + 1)));
        }
        let error = page(4).unwrap_err().to_string();
        assert!(error.contains("a larger listing"), "{error}");
        let mut pages = Pages::from(&at(0));
        let mut page = |items: usize| pages.after(&reference, &at(0), None, (items, 1));
        assert!(page(10_000).is_ok());
        let error = page(1).unwrap_err().to_string();
        assert!(error.contains("at most 10000 entries"), "{error}");
    }

    #[test]
    fn the_next_page_is_found_among_other_links_and_at_the_same_host() {
        let url = reqwest::Url::parse("https://r.example/v2/x/tags/list").unwrap();
        for (link, page) in [
            (
                "<https://internal:5000/v2/x/tags/list?last=b&n=2>; rel=\"next\"",
                Some("?last=b&n=2"),
            ),
            (
                "</v2/x/tags/list?a>; rel=\"prev\", </v2/x/tags/list?b>; rel=next",
                Some("?b"),
            ),
            ("</v2/x/tags/list?a>; rel=\"prev\"", None),
            ("</v2/x/tags/list>; rel=\"next\"", None),
            ("nonsense", None),
        ] {
            let found = next_page(link).and_then(|next| follow(&url, &next));
            let expected = page.map(|page| format!("{url}{page}"));
            assert_eq!(found.map(String::from), expected, "{link}");
        }
    }
}
