//! URLs of Git repositories, and their folders in a package.
//!
//! A deployment finds a repository by the name of its folder, so the name is part of
//! the format. Source: docs/spec/package.md, "Git repositories", "Test vectors".

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use crate::text::public_url;

/// The address of a repository and the part of it to package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoUrl {
    /// Address to clone, without reference and service path.
    pub address: String,
    /// Last part of the address, without `.git`.
    pub repo: String,
    /// The part to package.
    pub wanted: Wanted,
    full: String,
    written: String,
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Part of a repository to package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All branches and tags.
    All,
    /// One commit, by its 40 hex digits.
    Commit(String),
    /// One reference, by its full name, such as `refs/tags/v1`.
    Reference(String),
}

/// The text is not the URL of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the URL of a Git repository: expected one such as \
     https://example.com/team/repo.git@v1.0.0"
)]
pub struct RepoUrlError(String);

/// Proto, path of the host, repository, `.git`, reference.
static GRAMMAR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?P<proto>[a-z]+://)(?P<host>.+?)/(?P<repo>[0-9A-Za-z_\-.]+?)?(?P<git>\.git)?/?",
        r"(?P<at>@(?P<force>\+)?(?P<ref>[/+0-9A-Za-z_\-.]+))?",
        r"(?P<path>/(?P<service>info/.*|git-upload-pack|git-receive-pack))?$"
    ))
    .ok()
});

impl RepoUrl {
    /// Parses a URL from the `repos` of a component.
    ///
    /// # Errors
    ///
    /// [`RepoUrlError`]
    pub fn parse(text: &str) -> Result<Self, RepoUrlError> {
        let refuse = || RepoUrlError(text.chars().take(200).collect());
        let grammar = GRAMMAR.as_ref().ok_or_else(refuse)?;
        let found = grammar.captures(text).ok_or_else(refuse)?;
        let part = |name| found.name(name).map_or("", |part| part.as_str());
        let (proto, host, repo, git) = (part("proto"), part("host"), part("repo"), part("git"));
        if repo.is_empty() || matches!(repo, "." | "..") {
            return Err(refuse());
        }
        let wanted = match part("ref") {
            "" => Wanted::All,
            hex if hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Wanted::Commit(hex.to_ascii_lowercase())
            }
            full if full.starts_with("refs/") => Wanted::Reference(full.to_owned()),
            tag => Wanted::Reference(format!("refs/tags/{tag}")),
        };
        Ok(Self {
            address: format!("{proto}{host}/{repo}{git}"),
            repo: repo.to_owned(),
            wanted,
            written: public_url(text),
            // The definition in the package has no login either.
            full: public_url(&format!("{proto}{host}/{repo}{git}{}", part("at"))),
        })
    }

    /// The address without credentials, for clones and messages.
    #[must_use]
    pub fn public_address(&self) -> String {
        public_url(&self.address)
    }

    /// Name of the folder below `repos/`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}-{}", self.repo, crc32(self.full.as_bytes()))
    }
}

impl RepoUrl {
    /// Name of the repository on the cluster's Git server, the same for all references.
    #[must_use]
    pub fn server_name(&self) -> String {
        format!("{}-{}", self.repo, crc32(self.bare_address().as_bytes()))
    }

    /// Name of the folder below `repos/` in packages from before v0.25.0.
    #[must_use]
    pub fn older_folder(&self) -> String {
        let at = self.full.strip_prefix(&self.public_address());
        let named = format!("{}{}", self.bare_address(), at.unwrap_or_default());
        format!("{}-{}", self.repo, crc32(named.as_bytes()))
    }

    /// The address without scheme and `.git`.
    fn bare_address(&self) -> String {
        let address = self.public_address();
        let address = address
            .split_once("://")
            .map_or(address.as_str(), |(_, rest)| rest);
        address.strip_suffix(".git").unwrap_or(address).to_owned()
    }
}

