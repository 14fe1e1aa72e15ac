//! Rewrites addresses of Git repositories in a text to the cluster's Git server.
//!
//! Source: docs/spec/package.md, "Git repositories", "Test vectors".

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::RepoUrl;

/// The address of a repository, up to its `.git`.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"https?://[^\s"'<>]+?\.git\b"#).ok());

/// Replaces the address of every repository in `text` with its address on the server
/// `host`, in the folder of `account`.
#[must_use]
pub fn patch_git_links(text: &str, host: &str, account: &str) -> String {
    let Some(address) = ADDRESS.as_ref() else {
        return text.to_owned();
    };
    let host = host.trim_end_matches('/');
    let own = format!("{host}/");
    let replaced = address.replace_all(text, |found: &Captures<'_>| {
        let written = &found[0];
        match RepoUrl::parse(written) {
            // Addresses on the server stay.
            Ok(url) if !written.starts_with(&own) => {
                format!("{host}/{account}/{}.git", url.server_name())
            }
            _ => written.to_owned(),
        }
    });
    replaced.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_replaced_and_everything_else_stays() {
        let text = "url: https://github.com/stefanprodan/podinfo.git\n\
                    also: \"http://h/a/b.git\" and https://example.com/x.gitignore\n";
        let patched = patch_git_links(text, "https://git.example.com/", "jackal-git-user");
        assert_eq!(
            patched,
            "url: https://git.example.com/jackal-git-user/podinfo-1646971829.git\n\
             also: \"https://git.example.com/jackal-git-user/b-1870982647.git\" and \
             https://example.com/x.gitignore\n"
        );
        let again = patch_git_links(&patched, "https://git.example.com", "jackal-git-user");
        assert_eq!(again, patched);
    }
}
