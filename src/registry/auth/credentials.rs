//! Registry credentials, as `docker login` stores them.
//!
//! The client uses them to request tokens. Parses Docker configurations that the
//! caller has read, and runs credential helpers from folders that the caller
//! names. Never looks for the file itself, and never prints a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::oci::{DOCKER_HUB_HOSTS, is_docker_hub};

/// Largest answer read from a credential helper, in bytes.
///
/// Tokens are a few kilobytes; a helper that writes more is not one.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// The key under which Docker stores a login to Docker Hub.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A credential for a registry. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The credentials of the user.
        username: String,
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
    /// A token for the registry itself, used without a token server.
    Bearer(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username}, hidden)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(hidden)"),
            Self::Bearer(_) => f.write_str("Bearer(hidden)"),
        }
    }
}

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("credentials in {from} are malformed at line {line}: expected an object with `auths`")]
    Config {
        /// The file or variable.
        from: String,
        /// Line of the defect. Its text may be secret, so it is not shown.
        line: usize,
    },
    /// A configured credentials file cannot be read.
    #[error("credentials in {from} cannot be read: {reason}; log in, or name another file")]
    Unread {
        /// The file, and the setting that named it.
        from: String,
        reason: String,
    },
    /// `auth` of one registry is not base64 of `user:password`.
    #[error("credentials in {from}: `auth` of {key} is not base64 of user:password; log in again")]
    Auth {
        /// The file or variable.
        from: String,
        /// The registry, as named in the file.
        key: String,
    },
    /// The helper is named in the configuration but not installed.
    #[error("credential helper `docker-credential-{0}` was not found; install it or log in again")]
    HelperMissing(String),
    /// The helper cannot be run, or its answer cannot be read.
    #[error("credential helper `docker-credential-{helper}` failed for {server}: {reason}")]
    Helper {
        /// The suffix of the helper's name.
        helper: String,
        /// The server whose credentials were requested.
        server: String,
        reason: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawConfig {
    auths: BTreeMap<String, RawAuth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAuth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAnswer {
    username: String,
    secret: String,
}

impl Credential {
    /// The user name, for messages.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Basic { username, .. } => username,
            Self::IdentityToken(_) | Self::Bearer(_) => "a token",
        }
    }
}

/// The content of Docker's `config.json` or Podman's `auth.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginText {
    /// The file or environment variable it was read from.
    pub from: String,
    /// The text, or the reason why a configured file cannot be read.
    pub text: Result<String, String>,
}

/// The credentials of Docker configuration files.
#[derive(Default)]
pub struct Credentials {
    configs: Vec<(String, Result<RawConfig, String>)>,
    helper_dirs: Vec<PathBuf>,
}

impl Credentials {
    /// Parses `configs`; for each host, the first credential found applies.
    ///
    /// Helpers are looked up in `helper_dirs`, in order: usually `PATH`.
    ///
    /// # Errors
    ///
    /// [`CredentialsError::Config`]: not JSON, or of another shape.
    pub fn from_docker_configs(
        configs: &[LoginText],
        helper_dirs: &[PathBuf],
    ) -> Result<Self, CredentialsError> {
        let read = |config: &LoginText| {
            let from = config.from.clone();
            let read = match &config.text {
                Err(reason) => return Ok((from, Err(reason.clone()))),
                Ok(text) => serde_json::from_str(text),
            };
            match read {
                Ok(read) => Ok((from, Ok(read))),
                Err(error) => Err(CredentialsError::Config {
                    from,
                    line: error.line(),
                }),
            }
        };
        Ok(Self {
            configs: configs.iter().map(read).collect::<Result<_, _>>()?,
            helper_dirs: helper_dirs.to_vec(),
        })
    }

