//! Trusted roots by The Update Framework: fetched once, then pinned as files.
//!
//! Verification never comes here. Source: signing.md 4.5.

use sigstore_trust_root::{TrustedRoot, TufBootstrap, TufConfig};

/// Why no root was fetched.
#[derive(Debug, thiserror::Error)]
#[error("the trusted root cannot be fetched from {from}: {what}")]
pub struct FetchError {
    from: String,
    what: String,
}

/// Fetches the trusted root from `mirror`, whose metadata begins with
/// `bootstrap`; without both, that of the public instance. What has expired, or
/// is not signed by whom the root before it named, is refused.
///
/// # Errors
///
/// [`FetchError`]
pub fn fetch_root(mirror: Option<(&str, &[u8])>) -> Result<String, FetchError> {
    let from = mirror
        .map_or("the public instance", |(url, _)| url)
        .to_owned();
    let failed = |what: String| FetchError {
        from: from.clone(),
        what,
    };
    let config = match mirror {
        Some((url, root)) => TufConfig::custom(url, TufBootstrap::trusted(root)),
        None => TufConfig::production(),
    };
    let client = super::keyless::http().map_err(failed)?;
    let config = config.without_cache().with_http_client(client);
    let fetched = super::reference::blocking(TrustedRoot::from_tuf(config));
    let root = fetched
        .map_err(failed)?
        .map_err(|error| failed(error.to_string()))?;
    serde_json::to_string_pretty(&root).map_err(|error| failed(error.to_string()))
}
