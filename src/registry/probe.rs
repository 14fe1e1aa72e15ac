//! Checks what a registry supports, before it is needed.
//!
//! Leaves nothing behind: an upload is started and cancelled. Source:
//! distribution-spec 1.1, "Determining Support", "Pushing a blob in chunks" and
//! "Listing Referrers".

use reqwest::{Method, StatusCode};

use super::RegistryError;
use super::client::{Call, Registry};
use super::error::Payload;
use super::refusal::{check, lost, no_page};
use super::retry::Failure;
use crate::oci::{Descriptor, Digest, Reference};

/// The result of one check.
#[derive(Debug)]
pub struct Probe {
    /// `connection`, `login`, `read`, `write`, `referrers` or `limits`.
    pub what: &'static str,
    /// What was found, or the error.
    pub found: Result<String, RegistryError>,
}

impl Registry {
    /// Checks everything that publishing and pulling from the repository of `at`
    /// need; with `write`, uploads as well. Stops when further checks are
    /// pointless.
    pub async fn probe(&self, at: &Reference, write: bool) -> Vec<Probe> {
        let mut probes = Vec::new();
        let mut note = |what, found: Result<String, RegistryError>| {
            let sound = found.is_ok();
            probes.push(Probe { what, found });
            sound
        };
        if !note("connection", self.connects(at).await)
            || !note("login", self.has_login(at).await)
            || !note("read", self.reads(at).await)
        {
            return probes;
        }
        if write {
            note("write", self.writes(at).await);
        }
        note("referrers", self.lists_referrers(at).await);
        let profile = self.profile(at);
        let limits = match (profile.max_layer, self.max_body(at)) {
            (Some(limit), _) => format!("accepts layers of up to {limit} bytes ({profile})"),
            (None, Some(most)) => match self.way(at, &Descriptor::blob(nothing(), u64::MAX)) {
                Ok(_) => format!("blobs above {most} bytes are uploaded in chunks"),
                Err(_) => format!("blobs of up to {most} bytes; {profile} loses chunked uploads"),
            },
            (None, None) => "no known limits".to_owned(),
        };
        note("limits", Ok(limits));
        probes
    }

    async fn connects(&self, at: &Reference) -> Result<String, RegistryError> {
        let once = || self.ping(at);
        self.retries().run(once).await?;
        let url = self.url(at, "")?;
        let scheme = url.scheme().to_uppercase();
        Ok(format!("{scheme}; treated as {}", self.profile(at)))
    }

    async fn ping(&self, at: &Reference) -> Result<(), Failure> {
        let mut url = self.url(at, "")?;
        url.set_path("/v2/");
        let client = self.reader(at)?;
        self.turn(at, 1).await;
        let response = client.get(url).send().await;
        let response = response.map_err(|error| lost(at, error))?;
        // A challenge shows that the registry works.
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(()),
            _ => {
                let response = check(at, response, Payload::Nothing, &[]).await?;
                no_page(at, response).map(drop)
            }
        }
    }

    async fn has_login(&self, at: &Reference) -> Result<String, RegistryError> {
        Ok(match self.knows_login(at).await? {
            true => "found".to_owned(),
            false => "none found; anonymous".to_owned(),
        })
    }

    async fn reads(&self, at: &Reference) -> Result<String, RegistryError> {
        match self.tags(at).await {
            Ok(tags) => Ok(format!("{} tags", tags.len())),
            Err(RegistryError::NotFound { .. }) => Ok("no such repository yet".to_owned()),
            Err(error) => Err(error),
        }
    }

    async fn writes(&self, at: &Reference) -> Result<String, RegistryError> {
        let once = || self.begin(at);
        let upload = self.retries().run(once).await?;
        let own = self.url(at, "")?.origin() == upload.origin();
        // If this fails, the registry removes the upload eventually.
        let _ = self.send(&Call::new(Method::DELETE, at, upload)).await;
        Ok(match own {
            true => "accepts uploads".to_owned(),
            false => "accepts uploads, on another host".to_owned(),
        })
    }

    async fn lists_referrers(&self, at: &Reference) -> Result<String, RegistryError> {
        // A registry with the API returns an empty list.
        Ok(match self.listed(at, nothing()).await? {
            Some(_) => "listed".to_owned(),
            None => "not supported; signatures are found by fallback tags".to_owned(),
        })
    }
}

/// A digest that does not exist.
fn nothing() -> Digest {
    Digest::of(b"jackal doctor")
}
