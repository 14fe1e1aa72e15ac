//! Answers to a registry's challenge: basic credentials and bearer tokens.
//!
//! The client sends what this module obtains. Credentials never go to a token
//! server over HTTP if the registry itself uses HTTPS, nor to one at another host or
//! port unless the registry documents it or the user trusts it.

mod challenge;
pub(in crate::registry) mod credentials;
pub(in crate::registry) mod kept;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, Url};
use serde::Deserialize;

use self::challenge::{Challenge, challenges, may_have_login, shown_host};
use crate::oci::Reference;
use crate::registry::RegistryError;
use crate::registry::auth::credentials::{Credential, Credentials};
use crate::registry::error::{Payload, UsedLogin};
use crate::registry::host::TokenServer;
use crate::registry::refusal::{check, lost, no_page, secrets_in};
use crate::registry::retry::Failure;
use crate::registry::transfer::speed::Speed;
use crate::text::with_causes;

/// Maximum size of a token server's answer, in bytes; tokens are kilobytes.
const MAX_TOKEN_BYTES: usize = 1 << 20;

/// How long before its expiry a token is no longer used: the registry may check
/// it some time after it was sent.
const EARLY: Duration = Duration::from_secs(5);

/// The access to a repository that a request needs. Tokens are requested for no
/// more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Write, and read from this other repository.
    Mount(String),
    /// A login of the registry, for no repository.
    Nothing,
    /// The list of all repositories.
    Catalogue,
}

impl Access {
    fn scopes(&self, repository: &str) -> Vec<String> {
        match self {
            Self::Pull => vec![format!("repository:{repository}:pull")],
            Self::Nothing => Vec::new(),
            Self::Catalogue => vec!["registry:catalog:*".to_owned()],
            Self::Push => vec![format!("repository:{repository}:pull,push")],
            Self::Mount(from) => vec![
                format!("repository:{repository}:pull,push"),
                format!("repository:{from}:pull"),
            ],
        }
    }
}

pub(in crate::registry) struct Auth {
    credentials: Arc<Credentials>,
    /// `Authorization` headers that worked, by registry, repository and access.
    known: Mutex<HashMap<(String, Access), Known>>,
    /// The credentials that were used, for messages.
    used: Mutex<HashMap<String, UsedLogin>>,
}

struct Known {
    /// The `Authorization` header's value.
    value: String,
    /// When it expires, according to the token server.
    until: Option<Instant>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    /// In seconds.
    expires_in: Option<u64>,
}

impl Auth {
    pub(in crate::registry) fn new(credentials: Credentials) -> Self {
        Self {
            credentials: Arc::new(credentials),
            known: Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// The header to send without a challenge; `None`: wait for a challenge.
    pub(in crate::registry) fn known(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A token for writing also allows reading.
        let accesses: &[Access] = match access {
            Access::Pull => &[Access::Pull, Access::Push],
            other => std::slice::from_ref(other),
        };
        let now = Instant::now();
        let mut found = accesses
            .iter()
            .filter_map(|access| known.get(&(key(reference), access.clone())))
            .filter(|known| known.until.is_none_or(|until| now < until));
        found.next().map(|known| known.value.clone())
    }

    /// The `Authorization` header for the challenges in `refusal`; `None`: no
    /// credential fits.
    pub(in crate::registry) async fn answer(
        &self,
        http: &reqwest::Client,
        reference: &Reference,
        access: &Access,
        refusal: &Response,
        server: TokenServer<'_>,
    ) -> Result<Option<String>, Failure> {
        let offered = challenges(refusal.headers());
        let of = |scheme: &str| offered.iter().find(|offer| offer.scheme == scheme);
        let found = self.found(reference).await?;
        let used = match &found {
            Some((login, from)) => UsedLogin::Login {
                user: login.user().to_owned(),
                from: from.clone(),
            },
            None => UsedLogin::Nothing(self.credentials.places()),
        };
        let login = found.map(|(login, _)| login);
        let known = of("basic").is_some() || of("bearer").is_some();
        self.note(reference, if known { used } else { UsedLogin::Unknown });
        let direct = of("basic").and(login.as_ref().and_then(basic));
        let known = match (of("bearer"), &login) {
            (bearer, Some(Credential::Bearer(token)))
                if bearer.is_some() || of("basic").is_none() =>
            {
                let value = format!("Bearer {token}");
                Some(Known { value, until: None })
            }
            // A token is for this repository alone; the login is for more.
            (Some(offer), _) => match (realm(reference, offer, login.as_ref(), server), direct) {
                (Ok(realm), _) => {
                    let scopes = access.scopes(reference.repository());
                    Some(token(http, reference, offer, realm, &scopes, login).await?)
                }
                (Err(_), Some(value)) => Some(Known { value, until: None }),
                (Err(error), None) => return Err(error.into()),
            },
            (None, _) => direct.map(|value| Known { value, until: None }),
        };
        Ok(known.map(|found| {
            let value = found.value.clone();
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((key(reference), access.clone()), found);
            value
        }))
    }

    pub(in crate::registry) async fn login(
        &self,
        reference: &Reference,
    ) -> Result<Option<Credential>, RegistryError> {
        Ok(self.found(reference).await?.map(|(login, _)| login))
    }

    /// The credentials that were sent to the registry of `reference`.
    pub(in crate::registry) fn shown(&self, reference: &Reference) -> UsedLogin {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&key(reference))
            .cloned()
            .unwrap_or(UsedLogin::NotRequested)
    }

    fn note(&self, reference: &Reference, used: UsedLogin) {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key(reference), used);
    }

