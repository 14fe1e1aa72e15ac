//! Access control: one user, with a password or with tokens that expire.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The credentials of the user.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: String,
    /// If set, the registry requires tokens, which expire after this time.
    pub token_ttl: Option<Duration>,
}

/// Access control of the registry.
pub(super) struct Access {
    /// Whether the token server uses TLS.
    tls: bool,
    login: Option<Login>,
    tokens: Mutex<HashMap<String, Token>>,
    /// Number of tokens issued.
    granted: AtomicU64,
}

struct Token {
    scopes: Vec<String>,
    until: Instant,
}

impl Access {
    pub(super) fn new(login: Option<Login>, tls: bool) -> Self {
        Self {
            tls,
            login,
            tokens: Mutex::default(),
            granted: AtomicU64::new(0),
        }
    }

    /// Whether `authorization` is valid for any access.
    pub(super) fn knows(&self, authorization: &str) -> bool {
        match &self.login {
            Some(login) if login.token_ttl.is_some() => {
                let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
                let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                let token = tokens.get(token);
                token.is_some_and(|token| Instant::now() < token.until)
            }
            _ => self.is_user(authorization),
        }
    }

    /// Whether `authorization` allows reading or writing `repository`.
    pub(super) fn admits(&self, authorization: &str, repository: &str, write: bool) -> bool {
        let Some(login) = &self.login else {
            return true;
        };
        if login.token_ttl.is_none() {
            return self.is_user(authorization);
        }
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|token| {
            let reads = format!("repository:{repository}:pull");
            let writes = format!("repository:{repository}:pull,push");
            let admits = |scope: &String| *scope == writes || !write && *scope == reads;
            Instant::now() < token.until && token.scopes.iter().any(admits)
        })
    }

    /// Whether `authorization` has the user's password.
    pub(super) fn is_user(&self, authorization: &str) -> bool {
        let Some(login) = &self.login else {
            return true;
        };
        let pair = STANDARD.encode(format!("{}:{}", login.user, login.password));
        authorization == format!("Basic {pair}")
    }

    /// The challenge for a refused request.
    pub(super) fn challenge(&self, host: &str) -> String {
        match self.login.as_ref().and_then(|login| login.token_ttl) {
            None => "Basic realm=\"rehearsal\"".to_owned(),
            Some(_) => {
                let scheme = if self.tls { "https" } else { "http" };
                format!("Bearer realm=\"{scheme}://{host}/token\",service=\"rehearsal\"")
            }
        }
    }

    /// Issues a token for `scopes`; returns the token server's answer.
    pub(super) fn grant(&self, scopes: Vec<String>) -> serde_json::Value {
        let ttl = self.login.as_ref().and_then(|login| login.token_ttl);
        let ttl = ttl.unwrap_or(Duration::from_secs(60));
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| Instant::now() < token.until);
        // Not secret: this registry is only for rehearsals.
        let name = format!("t{}", self.granted.fetch_add(1, Ordering::Relaxed));
        let until = Instant::now() + ttl;
        tokens.insert(name.clone(), Token { scopes, until });
        serde_json::json!({"token": name, "expires_in": ttl.as_secs()})
    }
}
