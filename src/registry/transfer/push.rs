//! Uploads of blobs and manifests.
//!
//! A blob is sent in one streamed request if the registry's limits allow:
//! several kinds of registries silently lose bytes of chunked uploads. Present
//! blobs are skipped, blobs of other repositories are mounted, and uploads are
//! confirmed by a request. Source: distribution-spec 1.1, "Push".

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use crate::oci::{Descriptor, Digest, Reference};
use crate::registry::RegistryError;
use crate::registry::auth::Access;
use crate::registry::client::{Body, Call, DIGEST, Registry, header, location};
use crate::registry::refusal::{gone, worth_another};
use crate::registry::retry::Failure;
use crate::registry::transfer::pieces::Way;
use crate::registry::transfer::upload::{BlobSource, Upload};

/// How a blob got into the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was present.
    Present,
    /// It was mounted from another repository.
    Mounted,
    /// It was uploaded.
    Uploaded,
}

/// What is known about a blob before it is pushed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// A repository of the same registry that has it.
    pub mount_from: Option<&'a str>,
    /// Upload it even if the registry claims to have it: it did so before, and
    /// then refused the manifest because the blob was missing.
    pub missing: bool,
}

impl Registry {
    /// Uploads or mounts a blob into the repository of `to`.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: refused, unreachable, the source does not match
    /// `descriptor`, or the registry loses the upload.
    pub async fn push_blob(
        &self,
        to: &Reference,
        descriptor: &Descriptor,
        source: &BlobSource,
        hints: Hints<'_>,
    ) -> Result<Sent, RegistryError> {
        self.check_size(to, descriptor)?;
        let to = to.at(descriptor.digest);
        let profile = self.profile(&to);
        let hints = Hints {
            mount_from: hints.mount_from.filter(|_| profile.mounts),
            ..hints
        };
        let upload = Upload::new(descriptor.clone(), BlobSource::clone(source));
        let once = || self.push_once(&to, &upload, hints);
        self.retries().run(once).await
    }

    /// Checks that the registry of `to` accepts a blob of this size.
    ///
    /// # Errors
    ///
    /// [`RegistryError::TooLarge`], [`RegistryError::Unsplittable`]
    pub fn check_size(&self, to: &Reference, blob: &Descriptor) -> Result<(), RegistryError> {
        let profile = self.profile(to);
        match profile.max_layer.filter(|limit| blob.size > *limit) {
            None => self.way(to, blob).map(drop),
            Some(limit) => Err(RegistryError::TooLarge {
                reference: to.at(blob.digest).to_string(),
                size: blob.size,
                host: profile.to_string(),
                limit,
            }),
        }
    }

    /// Maximum size of a layer in the registry of `to`, in bytes, if known.
    #[must_use]
    pub fn max_layer(&self, to: &Reference) -> Option<u64> {
        self.profile(to).max_layer
    }

    async fn push_once(
        &self,
        to: &Reference,
        upload: &Upload,
        hints: Hints<'_>,
    ) -> Result<Sent, Failure> {
        let descriptor = &upload.descriptor;
        let digest = descriptor.digest;
        if !hints.missing && is_held(self.size_of(to, digest).await?, descriptor) {
            return Ok(Sent::Present);
        }
        let (sent, location) = match hints.mount_from {
            Some(from) if !hints.missing => self.mount_or_begin(to, digest, from).await?,
            _ => (Sent::Uploaded, Some(self.begin(to).await?)),
        };
        if let Some(mut url) = location {
            let rest = match self.way(to, descriptor)? {
                Way::Whole => 0..descriptor.size,
                Way::Pieces(most) => {
                    url = self.send_pieces(to, upload, most, url).await?;
                    descriptor.size..descriptor.size
                }
            };
            url.query_pairs_mut()
                .append_pair("digest", &digest.to_string());
            let mut call = Call::new(Method::PUT, to, url);
            call.body = Body::Upload(upload, rest);
            self.send(&call).await.map_err(worth_another)?;
        }
        match self.size_of(to, digest).await? {
            Some(Some(size)) if size != descriptor.size => Err(gone(to, format!("{size} bytes"))),
            Some(_) => Ok(sent),
            None => Err(gone(to, "no such blob".to_owned())),
        }
    }

