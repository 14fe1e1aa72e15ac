//! Answers to a registry's challenge: basic logins and bearer tokens.
//!
//! Sits beside the client, which shows what this module obtains. Never sends a
//! login over HTTP to a token server when the registry itself is on HTTPS.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::RegistryError;
use super::client::{Failure, content, lost};
use super::credentials::{Credential, Credentials};
use crate::oci::Reference;

/// Largest answer taken from a token server, in bytes; tokens are kilobytes.
const MAX_TOKEN_BYTES: usize = 1 << 20;

pub(super) struct Auth {
    credentials: Arc<Credentials>,
    /// `Authorization` values that worked, by registry and repository.
    known: Mutex<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials: Arc::new(credentials),
            known: Mutex::default(),
        }
    }

    pub(super) fn known(&self, reference: &Reference) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(reference)).cloned()
    }

    /// The `Authorization` that `refusal` asks for; `None`: there is none to give.
    pub(super) async fn answer(
        &self,
        http: &reqwest::Client,
        reference: &Reference,
        refusal: &Response,
        plain: bool,
    ) -> Result<Option<String>, Failure> {
        let challenge = refusal.headers().get(WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        let login = self.login(reference).await?;
        let value = if scheme.eq_ignore_ascii_case("basic") {
            login.as_ref().and_then(basic)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Some(token(http, reference, &parameters(rest), login, plain).await?)
        } else {
            None
        };
        if let Some(value) = &value {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(key(reference), value.clone());
        }
        Ok(value)
    }

    async fn login(&self, reference: &Reference) -> Result<Option<Credential>, RegistryError> {
        let (credentials, host) = (
            Arc::clone(&self.credentials),
            reference.registry().to_owned(),
        );
        // A helper blocks, perhaps to ask its user.
        match tokio::task::spawn_blocking(move || credentials.get(&host)).await {
            Ok(found) => Ok(found?),
            Err(error) => Err(RegistryError::Setup(error.to_string())),
        }
    }
}

fn key(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

fn basic(login: &Credential) -> Option<String> {
    match login {
        Credential::Basic { username, password } => {
            let pair = STANDARD.encode(format!("{username}:{password}"));
            Some(format!("Basic {pair}"))
        }
        Credential::IdentityToken(_) => None,
    }
}

async fn token(
    http: &reqwest::Client,
    reference: &Reference,
    challenge: &HashMap<String, String>,
    login: Option<Credential>,
    plain: bool,
) -> Result<String, Failure> {
    let field = |name: &str| challenge.get(name).map_or("", String::as_str);
    let odd = |found: &str, expected: &str| content(reference, found.into(), expected.into());
    let realm = Url::parse(field("realm"))
        .ok()
        .filter(|url| url.scheme() == "https" || plain && url.scheme() == "http");
    let Some(mut url) = realm else {
        return Err(odd("a challenge without a safe realm", "an https address").into());
    };
    let scope = format!("repository:{}:pull", reference.repository());
    let request = if let Some(Credential::IdentityToken(refresh)) = &login {
        let mut form = url.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "jackal")
            .append_pair("service", field("service"))
            .append_pair("scope", &scope)
            .append_pair("refresh_token", refresh);
        let body = form.query().unwrap_or_default().to_owned();
        http.post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    } else {
        url.query_pairs_mut()
            .append_pair("service", field("service"))
            .append_pair("scope", &scope);
        match login.as_ref().and_then(basic) {
            Some(value) => http.get(url).header(AUTHORIZATION, value),
            None => http.get(url),
        }
    };
    let response = request.send().await.map_err(|e| lost(reference, e))?;
    let mut response = super::client::check(reference, response)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| lost(reference, e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(odd("a token that is too long", "at most 1 MiB").into());
        }
    }
    let token = serde_json::from_slice::<Token>(&bytes).ok();
    match token.and_then(|t| t.token.or(t.access_token)) {
        Some(token) if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(format!("Bearer {token}")),
        _ => Err(odd("no token", "JSON with `token`").into()),
    }
}

/// Reads `name="value",...`; a comma may stand inside the quotes.
fn parameters(mut text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.insert(name, value.to_owned());
        text = rest;
    }
    found
}