    /// The places where credentials were looked up.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.configs.iter().map(|(from, _)| from.clone()).collect()
    }

    /// The credential for `repository` of `registry`, a host and optional port,
    /// and where it was found; `None`: anonymous.
    ///
    /// The helper for the registry has priority, then the default helper, then
    /// `auths`. There, the longest matching path (as Podman writes them) has
    /// priority over the host. Blocks while a helper runs.
    ///
    /// # Errors
    ///
    /// The helper failed, or the stored credential cannot be decoded.
    pub fn get(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<(Credential, String)>, CredentialsError> {
        let hub = [&[HUB_KEY][..], &DOCKER_HUB_HOSTS].concat();
        let keys = match is_docker_hub(registry) {
            true => &hub[..],
            false => &[registry],
        };
        for (from, config) in &self.configs {
            let config = config.as_ref().map_err(|reason| CredentialsError::Unread {
                from: from.clone(),
                reason: reason.clone(),
            })?;
            if let Some(found) = self.find(from, config, keys, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find(
        &self,
        from: &str,
        config: &RawConfig,
        keys: &[&str],
        repository: &str,
    ) -> Result<Option<(Credential, String)>, CredentialsError> {
        let helpers = &config.cred_helpers;
        let exact = keys.iter().find_map(|key| helpers.get_key_value(*key));
        let own = exact.or_else(|| helpers.iter().find(|(key, _)| keys.contains(&host_of(key))));
        let usual = Some(&config.creds_store).filter(|name| !name.is_empty());
        if let Some(helper) = own.map(|(_, helper)| helper).or(usual)
            && let Some(found) = self.find_in_helper(helper, own.map(|(key, _)| key), keys[0])?
        {
            return Ok(Some((found, format!("docker-credential-{helper}"))));
        }
        let paths = repository
            .rmatch_indices('/')
            .map(|(end, _)| &repository[..end]);
        let paths = std::iter::once(repository).chain(paths);
        let below = paths.flat_map(|path| keys.iter().map(move |key| format!("{key}/{path}")));
        let entry = below
            .filter(|_| !repository.is_empty())
            .find_map(|key| config.auths.get_key_value(&key))
            .or_else(|| keys.iter().find_map(|key| config.auths.get_key_value(*key)))
            .or_else(|| {
                let mut entries = config.auths.iter();
                // As Docker writes them; a key with a path belongs to another
                // repository.
                entries.find(|(key, _)| keys.contains(&host_of(key)))
            });
        let Some((key, auth)) = entry else {
            return Ok(None);
        };
        let found = decode(from, key, auth)?;
        Ok(found.map(|found| (found, from.to_owned())))
    }

    /// Asks for `server`, and then for it as a URL: which of the two a helper keeps a
    /// login under depends on what the user wrote when logging in.
    fn find_in_helper(
        &self,
        helper: &str,
        key: Option<&String>,
        server: &str,
    ) -> Result<Option<Credential>, CredentialsError> {
        let found = self.ask(helper, server)?;
        let url = format!("https://{server}");
        let others = key.map(String::as_str).into_iter().chain([url.as_str()]);
        let others = others.filter(|other| *other != server && !server.contains("://"));
        for other in others.filter(|_| found.is_none()) {
            // A helper for hosts alone may refuse a URL; the host had no login.
            if let Ok(Some(found)) = self.ask(helper, other) {
                return Ok(Some(found));
            }
        }
        Ok(found)
    }

    fn ask(&self, helper: &str, server: &str) -> Result<Option<Credential>, CredentialsError> {
        let Some(answer) = self.run_helper(helper, "get", server, server)? else {
            return Ok(None);
        };
        let answer: RawAnswer =
            serde_json::from_slice(&answer).map_err(|_| CredentialsError::Helper {
                helper: helper.to_owned(),
                server: server.to_owned(),
                reason: "answer is not JSON with Username and Secret".to_owned(),
            })?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credential::IdentityToken(answer.secret),
            _ => Credential::Basic {
                username: answer.username,
                password: answer.secret,
            },
        }))
    }

    /// The answer of a helper to `verb` about `server`; `None`: it has no such login.
    pub(super) fn run_helper(
        &self,
        helper: &str,
        verb: &str,
        server: &str,
        input: &str,
    ) -> Result<Option<Vec<u8>>, CredentialsError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let program = Some(format!("docker-credential-{helper}"))
            .filter(|_| helper.bytes().all(plain))
            .and_then(|name| {
                let mut paths = self.helper_dirs.iter().map(|dir| dir.join(&name));
                paths.find(|path| path.is_file())
            })
            .ok_or_else(|| CredentialsError::HelperMissing(helper.to_owned()))?;
        let failed = |reason: String| CredentialsError::Helper {
            helper: helper.to_owned(),
            server: server.to_owned(),
            reason,
        };
        let io_failed = |error: std::io::Error| failed(error.to_string());
        let mut child = Command::new(program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // If the helper exits without reading, its exit status has the
            // reason.
            let _ = stdin.write_all(input.as_bytes());
        }
        let mut answer = Vec::new();
        let read = match child.stdout.take() {
            Some(output) => output.take(MAX_ANSWER_BYTES).read_to_end(&mut answer),
            None => Ok(0),
        };
        let status = child.wait().map_err(io_failed)?;
        read.map_err(io_failed)?;
        if !status.success() {
            let message = String::from_utf8_lossy(&answer);
            if message.contains("credentials not found") {
                return Ok(None);
            }
            let message: String = message.trim().chars().take(200).collect();
            return Err(failed(format!("{status}: {message}")));
        }
        Ok(Some(answer))
    }
}

