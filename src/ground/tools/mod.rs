//! Installed programs: what a name stands for, what it needs, and what identifies it.
//!
//! See adr/0048, "Tools are closures".

mod closure;
mod declared;
mod elf;
mod make;
mod memory;
mod packages;
mod run;
mod script;
mod search;
mod toolchains;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::site::Site;
use super::{Class, Failure};
pub(crate) use closure::Tool;
pub(crate) use declared::{Declared, Identity, located};
pub(crate) use memory::Memory;
pub(crate) use packages::Package;
pub(crate) use search::Search;
pub(crate) use toolchains::selectors_of as selectors;

/// Tools of common builds, for a survey of what is installed.
pub(crate) const WELL_KNOWN: [&str; 30] = [
    "sh", "bash", "cc", "c++", "gcc", "clang", "make", "cmake", "ninja", "cargo", "rustc", "go",
    "python3", "pip", "uv", "node", "npm", "pnpm", "yarn", "java", "javac", "mvn", "gradle",
    "dotnet", "ruby", "perl", "git", "protoc", "helm", "kubectl",
];

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
pub(crate) fn optional(site: &Site, name: &str) -> Result<Option<Arc<Tool>>, Failure> {
    let (path, none, declared) = (folders_of_path(site), BTreeMap::new(), BTreeMap::new());
    let search = Search {
        site,
        path: &path,
        env: &none,
        folder: Path::new("/"),
        declared: &declared,
    };
    match search.find(name) {
        Ok(tool) => Ok(Some(tool)),
        Err(failure) if failure.class == Class::Configuration => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A program on the user's `PATH`; `missing` is the error message if it is not
/// installed.
pub(crate) fn required(site: &Site, name: &str, missing: &str) -> Result<Arc<Tool>, Failure> {
    optional(site, name)?.ok_or_else(|| Failure::new(Class::Environment, missing))
}

/// The package of the system called `name`.
pub(crate) fn package(site: &Site, name: &str) -> Result<Package, Failure> {
    packages::named(&site.memory, Path::new(packages::ROOT), name)
}

/// Whether the file at `path` can be started.
pub(crate) fn is_program(path: &Path) -> bool {
    script::program(path).is_some()
}

/// Makes later lookups compare what is known with the disk once more.
pub(crate) fn look_again(site: &Site) {
    site.memory.hold().facts().round += 1;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::cas::Cas;
    use crate::ground::site::SiteOptions;
    use crate::oci::Digest;
    use crate::registry::{Options, Registry};

    #[test]
    fn a_virtual_environment_brings_the_toolchain_that_it_was_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put("base/bin/python3", "");
        put("base/lib/python3.12/os.py", "");
        put("venv/pyvenv.cfg", "home = x\n");
        put("venv/lib/python3.12/site-packages/own.py", "");
        std::fs::create_dir(root.join("venv/bin")).unwrap();
        symlink(root.join("base/bin/python3"), root.join("venv/bin/python3")).unwrap();
        let cas = Arc::new(Cas::open(root.join("cache")).unwrap());
        let registry = Registry::new(Options::default());
        let site = Site::new(cas, registry, &root, SiteOptions::default());
        let search = Search {
            site: &site,
            path: &[root.join("venv/bin")],
            env: &BTreeMap::new(),
            folder: &root,
            declared: &BTreeMap::new(),
        };
        let look = || search.look("python3").unwrap();
        let tool = look();
        assert_eq!(tool.path, root.join("venv/bin/python3"));
        for part in ["venv", "base/bin", "base/lib"] {
            assert!(
                tool.readable.contains(&root.join(part)),
                "{:?}",
                tool.readable
            );
        }
        for file in ["base/lib/python3.12/new.py", "venv/lib/python3.12/new.py"] {
            put(file, "");
            look_again(&site);
            assert_ne!(look().digest, tool.digest, "{file}");
        }
    }

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
            let search = Search {
                site: &site,
                path: &folders,
                env: &BTreeMap::new(),
                folder: dir.path(),
                declared: &BTreeMap::new(),
            };
            search.look(name).unwrap().digest
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
