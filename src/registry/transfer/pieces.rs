//! Chunked uploads, for blobs that exceed the limit for a request.
//!
//! Some registries keep one chunk and answer as if they had all. So the offset
//! that a registry reports is checked after each chunk, and requested after an
//! interruption. See adr/0023, "Blobs go in pieces". Source: distribution-spec
//! 1.1, "Pushing a blob in chunks".

use std::ops::Range;

use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, Url};

use crate::oci::{Descriptor, Reference};
use crate::registry::RegistryError;
use crate::registry::auth::Access;
use crate::registry::client::{Body, Call, Registry, header, location};
use crate::registry::host::profile::Chunks;
use crate::registry::refusal::{gone, worth_another};
use crate::registry::retry::Failure;
use crate::registry::transfer::upload::Upload;

/// How a blob is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Way {
    /// In one request.
    Whole,
    /// In requests of at most this many bytes each.
    Pieces(u64),
}

/// How to upload a blob of `size` bytes to a registry that accepts at most
/// `most` bytes in a request; `None`: impossible.
fn way(chunks: Chunks, most: Option<u64>, size: u64) -> Option<Way> {
    match (most.filter(|most| size > *most), chunks) {
        (None, _) => Some(Way::Whole),
        (Some(most), Chunks::Joined) => Some(Way::Pieces(most)),
        (Some(most), Chunks::AtMost(limit)) => Some(Way::Pieces(most.min(limit))),
        (Some(_), Chunks::FirstOnly | Chunks::LastOnly) => None,
    }
}

impl Registry {
    /// How to upload `blob` to the registry of `to`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unsplittable`]: impossible.
    pub(in crate::registry) fn way(
        &self,
        to: &Reference,
        blob: &Descriptor,
    ) -> Result<Way, RegistryError> {
        let (profile, most) = (self.profile(to), self.max_body(to));
        let way = way(profile.chunks, most, blob.size);
        way.ok_or_else(|| RegistryError::Unsplittable {
            reference: to.at(blob.digest).to_string(),
            size: blob.size,
            host: profile.to_string(),
            limit: most.unwrap_or_default(),
        })
    }

    /// Sends a blob to the upload at `url` in chunks of at most `most` bytes;
    /// returns the URL to complete the upload at.
    pub(in crate::registry) async fn send_pieces(
        &self,
        to: &Reference,
        upload: &Upload,
        most: u64,
        mut url: Url,
    ) -> Result<Url, Failure> {
        let size = upload.descriptor.size;
        let (mut have, mut attempt) = (0, 0);
        while have < size {
            let range = have..size.min(have.saturating_add(most));
            let sent = self.send_piece(to, upload, &range, &url).await;
            let failure = match sent {
                Ok((end, next)) if end == range.end => {
                    (have, url, attempt) = (end, next, 0);
                    continue;
                }
                Ok((end, _)) => gone(to, format!("{end} bytes of it after {}", range.end)),
                Err(failure) => failure,
            };
            self.retries().pause(&mut attempt, failure).await?;
            let request = || self.progress(to, &url);
            let progress = self.retries().run(request).await;
            // The registry lost the upload, or its new URL was lost with the
            // response: start over.
            let (end, next) = progress.map_err(|error| Failure::Transient(error, None))?;
            // The registry lost data, or has data that we did not send.
            if !(range.start..=range.end).contains(&end) {
                return Err(gone(to, format!("{end} bytes of it after {have}")));
            }
            if end > range.start {
                attempt = 0;
            }
            (have, url) = (end, next);
        }
        Ok(url)
    }

    /// Sends a chunk; returns how much the registry has and the URL to continue
    /// at.
    async fn send_piece(
        &self,
        to: &Reference,
        upload: &Upload,
        range: &Range<u64>,
        url: &Url,
    ) -> Result<(u64, Url), Failure> {
        let mut call = Call::new(Method::PATCH, to, url.clone());
        let shown = format!("{}-{}", range.start, range.end - 1);
        if let Ok(value) = HeaderValue::from_str(&shown) {
            call.headers.insert(CONTENT_RANGE, value);
        }
        call.body = Body::Upload(upload, range.clone());
        let sent = self.send(&call).await.map_err(worth_another);
        let response = sent.map_err(|failure| match failure {
            // For the first chunk, 416 means that it is too large; later, that
            // the offsets differ.
            Failure::Final(error @ RegistryError::Status { status: 416, .. })
                if range.start > 0 =>
            {
                Failure::Transient(error, None)
            }
            other => other,
        })?;
        Ok((had(to, &response)?, location(to, url, &response)?))
    }

    /// Requests how much the registry has of an upload, and the URL to continue
    /// at.
    async fn progress(&self, to: &Reference, url: &Url) -> Result<(u64, Url), Failure> {
        let mut call = Call::new(Method::GET, to, url.clone());
        call.access = Access::Push;
        let response = self.send(&call).await?;
        let had = match header(&response, RANGE.as_str()) {
            // One byte, but some registries use it for none.
            "0-0" | "" => 0,
            _ => had(to, &response)?,
        };
        Ok((had, location(to, url, &response)?))
    }
}

/// How many bytes of an upload the registry reports.
fn had(to: &Reference, response: &Response) -> Result<u64, Failure> {
    let range = header(response, RANGE.as_str());
    let plain = range
        .trim_start_matches("bytes")
        .trim_start_matches(['=', ' ']);
    let end = plain
        .strip_prefix("0-")
        .and_then(|end| end.parse::<u64>().ok());
    let end = end.and_then(|end| end.checked_add(1));
    end.ok_or_else(|| {
        let found = match range {
            "" => "no Range header about an upload".to_owned(),
            other => format!("Range `{other}` about an upload"),
        };
        RegistryError::content(to, found, "Range: 0-END".to_owned()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blobs_are_sent_whole_and_large_ones_in_chunks_if_possible() {
        let pieces = |most| Some(Way::Pieces(most));
        for (chunks, most, expected) in [
            (Chunks::FirstOnly, None, Some(Way::Whole)),
            (Chunks::FirstOnly, Some(100), Some(Way::Whole)),
            (Chunks::FirstOnly, Some(99), None),
            (Chunks::LastOnly, Some(99), None),
            (Chunks::Joined, Some(99), pieces(99)),
            (Chunks::AtMost(40), Some(99), pieces(40)),
            (Chunks::AtMost(400), Some(99), pieces(99)),
        ] {
            assert_eq!(way(chunks, most, 100), expected, "{chunks:?} {most:?}");
        }
    }
}
