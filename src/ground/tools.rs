//! Installed programs: their paths on `PATH`, and their digests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::site::{Site, Tool};
use super::{Class, Failure};
use crate::oci::Digest;
use crate::workspace::{self, Entry, Stat};

/// Environment variables for credentials, keys and proxies.
const PASSED: &[&str] = &[
    "HOME",
    "PATH",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// The user's environment variables for credentials, keys and proxies.
pub(crate) fn environment(site: &Site) -> BTreeMap<String, String> {
    let known = PASSED.iter().filter_map(|name| {
        let value = site.options.environment.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    known.collect()
}

/// The folders in which programs are looked up.
fn folders_of_path(site: &Site) -> Vec<PathBuf> {
    let path = site.options.environment.get("PATH");
    let folders = path.map_or("", String::as_str).split(':');
    folders
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// A program on the user's `PATH`, if it is installed.
pub(crate) fn optional(site: &Site, name: &str) -> Result<Option<Tool>, Failure> {
    match site.tool(name, || look(site, &folders_of_path(site), name)) {
        Ok(tool) => Ok(Some(tool)),
        Err(failure) if failure.class == Class::Configuration => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A program on the user's `PATH`; `missing` is the error message if it is not
/// installed.
pub(crate) fn required(site: &Site, name: &str, missing: &str) -> Result<Tool, Failure> {
    optional(site, name)?.ok_or_else(|| Failure::new(Class::Environment, missing))
}

/// Looks up each tool again: if one was replaced while a command ran, another program
/// than the key names may have made the result.
pub(crate) fn check_again(
    site: &Site,
    path: &[PathBuf],
    tools: &BTreeMap<String, Digest>,
) -> Result<(), Failure> {
    for (name, digest) in tools {
        let now = look(site, path, name);
        if now.as_ref().is_ok_and(|tool| tool.digest == *digest) {
            continue;
        }
        site.forget_tool(name);
        let path = now.map_or_else(|_| PathBuf::from(name), |tool| tool.path);
        return Err(Failure::changed(path));
    }
    Ok(())
}

/// The program called `name` in one of the folders of `path`.
pub(crate) fn look(site: &Site, path: &[PathBuf], name: &str) -> Result<Tool, Failure> {
    let candidates: Vec<PathBuf> = if name.starts_with('/') {
        vec![PathBuf::from(name)]
    } else {
        path.iter().map(|folder| folder.join(name)).collect()
    };
    for path in candidates {
        // Resolve links: the target is the program that runs.
        let Ok(real) = std::fs::canonicalize(&path) else {
            continue;
        };
        let Ok(metadata) = std::fs::metadata(&real) else {
            continue;
        };
        let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111;
        if !metadata.is_file() || executable == 0 {
            continue;
        }
        let full = real.to_string_lossy().into_owned();
        let entry = Entry {
            path: full,
            kind: workspace::Kind::File { executable: true },
            stat: Stat::of(&metadata),
        };
        let digest = site.digests(Path::new("/"), &[&entry])?.remove(0);
        return Ok(Tool { path, digest });
    }
    let message = format!("the tool `{name}` is not on PATH: install it, or correct `tools`");
    Err(Failure::new(Class::Configuration, message))
}
