//! What a registry requires when it refuses, and who may get its login.
//!
//! Source: RFC 9110 section 11.6.1; docs/spec/registry.md, "Logins".

use std::collections::HashMap;

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::oci::{DOCKER_HUB, is_docker_hub};
use crate::registry::host::answering;

/// One way to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub scheme: String,
    /// Names in lower case.
    parameters: HashMap<String, String>,
}

impl Challenge {
    /// A parameter; empty if it is missing.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// The token server, if it is one that a login may be sent to over this
    /// connection: with https, or with http if the registry has no TLS either.
    pub fn realm(&self, plain: bool) -> Option<Url> {
        let realm = Url::parse(self.parameter("realm")).ok()?;
        let scheme = realm.scheme();
        (scheme == "https" || plain && scheme == "http").then_some(realm)
    }
}

/// All challenges of a response: registries send several in one header, or in
/// several headers, in any order.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let mut found: Vec<Challenge> = Vec::new();
    for part in values.filter_map(|v| v.to_str().ok()).flat_map(parts) {
        let word = part.split([' ', '=', '"']).next().unwrap_or_default();
        let rest = part[word.len()..].trim_start();
        let rest = match rest.strip_prefix('=') {
            Some(value) => Some((word, value)),
            None => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: HashMap::new(),
                });
                rest.split_once('=')
            }
        };
        if let (Some((name, value)), Some(challenge)) = (rest, found.last_mut()) {
            let name = name.trim().to_ascii_lowercase();
            challenge.parameters.entry(name).or_insert(unquoted(value));
        }
    }
    found
}

/// The parts between unquoted commas.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn unquoted(value: &str) -> String {
    let Some(quoted) = value.trim().strip_prefix('"') else {
        return value.trim().to_owned();
    };
    let mut text = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next().filter(|c| *c != '"') {
        text.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    text
}

/// Token servers elsewhere that registries document as their own.
///
/// Source: distribution-spec's token authentication at docs.docker.com/registry/spec/auth;
/// docs.gitlab.com, "Container registry"; docs.digitalocean.com, "Container Registry".
const DOCUMENTED: &[(&str, &str)] = &[
    (DOCKER_HUB, "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("registry.digitalocean.com", "api.digitalocean.com"),
];

/// Whether a login for `registry` may go to the token server `realm`: one at its own
/// host and port, one that it documents, or `named`, the one that the user trusts.
/// Another port of a host may be another user's program.
pub(super) fn may_have_login(registry: &str, realm: &Url, named: Option<&str>) -> bool {
    let known = match is_docker_hub(registry) {
        true => DOCKER_HUB,
        false => registry,
    };
    let documented = DOCUMENTED.iter().filter(|(of, _)| *of == known);
    let documented = documented.map(|(_, server)| *server);
    let mut trusted = documented.chain([answering(registry)]).chain(named);
    trusted.any(|server| is_at(realm, server))
}

/// Whether `url` is at `server`, a host with its port unless that is the usual one.
fn is_at(url: &Url, server: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default();
    match (without_port(server), url.port()) {
        ((name, None), None) => name.eq_ignore_ascii_case(host),
        ((name, own), _) => own.is_some() && own == port && name.eq_ignore_ascii_case(host),
    }
}

/// The host of `url`, with its port unless that is the usual one.
pub(super) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn without_port(host: &str) -> (&str, Option<u16>) {
    let parts = host.rsplit_once(':');
    match parts.and_then(|(name, port)| Some((name, port.parse().ok()?))) {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Vec<(String, Vec<(String, String)>)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        let sorted = |challenge: Challenge| {
            let mut parameters: Vec<_> = challenge.parameters.into_iter().collect();
            parameters.sort();
            (challenge.scheme, parameters)
        };
        challenges(&headers).into_iter().map(sorted).collect()
    }

    fn of(scheme: &str, parameters: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        (scheme.to_owned(), parameters.iter().map(owned).collect())
    }

    #[test]
    fn every_challenge_is_read_wherever_it_is() {
        let basic = of("basic", &[("realm", "a, b=\"c\"")]);
        let bearer = of(
            "bearer",
            &[
                ("realm", "https://h/t"),
                ("scope", "repository:a:pull,push"),
            ],
        );
        let basic_text = r#"Basic realm="a, b=\"c\"""#;
        let bearer_text = r#"BEARER Realm=https://h/t , scope="repository:a:pull,push""#;
        let both = [basic.clone(), bearer.clone()];
        assert_eq!(read(&[basic_text, bearer_text]), both);
        let joined = r#"Basic realm="a, b=\"c\"", Bearer realm="https://h/t",scope="repository:a:pull,push""#;
        assert_eq!(read(&[joined]), both);
        assert_eq!(read(&[bearer_text, basic_text]), [bearer, basic]);
        assert_eq!(
            read(&["Negotiate, Basic"]),
            [of("negotiate", &[]), of("basic", &[])]
        );
        assert_eq!(
            read(&["NTLM abc==,Basic realm=\"open"]),
            [
                of("ntlm", &[("abc", "=")]),
                of("basic", &[("realm", "open")])
            ]
        );
        assert_eq!(read(&["", ",,", "realm=x"]), []);
    }

    #[test]
    fn a_login_is_for_the_registry_s_own_token_server_or_a_documented_or_named_one() {
        let may = |registry: &str, realm: &str, named: Option<&str>| {
            may_have_login(registry, &Url::parse(realm).unwrap(), named)
        };
        for (registry, realm, named) in [
            ("r.example", "https://R.example/t", None),
            ("r.example:443", "https://r.example/t", None),
            ("r.example", "https://r.example:443/t", None),
            ("r.example:5000", "https://r.example:5000/t", None),
            (
                "r.example:5000",
                "https://r.example:5001/t",
                Some("r.example:5001"),
            ),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/t", None),
            ("[::1]:5000", "http://[::1]:5000/t", None),
            ("[::1]", "http://[::1]/t", None),
            ("docker.io", "https://auth.docker.io/token", None),
            ("docker.io", "https://registry-1.docker.io/token", None),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", None),
            ("r.example", "https://a.example/t", Some("a.example")),
            (
                "r.example",
                "https://a.example:8443/t",
                Some("A.example:8443"),
            ),
        ] {
            assert!(may(registry, realm, named), "{registry} {realm}");
        }
        for (registry, realm, named) in [
            ("r.example", "https://a.example/t", None),
            ("r.example", "https://example/t", None),
            ("r.example", "https://r.example:5001/t", None),
            ("r.example:5001", "https://r.example/t", None),
            ("r.example:5000", "https://r.example:5001/t", None),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/t", None),
            ("[::1]:5000", "http://[::1]:5001/t", None),
            ("[::1]", "http://[::1]:1/t", None),
            ("docker.io", "https://auth.docker.io:8443/t", None),
            ("r.example", "https://a.example:1/t", Some("a.example")),
            ("r.example", "https://r.example.evil/t", None),
            ("r.example", "https://r.example@evil/t", None),
            ("127.0.0.1:5000", "http://127.0.0.2:5000/t", None),
            ("docker.io", "https://auth.docker.io.evil/t", None),
            ("r.example", "https://auth.docker.io/t", None),
            ("r.example", "https://b.example/t", Some("a.example")),
            ("r.example", "https://a.example:1/t", Some("a.example:8443")),
        ] {
            assert!(!may(registry, realm, named), "{registry} {realm}");
        }
    }
}
