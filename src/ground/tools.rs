//! Installed programs: their paths on `PATH`, and their digests.

use std::collections::BTreeMap;
use std::io::Read as _;
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
pub(crate) fn look(site: &Site, folders: &[PathBuf], name: &str) -> Result<Tool, Failure> {
    for path in candidates(folders, name) {
        if program(&path).is_none() {
            continue;
        }
        let files = parts(folders, &path);
        return Ok(Tool {
            digest: digest(site, &files)?,
            path,
            files,
        });
    }
    let message = format!("the tool `{name}` is not on PATH: install it, or correct `tools`");
    Err(Failure::new(Class::Configuration, message))
}

/// Where the program `name` may be.
fn candidates(folders: &[PathBuf], name: &str) -> Vec<PathBuf> {
    match name.starts_with('/') {
        true => vec![PathBuf::from(name)],
        false => folders.iter().map(|folder| folder.join(name)).collect(),
    }
}

/// The program at `path`, with all links resolved: the target is what runs.
fn program(path: &Path) -> Option<PathBuf> {
    let real = std::fs::canonicalize(path).ok()?;
    let metadata = std::fs::metadata(&real).ok()?;
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111;
    (metadata.is_file() && executable != 0).then_some(real)
}

/// Largest script that is searched for programs, in bytes: 64 KiB. Wrappers are short.
const MAX_SCRIPT_BYTES: u64 = 64 << 10;

/// Maximum number of programs that one script leads to: a wrapper starts a few, and a
/// script that names more is a program of its own.
const MAX_LED_TO: usize = 16;

/// The program at `path`, and for a script its interpreter and the programs that it
/// names, which may be what really runs; as they are named.
fn parts(folders: &[PathBuf], path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    let mut next = 0;
    while let Some(file) = found.get(next) {
        next += 1;
        for led in led_to(folders, file) {
            if found.len() <= MAX_LED_TO && !found.contains(&led) {
                found.push(led);
            }
        }
    }
    found
}

/// Identifies the programs at `files`: the digest of one, or of all their digests.
fn digest(site: &Site, files: &[PathBuf]) -> Result<Digest, Failure> {
    let mut entries = Vec::with_capacity(files.len());
    for file in files {
        let real = std::fs::canonicalize(file)?;
        entries.push(Entry {
            path: real.to_string_lossy().into_owned(),
            kind: workspace::Kind::File { executable: true },
            stat: Stat::of(&std::fs::metadata(&real)?),
        });
    }
    let digests = site.digests(Path::new("/"), &entries.iter().collect::<Vec<_>>())?;
    Ok(match digests.as_slice() {
        [own] => *own,
        all => {
            let all: Vec<u8> = all
                .iter()
                .flat_map(|digest| digest.as_bytes())
                .copied()
                .collect();
            Digest::of(&all)
        }
    })
}

/// The interpreter of a script, and the programs that it names by their whole paths or
/// after `exec`; none for another file. Programs that it finds in another way are not
/// known.
fn led_to(folders: &[PathBuf], file: &Path) -> Vec<PathBuf> {
    let read = || {
        let mut file = std::fs::File::open(file).ok()?;
        let (mut start, mut bytes) = ([0; 2], Vec::new());
        file.read_exact(&mut start)
            .ok()
            .filter(|()| start == *b"#!")?;
        file.take(MAX_SCRIPT_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let Some(text) = read() else {
        return Vec::new();
    };
    let at = |name: &str| {
        let mut named = candidates(folders, name).into_iter();
        named.find(|path| program(path).is_some())
    };
    let mut found = Vec::new();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut words = first.split_whitespace();
    let interpreter = words.next().unwrap_or_default();
    found.extend(at(interpreter).filter(|_| interpreter.starts_with('/')));
    if interpreter.ends_with("/env") {
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
        found.extend(name.and_then(at));
    }
    let ends = |c: char| c.is_whitespace() || "'\"`()<>|&;=$".contains(c);
    for line in rest
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let mut before = "";
        for word in line.split(ends).filter(|word| !word.is_empty()) {
            // The word after `exec` is a name or a path, unless it is an option.
            if word.starts_with('/') || before == "exec" && !word.starts_with('-') {
                found.extend(at(word));
            }
            before = word;
        }
    }
    found.retain(|led| led != file);
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use super::*;
    use crate::cas::Cas;
    use crate::ground::site::SiteOptions;
    use crate::registry::{Options, Registry};

    #[test]
    fn a_script_is_identified_with_what_it_starts() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, opt) = (dir.path().join("bin"), dir.path().join("opt"));
        let put = |path: &Path, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // A new file has another inode, as a program that is installed anew.
            let _ = std::fs::remove_file(path);
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let folders = vec![bin.clone()];
        let look = |name: &str| {
            let cas = Arc::new(Cas::open(dir.path().join("cache")).unwrap());
            let registry = Registry::new(Options::default());
            let site = Site::new(cas, registry, dir.path(), SiteOptions::default());
            super::look(&site, &folders, name).unwrap().digest
        };
        let real = opt.join("real");
        put(&real, "\x7fELF one");
        put(&opt.join("shell"), "\x7fELF shell");
        let wrapper = format!("#!{0}/shell\nX=1 exec \"{0}/link\" \"$@\"\n", opt.display());
        put(&bin.join("tool"), &wrapper);
        symlink(&real, opt.join("link")).unwrap();
        put(&bin.join("inner"), "\x7fELF inner");
        put(
            &bin.join("named"),
            "#!/usr/bin/env inner\nexec tool build\n# exec other\n",
        );
        put(&bin.join("other"), "\x7fELF other");
        assert_eq!(look("inner"), Digest::of(b"\x7fELF inner"));
        let all = || [look("tool"), look("named")];
        let mut before = all();
        for (path, named) in [(&real, 2), (&opt.join("shell"), 2), (&bin.join("inner"), 1)] {
            put(path, "\x7fELF another");
            let after = all();
            assert_eq!(before[0] != after[0], named == 2, "{}", path.display());
            assert_ne!(before[1], after[1], "{}", path.display());
            before = after;
        }
        put(&bin.join("other"), "\x7fELF another");
        assert_eq!(all(), before);
        // One that starts itself ends.
        put(&bin.join("tool"), "#!/bin/none\nexec tool\n");
        assert_ne!(look("tool"), before[0]);
    }
}
