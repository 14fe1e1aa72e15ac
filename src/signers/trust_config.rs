//! The trust config of a private deployment: its trusted root and its services.
//!
//! Source: docs/spec/signing.md, "Trusted roots"; Sigstore's ClientTrustConfig,
//! version 0.1.

use serde::Deserialize;
use serde_json::value::RawValue;
use sigstore_trust_root::{ServiceSelector, SigningConfig};

use super::keyless::Services;
use crate::signing::{Root, RootError};

/// Why a trust config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustConfigError {
    #[error("trust config `{name}`: {what}")]
    Malformed { name: String, what: String },
    /// Its root cannot be used.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// The configuration of a deployment.
#[derive(Debug)]
pub struct TrustConfig {
    pub root: Root,
    pub services: Services,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'r> {
    #[serde(borrow)]
    trusted_root: &'r RawValue,
    #[serde(borrow)]
    signing_config: &'r RawValue,
}

impl TrustConfig {
    /// The JSON of the trusted root in `text`, if that is a trust config.
    #[must_use]
    pub fn root_text(text: &[u8]) -> Option<String> {
        let raw: Raw<'_> = serde_json::from_slice(text).ok()?;
        Some(raw.trusted_root.get().to_owned())
    }

    /// Parses the file `name`.
    ///
    /// # Errors
    ///
    /// [`TrustConfigError`]
    pub fn parse(text: &[u8], name: &str) -> Result<Self, TrustConfigError> {
        let wrong = |what: String| TrustConfigError::Malformed {
            name: name.to_owned(),
            what,
        };
        let raw: Raw<'_> =
            serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            root: Root::parse(raw.trusted_root.get().as_bytes(), name)?,
            services: services(raw.signing_config.get()).map_err(wrong)?,
        })
    }
}

fn services(json: &str) -> Result<Services, String> {
    let config = SigningConfig::from_json(json).map_err(|error| error.to_string())?;
    let fulcio = config.fulcio_url().ok_or("no certificate authority")?;
    for (what, selection) in [
        ("logs", &config.rekor_tlog_config),
        ("timestamp authorities", &config.tsa_config),
    ] {
        let one = match selection.selector {
            ServiceSelector::Any => true,
            ServiceSelector::Exact => selection.count == Some(1),
            _ => false,
        };
        if !one {
            return Err(format!("several {what} are required, but jackal uses one"));
        }
    }
    Ok(Services {
        fulcio: fulcio.url.clone(),
        rekor: config
            .rekor_url(None)
            .map(|log| (log.url.clone(), log.major_api_version)),
        timestamps: config.tsa_url().map(|authority| authority.url.clone()),
    })
}
