//! Image references as users write them, by Docker's rules.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The host of Docker Hub in references.
pub const DOCKER_HUB: &str = "docker.io";

/// An older name of it, which references may have too.
const OLD_DOCKER_HUB: &str = "index.docker.io";

/// The host of its API, which references do not replace.
pub const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Every name of Docker Hub.
pub const DOCKER_HUB_HOSTS: [&str; 3] = [DOCKER_HUB, OLD_DOCKER_HUB, DOCKER_HUB_API];

/// Whether `host` is Docker Hub.
#[must_use]
pub fn is_docker_hub(host: &str) -> bool {
    DOCKER_HUB_HOSTS.contains(&host)
}

/// Longest registry and repository together, in bytes.
///
/// Source: the limit of Docker's own reference parser.
const MAX_NAME_BYTES: usize = 255;

/// Longest tag, in bytes. Source: distribution-spec 1.1, "Pulling manifests".
const MAX_TAG_BYTES: usize = 128;

/// A normalised name of an image: host, path, and a tag or digest or both.
///
/// Displayed in full, as in `docker.io/library/nginx:latest`. It has at least one of
/// [`tag`](Self::tag) and [`digest`](Self::digest).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// 64 hex digits: the id of a local image, which registries do not know.
    #[error("`{0}` is a bare image id: name a repository, as in name@sha256:{0}")]
    BareId(String),
    /// The repository has upper-case letters.
    #[error("`{0}` has an upper-case repository name: write it in lower case")]
    UpperCase(String),
    /// The registry, repository or tag breaks the grammar.
    #[error("`{text}` is not an image reference: found a malformed {part}, expected {expected}")]
    Malformed {
        /// The text, shortened.
        text: String,
        /// Which part is wrong.
        part: &'static str,
        /// The expected form of that part.
        expected: &'static str,
    },
    /// There is a login in front of the host, which is not shown.
    #[error(
        "`{0}` has a login in front of its host: remove it, and log in with `docker login` or `podman login`"
    )]
    Login(String),
    /// The text after `@` is not a digest that can be checked.
    #[error("`{text}` is not an image reference")]
    Digest {
        /// The text, shortened.
        text: String,
        /// What is wrong with the digest.
        source: super::DigestError,
    },
}

impl ReferenceError {
    /// The same error with `shown` as the reference, such as the user's input.
    #[must_use]
    pub fn of(self, shown: &str) -> Self {
        let hidden = hidden(shown);
        let shown = shown.chars().take(200).collect();
        match self {
            Self::BareId(_) => Self::BareId(shown),
            Self::Login(before) => Self::Login(hidden.unwrap_or(before)),
            Self::UpperCase(_) => Self::UpperCase(shown),
            Self::Malformed { part, expected, .. } => Self::Malformed {
                text: shown,
                part,
                expected,
            },
            Self::Digest { source, .. } => Self::Digest {
                text: shown,
                source,
            },
        }
    }
}

impl Reference {
    /// Host and optional port; `docker.io` for Docker Hub under any of its names.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path within the registry, such as `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, which may accompany a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which has priority over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The part after `oci://` in the URL `text`; `None`: it has another scheme.
    #[must_use]
    pub fn url_path(text: &str) -> Option<&str> {
        text.strip_prefix(super::place::REGISTRY)
    }

    /// `text`, which may name an image, without a login in front of its host.
    #[must_use]
    pub fn shown(text: &str) -> String {
        hidden(text).unwrap_or_else(|| text.to_owned())
    }

    /// Parses a reference whose first part is a host, even if it looks like a
    /// repository on Docker Hub.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`]
    pub fn hosted(text: &str) -> Result<Self, ReferenceError> {
        let reference: Self = text.parse()?;
        let host = text.split('/').next().unwrap_or_default();
        if reference.registry() == host || host == OLD_DOCKER_HUB {
            return Ok(reference);
        }
        Err(ReferenceError::Malformed {
            text: text.chars().take(200).collect(),
            part: "registry",
            expected: "a host with a dot or a port, or localhost",
        })
    }

    /// Whether `text`, from which it was parsed, has a tag or digest.
    #[must_use]
    pub fn is_explicit_in(&self, text: &str) -> bool {
        self.digest.is_some()
            || self
                .tag
                .as_ref()
                .is_some_and(|tag| text.ends_with(&format!(":{tag}")))
    }

    /// The same repository at `digest`, without a tag.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let shown = || text.chars().take(200).collect::<String>();
        let malformed = |part, expected| ReferenceError::Malformed {
            text: shown(),
            part,
            expected,
        };
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ReferenceError::BareId(shown()));
        }
        if let Some(shown) = hidden(text) {
            return Err(ReferenceError::Login(shown));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    text: shown(),
                    source,
                })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (DOCKER_HUB, rest),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !valid_host(host) {
            return Err(malformed("registry", "a host name and an optional port"));
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(shown()));
        }
        if !path.split('/').all(valid_component) {
            let expected = "lower-case words joined by one of . _ __ - and separated by /";
            return Err(malformed("repository", expected));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed("tag", TAG_RULE));
        }
        let registry = match host {
            OLD_DOCKER_HUB => DOCKER_HUB,
            other => other,
        };
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + repository.len() > MAX_NAME_BYTES {
            return Err(malformed("name", "at most 255 bytes"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: match (tag, digest) {
                (None, None) => Some("latest".to_owned()),
                (tag, _) => tag.map(str::to_owned),
            },
            digest,
        })
    }
}