    /// The size of a blob: `None` if it does not exist, `Some(None)` if the
    /// registry does not report it.
    async fn size_of(
        &self,
        at: &Reference,
        digest: Digest,
    ) -> Result<Option<Option<u64>>, Failure> {
        let url = self.url(at, &format!("blobs/{digest}"))?;
        let mut call = Call::new(Method::HEAD, at, url);
        // This is a step of a write: one token serves for both.
        call.access = Access::Push;
        match self.send(&call).await {
            Ok(response) => Ok(Some(
                header(&response, CONTENT_LENGTH.as_str()).parse().ok(),
            )),
            Err(Failure::Final(RegistryError::NotFound { .. })) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Starts an upload; returns its URL.
    pub(in crate::registry) async fn begin(&self, to: &Reference) -> Result<Url, Failure> {
        let url = self.url(to, "blobs/uploads/")?;
        let mut call = Call::new(Method::POST, to, url);
        call.headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let response = self.send(&call).await?;
        location(to, &call.url, &response)
    }

    /// Requests a mount; a registry that does not mount starts an upload.
    async fn mount_or_begin(
        &self,
        to: &Reference,
        digest: Digest,
        from: &str,
    ) -> Result<(Sent, Option<Url>), Failure> {
        let mut url = self.url(to, "blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &digest.to_string())
            .append_pair("from", from);
        let mut call = Call::new(Method::POST, to, url);
        call.access = Access::Mount(from.to_owned());
        call.headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        match self.send(&call).await {
            Ok(response) if response.status() == StatusCode::CREATED => Ok((Sent::Mounted, None)),
            Ok(response) => {
                let url = location(to, &call.url, &response)?;
                Ok((Sent::Uploaded, Some(url)))
            }
            // No read access to the other repository, or mounting is not
            // supported.
            Err(Failure::Final(_)) => Ok((Sent::Uploaded, Some(self.begin(to).await?))),
            Err(failure) => Err(failure),
        }
    }

    /// Stores a manifest under the digest or the tag of `to`; returns whether
    /// the registry claims to support the manifest's subject.
    ///
    /// # Errors
    ///
    /// [`RegistryError::BlobUnknown`]: blobs are missing. Otherwise refused,
    /// unreachable, or a digest mismatch.
    pub async fn push_manifest(
        &self,
        to: &Reference,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, RegistryError> {
        let once = || self.push_manifest_once(to, media_type, bytes);
        self.retries().run(once).await
    }

    pub(in crate::registry) async fn push_manifest_once(
        &self,
        to: &Reference,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, Failure> {
        let name = match (to.digest(), to.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let url = self.url(to, &format!("manifests/{name}"))?;
        let mut call = Call::new(Method::PUT, to, url);
        let kind = HeaderValue::from_str(media_type).map_err(|_| {
            RegistryError::content(to, "an invalid media type", "a manifest's media type")
        })?;
        call.headers.insert(CONTENT_TYPE, kind);
        call.body = Body::Bytes(bytes.clone());
        let response = self.send(&call).await;
        let response = response.map_err(|failure| immutable(to, failure))?;
        let expected = Digest::of(bytes);
        match header(&response, DIGEST).parse::<Digest>() {
            Ok(found) if found != expected => {
                let found = format!("a claim that it stored {found}");
                Err(RegistryError::content(to, found, expected.to_string()).into())
            }
            _ => Ok(!header(&response, "oci-subject").is_empty()),
        }
    }
}

fn is_held(found: Option<Option<u64>>, descriptor: &Descriptor) -> bool {
    found.is_some_and(|size| size.is_none_or(|size| size == descriptor.size))
}

/// Recognises refusals of immutable tags.
fn immutable(to: &Reference, failure: Failure) -> Failure {
    match failure {
        Failure::Final(RegistryError::Status {
            reference,
            status,
            message,
            ..
        }) if to.digest().is_none()
            && (matches!(status, 409 | 412) || message.is("TAG_INVALID")) =>
        {
            Failure::Final(RegistryError::Immutable {
                reference,
                status,
                message,
            })
        }
        other => other,
    }
}
