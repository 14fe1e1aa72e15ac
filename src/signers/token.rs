//! Identity tokens, which determine the identity in certificates.
//!
//! Tokens are never shown. Their audience and expiry are checked before any
//! request. Source: docs/spec/signing.md, "Identity tokens".

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::text::with_causes;
use base64::Engine as _;
use serde::Deserialize;
use sigstore_oidc::IdentityToken;

/// The required audience of tokens.
const AUDIENCE: &str = "sigstore";

/// Minimum remaining life of a token, in seconds.
const MIN_LEFT: i64 = 60;

/// Where Kubernetes mounts the service account's token.
const PROJECTED: &str = "/var/run/sigstore/cosign/oidc-token";

/// Number of attempts to get a token from GitHub Actions.
const ATTEMPTS: u32 = 3;

/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No source has a token.
    #[error(
        "no identity token: add --identity-token, set SIGSTORE_ID_TOKEN, or run in CI that provides one (GitHub Actions: permissions id-token: write; GitLab: id_tokens with aud: sigstore)"
    )]
    None,
    /// A file cannot be read.
    #[error("identity token `{path}`")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Not a token. It is not shown, as it may be a part of one.
    #[error("--identity-token is neither a JWT (three dot-separated parts) nor an existing file")]
    Given,
    /// It is not a valid token.
    #[error("the identity token from {from} cannot be read: {what}")]
    Malformed {
        /// Where it comes from.
        from: String,
        what: String,
    },
    /// It has another audience.
    #[error(
        "the identity token from {0} does not have the audience `{AUDIENCE}`: request one that does"
    )]
    Audience(String),
    /// It has expired or expires too soon.
    #[error(
        "the identity token from {0} has expired or expires within {MIN_LEFT} seconds: get a new one"
    )]
    Expired(String),
    /// Its email address is not verified.
    #[error("the email address in the identity token from {0} is not verified")]
    Unverified(String),
    #[error("GitHub Actions did not provide an identity token: {0}")]
    Service(String),
}

#[derive(Clone, Debug, Default)]
pub struct TokenSources {
    /// The token itself, or a file with it.
    pub given: Option<String>,
    /// Environment variables, by name.
    pub environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Minted {
    value: String,
}

/// The claims that become identities in certificates.
#[derive(Default, Deserialize)]
struct CiClaims {
    job_workflow_ref: Option<String>,
    ci_config_ref_uri: Option<String>,
}

impl TokenSources {
    /// The first available token, checked.
    ///
    /// # Errors
    ///
    /// [`TokenError`]
    pub async fn token(&self, now: i64) -> Result<IdentityToken, TokenError> {
        let (text, from) = self.text().await?;
        let malformed = |what: String| TokenError::Malformed {
            from: from.clone(),
            what,
        };
        let token = IdentityToken::from_jwt(text.trim());
        let token = token.map_err(|error| malformed(with_causes(&error)))?;
        if !token.claims().aud.contains(AUDIENCE) {
            return Err(TokenError::Audience(from));
        }
        if token.expiration().as_second() < now + MIN_LEFT {
            return Err(TokenError::Expired(from));
        }
        if token.email().is_some() && !token.email_verified() {
            return Err(TokenError::Unverified(from));
        }
        Ok(token)
    }

    /// The identity and issuer that a certificate for the token names.
    ///
    /// Source: Fulcio, "OIDC Usage": an email address as it is; GitHub's
    /// workflow and GitLab's configuration as URLs; otherwise the subject.
    ///
    /// # Errors
    ///
    /// [`TokenError`]
    pub async fn claims(&self, now: i64) -> Result<(String, String), TokenError> {
        let token = self.token(now).await?;
        let payload = token.expose_secret().split('.').nth(1).unwrap_or_default();
        let read = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
        let more: CiClaims = read
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let subject = match (token.email(), more.job_workflow_ref, more.ci_config_ref_uri) {
            (Some(email), _, _) => email.to_owned(),
            (None, Some(workflow), _) => format!("https://github.com/{workflow}"),
            (None, None, Some(file)) => format!("https://{file}"),
            (None, None, None) => token.subject().to_owned(),
        };
        Ok((subject, token.issuer().to_owned()))
    }

    async fn text(&self) -> Result<(String, String), TokenError> {
        // A token counts for minutes, whatever its file says.
        crate::disk::look::beyond_files();
        if let Some(given) = &self.given {
            let path = PathBuf::from(given);
            if path.is_file() {
                return read(path).map(|text| (text, format!("`{given}`")));
            }
            // Three dot-separated parts in base64 are a token.
            return match given.split('.').count() == 3 && !given.contains('/') {
                true => Ok((given.clone(), "--identity-token".to_owned())),
                false => Err(TokenError::Given),
            };
        }
        let variable = |name: &str| self.environment.get(name).filter(|text| !text.is_empty());
        if let Some(token) = variable("SIGSTORE_ID_TOKEN") {
            return Ok((token.clone(), "SIGSTORE_ID_TOKEN".to_owned()));
        }
        let actions = (
            variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
            variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        );
        if let (Some(url), Some(secret)) = actions {
            let token = mint(url, secret).await?;
            return Ok((token, "GitHub Actions".to_owned()));
        }
        let projected = PathBuf::from(PROJECTED);
        if projected.is_file() {
            return read(projected).map(|text| (text, format!("`{PROJECTED}`")));
        }
        Err(TokenError::None)
    }
}

fn read(path: PathBuf) -> Result<String, TokenError> {
    std::fs::read_to_string(&path).map_err(|source| TokenError::Io { path, source })
}

async fn mint(url: &str, secret: &str) -> Result<String, TokenError> {
    let client = super::http::client().map_err(TokenError::Service)?;
    let join = if url.contains('?') { '&' } else { '?' };
    let address = format!("{url}{join}audience={AUDIENCE}");
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        let pause = std::time::Duration::from_millis(250) * (1 << attempt);
        let request = client.get(&address).bearer_auth(secret);
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                let bytes = super::http::body(response, MAX_ANSWER_BYTES).await;
                // The URL and the token must not appear in messages.
                let bytes = bytes.map_err(|e| TokenError::Service(e.without_url().to_string()))?;
                let minted: Option<Minted> =
                    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let minted = minted.ok_or_else(|| TokenError::Service("no token in it".into()))?;
                return Ok(minted.value);
            }
            Ok(response) if response.status().is_client_error() => {
                return Err(TokenError::Service(response.status().to_string()));
            }
            Ok(response) => last = response.status().to_string(),
            Err(error) => last = error.without_url().to_string(),
        }
        tokio::time::sleep(pause).await;
    }
    Err(TokenError::Service(last))
}
