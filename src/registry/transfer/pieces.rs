//! Blobs in pieces, where no single request may be as large as they are.
//!
//! Registries have been seen to keep one piece and to answer as if they had
//! all. So what a registry says it has is compared after each piece, and where
//! a piece breaks off it is asked what to go on with. See adr/0023, "Blobs go in pieces". Source:
//! distribution-spec 1.1, "Pushing a blob in chunks".

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

/// How a blob is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Way {
    /// In one request.
    Whole,
    /// In requests of at most so many bytes each.
    Pieces(u64),
}

/// The way of a blob of `size` bytes to a registry that takes at most `most`
/// bytes in a request; `None`: there is none.
fn way(chunks: Chunks, most: Option<u64>, size: u64) -> Option<Way> {
    match (most.filter(|most| size > *most), chunks) {
        (None, _) => Some(Way::Whole),
        (Some(most), Chunks::Joined) => Some(Way::Pieces(most)),
        (Some(most), Chunks::AtMost(limit)) => Some(Way::Pieces(most.min(limit))),
        (Some(_), Chunks::FirstOnly | Chunks::LastOnly) => None,
    }
}

impl Registry {
    /// How `blob` goes to the registry of `to`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unsplittable`]: in no way.
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

    /// Sends a blob to the upload at `url` in pieces of at most `most` bytes;
    /// answers where the upload is to be ended.
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
            let asking = || self.progress(to, &url);
            let asked = self.retries().run(asking).await;
            // It forgot the upload, or knows it under an address that was lost with
            // the answer: begun anew.
            let (end, next) = asked.map_err(|error| Failure::Transient(error, None))?;
            // It forgot what it had, or has what we did not send.
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

    /// Sends one piece; answers how much the registry has, and where to go on.
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
            // Of a first piece it says that it is too long; later, that the
            // registry is not where we think.
            Failure::Final(error @ RegistryError::Status { status: 416, .. })
                if range.start > 0 =>
            {
                Failure::Transient(error, None)
            }
            other => other,
        })?;
        Ok((had(to, &response)?, location(to, url, &response)?))
    }

    /// Asks how much the registry has of an upload, and where to go on.
    async fn progress(&self, to: &Reference, url: &Url) -> Result<(u64, Url), Failure> {
        let mut call = Call::new(Method::GET, to, url.clone());
        call.access = Access::Push;
        let response = self.send(&call).await?;
        let had = match header(&response, RANGE.as_str()) {
            // Said of one byte, and by some of none.
            "0-0" | "" => 0,
            _ => had(to, &response)?,
        };
        Ok((had, location(to, url, &response)?))
    }
}

/// How many bytes of an upload the registry says it has.
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
    fn what_fits_goes_whole_and_the_rest_in_pieces_where_they_are_joined() {
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