    async fn found(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Credential, String)>, RegistryError> {
        let credentials = Arc::clone(&self.credentials);
        let (host, path) = (
            reference.registry().to_owned(),
            reference.repository().to_owned(),
        );
        // A helper may block to prompt the user.
        let get = move || credentials.get(&host, &path);
        match tokio::task::spawn_blocking(get).await {
            Ok(found) => found.map_err(RegistryError::Credentials),
            Err(error) => Err(RegistryError::Setup(with_causes(&error))),
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
        Credential::IdentityToken(_) | Credential::Bearer(_) => None,
    }
}

/// The token server of a challenge, if it may have `login`.
fn realm(
    reference: &Reference,
    offer: &Challenge,
    login: Option<&Credential>,
    server: TokenServer<'_>,
) -> Result<Url, RegistryError> {
    let Some(realm) = offer.realm(server.plain) else {
        let found = "a challenge without an https realm";
        return Err(RegistryError::content(reference, found, "an https address"));
    };
    let registry = reference.registry();
    match login.is_none() || may_have_login(registry, &realm, server.named) {
        true => Ok(realm),
        false => Err(RegistryError::ForeignRealm {
            reference: reference.to_string(),
            registry: registry.to_owned(),
            realm: shown_host(&realm),
        }),
    }
}

async fn token(
    http: &reqwest::Client,
    reference: &Reference,
    offer: &Challenge,
    mut url: Url,
    scopes: &[String],
    login: Option<Credential>,
) -> Result<Known, Failure> {
    let odd = |found: &str, expected: &str| RegistryError::content(reference, found, expected);
    let service = offer.parameter("service");
    let mut secrets = Vec::new();
    let request = if let Some(Credential::IdentityToken(refresh)) = &login {
        let mut form = url.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "jackal")
            .append_pair("service", service)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", refresh);
        let body = form.query().unwrap_or_default().to_owned();
        let encoded = body.rsplit_once("refresh_token=");
        secrets.extend(encoded.map(|(_, encoded)| encoded.to_owned()));
        secrets.push(refresh.clone());
        http.post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    } else {
        url.query_pairs_mut()
            .append_pair("service", service)
            .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        match login.as_ref().and_then(basic) {
            Some(value) => {
                secrets = secrets_in(&value);
                http.get(url).header(AUTHORIZATION, value)
            }
            None => http.get(url),
        }
    };
    let response = request.send().await.map_err(|e| lost(reference, e))?;
    let response = check(reference, response, Payload::Nothing, &secrets).await?;
    let mut response = no_page(reference, response)?;
    let mut bytes = Vec::new();
    let mut speed = Speed::default();
    let cut = |cut| lost(reference, cut);
    while let Some(chunk) = speed.chunk(&mut response).await.map_err(cut)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(odd("a token of more than 1 MiB", "at most 1 MiB").into());
        }
    }
    let token = serde_json::from_slice::<Token>(&bytes).ok();
    let lasts = token.as_ref().and_then(|t| t.expires_in);
    match token.and_then(|t| t.token.or(t.access_token)) {
        Some(token) if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Known {
            value: format!("Bearer {token}"),
            until: lasts.and_then(|seconds| {
                let lasts = Duration::from_secs(seconds);
                // A short-lived token is used for half of its life.
                let lasts = lasts - EARLY.min(lasts / 2);
                Instant::now().checked_add(lasts)
            }),
        }),
        _ => Err(odd("no token", "JSON with `token`").into()),
    }
}

#[cfg(test)]
mod tests;