/// CRC-32 (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_older_packages_are_those_of_v0_24_3() {
        for (at, folder) in [("", "repo-263061042"), ("@v1.0.0", "repo-297096851")] {
            let url = RepoUrl::parse(&format!("http://127.0.0.1:5079/src/repo.git{at}"));
            assert_eq!(url.unwrap().older_folder(), folder);
        }
    }

    #[test]
    fn a_servers_name_has_neither_scheme_nor_reference() {
        for (url, name) in [
            (
                "https://github.com/stefanprodan/podinfo.git@6.4.0",
                "podinfo-1646971829",
            ),
            (
                "https://github.com/defenseunicorns/zarf-public-test.git@refs/heads/dragons",
                "zarf-public-test-2469062884",
            ),
            (
                "http://localhost:5000/some-cool-repo",
                "some-cool-repo-926913879",
            ),
            (
                "file:///srv/git/stefanprodan/podinfo@adf0fasd10.1.223124123123-asdf",
                "podinfo-1175499642",
            ),
            (
                "https://repo1.dso.mil/platform-one/big-bang/apps/security-tools/twistlock.git@0.0.9-bb.0",
                "twistlock-97328248",
            ),
        ] {
            assert_eq!(RepoUrl::parse(url).unwrap().server_name(), name, "{url}");
        }
    }

    #[test]
    fn folders_have_the_names_that_deployments_expect() {
        let zarf = "https://github.com/defenseunicorns/zarf-public-test.git";
        let commit = "01a23218923f24194133b5eb11268cf8d73ff1bb";
        for (url, folder) in [
            (
                "https://github.com/stefanprodan/podinfo.git".to_owned(),
                "podinfo-47672159",
            ),
            (
                "https://github.com/stefanprodan/podinfo.git@6.4.0".to_owned(),
                "podinfo-1972888344",
            ),
            (
                "https://github.com/stefanprodan/podinfo.git@refs/tags/6.4.0".to_owned(),
                "podinfo-3532253410",
            ),
            (zarf.to_owned(), "zarf-public-test-1143224168"),
            (format!("{zarf}@v0.0.1"), "zarf-public-test-443792367"),
            (
                format!("{zarf}@refs/heads/dragons"),
                "zarf-public-test-1670574289",
            ),
            (format!("{zarf}@{commit}"), "zarf-public-test-2357350897"),
            (
                "http://localhost:5000/some-cool-repo".to_owned(),
                "some-cool-repo-1916670310",
            ),
            (
                "file:///srv/git/stefanprodan/podinfo@adf0fasd10.1.223124123123-asdf".to_owned(),
                "podinfo-122075437",
            ),
            (
                "https://repo1.dso.mil/platform-one/big-bang/apps/security-tools/\
                 twistlock.git@0.0.9-bb.0"
                    .replace(' ', ""),
                "twistlock-1920149257",
            ),
        ] {
            let parsed = RepoUrl::parse(&url).map(|url| url.folder());
            assert_eq!(parsed.as_deref(), Ok(folder), "{url}");
        }
    }

    #[test]
    fn references_are_commits_full_names_or_tags() {
        let parsed = |text: &str| RepoUrl::parse(text).unwrap();
        let hex = "01A23218923f24194133b5eb11268cf8d73ff1bb";
        for (end, wanted) in [
            ("", Wanted::All),
            ("@v1", Wanted::Reference("refs/tags/v1".into())),
            ("@a/b+c", Wanted::Reference("refs/tags/a/b+c".into())),
            ("@refs/heads/x", Wanted::Reference("refs/heads/x".into())),
            ("@abc1234", Wanted::Reference("refs/tags/abc1234".into())),
        ] {
            let url = parsed(&format!("ssh://git@h/t/r.git{end}"));
            assert_eq!(url.address, "ssh://git@h/t/r.git");
            assert_eq!((url.repo.as_str(), url.wanted), ("r", wanted), "{end}");
        }
        let commit = parsed(&format!("https://h/r@{hex}")).wanted;
        assert_eq!(commit, Wanted::Commit(hex.to_lowercase()));
        assert_eq!(
            parsed("https://h/r.git/info/refs").address,
            "https://h/r.git"
        );
        let secret = parsed("https://u:secret@h/t/r.git@v1");
        assert_eq!(secret.to_string(), "https://h/t/r.git@v1");
        assert_eq!(secret.public_address(), "https://h/t/r.git");
        assert_eq!(secret.address, "https://u:secret@h/t/r.git");
        for wrong in [
            "h/r",
            "https://h",
            "https://h/",
            "git@h:t/r",
            "https://h/..",
            "",
        ] {
            assert!(RepoUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
