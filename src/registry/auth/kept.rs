//! Logins as `docker login` keeps them: by a credential helper, or in Docker's file.
//!
//! Takes the text of the file and returns the new one. What it does not know stays.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::credentials::{Credentials, CredentialsError, HUB_KEY, host_of};
use crate::oci::{DOCKER_HUB_HOSTS, is_docker_hub};

/// Where a login is to be kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the file, with this text.
    InFile(String),
    /// By the helper that the file names.
    ByHelper(String),
    /// There is none to remove.
    Nowhere,
}

/// The file `text`, which messages call `from`, with the login of `user` to `registry`.
///
/// # Errors
///
/// [`CredentialsError::Config`]: the text is not JSON, or of another shape.
pub fn with_login(
    from: &str,
    text: &str,
    registry: &str,
    (user, password): (&str, &str),
) -> Result<Kept, CredentialsError> {
    let mut file = parsed(from, text)?;
    if let Some(helper) = helper(&file, registry) {
        return Ok(Kept::ByHelper(helper));
    }
    let auth = STANDARD.encode(format!("{user}:{password}"));
    let auths = auths(from, &mut file)?;
    auths.retain(|key, _| !is_of(key, registry));
    auths.insert(key_of(registry), json!({ "auth": auth }));
    Ok(Kept::InFile(printed(&file)))
}

/// The same without a login to `registry`.
///
/// # Errors
///
/// As [`with_login`].
pub fn without_login(from: &str, text: &str, registry: &str) -> Result<Kept, CredentialsError> {
    let mut file = parsed(from, text)?;
    if let Some(helper) = helper(&file, registry) {
        return Ok(Kept::ByHelper(helper));
    }
    let auths = auths(from, &mut file)?;
    let before = auths.len();
    auths.retain(|key, _| !is_of(key, registry));
    match auths.len() < before {
        true => Ok(Kept::InFile(printed(&file))),
        false => Ok(Kept::Nowhere),
    }
}

/// Hands a login to a helper, or with `None` has it removed.
///
/// # Errors
///
/// The helper is not installed, or failed.
pub fn tell_helper(
    helper_folders: &[PathBuf],
    helper: &str,
    registry: &str,
    login: Option<(&str, &str)>,
) -> Result<(), CredentialsError> {
    let key = key_of(registry);
    let asked = Credentials::from_docker_configs(&[], helper_folders)?;
    let (verb, input) = match login {
        Some((user, password)) => {
            let login = json!({"ServerURL": key, "Username": user, "Secret": password});
            ("store", login.to_string())
        }
        None => ("erase", key.clone()),
    };
    asked.run_helper(helper, verb, &key, &input).map(drop)
}

/// The name that Docker keeps a login under.
fn key_of(registry: &str) -> String {
    match is_docker_hub(registry) {
        true => HUB_KEY.to_owned(),
        false => registry.to_owned(),
    }
}

/// Whether a key is that of the registry itself, not of a path in it.
fn is_of(key: &str, registry: &str) -> bool {
    let host = host_of(key);
    match is_docker_hub(registry) {
        true => key == HUB_KEY || DOCKER_HUB_HOSTS.contains(&host),
        false => host == registry,
    }
}

fn helper(file: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = file.get("credHelpers").and_then(Value::as_object);
    let own = own.into_iter().flatten();
    let own = own.filter(|(key, _)| is_of(key, registry));
    let usual = file.get("credsStore").into_iter();
    let mut names = own.map(|(_, name)| name).chain(usual);
    names.find_map(|name| {
        name.as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    })
}

fn parsed(from: &str, text: &str) -> Result<Map<String, Value>, CredentialsError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|error| CredentialsError::Config {
        from: from.to_owned(),
        line: error.line(),
    })
}

fn auths<'f>(
    from: &str,
    file: &'f mut Map<String, Value>,
) -> Result<&'f mut Map<String, Value>, CredentialsError> {
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    auths
        .as_object_mut()
        .ok_or_else(|| CredentialsError::Config {
            from: from.to_owned(),
            line: 1,
        })
}

fn printed(file: &Map<String, Value>) -> String {
    format!("{:#}\n", Value::from(file.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kept: Kept) -> Value {
        match kept {
            Kept::InFile(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_login_is_merged_and_removed_and_the_rest_stays() {
        let before = r#"{"auths":{"a.io":{"auth":"x"},"https://r.io/v1/":{"auth":"old"},
            "r.io/team":{"auth":"t"}},"proxies":{"default":1}}"#;
        let with = text(with_login("f", before, "r.io", ("u", "p:q")).unwrap());
        assert_eq!(
            with,
            json!({"auths": {"a.io": {"auth": "x"}, "r.io": {"auth": "dTpwOnE="},
                   "r.io/team": {"auth": "t"}}, "proxies": {"default": 1}})
        );
        let without = text(without_login("f", &with.to_string(), "r.io").unwrap());
        assert_eq!(
            without["auths"],
            json!({"a.io": {"auth": "x"}, "r.io/team": {"auth": "t"}})
        );
        let again = without_login("f", &without.to_string(), "r.io").unwrap();
        assert_eq!(again, Kept::Nowhere);
        let hub = text(with_login("f", "", "docker.io", ("u", "p")).unwrap());
        assert_eq!(hub, json!({"auths": {HUB_KEY: {"auth": "dTpw"}}}));
    }

    #[test]
    fn a_helper_is_told_and_a_damaged_file_is_not_replaced() {
        let text = r#"{"credsStore":"all","credHelpers":{"r.io":"one"}}"#;
        for (host, name) in [("r.io", "one"), ("s.io", "all")] {
            let kept = with_login("f", text, host, ("u", "p")).unwrap();
            assert_eq!(kept, Kept::ByHelper(name.to_owned()));
            let kept = without_login("f", text, host).unwrap();
            assert_eq!(kept, Kept::ByHelper(name.to_owned()));
        }
        for damaged in ["{", "[]", r#"{"auths":[]}"#] {
            let error = with_login("f", damaged, "r.io", ("u", "secret")).unwrap_err();
            assert!(!error.to_string().contains("secret"));
        }
        let missing = tell_helper(&[], "one", "r.io", Some(("u", "p"))).unwrap_err();
        assert!(
            missing.to_string().contains("docker-credential-one"),
            "{missing}"
        );
    }
}