/// Older Docker clients stored `https://host/v1/` instead of the host.
pub(super) fn host_of(key: &str) -> &str {
    let web = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let (host, path) = match web.unwrap_or(key).split_once('/') {
        Some((host, path)) => (host, path.trim_end_matches('/')),
        None => (web.unwrap_or(key), ""),
    };
    match matches!(path, "" | "v1" | "v2") {
        true => host,
        false => "",
    }
}

fn decode(from: &str, key: &str, auth: &RawAuth) -> Result<Option<Credential>, CredentialsError> {
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Credential::Bearer(auth.registrytoken.clone())));
    }
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credential::IdentityToken(auth.identitytoken.clone())));
    }
    if auth.auth.is_empty() {
        return Ok((!auth.username.is_empty()).then(|| Credential::Basic {
            username: auth.username.clone(),
            password: auth.password.clone(),
        }));
    }
    let text = STANDARD
        .decode(&auth.auth)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match text.as_deref().and_then(|text| text.split_once(':')) {
        Some((username, password)) => Ok(Some(Credential::Basic {
            username: username.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        })),
        None => Err(CredentialsError::Auth {
            from: from.to_owned(),
            key: key.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(config: &str, dirs: &[PathBuf]) -> Result<Credentials, CredentialsError> {
        let text = LoginText {
            from: "a.json".to_owned(),
            text: Ok(config.to_owned()),
        };
        Credentials::from_docker_configs(&[text], dirs)
    }

    fn get(
        logins: &Credentials,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialsError> {
        Ok(logins.get(host, repository)?.map(|(found, _)| found))
    }

    fn basic(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn stored_logins_are_found_by_host_hub_key_and_url() {
        let config = r#"{"auths":{"a.io":{"auth":"dTpwOnE="},"b.io":{"identitytoken":"t"},
            "https://index.docker.io/v1/":{"auth":"aDp4"},"https://c.io/v1/":{"auth":"dTpw"},
            "bad.io":{"auth":"!"},"none.io":{}},"other":1}"#;
        let logins = reading(config, &[]).unwrap();
        assert_eq!(get(&logins, "a.io", "x/y").unwrap(), basic("u", "p:q"));
        let token = Credential::IdentityToken("t".to_owned());
        assert_eq!(get(&logins, "b.io", "x/y").unwrap(), Some(token));
        assert_eq!(get(&logins, "docker.io", "x/y").unwrap(), basic("h", "x"));
        assert_eq!(get(&logins, "c.io", "x/y").unwrap(), basic("u", "p"));
        assert_eq!(get(&logins, "none.io", "x/y").unwrap(), None);
        assert_eq!(get(&logins, "x.io", "x/y").unwrap(), None);
        assert!(matches!(
            get(&logins, "bad.io", "x/y"),
            Err(CredentialsError::Auth { .. })
        ));
    }

    #[test]
    fn a_login_for_a_path_is_for_what_is_below_it() {
        let config = r#"{"auths":{"h.io/a":{"auth":"dTE6cDE="},"h.io/a/b":{"auth":"dTI6cDI="},
            "h.io":{"auth":"dTM6cDM="},"only.io/x":{"auth":"dTE6cDE="}}}"#;
        let logins = reading(config, &[]).unwrap();
        for (host, repository, login) in [
            ("h.io", "a/c", basic("u1", "p1")),
            ("h.io", "a", basic("u1", "p1")),
            ("h.io", "a/b/c", basic("u2", "p2")),
            ("h.io", "ab/c", basic("u3", "p3")),
            ("only.io", "x/y", basic("u1", "p1")),
            ("only.io", "y", None),
        ] {
            assert_eq!(
                get(&logins, host, repository).unwrap(),
                login,
                "{host}/{repository}"
            );
        }
    }

    #[test]
    fn secrets_are_not_shown_by_debug() {
        assert!(!format!("{:?}", basic("u", "p4ss")).contains("p4ss"));
    }

    #[test]
    fn a_missing_helper_and_broken_json_are_reported() {
        let config = r#"{"credHelpers":{"a.io":"none","b.io":"../x"}}"#;
        let logins = reading(config, &[]).unwrap();
        for host in ["a.io", "b.io"] {
            assert!(matches!(
                get(&logins, host, "x/y"),
                Err(CredentialsError::HelperMissing(_))
            ));
        }
        let error = reading("{\n[", &[]).err().unwrap().to_string();
        assert!(
            error.contains("a.json") && error.contains("line 2"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn helpers_are_called_with_the_server() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker-credential-t");
        let script = "#!/bin/sh\nread s\ncase \"$s\" in url.io|no.io|https://no.io) echo credentials not found in native keychain; exit 1;; esac\n[ \"$s\" = bad.io ] && exit 2\necho \"{\\\"Username\\\":\\\"<token>\\\",\\\"Secret\\\":\\\"$s\\\"}\"\n";
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = r#"{"credsStore":"t","auths":{"no.io":{"auth":"dTpw"}}}"#;
        let dirs = vec![dir.path().to_owned()];
        let logins = reading(config, &dirs).unwrap();
        let token = Credential::IdentityToken("a.io".to_owned());
        assert_eq!(get(&logins, "a.io", "x/y").unwrap(), Some(token));
        assert_eq!(get(&logins, "no.io", "x/y").unwrap(), basic("u", "p"));
        assert!(matches!(
            get(&logins, "bad.io", "x/y"),
            Err(CredentialsError::Helper { .. })
        ));
        // A login that is kept under a URL, and a helper that is named by one.
        let config = r#"{"credsStore":"t","credHelpers":{"https://b.io/v1/":"t","c.io":"none"}}"#;
        let logins = reading(config, &dirs).unwrap();
        let token = |server: &str| Some(Credential::IdentityToken(server.to_owned()));
        assert_eq!(
            get(&logins, "url.io", "x/y").unwrap(),
            token("https://url.io")
        );
        assert_eq!(get(&logins, "b.io", "x/y").unwrap(), token("b.io"));
        assert!(get(&logins, "c.io", "x/y").is_err());
        let logins = reading(r#"{"credHelpers":{"https://b.io":"t"}}"#, &dirs).unwrap();
        assert_eq!(get(&logins, "b.io", "x/y").unwrap(), token("b.io"));
        assert_eq!(get(&logins, "d.io", "x/y").unwrap(), None);
        let logins = reading(config.replace("credsStore", "other").as_str(), &dirs).unwrap();
        assert_eq!(get(&logins, "url.io", "x/y").unwrap(), None);
    }
}