/// `text` without the login in front of its host, shortened; `None`: it has none.
fn hidden(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let is_digest = |end: &str| {
        let algorithm = end.split_once(':').map_or("", |(algorithm, _)| algorithm);
        let known = ["sha", "md5", "blake"];
        !end.contains('/') && known.iter().any(|begin| algorithm.starts_with(begin))
    };
    let body = match rest.rsplit_once('@') {
        Some((body, end)) if is_digest(end) => body,
        _ => rest,
    };
    let (login, host) = body.rsplit_once('@')?;
    // Text that names no host may be a wrong digest.
    let is_login = login.contains(':') || host.contains(['.', ':', '/']);
    let shown = format!("{scheme}***{}", &rest[login.len()..]);
    is_login.then(|| shown.chars().take(200).collect())
}

fn is_host(word: &str) -> bool {
    word.contains(['.', ':']) || word == "localhost"
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, "")) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("ip", port.strip_prefix(':').or(Some("")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let plain = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(plain)
        && port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}

fn valid_component(word: &str) -> bool {
    let mut separator = String::new();
    let mut started = false;
    for character in word.chars() {
        match character {
            'a'..='z' | '0'..='9' => {
                let joined = separator.is_empty()
                    || matches!(separator.as_str(), "." | "_" | "__")
                    || separator.bytes().all(|b| b == b'-');
                if !joined {
                    return false;
                }
                separator.clear();
                started = true;
            }
            '.' | '_' | '-' if started => separator.push(character),
            _ => return false,
        }
    }
    started && separator.is_empty()
}

/// The rule for tags, for messages.
pub const TAG_RULE: &str = "at most 128 letters, digits, and _ . - after the first";

/// Whether `tag` is a valid tag.
///
/// Source: distribution-spec 1.1, "Pulling manifests".
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG_BYTES
        && !tag.is_empty()
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_refused_and_not_shown() {
        let digest = Digest::of(b"x").to_string();
        for (text, shown) in [
            ("u:hush@h.io/a:1".to_owned(), "***@h.io/a:1".to_owned()),
            ("u:hu@sh@h.io/a".to_owned(), "***@h.io/a".to_owned()),
            ("hush@h.io:5000".to_owned(), "***@h.io:5000".to_owned()),
            ("u:hush@localhost".to_owned(), "***@localhost".to_owned()),
            ("u:hu/sh@h/a".to_owned(), "***@h/a".to_owned()),
            (format!("u:hush@h/a@{digest}"), format!("***@h/a@{digest}")),
            (
                format!("{}@h.io/a", "hush".repeat(100)),
                "***@h.io/a".to_owned(),
            ),
        ] {
            for parsed in [text.parse::<Reference>(), Reference::hosted(&text)] {
                let error = parsed.unwrap_err();
                assert_eq!(error, ReferenceError::Login(shown.clone()));
                let whole = error.of(&format!("oci://{text}")).to_string();
                assert!(whole.contains(&format!("`oci://{shown}`")), "{whole}");
            }
        }
        for text in [
            "nginx@latest",
            "nginx@sha256:0",
            "h.io/a:1@sha512:00",
            "a@b",
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(matches!(error, ReferenceError::Digest { .. }), "{error}");
        }
    }

    #[test]
    fn short_names_gain_host_library_and_latest() {
        let digest = Digest::of(b"x").to_string();
        let cases = [
            ("nginx", "docker.io/library/nginx:latest", ":latest"),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:1", ":1"),
            ("localhost/a", "localhost/a:latest", ":latest"),
            ("localhost:5000/a:b", "localhost:5000/a:b", ":b"),
            ("[::1]:5000/a:b", "[::1]:5000/a:b", ":b"),
            ("index.docker.io/a", "docker.io/library/a:latest", ":latest"),
            ("a__b/c--d:V_1", "docker.io/a__b/c--d:V_1", ":V_1"),
        ];
        for (text, full, end) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(
                reference
                    .tag()
                    .map_or(":latest".to_owned(), |tag| format!(":{tag}")),
                end
            );
            assert_eq!(full.parse::<Reference>().unwrap(), reference);
        }
        for (name, full) in [("a/b", "docker.io/a/b"), ("a/b:1", "docker.io/a/b:1")] {
            let reference: Reference = format!("{name}@{digest}").parse().unwrap();
            assert_eq!(reference.to_string(), format!("{full}@{digest}"));
            assert_eq!(reference.digest().unwrap().to_string(), digest);
        }
    }

    #[test]
    fn ids_upper_case_and_broken_names_are_refused() {
        let parse = |text: &str| text.parse::<Reference>().unwrap_err();
        assert!(matches!(parse(&"ab".repeat(32)), ReferenceError::BareId(_)));
        assert!(matches!(parse("Nginx"), ReferenceError::UpperCase(_)));
        assert!(matches!(parse("a@sha256:1"), ReferenceError::Digest { .. }));
        for text in [
            "",
            "/",
            "a/",
            "a//b",
            "a:",
            "a:-b",
            "a:b:c",
            "a._b",
            "-a",
            "a-",
            "é",
            "h.io:x/a",
            "h.io:99999/a",
            ".h/a",
            "[::g]/a",
            "[::1]x/a",
            "a:b/c",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
    }
}
